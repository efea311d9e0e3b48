from __future__ import annotations

import msgspec
import pytest

from callwright.control.accounts.model import PLATFORM, RIGHTS, Identity, Role
from callwright.control.agents.model import Agent, AgentInfo
from callwright.control.errors import Conflict, Forbidden, Invalid, NotFound
from callwright.control.services import Services
from callwright.dispatch.broker import Unavailable
from callwright.net.clock import ManualClock
from callwright.scenario import catalogue
from callwright.scenario.source import DocumentError

DOCUMENT = """
name: mine
title: My own
tags: [a, b]
steps:
  - - options: {destination: "127.0.0.1:5060"}
"""
VIEWER = Identity(9, "vic", Role.VIEWER, RIGHTS[Role.VIEWER])


async def test_the_demo_project_holds_the_catalogue_and_is_made_once(
    services: Services, admin: Identity
) -> None:
    await services.tests.ensure_demo(admin)
    await services.tests.delete(admin, "options_ping")
    await services.tests.update(admin, "basic_call", document=DOCUMENT)
    await services.tests.ensure_demo(admin)
    assert {test.name for test in await services.tests.list(PLATFORM)} == set(catalogue.NAMES)
    assert (await services.tests.get(PLATFORM, "basic_call")).title == "My own"
    assert [project.name for project in await services.projects.list(PLATFORM)] == ["demo"]


async def test_a_test_is_listed_with_its_parameters(services: Services, admin: Identity) -> None:
    created = await services.tests.create(admin, DOCUMENT)
    (listed,) = await services.tests.list(PLATFORM, tag="a")
    assert listed == created
    assert listed.tags == ("a", "b")
    listed_parameters = {p["address"]: p for p in listed.parameters}
    asked = {p.address: p.to_json() for p in await services.tests.parameters(listed)}
    assert listed_parameters == msgspec.json.decode(msgspec.json.encode(asked))
    assert listed_parameters["step.0.0.destination"]["value"] == "127.0.0.1:5060"
    changed = await services.tests.parameters(listed, {"step.0.0.destination": "127.0.0.2:5060"})
    assert "127.0.0.2:5060" in [parameter.value for parameter in changed]


async def test_each_change_is_a_version(services: Services, admin: Identity, clock: ManualClock) -> None:
    await services.tests.create(admin, DOCUMENT)
    clock.advance(5)
    second = await services.tests.update(admin, "mine", document=DOCUMENT.replace("My own", "Ours"))
    assert (second.version, second.title) == (2, "Ours")
    assert second.updated_at - second.created_at == 5
    assert [
        version.version
        for version in await services.tests.versions(await services.tests.get(PLATFORM, "mine"))
    ] == [2, 1]
    assert (await services.tests.document(second, 1)).document == DOCUMENT
    renamed = await services.tests.update(admin, "mine", new_name="yours")
    assert (renamed.name, renamed.version) == ("yours", 3)
    with pytest.raises(NotFound):
        await services.tests.get(PLATFORM, "mine")
    with pytest.raises(NotFound):
        await services.tests.document(second, 9)


async def test_who_edits_an_old_version_is_told(services: Services, admin: Identity) -> None:
    await services.tests.create(admin, DOCUMENT)
    await services.tests.update(admin, "mine", document=DOCUMENT, was_version=1)
    with pytest.raises(Conflict):
        await services.tests.update(admin, "mine", document=DOCUMENT, was_version=1)


async def test_a_document_with_problems_is_not_kept(services: Services, admin: Identity) -> None:
    with pytest.raises(DocumentError):
        await services.tests.create(admin, "name: x")
    with pytest.raises(DocumentError):
        await services.tests.create(admin, DOCUMENT + "#" * 300_000)
    with pytest.raises(Invalid):
        await services.tests.create(admin, DOCUMENT, name="a/b")
    with pytest.raises(NotFound):
        await services.tests.create(admin, DOCUMENT, project="nowhere")
    await services.tests.create(admin, DOCUMENT)
    with pytest.raises(Conflict):
        await services.tests.create(admin, DOCUMENT)
    with pytest.raises(Forbidden):
        await services.tests.create(VIEWER, DOCUMENT, name="other")
    with pytest.raises(Forbidden):
        await services.tests.delete(VIEWER, "mine")
    assert len(await services.tests.list(PLATFORM)) == 1


