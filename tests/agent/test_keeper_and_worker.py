"""Keeper and worker with a database between them: from a queued run to its verdict, and what may go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callwright.agent.carrier import Carrier, weigh
from callwright.agent.identity import Identity
from callwright.agent.spool import Spool
from callwright.agent.worker import Abilities, Worker
from callwright.control.accounts.model import PLATFORM as SYSTEM
from callwright.control.agents.model import AgentInfo
from callwright.control.errors import EvidenceAway
from callwright.control.keeping.keeper import Keeper
from callwright.control.runs.model import Run
from callwright.control.runs.remedies import by_administrator
from callwright.control.services import Services
from callwright.dispatch import subject
from callwright.dispatch.broker import Message
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.agents import Heartbeat, HeartbeatAnswer, HeldRun, SpoolState
from callwright.dispatch.messages.calls import CallNews
from callwright.dispatch.messages.live import Progress
from callwright.dispatch.messages.protocol import PROTOCOL, Spoken
from callwright.dispatch.messages.runs import (
    Attempt,
    ChunkAnswer,
    Claim,
    ClaimAnswer,
    EvidenceChunk,
    IntentNotice,
    Result,
    pack_outcome,
    result_pieces,
)
from callwright.dispatch.messages.wire import Answer, decode, encode
from callwright.net.clock import SystemClock
from callwright.net.entropy import system_entropy
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Verdict

LEASE = 0.6

SHORT_CALL = """
name: short_call
parties: {alice: {}, bob: {}}
steps:
  - - register: {party: bob}
    - accept: {party: bob}
  - - call: {from: alice, dial_destination: bob, max_duration: 1.2 s}
"""
SECRETIVE = (
    SHORT_CALL.replace("short_call", "secretive").replace(
        "1.2 s}",
        "1.2 s, headers: {X-Api-Key: hunter22, X_Api_Key: sub55, Authorization: raw44}}",
    )
    + "conditions: [header X-Api-Key of INVITE = wanted33]\n"
)
LONG_CALL = SHORT_CALL.replace("short_call", "long_call").replace("1.2 s", "60 s")
PING = """
name: ping
parties: {alice: {}}
steps:
  - - options: {party: alice}
"""
ABROAD = """
name: abroad
parties: {alice: {}}
steps:
  - - call: {from: alice, dial_destination: "sip:x@%s", media: false}
