"""Accounts, tests and agents: what their services lean on, on every database."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from callwright.control.accounts.model import User
from callwright.control.agents.model import Agent
from callwright.control.audit.model import AuditEntry
from callwright.control.certificates.model import SealedCertificates
from callwright.control.credentials.model import SealedCredential
from callwright.control.errors import Conflict
from callwright.control.runs.model import RunFilter
from callwright.control.storage.stores import Stores
from callwright.control.tests.model import TestDocument
from tests.conformance.rows import NOW, a_run, a_test

AGENT = Agent("id1", "one", "default", {}, "1", 5, 0, (), "U1", "active", NOW, None)


async def a_user(stores: Stores, username: str = "ana", role: str = "admin", email: str = "") -> User:
    row = User(0, username, "Ana", email, role, "Normal", "UTC", NOW, None, None)
    return await stores.accounts.add_user(row, "hash")


# -- accounts


async def test_a_user_is_found_by_name_or_address_in_either_case(stores: Stores) -> None:
    user = await a_user(stores, email="Ana@Example.com")
    for name in ("ana", "ANA", "ana@example.com"):
        found = await stores.accounts.user_secret(name)
        assert found is not None
        assert (found.id, found.password_hash) == (user.id, "hash")
    assert await stores.accounts.user_secret("") is None
    assert await stores.accounts.user(user.id) == user
    assert await stores.accounts.user_by_name("ana") == user


async def test_names_and_addresses_are_taken_until_their_user_is_deleted(stores: Stores) -> None:
    user = await a_user(stores, email="a@b.c")
    await a_user(stores, "bob")
    await a_user(stores, "eve")  # several may have no address
    for username, email in (("ana", ""), ("other", "a@b.c")):
        with pytest.raises(Conflict):
            await a_user(stores, username, email=email)
    gone = msgspec.structs.replace(user, deleted_at=NOW)
    assert await stores.accounts.replace_user(gone) == gone
    assert await stores.accounts.replace_user(user) is None
    assert (await a_user(stores, email="a@b.c")).id != user.id
    with pytest.raises(Conflict):
        await stores.accounts.restore_user(user.id)
    assert [u.username for u in await stores.accounts.users()] == ["bob", "eve", "ana"]
    assert len(await stores.accounts.reserve_admins()) == 3


async def test_a_key_dies_with_its_revocation_or_its_user(stores: Stores) -> None:
    user = await a_user(stores)
    one, two = [
        await stores.accounts.add_key(public_key=k, secret_hash="h", name="ci", user_id=user.id, now=NOW)
        for k in ("k1", "k2")
    ]
    assert (one.username, one.last_used_at) == ("ana", None)
    await stores.accounts.note_key_use(one.id, NOW + 1)
    secret = await stores.accounts.key_secret("k1")
    assert secret is not None
    assert (secret.secret_hash, secret.user_id, secret.role, secret.last_used_at) == (
        "h",
        user.id,
        "admin",
        NOW + 1,
    )
    assert await stores.accounts.revoke_key(one.id, NOW)
    assert not await stores.accounts.revoke_key(one.id, NOW)
    assert await stores.accounts.key_secret("k1") is None
    assert await stores.accounts.key_secret("k2") is not None
    await stores.accounts.replace_user(msgspec.structs.replace(user, deleted_at=NOW))
    assert await stores.accounts.key_secret("k2") is None
    assert [key.id for key in await stores.accounts.keys(None)] == [one.id, two.id]
    assert await stores.accounts.keys(999) == []
    assert await stores.accounts.key_by_public("k2") == two


async def test_who_asks_after_a_revocation_is_refused_however_many_ask_meanwhile(stores: Stores) -> None:
    """Readings of a key are shared by those who wait, never with those who come later."""
    user = await a_user(stores)
    for turn in range(10):
        name = f"k{turn}"
        key = await stores.accounts.add_key(
            public_key=name, secret_hash="h", name="ci", user_id=user.id, now=NOW
        )
        revoked = asyncio.Event()

        async def ask(name: str, revoked: asyncio.Event) -> None:
            while not revoked.is_set():
                await stores.accounts.key_secret(name)
                await asyncio.sleep(0)  # what is read inline gives nobody a turn
            assert await stores.accounts.key_secret(name) is None

        async def revoke(key_id: int, name: str, revoked: asyncio.Event) -> None:
            for _ in range(5):
                assert await stores.accounts.key_secret(name) is not None
            assert await stores.accounts.revoke_key(key_id, NOW)
            revoked.set()

        await asyncio.gather(revoke(key.id, name, revoked), *(ask(name, revoked) for _ in range(6)))


async def test_api_tokens_have_names_of_their_own_and_sessions_have_none(stores: Stores) -> None:
    user = await a_user(stores)

    async def add(kind: str, name: str, hashed: str) -> int:
        row = await stores.accounts.add_token(
            kind=kind, name=name, token_hash=hashed, user_id=user.id, idle_seconds=5.0, now=NOW
        )
        return row.id

    token = await add("api", "ci", "h1")
    with pytest.raises(Conflict):
        await add("api", "ci", "h2")
    await add("session", "", "h3")
    await add("session", "", "h4")
    assert [row.name for row in await stores.accounts.tokens(user.id)] == ["ci"]
    await stores.accounts.note_token_use(token, NOW + 3)
    owner = await stores.accounts.token_owner("h1")
    assert owner is not None
    assert (owner.user_id, owner.username, owner.last_used_at) == (user.id, "ana", NOW + 3)
    await stores.accounts.revoke_tokens_of(user.id, "session", NOW)
    assert await stores.accounts.token_owner("h3") is None
    assert await stores.accounts.revoke_token(token, NOW)
    assert await stores.accounts.token_owner("h1") is None
    assert await add("api", "ci", "h5") != token


async def test_a_credential_is_replaced_only_when_asked_for(stores: Stores) -> None:
    row = SealedCredential(0, "office", "4101", "", "pbx", "", "", "", "sealed")
    first = await stores.credentials.put_credential(row, NOW, replace=False)
    assert (first.name, first.has_password) == ("office", 1)
    with pytest.raises(Conflict):
        await stores.credentials.put_credential(row, NOW, replace=False)
    changed = msgspec.structs.replace(row, user="4102", sealed_password="")
    second = await stores.credentials.put_credential(changed, NOW + 1, replace=True)
    assert (second.id, second.user, second.has_password) == (first.id, "4102", 0)
    assert (second.created_at, second.updated_at) == (NOW, NOW + 1)
    assert [r.user for r in await stores.credentials.sealed_credentials()] == ["4102"]
    assert await stores.credentials.delete_credential("office")
    assert not await stores.credentials.delete_credential("office")


async def test_the_audit_log_is_paged_from_its_end(stores: Stores) -> None:
    for number in range(5):
        entry = AuditEntry(0, NOW + number, 1, "ana", "key.created", f"key {number}", "")
        await stores.audit.add_audit(entry)
    page = await stores.audit.audit(None, 2, None)
    assert [entry.object for entry in page] == ["key 4", "key 3"]
    assert [e.object for e in await stores.audit.audit(page[-1].id, 9, None)] == [
        "key 2",
        "key 1",
        "key 0",
    ]
    assert [e.object for e in await stores.audit.audit(None, 9, "KEY 3")] == ["key 3"]
    used = AuditEntry(0, NOW, 1, "ana", "target.added", "target 1", "", 77)
    await stores.audit.add_audit(used)
    assert [e.object for e in await stores.audit.audit(None, 9, "key 77")] == ["target 1"]


# -- tests


async def test_tests_are_paged_by_name_and_filtered(stores: Stores) -> None:
    for name, tags in (("b", ("call",)), ("a", ("call", "call-2")), ("Zug_1", ())):
        await a_test(stores, name, tags)
    other = await stores.projects.add_project("q", "", NOW)
    await a_test(stores, "c", (), project_id=other.id)

    async def names(
        project_id: int | None = None,
        search: str | None = None,
        tag: str | None = None,
        after: str | None = None,
    ) -> set[str]:
        found = await stores.tests.page(project_id=project_id, search=search, tag=tag, after=after, limit=9)
        return {test.name for test in found}

    assert await names() == {"a", "b", "c", "Zug_1"}
    assert await names(project_id=other.id) == {"c"}
    assert await names(search="ZUG_") == {"Zug_1"}
    assert await names(tag="call") == {"a", "b"}
    assert await names(tag="call-2") == {"a"}
    first = await stores.tests.page(project_id=None, search=None, tag=None, after=None, limit=2)
    rest = await names(after=first[-1].name)
    assert rest.isdisjoint(test.name for test in first)
    assert len(rest) == 2


async def test_of_two_who_change_a_test_at_once_one_succeeds(stores: Stores) -> None:
    test = await a_test(stores)
    changed = msgspec.structs.replace(test, title="new", version=2)
    results = await asyncio.gather(
        *(
            stores.tests.replace(changed, TestDocument(test.id, 2, f"text {n}", "ana", NOW), 1)
            for n in range(5)
        )
    )
    kept = [result for result in results if result is not None]
    assert len(kept) == 1
    assert (kept[0].title, kept[0].version) == ("new", 2)
    assert [version.version for version in await stores.tests.versions(test.id)] == [2, 1]
    first = await stores.tests.document(test.id, 1)
    assert first is not None
    assert first.document == "name: x"


async def test_a_name_is_free_again_when_its_test_is_deleted(stores: Stores) -> None:
    test = await a_test(stores)
    with pytest.raises(Conflict):
        await a_test(stores)
    assert await stores.tests.delete(test.id, NOW)
    assert not await stores.tests.delete(test.id, NOW)
    assert await stores.tests.by_name("basic") == []
    assert await stores.tests.by_id(test.id) is None
    assert (await a_test(stores)).id != test.id
    assert await stores.tests.names() == ["basic"]
    assert await stores.tests.document(test.id, 1) is not None  # runs of then refer to it


# -- agents


async def test_an_enrolment_is_used_once_and_before_it_expires(stores: Stores) -> None:
    await stores.agents.add_enrolment("default", "h", NOW, NOW + 60)
    await stores.agents.add_enrolment("default", "old", NOW, NOW + 60)

    async def enrol(token: str, number: int, now: float) -> bool:
        agent = msgspec.structs.replace(AGENT, id=f"a{number}", name=f"agent-{number}")
        return await stores.agents.enrol(token, agent, "s", now)

    found = await stores.agents.open_enrolment("h", NOW + 1)
    assert found is not None
    assert (found.pool, found.used_at) == ("default", None)
    used = await asyncio.gather(*(enrol("h", number, NOW + 1) for number in range(8)))
    assert used.count(True) == 1
    assert await stores.agents.open_enrolment("h", NOW + 1) is None
    assert await stores.agents.open_enrolment("old", NOW + 60) is None
    assert not await enrol("old", 9, NOW + 60)
    assert not await enrol("unknown", 9, NOW)
    assert [row.used_at for row in await stores.agents.enrolments()] == [None, NOW + 1]
    assert [agent.id for agent in await stores.agents.agents()] == [f"a{used.index(True)}"]


async def test_an_enrolment_whose_name_is_taken_is_not_spent(stores: Stores) -> None:
    await stores.agents.put_agent(AGENT, "s1")
    await stores.agents.add_enrolment("default", "h", NOW, NOW + 60)
    with pytest.raises(Conflict):
        await stores.agents.enrol("h", msgspec.structs.replace(AGENT, id="id2"), "s2", NOW)
    assert await stores.agents.open_enrolment("h", NOW) is not None


async def test_a_revoked_agent_is_heard_no_more_and_its_name_is_free(stores: Stores) -> None:
    await stores.agents.put_agent(AGENT, "s1")
    with pytest.raises(Conflict):
        await stores.agents.put_agent(msgspec.structs.replace(AGENT, id="id2"), "s2")
    assert await stores.agents.agent_by_secret("id1", "s1") == AGENT
    assert await stores.agents.agent_by_secret("id1", "s2") is None
    seen = msgspec.structs.replace(AGENT, busy=3, last_seen_at=NOW + 1)
    assert await stores.agents.heartbeat(seen) == seen
    revoked = await stores.agents.set_state("id1", "revoked")
    assert revoked is not None
    assert await stores.agents.heartbeat(seen) is None
    assert await stores.agents.agent_by_secret("id1", "s1") is None
    assert await stores.agents.set_state("id1", "active") is None
    await stores.agents.put_agent(msgspec.structs.replace(AGENT, id="id2"), "s2")
    assert [agent.id for agent in await stores.agents.agents()] == ["id2"]
    assert len(await stores.agents.agents(revoked=True)) == 2


async def test_a_pool_is_made_once(stores: Stores) -> None:
    pools = await asyncio.gather(*(stores.agents.add_pool("lab", NOW) for _ in range(5)))
    assert len({pool.id for pool in pools}) == 1
    assert await stores.agents.delete_pool("lab")
    assert await stores.agents.pools() == []


async def test_members_see_the_tests_and_runs_of_their_projects_alone(stores: Stores) -> None:
    user = await a_user(stores)
    projects = [await stores.projects.add_project(f"p{n}", "", NOW) for n in range(4)]
    rows = {}
    for number, project in enumerate(projects):
        test = await a_test(stores, "same name", project_id=project.id, project_name=project.name)
        rows[project.id] = (test, await a_run(stores, test, number))
    ids = [project.id for project in projects]
    for visible in ((), (ids[1],), (ids[0], ids[2]), tuple(ids[:3]), tuple(ids)):
        listed = await stores.tests.page(
            project_id=None, search=None, tag=None, after=None, limit=9, visible=visible
        )
        assert [test.project_id for test in listed] == list(visible)
        assert await stores.tests.names(visible) == ["same name"] * len(visible)
        page = await stores.runs.page(RunFilter(), None, 9, visible)
        assert [run.project_id for run in page] == list(reversed(visible))
        counted = sum(bucket.count for bucket in await stores.runs.history(0.0, 60.0, visible))
        assert counted == len(visible)
    assert [test.project_id for test in await stores.tests.by_name("same name")] == ids
    with pytest.raises(Conflict):
        await a_test(stores, "same name", project_id=ids[0], project_name="p0")

    await stores.projects.put_member(user.id, ids[1], "viewer", NOW)
    await stores.projects.put_member(user.id, ids[0], "member", NOW + 1)
    await stores.projects.put_member(user.id, ids[1], "runner", NOW + 2)
    found = await stores.projects.memberships(user_id=user.id)
    assert [(one.project_name, one.role, one.since) for one in found] == [
        ("p0", "member", NOW + 1),
        ("p1", "runner", NOW),
    ]
    assert await stores.projects.memberships(project_id=ids[1]) == found[1:]
    assert await stores.projects.remove_member(user.id, ids[1])
    assert not await stores.projects.remove_member(user.id, ids[1])
    await stores.accounts.replace_user(msgspec.structs.replace(user, deleted_at=NOW))
    assert await stores.projects.memberships() == []


CERTIFICATES = SealedCertificates("agent-1", "CA", "v1:a", NOW + 5, "LEAF", "v1:b", NOW + 1)


async def test_of_two_that_make_certificates_at_once_one_wins(stores: Stores) -> None:
    other = msgspec.structs.replace(CERTIFICATES, tls_cert="OTHER")
    first, second = await asyncio.gather(
        stores.certificates.add_certificates(CERTIFICATES), stores.certificates.add_certificates(other)
    )
    assert first == second == await stores.certificates.certificates_of("agent-1")
    assert await stores.certificates.certificates_of("agent-2") is None


async def test_certificates_are_renewed_in_place_of_those_that_were_seen(stores: Stores) -> None:
    await stores.certificates.add_certificates(CERTIFICATES)
    renewed = msgspec.structs.replace(CERTIFICATES, tls_cert="NEW", tls_ends_at=NOW + 9)
    assert await stores.certificates.renew_certificates(renewed, CERTIFICATES)
    assert not await stores.certificates.renew_certificates(CERTIFICATES, CERTIFICATES)
    assert await stores.certificates.certificates() == [renewed]
    await stores.certificates.forget_certificates(["agent-1"])
    assert await stores.certificates.certificates() == []
