"""Runs that ask for servers: what is refused, who is offered them, who may claim them, what they wait for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from callwright.control.accounts.model import PLATFORM, Identity
from callwright.control.agents.model import Agent, AgentInfo
from callwright.control.awaiting import awaited, sentence
from callwright.control.errors import Invalid
from callwright.control.keeping.intake import Intake
from callwright.control.keeping.placing import Placing, assigned
from callwright.control.keeping.queues import Queues
from callwright.control.keeping.starts import Starts
from callwright.control.runs.model import Run
from callwright.control.services import Services
from callwright.control.together import together, together_of
from callwright.dispatch import subject
from callwright.dispatch.broker import Message
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.agents import Control
from callwright.dispatch.messages.runs import Claim, Ready, ReadyAnswer
from callwright.dispatch.messages.wire import decode
from callwright.fleet.placement import Site, Wish
from callwright.net.clock import ManualClock

BERLIN = {"region": "eu", "place": "Berlin", "rack": "a1"}
SYDNEY = {"region": "ap", "place": "Sydney", "rack": "b2"}
DOCUMENT = "name: {name}\n{more}\nsteps:\n  - - options: {{party: alice}}\n"


async def _agent(services: Services, name: str, labels: dict[str, str], pool: str = "default") -> Agent:
    """Of one server at least, as a person enrols it."""
    token, _ = await services.agents.create_enrolment(PLATFORM, pool)
    agent, _ = await services.agents.enrol(token, name, AgentInfo(capacity=10, labels=labels))
    await _beat(services, agent)
    return agent


async def _beat(services: Services, agent: Agent, busy: int = 0) -> None:
    info = AgentInfo(capacity=agent.capacity, busy=busy, labels=agent.labels)
    await services.agents.heartbeat(agent.id, info)


async def _told(services: Services, run: Run) -> str:
    found = await awaited(services, run)
    assert found is not None
    return sentence(found)


class Keeper:
    """The queues of a keeper, and the offers that agents hear."""

    def __init__(self, services: Services, clock: ManualClock) -> None:
        self.services, self.broker, self.offers = services, MemoryBroker(), list[tuple[str, int]]()
        self.intake = Intake(
            services.runs, services.agents, services.evidence, lease=15.0, sites=services.sites
        )
        placing = Placing(services.sites, self.broker, clock)
        self.queues = Queues(
            services.runs, services.agents, self.broker, lease=15.0, clock=clock, placing=placing
        )

    async def listen(self, *agents: Agent) -> None:
        for agent in agents:
            await self.broker.subscribe(subject.control(agent.id), self._hear)

    async def _hear(self, message: Message) -> None:
        agent_id = message.subject.rpartition(".")[2]
        self.offers += [(agent_id, ticket.run_id) for ticket in decode(Control, message.data).offer]

    async def round(self) -> list[tuple[str, int]]:
        """The offers of one round."""
        self.offers.clear()
        for run in await self.services.runs.live():
            await self.queues.see(run)
        await self.queues.count_rooms()
        await self.queues.offer()
        for _ in range(5):  # until the broker has delivered
            await asyncio.sleep(0)
        return list(self.offers)

    async def claim(self, agent: Agent, run: Run) -> bool:
        answer = await self.intake.claim(agent.id, Claim(run.id, run.session_id, run.attempt))
        return answer.job is not None


async def _refused(services: Services, admin: Identity, **placement: object) -> Invalid:
    with pytest.raises(Invalid) as refused:
        await services.runs.start(admin, "basic_call", {f"placement.{k}": v for k, v in placement.items()})
    return refused.value


async def test_a_placement_that_nobody_could_fulfil_is_refused_with_its_field(
    services: Services, admin: Identity
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    await _agent(services, "ber", BERLIN)
    for field, value, words in (
        ("region", "eus", "Did you mean eu?"),
        ("labels", "rack=a2", "No server or pool has the label rack=a2. Did you mean a1?"),
        ("near", "Mordorville", "'Mordorville' is not a known place, country, network or tag"),
    ):
        error = await _refused(services, admin, **{field: value})
        assert (error.field, words in error.message) == (f"placement.{field}", True), error.message
    await services.tests.create(admin, DOCUMENT.format(name="pooled", more="agentpool: labs"))
    with pytest.raises(Invalid, match="There is no pool 'labs'") as refused:
        await services.runs.start(admin, "pooled")
    assert refused.value.field == "agentpool.name"


async def test_a_document_says_where_it_is_carried_out_and_the_request_may_say_otherwise(
    services: Services, admin: Identity
) -> None:
    await _agent(services, "ber", BERLIN, "lab")
    await _agent(services, "syd", SYDNEY, "far")
    text = DOCUMENT.format(name="placed", more="agentpool: {name: lab}\nplacement: {near: Berlin+DE}")
    await services.tests.create(admin, text)
    run = await services.runs.start(admin, "placed")
    assert (run.pool, run.placement.near, run.placed) == ("lab", "Berlin+DE", True)
    other = {"placement.near": "", "placement.labels": {"rack": "b2"}}
    run = await services.runs.start(admin, "placed", other, pool="far")
    assert (run.pool, run.placement.near, run.placement.labels) == ("far", "", {"rack": "b2"})
    assert (await services.runs.detail(run)).shown["placement.labels"] == "rack=b2"


async def test_a_run_without_a_pool_goes_to_the_one_with_servers_that_fit(
    services: Services, admin: Identity
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    await _agent(services, "ber", BERLIN, "lab")
    run = await services.runs.start(admin, "basic_call", {"placement.near": "Berlin"})
    assert (run.pool, run.placement.pool) == ("lab", "")
    assert (await services.runs.start(admin, "basic_call")).pool == "default"


async def test_a_placed_run_is_offered_to_one_that_fits_and_may_be_claimed_by_no_other(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    berlin, sydney = await _agent(services, "ber", BERLIN), await _agent(services, "syd", SYDNEY)
    keeper = Keeper(services, clock)
    await keeper.listen(berlin, sydney)
    run = await services.runs.start(admin, "basic_call", {"placement.near": "Berlin"})
    assert (
        await _told(services, run)
        == "It waits for a server near Berlin to take it: 1 of 1 that fit are free."
    )
    assert await keeper.round() == [(berlin.id, run.id)]
    assert await keeper.broker.take("default", 0.01) is None
    assert not await keeper.claim(sydney, run)
    assert await keeper.claim(berlin, run)
    assert await keeper.claim(berlin, run)  # the answer to the first was lost
    assert await keeper.round() == []


async def test_a_drained_server_gets_none_and_the_run_says_what_it_waits_for(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    agent = await _agent(services, "ber", BERLIN)
    keeper = Keeper(services, clock)
    await keeper.listen(agent)
    run = await services.runs.start(admin, "basic_call", {"placement.region": "eu"})
    await services.agents.drain(admin, agent.id)
    assert await keeper.round() == []
    assert not await keeper.claim(agent, run)
    assert await _told(services, run) == (
        "It waits for a server in the region eu that takes new work: 1 fits, and it is drained or not heard."
    )
    far = await services.runs.start(admin, "basic_call", {"placement.near": "Sydney"})
    assert "none is; the nearest, ber, is 16,0" in await _told(services, far)
    await services.agents.resume(admin, agent.id)
    await _beat(services, agent, busy=10)
    full = "It waits for a free place on a server in the region eu: 1 fits, without a free place."
    assert await _told(services, run) == full
    await _beat(services, agent)
    assert await keeper.round() == [(agent.id, run.id)]


async def test_placed_runs_spread_evenly_before_any_heartbeat_tells_of_them(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    agents = [await _agent(services, f"ber{n}", BERLIN) for n in range(3)]
    keeper = Keeper(services, clock)
    await keeper.listen(*agents)
    runs = [await services.runs.start(admin, "basic_call", {"placement.region": "eu"}) for _ in range(9)]
    offers = await keeper.round()
    assert Counter(agent for agent, _ in offers) == {agent.id: 3 for agent in agents}
    of_run = {run_id: next(a for a in agents if a.id == agent) for agent, run_id in offers}
    for run in runs:
        assert await keeper.claim(of_run[run.id], run)
    more = [await services.runs.start(admin, "basic_call", {"placement.region": "eu"}) for _ in range(3)]
    offers = await keeper.round()
    assert {run for _, run in offers} == {run.id for run in more}
    assert len({agent for agent, _ in offers}) == 3


async def test_an_agent_that_does_not_answer_is_passed_over(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    agents = [await _agent(services, f"ber{n}", BERLIN) for n in range(2)]
    keeper = Keeper(services, clock)
    await keeper.listen(*agents)
    await services.runs.start(admin, "basic_call", {"placement.region": "eu"})
    first = await keeper.round()
    assert await keeper.round() == []
    clock.advance(4)
    second = await keeper.round()
    assert {agent for agent, _ in first + second} == {agent.id for agent in agents}


async def test_a_run_over_three_servers_is_three_runs_on_different_ones_or_none(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    agents = [await _agent(services, f"ber{n}", BERLIN) for n in range(2)]
    keeper = Keeper(services, clock)
    await keeper.listen(*agents)
    runs = await services.runs.start_each(
        admin, "basic_call", {"placement.region": "eu", "placement.count": 3}
    )
    assert len({run.session_id for run in runs}) == 3
    assert {run.group_id for run in runs} == {runs[0].session_id}
    assert await keeper.round() == []
    assert await _told(services, runs[0]) == (
        "It waits for 3 servers in the region eu: 2 are free, of 2 that fit."
    )
    agents.append(await _agent(services, "ber2", BERLIN))
    await keeper.listen(agents[-1])
    offers = await keeper.round()
    assert {agent for agent, _ in offers} == {agent.id for agent in agents}
    by_run = {run_id: next(a for a in agents if a.id == agent) for agent, run_id in offers}
    assert await keeper.claim(by_run[runs[0].id], runs[0])
    assert not await keeper.claim(by_run[runs[0].id], runs[1])  # it has its part
    assert await keeper.claim(by_run[runs[1].id], runs[1])
    assert [run.id for run in await services.runs.of_group(runs[2])] == [run.id for run in runs]


async def test_runs_of_a_project_never_reach_servers_of_another(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    other = await services.projects.create(admin, "other")
    await services.agents.create_pool(admin, "theirs", other)
    theirs = await _agent(services, "ber", BERLIN, "theirs")
    error = await _refused(services, admin, region="eu")
    assert error.field == "placement.region"
    ours = await _agent(services, "ours", BERLIN)
    keeper = Keeper(services, clock)
    await keeper.listen(theirs, ours)
    run = await services.runs.start(admin, "basic_call", {"placement.region": "eu"})
    assert await keeper.round() == [(ours.id, run.id)]
    assert not await keeper.claim(theirs, run)


def test_the_last_who_was_deaf_is_asked_again_if_nobody_else_fits() -> None:
    values = dict.fromkeys(Run.__struct_fields__) | {"id": 1, "placement": Wish(region="")}
    run = Run(**values)  # type: ignore[arg-type]
    sites = [Site("one", "default", agent_id="1"), Site("two", "default", agent_id="2")]
    assert assigned([run], sites, set(), {"1"}) == ["2"]
    assert assigned([run], sites[:1], set(), {"1"}) == ["1"]
    assert assigned([run], sites, {"1", "2"}, set()) == []
    assert assigned([run], [replace(sites[0], works=False)], set(), set()) == []


async def _three(services: Services, admin: Identity, clock: ManualClock) -> tuple[list[Run], list[Agent]]:
    """A run over three servers, each of which has its part."""
    agents = [await _agent(services, f"ber{n}", BERLIN) for n in range(3)]
    keeper = Keeper(services, clock)
    runs = await services.runs.start_each(admin, "basic_call", {"placement.count": 3})
    for run, agent in zip(runs, agents, strict=True):
        assert await keeper.claim(agent, run)
    return list(runs), agents


async def test_all_are_told_one_moment_once_the_last_is_ready(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    runs, agents = await _three(services, admin, clock)
    starts = Starts(services.runs, clock)

    async def ask(number: int) -> ReadyAnswer:
        run = runs[number]
        return await starts.ready(agents[number].id, Ready(run.id, run.session_id, 1))

    assert [(await ask(n)).start_at for n in (0, 1, 0)] == [None, None, None]
    moment = (await ask(2)).start_at
    assert moment is not None
    assert moment > clock.wall()
    clock.advance(0.3)
    assert {(await ask(n)).start_at for n in range(3)} == {moment}
    starts.keep_only([])  # all have ended
    assert starts.moments == {}


async def test_none_begins_when_one_of_them_could_not(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    runs, agents = await _three(services, admin, clock)
    starts = Starts(services.runs, clock)
    outcome = b'{"verdict": "error", "blame": "platform", "reason": "The built-in PBX does not start."}'
    await services.runs.held.finish(runs[2].session_id, 1, outcome, agent_id=agents[2].id)
    answer = await starts.ready(agents[0].id, Ready(runs[0].id, runs[0].session_id, 1))
    assert answer.start_at is None
    assert answer.refused == (
        "Not begun: all 3 servers begin or none does, and one could not. The built-in PBX does not start."
    )
    answer = await starts.ready(agents[0].id, Ready(runs[1].id, runs[1].session_id, 1))
    assert "no longer this agent's" in answer.refused


async def test_how_far_apart_they_began_is_told_when_all_have_told_theirs(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(PLATFORM)
    runs, agents = await _three(services, admin, clock)
    for number, (run, agent) in enumerate(zip(runs, agents, strict=True)):
        found = await together(services, run)
        assert found is not None
        assert found.spread_ms is None
        told = f"3 servers, of which {number} told so far when they began: each does with its result."
        assert found.sentence == told
        measured = {"servers": 3, "began_at": 1000.0 + number / 500, "error_ms": 0.5 * number}
        outcome = json.dumps({"verdict": "passed", "together": measured})
        await services.runs.held.finish(run.session_id, 1, outcome, agent_id=agent.id)
    found = await together(services, runs[0])
    assert found is not None
    assert found.sentence == "3 servers began within 4.0 ms, ± 1.5 ms."
    assert [part.agent for part in found.parts] == ["ber0", "ber1", "ber2"]
    late = replace(found.parts[0], run=msgspec.structs.replace(found.parts[0].run, begun_at=999.9))
    assert together_of((late, *found.parts[1:])).sentence.endswith("which is more than 50 ms.")
    alone = await services.runs.start(admin, "basic_call")
    assert await together(services, alone) is None