async def test_a_document_may_name_accounts_and_variables_that_are_secret(
    services: Services, admin: Identity
) -> None:
    text = DOCUMENT + "parties:\n  alice: {credentials: office, domain: 127.0.0.1}\n"
    await services.tests.create(admin, text)
    with pytest.raises(DocumentError):
        await services.runs.start(admin, "mine")
    await services.credentials.put(admin, "office", {"user": "4101", "password": "s3cret-word"})
    await services.credentials.put(admin, "other", {"user": "4102", "password": "another-word"})
    run = await services.runs.start(admin, "mine")
    assert (await services.runs.held.job(run.id)).credentials == {
        "office": {"user": "4101", "password": "s3cret-word"}
    }
    assert "s3cret-word" not in str(await services.runs.detail(run))


def test_the_catalogue_is_told_with_its_parameters(services: Services) -> None:
    entries = services.tests.catalogue()
    assert [entry.name for entry in entries] == list(catalogue.NAMES)
    assert all(entry.parameters for entry in entries)


# -- agents


async def test_an_agent_enrols_once_with_its_token(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    token, _ = await services.agents.create_enrolment(admin, "lab")
    agent, secret = await services.agents.enrol(
        token, "one", AgentInfo("1.0", 20, 0, ("PCMU",), {"site": "a"})
    )
    assert (agent.pool, agent.capacity, agent.state) == ("lab", 20, "active")
    assert await services.agents.authenticate(agent.id, secret) == agent
    assert await services.agents.authenticate(agent.id, "x" + secret) is None
    for spent in (token, "wrong", "\0", ""):
        with pytest.raises(Forbidden):
            await services.agents.enrol(spent, "two", AgentInfo())
    late, _ = await services.agents.create_enrolment(admin)
    clock.advance(3601)
    with pytest.raises(Forbidden):
        await services.agents.enrol(late, "two", AgentInfo())
    with pytest.raises(Forbidden):
        await services.agents.create_enrolment(VIEWER)
    assert token not in str(await services.agents.enrolments(admin))


async def test_a_token_survives_a_refusal(services: Services, admin: Identity) -> None:
    token, _ = await services.agents.create_enrolment(admin)
    taken, _ = await services.agents.create_enrolment(admin)
    await services.agents.enrol(taken, "one", AgentInfo())

    async def no_account(_: Agent) -> None:
        raise Unavailable("there is no account at the broker")

    with pytest.raises(Unavailable):
        await services.agents.enrol(token, "two", AgentInfo(), no_account)
    with pytest.raises(Conflict):
        await services.agents.enrol(token, "one", AgentInfo())
    with pytest.raises(Invalid):
        await services.agents.enrol(token, "a name", AgentInfo())
    assert [agent.name for agent in await services.agents.list()] == ["one"]
    agent, _ = await services.agents.enrol(token, "two", AgentInfo())
    assert agent.name == "two"


async def test_who_was_revoked_and_is_enrolled_anew_is_the_same_agent(
    services: Services, admin: Identity
) -> None:
    ids = []
    for _ in range(3):
        token, _ = await services.agents.create_enrolment(admin)
        agent, secret = await services.agents.enrol(token, "one", AgentInfo())
        assert await services.agents.authenticate(agent.id, secret) is not None
        await services.agents.revoke(admin, agent.id)
        ids.append(agent.id)
    assert len(set(ids)) == 1


async def test_an_agent_is_alive_while_it_is_heard(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    agent, _ = await services.agents.ensure_embedded("here", AgentInfo())
    assert not agent.alive(clock.wall())
    beat = await services.agents.heartbeat(agent.id, AgentInfo("2.0", 10, 3))
    assert beat is not None
    assert (beat.busy, beat.version) == (3, "2.0")
    assert beat.alive(clock.wall() + 15)
    assert not beat.alive(clock.wall() + 16)
    assert (await services.agents.drain(admin, agent.id)).state == "draining"
    assert (await services.agents.resume(admin, agent.id)).state == "active"
    again, _ = await services.agents.ensure_embedded("here", AgentInfo())
    assert again.id == agent.id
    await services.agents.revoke(admin, agent.id)
    assert await services.agents.heartbeat(agent.id, AgentInfo()) is None
    assert await services.agents.list() == []


async def test_pools_have_names_that_fit_a_subject_of_the_broker(services: Services, admin: Identity) -> None:
    for name in ("a b", "a.b", "", "*", "x" * 64, "ü"):
        with pytest.raises(Invalid):
            await services.agents.create_pool(admin, name)
    await services.agents.create_pool(admin, "lab")
    await services.agents.ensure_embedded("here", AgentInfo(), "lab")
    with pytest.raises(Conflict):
        await services.agents.delete_pool(admin, "lab")
    with pytest.raises(NotFound):
        await services.agents.delete_pool(admin, "none")