"""


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    services = await Services.open(
        tmp_path / "data", clock=SystemClock(), entropy=system_entropy, migrate=True
    )
    await services.tests.ensure_demo(SYSTEM)
    for document in (SHORT_CALL, LONG_CALL, PING):
        await services.tests.create(SYSTEM, document)
    yield services
    await services.close()


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    broker = MemoryBroker(redeliver_after=1.0)
    yield broker
    await broker.close()


@pytest.fixture
async def keeper(services: Services, broker: MemoryBroker) -> AsyncIterator[Keeper]:
    async with Keeper(services.runs, services.agents, services.evidence, broker, lease=LEASE) as keeper:
        yield keeper


@pytest.fixture
async def agent_id(services: Services) -> str:
    agent, _ = await services.agents.ensure_embedded("embedded", AgentInfo(capacity=10))
    return agent.id


@contextlib.asynccontextmanager
async def working(
    folder: Path, broker: MemoryBroker, agent_id: str, *, capacity: int = 10
) -> AsyncIterator[Worker]:
    identity = Identity(
        agent_id=agent_id, pool="default", nats_url="", user="", password="", capacity=capacity
    )
    spool = Spool(folder / "spool")
    worker = Worker(
        identity, broker, spool, Carrier(worded=by_administrator), weigh=weigh, abilities=Abilities("1.0")
    )
    running = asyncio.ensure_future(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await running


@pytest.fixture
async def worker(
    tmp_path: Path, broker: MemoryBroker, keeper: Keeper, agent_id: str
) -> AsyncIterator[Worker]:
    async with working(tmp_path, broker, agent_id) as worker:
        yield worker


class ByHand:
    """An agent that a test speaks for."""

    def __init__(self, broker: MemoryBroker, agent_id: str) -> None:
        self._broker, self._agent_id = broker, agent_id

    async def _ask(self, kind: str, message: Any, answer: type[Any]) -> Any:
        data = await self._broker.request(subject.of_agent(self._agent_id, kind), encode(message), 5)
        return decode(answer, data)

    async def claim(self, run: Run, attempt: int = 1) -> ClaimAnswer:
        await asyncio.sleep(0.05)
        answer: ClaimAnswer = await self._ask(
            subject.CLAIM, Claim(run.id, run.session_id, attempt), ClaimAnswer
        )
        return answer

    async def intend(self, run: Run, attempt: int = 1) -> Answer:
        notice = IntentNotice(run.id, run.session_id, attempt)
        answer: Answer = await self._ask(subject.INTENT, notice, Answer)
        return answer

    async def say(self, result: Result) -> Answer:
        answer: Answer = await self._ask(subject.RESULT, result, Answer)
        return answer

    async def finish(self, run: Run, attempt: int = 1, verdict: Verdict = Verdict.PASSED) -> Answer:
        outcome = pack_outcome(RunOutcome(verdict=verdict, blame=None, reason="").to_json())
        return await self.say(Result(run.id, run.session_id, attempt, outcome=outcome))

    async def beat(self, *held: HeldRun, spool: SpoolState | None = None) -> HeartbeatAnswer:
        beat = Heartbeat(name="by hand", capacity=10, runs=held, spool=spool)
        answer: HeartbeatAnswer = await self._ask(subject.HEARTBEAT, beat, HeartbeatAnswer)
        return answer


@pytest.fixture
def by_hand(broker: MemoryBroker, keeper: Keeper, agent_id: str) -> ByHand:
    return ByHand(broker, agent_id)


async def until(services: Services, run: Run, condition: Callable[[Run], bool], seconds: float = 20) -> Run:
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        now = await services.runs.known(run.session_id)
        if condition(now):
            return now
        assert asyncio.get_running_loop().time() < deadline, now
        await asyncio.sleep(0.02)


# -- as it should be


async def test_a_real_call_from_the_queue_to_its_evidence(services: Services, worker: Worker) -> None:
    run = await services.runs.start(SYSTEM, "short_call")
    done = await until(services, run, lambda run: run.finished)
    assert (done.phase, done.attempt, done.intent_at is not None) == ("passed", 1, True), done
    files = {entry.name: entry.size for entry in await services.evidence.arrived(done)}
    assert len(files) == done.files_due
    assert {"report.html", "run.json", "junit.xml", "signalling.pcap"} <= files.keys()
    assert any(name.endswith(".wav") for name in files)
    assert all(files.values())
    assert (await services.runs.detail(done)).outcome is not None


async def test_the_calls_of_a_runs_own_pbx_are_heard_of(
    services: Services, worker: Worker, broker: MemoryBroker, agent_id: str
) -> None:
    heard: list[CallNews] = []

    async def listen(message: Message) -> None:
        heard.append(decode(CallNews, message.data))

    await broker.subscribe(subject.of_agent(agent_id, subject.CALL), listen)
    run = await services.runs.start(SYSTEM, "short_call")
    done = await until(services, run, lambda run: run.finished)
    assert done.phase == "passed", done
    assert [news.step for news in heard] == ["begun", "answered", "ended"]
    assert heard[-1].status == 200


async def test_the_result_of_a_run_holds_no_secret_of_a_header_or_a_condition(
    services: Services, worker: Worker
) -> None:
    await services.tests.create(SYSTEM, SECRETIVE)
    run = await services.runs.start(SYSTEM, "secretive")
    done = await until(services, run, lambda run: run.finished)
    outcome = str((await services.runs.detail(done)).outcome)
    assert done.phase == "failed", done
    assert "header X-Api-Key of INVITE = (secret)" in outcome
    assert [word for word in ("hunter22", "wanted33", "raw44", "sub55") if word in outcome] == []
    assert done.result_description.startswith("The X-Api-Key header of INVITE was (secret)")


async def test_a_result_in_pieces_is_whole_or_is_sent_again(services: Services, by_hand: ByHand) -> None:
    run = await services.runs.start(SYSTEM, "ping")
    entropy = random.Random(2)
    calls = tuple(CallOutcome(id=entropy.randbytes(1_000).hex()) for _ in range(1_500))
    outcome = RunOutcome(verdict=Verdict.PASSED, blame=None, reason="Fine.", calls=calls).to_json()
    attempt = Attempt(run.id, run.session_id, 1)
    first, second, *rest = result_pieces(attempt, pack_outcome(outcome), intents=0, files=3)
    assert rest
    await by_hand.claim(run)  # not before: the lease is short
    assert not (await by_hand.say(rest[-1])).accepted  # the platform began again, and lost what it had
    assert not (await services.runs.known(run.session_id)).finished
    for piece in (first, second, second, *rest, first, second, *rest):  # answers may get lost
        assert (await by_hand.say(piece)).accepted
    done = await services.runs.known(run.session_id)
    assert (done.phase, done.files_due) == ("passed", 3)
    assert msgspec.json.decode((await services.runs.detail(done)).outcome or "") == outcome


async def test_a_report_that_cannot_be_made_costs_no_verdict(
    services: Services, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise ZeroDivisionError("a fault of the report")

    monkeypatch.setattr("callwright.evidence.folder.render_report", fail)
    run = await services.runs.start(SYSTEM, "ping")
    done = await until(services, run, lambda now: now.finished)
    assert (done.phase, done.verdict) == ("passed", "passed")
    assert "a fault of the report" in str((await services.runs.detail(done)).outcome)


async def test_runs_that_waited_for_an_agent_are_done(
    services: Services, keeper: Keeper, broker: MemoryBroker, agent_id: str, tmp_path: Path
) -> None:
    runs = [await services.runs.start(SYSTEM, "ping", {"target": "127.0.0.1:9"}) for _ in range(3)]
    async with working(tmp_path, broker, agent_id):
        for run in runs:
            assert (await until(services, run, lambda run: run.finished)).phase == "failed"


def hears(event: Progress) -> bool:
    calls = event.data["calls"] if event.kind == "metrics" else ()
    return any(call["received"]["packets"] for call in calls)


async def test_progress_reaches_who_watches(services: Services, broker: MemoryBroker, worker: Worker) -> None:
    run = await services.runs.start(SYSTEM, "long_call")
    seen: list[Progress] = []

    async def watch(message: Message) -> None:
        seen.append(decode(Progress, message.data))

    await broker.subscribe(subject.live(run.session_id), watch)
    deadline = asyncio.get_running_loop().time() + 15
    while not any(hears(event) for event in seen):  # the first second of a busy machine may be silent
        assert asyncio.get_running_loop().time() < deadline, [event.kind for event in seen]
        await asyncio.sleep(0.05)
    await services.runs.stop(SYSTEM, run.session_id)
    await until(services, run, lambda run: run.finished)
    states = [event.data["state"] for event in seen if event.kind == "state"]
    assert {"calling", "answered", "confirmed"} <= set(states)
    phases = [event.data["phase"] for event in seen if event.kind == "phase"]
    assert [phase for phase in phases if phase != "queued"][:2] == ["starting", "running"]


async def test_a_stop_hangs_up_and_ends_as_canceled(services: Services, worker: Worker) -> None:
    run = await services.runs.start(SYSTEM, "long_call")
    await until(services, run, lambda run: run.phase == "running")
    await services.runs.stop(SYSTEM, run.session_id)
    done = await until(services, run, lambda run: run.finished, 5)
    assert done.phase == "canceled"


async def test_the_kill_switch_stops_what_runs_and_what_waits(services: Services, worker: Worker) -> None:
    runs = [await services.runs.start(SYSTEM, "long_call") for _ in range(2)]
    for run in runs:
        await until(services, run, lambda run: run.phase == "running")
    waiting = await services.runs.start(SYSTEM, "ping", pool="elsewhere")
    began = asyncio.get_running_loop().time()
    await services.runs.kill(SYSTEM, "a drill")
    await until(services, waiting, lambda run: run.phase == "canceled", 5)
    while worker.used:
        assert asyncio.get_running_loop().time() - began < 5.0  # the calls would last a minute
        await asyncio.sleep(0.01)
    for run in runs:
        await until(services, run, lambda run: run.phase == "canceled", 5)


async def test_policy_is_asked_again_where_the_call_would_leave(services: Services, worker: Worker) -> None:
    await services.tests.create(SYSTEM, ABROAD % "somewhere.invalid")
    target = await services.targets.add(SYSTEM, host="somewhere.invalid")
    run = await services.runs.start(SYSTEM, "abroad", pool="default")
    await services.targets.remove(SYSTEM, target.id)
    done = await until(services, run, lambda run: run.finished)
    assert done.phase in ("error", "failed")
    assert done.phase != "passed"


async def test_a_job_that_cannot_be_loaded_answers_with_a_sentence(
    services: Services, worker: Worker
) -> None:
    await services.credentials.put(SYSTEM, "office", {"user": "4101", "password": "hidden-word"})
    await services.tests.create(
        SYSTEM, PING.replace("name: ping", "name: named").replace("alice: {}", "alice: {credentials: office}")
    )
    blocker = [await services.runs.start(SYSTEM, "named", {"target": "127.0.0.1:9"}, pool="default")]
    await services.credentials.delete(SYSTEM, "office")
    for run in blocker:
        done = await until(services, run, lambda run: run.finished)
        assert done.phase in ("error", "failed")
        assert "hidden-word" not in done.result_description


# -- by hand: the rules


async def test_only_one_gets_a_run(services: Services, by_hand: ByHand, broker: MemoryBroker) -> None:
    other, _ = await services.agents.ensure_embedded("other", AgentInfo(capacity=1))
    run = await services.runs.start(SYSTEM, "ping")
    assert (await by_hand.claim(run)).job is not None
    assert (await by_hand.claim(run)).job is not None  # its answer may have been lost
    assert (await ByHand(broker, other.id).claim(run)).job is None


async def test_a_job_is_told_to_agents_of_its_pool_only(services: Services, by_hand: ByHand) -> None:
    run = await services.runs.start(SYSTEM, "ping", pool="elsewhere")
    assert (await by_hand.claim(run)).job is None


async def test_a_lost_agents_run_without_a_call_is_tried_again(services: Services, by_hand: ByHand) -> None:
    run = await services.runs.start(SYSTEM, "short_call")
    assert (await by_hand.claim(run)).job is not None
    again = await until(services, run, lambda run: run.attempt == 2, 10)
    assert again.phase == "queued"
    assert (await by_hand.intend(run, attempt=1)).accepted is False
    assert (await by_hand.finish(run, attempt=1)).superseded
    assert (await by_hand.claim(run, attempt=2)).job is not None


async def test_a_lost_agents_run_with_a_call_ends_as_error(services: Services, by_hand: ByHand) -> None:
    run = await services.runs.start(SYSTEM, "short_call")
    await by_hand.claim(run)
    assert (await by_hand.intend(run)).accepted
    done = await until(services, run, lambda run: run.finished, 10)
    assert (done.phase, done.attempt) == ("error", 1)
    assert "may have been placed" in done.result_description
    assert (await by_hand.finish(run)).superseded
    assert (await services.runs.known(run.session_id)).phase == "error"


async def test_heartbeats_keep_a_run(services: Services, by_hand: ByHand) -> None:
    run = await services.runs.start(SYSTEM, "short_call")
    await by_hand.claim(run)
    await by_hand.intend(run)
    for _ in range(12):
        assert (await by_hand.beat(HeldRun(run.id, 1))).stop == ()
        await asyncio.sleep(LEASE / 4)
    assert (await by_hand.finish(run)).accepted
    assert (await services.runs.known(run.session_id)).phase == "passed"


async def test_an_agent_with_a_run_that_is_not_its_own_is_told_to_drop_it(
    services: Services, by_hand: ByHand
) -> None:
    run = await services.runs.start(SYSTEM, "short_call")
    (order,) = (await by_hand.beat(HeldRun(run.id, 1))).stop
    assert (order.run_id, order.attempt) == (run.id, 1)


async def test_a_result_may_come_twice(services: Services, by_hand: ByHand) -> None:
    run = await services.runs.start(SYSTEM, "ping")
    await by_hand.claim(run)
    assert (await by_hand.finish(run)).accepted
    assert (await by_hand.finish(run)).accepted
    assert not (await by_hand.finish(run, attempt=2)).accepted


async def test_another_agent_cannot_speak_for_a_run(
    services: Services, by_hand: ByHand, broker: MemoryBroker
) -> None:
    other, _ = await services.agents.ensure_embedded("other", AgentInfo(capacity=1))
    stranger = ByHand(broker, other.id)
    run = await services.runs.start(SYSTEM, "ping")
    await by_hand.claim(run)
    assert (await stranger.intend(run)).accepted is False
    assert (await stranger.finish(run)).superseded
    heard: list[bytes] = []

    async def watch(message: Message) -> None:
        if decode(Progress, message.data).kind == "note":
            heard.append(message.data)

    await broker.subscribe(subject.live(run.session_id), watch)
    lie = Progress(run.session_id, run.id, 1, 0.0, "note", {"text": "a lie"})
    await broker.publish(subject.of_agent(other.id, subject.PROGRESS), encode(lie))
    await by_hand.beat()
    assert heard == []


async def test_a_draining_agent_is_told_and_gets_nothing(
    services: Services, by_hand: ByHand, agent_id: str
) -> None:
    assert (await by_hand.beat()).draining is False
    await services.agents.drain(SYSTEM, agent_id)
    assert (await by_hand.beat()).draining is True
    run = await services.runs.start(SYSTEM, "ping")
    assert (await by_hand.claim(run)).job is None


async def test_evidence_with_a_wrong_checksum_is_asked_for_again(
    services: Services, by_hand: ByHand, broker: MemoryBroker, agent_id: str
) -> None:
    run = await services.runs.start(SYSTEM, "ping")
    await by_hand.claim(run)
    chunk = EvidenceChunk(
        run.id,
        run.session_id,
        1,
        name="a.txt",
        media_type="text/plain",
        size=3,
        sha256="0" * 64,
        offset=0,
        data=b"abc",
    )
    data = await broker.request(subject.of_agent(agent_id, subject.EVIDENCE), encode(chunk), 5)
    assert decode(ChunkAnswer, data) == ChunkAnswer(0)
    assert await services.evidence.list(await services.runs.known(run.session_id)) == []


class AwayEvidence:
    """Evidence whose store does not answer."""

    async def write(self, *_: object) -> int:
        raise EvidenceAway("The store of evidence is away.")

    async def sweep(self) -> int:
        return 0


async def test_a_file_is_to_be_brought_later_while_the_store_is_away(
    services: Services, broker: MemoryBroker, agent_id: str
) -> None:
    away: Any = AwayEvidence()
    async with Keeper(services.runs, services.agents, away, broker, lease=LEASE):
        run = await services.runs.start(SYSTEM, "ping")
        await ByHand(broker, agent_id).claim(run)
        chunk = EvidenceChunk(
            *(run.id, run.session_id, 1),
            name="a.txt",
            media_type="text/plain",
            size=3,
            sha256="0" * 64,
            offset=0,
            data=b"abc",
        )
        data = await broker.request(subject.of_agent(agent_id, subject.EVIDENCE), encode(chunk), 5)
        assert decode(ChunkAnswer, data) == ChunkAnswer(0, later=True)


async def test_what_waits_at_an_agent_is_known(services: Services, by_hand: ByHand, agent_id: str) -> None:
    assert (await services.agents.get(agent_id)).spool == SpoolState()
    full = SpoolState(5_000, 6_000, 2, 7)
    await by_hand.beat(spool=full)
    assert (await services.agents.get(agent_id)).spool == full


@pytest.mark.parametrize(("spoken", "behind"), [(0, "agent"), (PROTOCOL + 1, "platform")])
async def test_an_agent_of_another_protocol_hears_ours_and_counts_as_not_heard(
    services: Services,
    broker: MemoryBroker,
    by_hand: ByHand,
    agent_id: str,
    spoken: int,
    behind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await by_hand.beat()
    heard = (await services.agents.get(agent_id)).last_seen_at
    strange = encode(Spoken(spoken)) if spoken else b'{"name": 1}'
    for _ in range(3):
        data = await broker.request(subject.of_agent(agent_id, subject.HEARTBEAT), strange, 5)
        assert decode(Spoken, data) == Spoken(PROTOCOL)
    while not caplog.records:  # noted after the answer
        await asyncio.sleep(0.005)
    known = await services.agents.get(agent_id)
    assert known.last_seen_at == heard
    assert known.mismatch == (
        f"The agent speaks protocol {spoken} and the platform protocol {PROTOCOL}: upgrade the {behind}."
    )
    assert [record.message for record in caplog.records] == [f"agent embedded: {known.mismatch}"]
    await by_hand.beat()  # it was upgraded
    assert (await services.agents.get(agent_id)).mismatch == ""


async def test_a_keeper_that_begins_lets_agents_be_heard_first(
    services: Services, broker: MemoryBroker, agent_id: str
) -> None:
    run = await services.runs.start(SYSTEM, "short_call")
    assert await services.runs.held.claim(run.id, 1, agent_id, 0.0) is not None
    assert await services.runs.held.intend(run.id, 1, agent_id) is None  # its lease was over at once
    async with Keeper(services.runs, services.agents, services.evidence, broker, lease=LEASE):
        await asyncio.sleep(2 * LEASE)
        assert (await services.runs.known(run.session_id)).phase == "starting"
        assert (await ByHand(broker, agent_id).finish(run)).accepted


async def test_a_call_that_was_stopped_before_it_left_is_told_by_whom(
    services: Services, by_hand: ByHand
) -> None:
    run = await services.runs.start(SYSTEM, "short_call")
    await by_hand.claim(run)
    await services.runs.stop(SYSTEM, run.session_id)
    answer = await by_hand.intend(run)
    assert (answer.accepted, answer.superseded, answer.reason) == (False, False, "Stopped by callwright.")
    assert (await by_hand.finish(run, verdict=Verdict.CANCELED)).accepted
    assert (await services.runs.known(run.session_id)).phase == "canceled"


async def test_a_database_that_cannot_be_written_for_some_leases_costs_no_verdict(
    services: Services, broker: MemoryBroker, agent_id: str, tmp_path: Path
) -> None:
    lease = 1.5
    await services.tests.create(SYSTEM, SHORT_CALL.replace("1.2 s", "4 s"), name="patient")
    blocker = sqlite3.connect(
        tmp_path / "data" / "callwright.db", isolation_level=None, check_same_thread=False
    )
    async with (
        Keeper(services.runs, services.agents, services.evidence, broker, lease=lease),
        working(tmp_path, broker, agent_id),
    ):
        run = await services.runs.start(SYSTEM, "patient")
        await until(services, run, lambda seen: seen.phase == "running")
        await asyncio.to_thread(blocker.execute, "BEGIN IMMEDIATE")
        await asyncio.sleep(2.2 * lease)
        blocker.execute("ROLLBACK")
        blocker.close()
        ended = await until(services, run, lambda seen: seen.finished)
    assert (ended.phase, ended.attempt) == ("passed", 1), ended.result_description


async def test_a_project_with_many_runs_does_not_keep_anothers_waiting(
    services: Services, broker: MemoryBroker, keeper: Keeper, agent_id: str, tmp_path: Path
) -> None:
    await services.projects.create(SYSTEM, "quiet")
    await services.tests.create(SYSTEM, PING.replace("ping", "aside"), project="quiet")
    loud = [await services.runs.start(SYSTEM, "ping") for _ in range(12)]
    quiet = await services.runs.start(SYSTEM, "aside")
    async with working(tmp_path, broker, agent_id, capacity=1):
        ended = [await until(services, run, lambda seen: seen.finished) for run in (*loud, quiet)]
    assert {run.phase for run in ended} == {"passed"}
    order = sorted(ended, key=lambda run: run.started_at or 0.0)
    assert [run.test_name for run in order].index("aside") <= 2


async def test_a_limit_of_a_project_holds_at_its_agents(
    services: Services, broker: MemoryBroker, keeper: Keeper, agent_id: str, tmp_path: Path
) -> None:
    await services.projects.limit(SYSTEM, "demo", max_running=1, max_queued=None)
    runs = [await services.runs.start(SYSTEM, "ping") for _ in range(4)]
    async with working(tmp_path, broker, agent_id):
        ended = [await until(services, run, lambda seen: seen.finished) for run in runs]
    assert {run.phase for run in ended} == {"passed"}
    for before, after in itertools.pairwise(sorted(ended, key=lambda run: run.started_at or 0.0)):
        assert (before.stopped_at or 0.0) <= (after.started_at or 0.0)


async def test_an_agent_that_asks_for_leave_is_not_silent(
    services: Services, broker: MemoryBroker, keeper: Keeper, agent_id: str
) -> None:
    """Its lease ended while the platform could not write; nobody has judged it yet."""
    run = await services.runs.start(SYSTEM, "ping")
    await claim(services, run, agent_id)
    seen = await services.runs.known(run.session_id)
    await services.stores.runs.renew([(run.id, seen.attempt)], agent_id, services.clock.wall() - 0.001)
    attempt = Attempt(run.id, run.session_id, seen.attempt)
    notice = IntentNotice(attempt.run_id, attempt.session_id, attempt.attempt, call="1", destination="x")
    answer = decode(
        Answer,
        await broker.request(subject.of_agent(agent_id, subject.INTENT), encode(notice), 5.0),
    )
    assert answer.accepted


async def claim(services: Services, run: Run, agent_id: str) -> None:
    assert await services.runs.held.claim(run.id, 1, agent_id, 5.0)
