from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

import pytest

from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import PLATFORM, RIGHTS, Identity, Right, Role, User, identity_of
from callwright.control.credentials.vault import Vault
from callwright.control.errors import Conflict, Forbidden, Invalid, NotFound, StorageUnavailable
from callwright.control.services import Services
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy, system_entropy


@pytest.fixture
async def admin(services: Services, admin: Identity) -> Identity:
    """With a password."""
    await services.accounts.set_password(admin, admin.user_id, "a long password")
    return admin


async def a_user(services: Services, username: str = "bob", role: str = "member", **more: str) -> User:
    return await services.accounts.create_user(
        PLATFORM, username=username, password="correct horse", role=role, **more
    )


async def test_a_key_is_its_owner_and_a_wrong_secret_nobody(services: Services) -> None:
    user = await a_user(services)
    public, secret = await services.keys.create("ci", user)
    identity = await services.accounts.authenticate_basic(public, secret)
    assert identity is not None
    assert (identity.user_id, identity.username, identity.role) == (user.id, "bob", Role.MEMBER)
    assert identity.key_id is not None
    for name, word in ((public, secret[:-1]), (public, ""), ("cwk_unknown", secret), (public, "\ud800")):
        assert await services.accounts.authenticate_basic(name, word) is None


async def test_keys_have_at_least_128_random_bits_a_prefix_and_no_plain_secret_in_the_database(
    services: Services, tmp_path: Path
) -> None:
    public, secret = await services.keys.create("ci", await a_user(services))
    assert public.startswith("cwk_")
    assert secret.startswith("cws_")
    assert len(bytes.fromhex(secret[4:])) * 8 >= 128
    with sqlite3.connect(tmp_path / "data" / "callwright.db") as connection:
        dump = "\n".join(connection.iterdump())
    assert public in dump
    assert secret not in dump
    assert "correct horse" not in dump
    assert "$argon2id$" in dump


async def test_a_key_in_one_word_works_as_bearer_and_a_token_too(services: Services, admin: Identity) -> None:
    public, secret = await services.keys.create("ci", await a_user(services))
    by_key = await services.accounts.authenticate_bearer(f"{public}:{secret}")
    token, _ = await services.keys.create_token(admin, "shell")
    by_token = await services.accounts.authenticate_bearer(token)
    assert (by_key and by_key.username, by_token and by_token.username) == ("bob", "ana")
    assert await services.accounts.authenticate_basic(str(admin.user_id), token) == by_token
    assert await services.accounts.authenticate_basic(str(admin.user_id + 1), token) is None


async def test_a_session_dies_after_thirty_idle_minutes_and_each_request_resets_them(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    found = await services.accounts.login("ANA@example.com", "a long password")
    assert isinstance(found, tuple)
    token, _ = found
    for _ in range(4):
        clock.advance(1799)
        assert await services.accounts.authenticate_token(token) is not None
    clock.advance(1801)
    assert await services.accounts.authenticate_token(token) is None


async def test_a_logout_and_a_new_password_end_sessions(services: Services, admin: Identity) -> None:
    one = await services.accounts.login("ana", "a long password")
    two = await services.accounts.login("ana", "a long password")
    assert isinstance(one, tuple)
    assert isinstance(two, tuple)
    await services.accounts.logout(one[1])
    assert await services.accounts.authenticate_token(one[0]) is None
    assert await services.accounts.authenticate_token(two[0]) is not None
    await services.accounts.set_password(admin, admin.user_id, "another password")
    assert await services.accounts.authenticate_token(two[0]) is None
    assert await services.accounts.login("ana", "a long password") is None
    assert await services.accounts.login("ana", "another password") is not None


async def test_only_users_of_category_api_use_their_password_as_basic_credentials(services: Services) -> None:
    await a_user(services)
    await a_user(services, "robot", category="API")
    assert await services.accounts.authenticate_basic("bob", "correct horse") is None
    assert await services.accounts.authenticate_basic("robot", "correct horse") is not None
    assert await services.accounts.authenticate_basic("robot", "wrong") is None
    assert await services.accounts.authenticate_basic("nobody", "correct horse") is None


async def test_a_user_sees_and_revokes_only_own_keys(services: Services, admin: Identity) -> None:
    bob = await a_user(services)
    identity = Identity(bob.id, "bob", Role.MEMBER, RIGHTS[Role.MEMBER])
    public, secret = await services.keys.create("hers", await services.accounts.user(admin.user_id))
    assert await services.keys.list(identity) == []
    with pytest.raises(Forbidden):
        await services.keys.list(identity, of_everybody=True)
    with pytest.raises(NotFound):
        await services.keys.revoke(identity, public)
    await services.keys.revoke(admin, public)
    assert await services.accounts.authenticate_basic(public, secret) is None


async def test_the_last_administrator_stays(services: Services, admin: Identity) -> None:
    with pytest.raises(Conflict):
        await services.accounts.delete_user(admin, admin.user_id)
    with pytest.raises(Conflict):
        await services.accounts.change_user(admin, admin.user_id, role="viewer")
    await a_user(services, "second", role="admin")
    await services.accounts.delete_user(admin, admin.user_id)
    assert [user.username for user in await services.accounts.users()] == ["second"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("username", {"username": "has space"}),
        ("username", {"username": "12345"}),
        ("username", {"username": "cwk_x"}),
        ("email", {"email": "nowhere"}),
        ("role", {"role": "root"}),
        ("category", {"category": "x"}),
        ("password", {"password": "short"}),
    ],
)
async def test_a_user_that_makes_no_sense_is_refused(
    services: Services, field: str, values: dict[str, str]
) -> None:
    with pytest.raises(Invalid) as refused:
        await services.accounts.create_user(
            PLATFORM, **({"username": "bob", "password": "correct horse"} | values)
        )
    assert refused.value.field == field


