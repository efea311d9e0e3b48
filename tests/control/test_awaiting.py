"""A run that is queued says what it waits for: first what a person can do something about."""

from __future__ import annotations

import pytest

from callwright.control.accounts.model import PLATFORM, Identity
from callwright.control.agents.model import Agent, AgentInfo
from callwright.control.awaiting import Awaited, Reason, awaited, sentence
from callwright.control.services import Services
from callwright.net.clock import ManualClock


async def _agent(services: Services, name: str, capacity: int = 10) -> Agent:
    agent, _ = await services.agents.ensure_embedded(name, AgentInfo(capacity=capacity), "lab")
    return agent


async def _beat(services: Services, agent: Agent, busy: int = 0) -> None:
    await services.agents.heartbeat(agent.id, AgentInfo(capacity=agent.capacity, busy=busy))


async def test_a_run_says_step_by_step_what_it_waits_for(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    run = await services.runs.start(admin, "basic_call", pool="lab")

    async def told() -> str:
        found = await awaited(services, run)
        assert found is not None
        return sentence(found)

    assert await told() == "It waits for an agent of the pool lab: none is enrolled there."
    agent = await _agent(services, "one")
    assert await told() == "It waits for an agent of the pool lab: 1 agent has not been heard for 15 s."
    await _beat(services, agent)
    assert await told() == "It waits for an agent of the pool lab to take it: 10 of 10 places are free."
    second = await services.runs.start(admin, "basic_call", pool="lab")
    behind = await awaited(services, second)
    assert behind is not None
    assert sentence(behind) == "It waits for its turn in the pool lab: 1 run is ahead of it."
    await _beat(services, agent, busy=10)
    assert await told() == "It waits for a free place in the pool lab: 10 of 10 are busy."
    await services.agents.drain(admin, agent.id)
    expected = "It waits for an agent of the pool lab that takes new work: 1 agent has been told to drain."
    assert await told() == expected
    clock.advance(60)
    assert await told() == "It waits for an agent of the pool lab: 1 agent has not been heard for 15 s."
    await services.runs.stop(admin, run.session_id)
    assert await awaited(services, await services.runs.known(run.session_id)) is None


async def test_a_free_agent_is_seen_beside_one_that_is_full(services: Services, admin: Identity) -> None:
    await services.tests.ensure_demo(PLATFORM)
    run = await services.runs.start(admin, "basic_call", pool="lab")
    for name, busy in (("one", 10), ("two", 3)):
        await _beat(services, await _agent(services, name), busy)
    assert await awaited(services, run) == Awaited(Reason.TAKEN, "lab", 2, 13, 20)


async def test_the_limit_of_its_project_is_told_before_free_places(
    services: Services, admin: Identity
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    agent = await _agent(services, "one")
    await _beat(services, agent)
    first = await services.runs.start(admin, "basic_call", pool="lab")
    await services.projects.limit(admin, first.project_name, max_running=1, max_queued=None)
    assert await services.runs.held.claim(first.id, 1, agent.id, 15)
    run = await services.runs.start(admin, "basic_call", pool="lab")
    found = await awaited(services, run)
    assert found is not None
    assert sentence(found) == (
        "It waits for another run of its project to end: the project is limited to 1 run at once."
    )


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    said = sentence(Awaited(reason, "lab", 2, 1, 2, 3, 4, 5.0))
    assert said.startswith("It waits for ")
    assert said.endswith(".")
    assert "lab" in said or reason in (Reason.PROJECT, Reason.SERVERS)