def test_each_role_may_all_that_the_smaller_one_may() -> None:
    order = [RIGHTS[role] for role in (Role.VIEWER, Role.RUNNER, Role.MEMBER, Role.ADMIN)]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(order))
    assert RIGHTS[Role.ADMIN] == frozenset(Right)


async def test_who_may_not_administer_may_not(services: Services) -> None:
    bob = Identity((await a_user(services)).id, "bob", Role.MEMBER, RIGHTS[Role.MEMBER])
    with pytest.raises(Forbidden):
        await services.accounts.create_user(bob, username="x1", password="correct horse")
    with pytest.raises(Forbidden):
        await services.audit.log(bob)
    with pytest.raises(Forbidden):
        await services.accounts.set_password(bob, bob.user_id + 1, "correct horse")


# -- SIP credentials


async def test_a_sip_password_is_sealed_in_the_database_and_open_for_jobs(
    services: Services, admin: Identity, tmp_path: Path
) -> None:
    fields = {"user": "4101", "password": "s3cret-word", "domain": "pbx.example.com"}
    await services.credentials.put(admin, "office", fields)
    with sqlite3.connect(tmp_path / "data" / "callwright.db") as connection:
        assert "s3cret-word" not in "\n".join(connection.iterdump())
    assert await services.credentials.revealed() == {"office": fields}
    await services.credentials.put(admin, "office", {"user": "4102"}, replace=True)
    assert (await services.credentials.revealed())["office"] == {
        "user": "4102",
        "password": "s3cret-word",
    }
    with pytest.raises(Invalid):
        await services.credentials.put(admin, "x", {"user": "1", "pin": "2"})


def test_a_vault_opens_only_its_own_and_only_where_it_was_sealed(tmp_path: Path) -> None:
    vault = Vault.open_file(tmp_path / "secret.key", system_entropy)
    again = Vault.open_file(tmp_path / "secret.key", system_entropy)
    other = Vault(seeded_entropy(2)(32), system_entropy)
    sealed = vault.seal("Zoë", "credential/a")
    assert again.open(sealed, "credential/a") == "Zoë"
    assert sealed != vault.seal("Zoë", "credential/a")
    for opener, text, context in (
        (other, sealed, "credential/a"),
        (vault, sealed, "credential/b"),
        (vault, sealed[:-4] + "AAAA", "credential/a"),
        (vault, "v9:" + sealed, "credential/a"),
        (vault, "", "credential/a"),
    ):
        with pytest.raises(StorageUnavailable):
            opener.open(text, context)
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "secret.key"]
    with pytest.raises(StorageUnavailable, match=r"nowhere\.key is missing"):
        Vault.open_file(tmp_path / "nowhere.key", system_entropy, create=False)
    assert not (tmp_path / "nowhere.key").exists()
    (tmp_path / "secret.key").write_text("damaged")
    with pytest.raises(StorageUnavailable):
        Vault.open_file(tmp_path / "secret.key", system_entropy)


async def test_the_audit_log_tells_who_did_what_and_no_secret(services: Services, admin: Identity) -> None:
    await services.credentials.put(admin, "office", {"user": "1", "password": "s3cret-word"})
    await services.keys.create("ci", await services.accounts.user(admin.user_id))
    log = await services.audit.log(admin)
    assert [(entry.username, entry.action) for entry in log] == [
        ("ana", "key.created"),
        ("ana", "credential.created"),
        ("ana", "user.password"),
    ]
    assert "s3cret-word" not in str(log)
    assert "cws_" not in str(log)


@pytest.mark.parametrize(
    ("role", "only_project", "calls"),
    [("runner", None, True), ("viewer", None, False), ("runner", 3, False)],
)
def test_a_user_of_no_project_calls_from_the_own_phone_and_runs_nothing(
    role: str, only_project: int | None, calls: bool
) -> None:
    identity = identity_of(7, "ann", role, only_project=only_project)
    assert may(identity, Right.CALL) is calls
    assert not may(identity, Right.RUN)
