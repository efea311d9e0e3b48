"""The worker between a platform and an execution that are both played."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from callwright.agent.identity import Identity, IdentityError, read_identity, write_identity
from callwright.agent.live import Live
from callwright.agent.monitoring import Monitoring
from callwright.agent.readings import ReadingSpool
from callwright.agent.spool import Spool
from callwright.agent.worker import Platform as SecondWay
from callwright.agent.worker import Worker
from callwright.dispatch import subject
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.agents import (
    Ask,
    Control,
    Kill,
    Orders,
    SpoolState,
    StopOrder,
    Word,
)
from callwright.dispatch.messages.monitors import Monitor
from callwright.dispatch.messages.protocol import PROTOCOL
from callwright.dispatch.messages.runs import Attempt, Job, pack_outcome, unpack_outcome
from callwright.dispatch.messages.wire import encode
from callwright.outcome.call import CallOutcome, ReceivedOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Verdict
from callwright.phone.intent import Intent, Withheld
from callwright.probe.result import Hop, ProbeResult, State
from tests.agent.platform import AGENT, POOL, Platform

PASSED = RunOutcome(verdict=Verdict.PASSED, blame=None, reason="It worked.")
CALL = Intent("step.1.0", "alice", "sip:bob@example.com")
Act = Callable[[Job, Path, Live], Awaitable[RunOutcome]]


class Agent:
    """A worker that can be started, ended and killed; `act` is what it does with a job."""

    def __init__(self, folder: Path, broker: MemoryBroker, capacity: int = 2) -> None:
        self.folder, self.broker, self.capacity = folder, broker, capacity
        self.spool_limit = 0
        self.exit_after = 0.0
        self.platform: SecondWay | None = None
        self.monitoring: Monitoring | None = None
        self.act: Act = self.pass_at_once
        self.began: list[int] = []
        self.worker: Worker | None = None
        self._task: asyncio.Task[None] | None = None

    async def pass_at_once(self, job: Job, folder: Path, live: Live) -> RunOutcome:
        return PASSED

    async def _execute(self, job: Job, folder: Path, live: Live) -> RunOutcome:
        self.began.append(job.run_id)
        return await self.act(job, folder, live)

    def start(self) -> Worker:
        identity = Identity(
            agent_id=AGENT,
            pool=POOL,
            nats_url="",
            user="",
            password="",
            lease_seconds=0.6,
            capacity=self.capacity,
        )
        self.worker = Worker(
            identity,
            self.broker,
            Spool(self.folder / "spool"),
            self._execute,
            spool_limit=self.spool_limit,
            platform=self.platform,
            exit_after=self.exit_after,
            monitoring=self.monitoring,
        )
        self._task = asyncio.ensure_future(self.worker.run())
        return self.worker

    async def ended(self) -> None:
        """By itself."""
        assert self._task is not None
        await asyncio.shield(self._task)

    async def end(self) -> None:
        if self.worker is not None and self._task is not None:
            self.worker.stop()
            await self._task

    async def kill(self) -> None:
        """As near to SIGKILL as one process comes: nothing of it runs on."""
        for task in asyncio.all_tasks():
            if task is self._task or (task.get_coro().__qualname__ or "").startswith(  # type: ignore[union-attr]
                ("Worker.", "Live.", "Delivery.")
            ):
                task.cancel()
        await asyncio.sleep(0)


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    broker = MemoryBroker(redeliver_after=0.5)
    yield broker
    await broker.close()


@pytest.fixture
async def platform(broker: MemoryBroker) -> Platform:
    platform = Platform(broker)
    await platform.start()
    return platform


@pytest.fixture
async def agent(tmp_path: Path, broker: MemoryBroker) -> AsyncIterator[Agent]:
    agent = Agent(tmp_path, broker)
    yield agent
    await agent.end()


async def place_a_call(job: Job, folder: Path, live: Live) -> RunOutcome:
    await live.intend(CALL)
    return PASSED


async def until_stopped(job: Job, folder: Path, live: Live) -> RunOutcome:
    await live.stopping.wait()
    return RunOutcome(verdict=Verdict.CANCELED, blame=None, reason=live.stopped or "")


async def test_a_run_goes_from_the_queue_to_its_result(platform: Platform, agent: Agent) -> None:
    agent.act = place_a_call
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.results)
    assert platform.results[1, 1]["verdict"] == "passed"
    assert platform.result_intents[1, 1] == 1
    assert [notice.destination for notice in platform.intents] == ["sip:bob@example.com"]


async def test_when_the_result_is_home_nothing_is_left(platform: Platform, agent: Agent) -> None:
    await platform.queue(1)
    worker = agent.start()
    await platform.until(lambda: any(not beat.runs for beat in platform.heartbeats) and platform.results)
    while worker.held:
        await asyncio.sleep(0.01)
    assert list((agent.folder / "spool").iterdir()) == []


async def test_evidence_arrives_whole(platform: Platform, agent: Agent) -> None:
    large = bytes(range(256)) * 6_000  # three chunks

    async def leave_evidence(job: Job, folder: Path, live: Live) -> RunOutcome:
        (folder / "report.html").write_text("<p>")
        (folder / "signalling.pcap").write_bytes(large)
        (folder / "empty.txt").write_bytes(b"")
        return PASSED

    agent.act = leave_evidence
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: len(platform.whole) == 3)
    assert platform.files[(1, 1), "signalling.pcap"] == large
    assert platform.whole == {
        ((1, 1), "report.html"),
        ((1, 1), "signalling.pcap"),
        ((1, 1), "empty.txt"),
    }


async def test_the_verdict_waits_for_no_file_and_says_how_many_follow(
    platform: Platform, agent: Agent
) -> None:
    agent.act = leave_a_capture
    platform.deaf.add(subject.EVIDENCE)
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.results)
    assert platform.files == {}
    assert platform.files_due[1, 1] == 2


async def test_a_result_of_many_megabytes_arrives_whole_in_pieces(platform: Platform, agent: Agent) -> None:
    large = many_calls()

    async def leave_much(job: Job, folder: Path, live: Live) -> RunOutcome:
        return large

    agent.act = leave_much
    platform.forgets_pieces = 1
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.results, 30)
    assert len(platform.pieces[1, 1]) > 10
    assert platform.results[1, 1] == large.to_json()


def many_calls() -> RunOutcome:
    """An outcome whose JSON does not shrink below 6 MiB."""
    entropy = random.Random(1)
    calls = tuple(
        CallOutcome(id=entropy.randbytes(5_000).hex(), received=ReceivedOutcome(mos=4.4))
        for _ in range(1_400)
    )
    return RunOutcome(verdict=Verdict.PASSED, blame=None, reason="It worked.", calls=calls)


def test_only_the_figures_of_each_second_are_left_out_of_a_result_that_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("callwright.dispatch.messages.runs.MAX_OUTCOME", 2_000)
    call = {"received": {"mos": 4.4}, "seconds": [{"at": n} for n in range(1_000)]}
    found = json.loads(unpack_outcome(pack_outcome({"calls": [call], "warnings": ["one"]})))
    assert found["calls"] == [{"received": {"mos": 4.4}, "seconds": []}]
    assert found["warnings"][0] == "one"
    assert "only in run.json" in found["warnings"][1]


async def test_evidence_that_is_not_wanted_does_not_hold_the_result(platform: Platform, agent: Agent) -> None:
    async def leave_evidence(job: Job, folder: Path, live: Live) -> RunOutcome:
        (folder / "report.html").write_text("<p>")
        return PASSED

    agent.act = leave_evidence
    platform.refuses.add(subject.EVIDENCE)
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.results)


async def test_while_the_store_is_away_the_verdict_goes_first_and_the_files_follow(
    platform: Platform, agent: Agent
) -> None:
    async def leave_evidence(job: Job, folder: Path, live: Live) -> RunOutcome:
        (folder / "report.html").write_text("<p>")
        (folder / "signalling.pcap").write_bytes(bytes(5000))
        return PASSED

    agent.act = leave_evidence
    platform.store_away = 1_000_000
    await platform.queue(1)
    worker = agent.start()
    await platform.until(lambda: platform.results)
    assert platform.whole == set()
    assert (agent.folder / "spool" / "1-1" / "evidence" / "signalling.pcap").is_file()
    platform.store_away = 2
    await platform.until(lambda: len(platform.whole) == 2)
    while worker.held:
        await asyncio.sleep(0.01)
    assert list((agent.folder / "spool").iterdir()) == []


async def leave_a_capture(job: Job, folder: Path, live: Live) -> RunOutcome:
    (folder / "report.html").write_text("<p>")
    (folder / "signalling.pcap").write_bytes(bytes(5000))
    return PASSED


async def test_when_too_much_waits_the_oldest_evidence_goes_and_no_result(
    platform: Platform, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    agent.act, agent.spool_limit = leave_a_capture, 6000
    platform.store_away = 1_000_000
    for number in (1, 2):
        await platform.queue(number)
        if agent.worker is None:
            agent.start()
        await platform.until(lambda number=number: (number, 1) in platform.results)
    full = SpoolState(5006, 6000, 2, 1)
    await platform.until(lambda: any(beat.spool == full for beat in platform.heartbeats))
    assert "1 files (5000 octets) of run 1 were dropped" in caplog.text
    platform.store_away = 0
    await platform.until(lambda: len(platform.whole) == 3)
    assert ((1, 1), "signalling.pcap") not in platform.whole
    await platform.until(lambda: platform.heartbeats[-1].spool == SpoolState(0, 6000, 0, 1))


async def test_a_result_whose_evidence_had_to_go_says_so(platform: Platform, agent: Agent) -> None:
    async def lose_the_platform(job: Job, folder: Path, live: Live) -> RunOutcome:
        platform.away = 1_000_000
        return await leave_a_capture(job, folder, live)

    agent.act, agent.spool_limit = lose_the_platform, 100
    await platform.queue(1)
    agent.start()
    full = SpoolState(3, 100, 1, 1)
    await platform.until(lambda: any(beat.spool == full for beat in platform.heartbeats))
    platform.away = 0
    await platform.until(lambda: platform.results)
    assert platform.results[1, 1]["verdict"] == "passed"
    assert "1 files of evidence were dropped" in platform.results[1, 1]["warnings"][-1]
    await platform.until(lambda: platform.whole)
    assert {name for _, name in platform.whole} == {"report.html"}


async def test_a_file_that_the_platform_never_has_whole_is_kept_and_holds_up_nothing(
    platform: Platform, agent: Agent
) -> None:
    agent.act = leave_a_capture
    platform.forgets = {"report.html"}
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.whole)
    assert {name for _, name in platform.whole} == {"signalling.pcap"}
    platform.forgets.clear()
    await platform.until(lambda: len(platform.whole) == 2)


async def test_a_refused_claim_is_not_run(platform: Platform, agent: Agent) -> None:
    platform.refuses.add(subject.CLAIM)
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.claims)
    await platform.until(lambda: len(platform.heartbeats) > 2)
    assert agent.began == []
    assert platform.claims == [(1, 1)]


async def test_a_claim_nobody_answers_is_made_again(platform: Platform, agent: Agent) -> None:
    platform.deaf.add(subject.CLAIM)
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: len(platform.heartbeats) > 1)
    platform.deaf.clear()
    await platform.until(lambda: platform.results, 20)


async def test_no_call_is_placed_before_the_platform_knows(platform: Platform, agent: Agent) -> None:
    placed = asyncio.Event()

    async def place(job: Job, folder: Path, live: Live) -> RunOutcome:
        await live.intend(CALL)
        placed.set()
        return PASSED

    agent.act = place
    platform.deaf.add(subject.INTENT)
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: len(platform.heartbeats) > 3)
    assert agent.began == [1]
    assert not placed.is_set()
    platform.deaf.clear()
    await platform.until(lambda: platform.results)
    assert placed.is_set()


async def test_a_call_of_a_superseded_attempt_is_withheld_and_the_attempt_given_back(
    platform: Platform, agent: Agent
) -> None:
    refused: list[str] = []

    async def place(job: Job, folder: Path, live: Live) -> RunOutcome:
        try:
            await live.intend(CALL)
        except Withheld as reason:
            refused.append(str(reason))
        return PASSED

    agent.act = place
    platform.refuses.add(subject.INTENT)
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.releases)
    assert "another attempt has it" in refused[0]
    assert platform.results == {}


async def test_the_platform_hears_of_the_first_call_only_and_the_disk_of_each(
    platform: Platform, agent: Agent
) -> None:
    async def place_three(job: Job, folder: Path, live: Live) -> RunOutcome:
        await asyncio.gather(*(live.intend(CALL) for _ in range(3)))
        return PASSED

    agent.act = place_three
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.results)
    assert len(platform.intents) == 1
    assert platform.result_intents[1, 1] == 3


async def test_a_full_disk_withholds_the_call(platform: Platform, agent: Agent) -> None:
    async def place(job: Job, folder: Path, live: Live) -> RunOutcome:
        folder.parent.joinpath("intents").mkdir()  # whatever makes writing fail
        with pytest.raises(Withheld, match="write down"):
            await live.intend(CALL)
        return PASSED

    agent.act = place
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.results)
    assert platform.intents == []


async def test_results_are_sent_until_they_are_acknowledged(platform: Platform, agent: Agent) -> None:
    platform.temporary = ["the database is away", "the database is away"]
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.results)
    assert platform.temporary == []


async def test_a_result_that_comes_too_late_is_dropped(platform: Platform, agent: Agent) -> None:
    platform.refuses.add(subject.RESULT)
    await platform.queue(1)
    worker = agent.start()
    await platform.until(lambda: platform.claims)
    while worker.held:
        await asyncio.sleep(0.01)
    assert list((agent.folder / "spool").iterdir()) == []


async def test_the_heartbeat_holds_what_is_not_home_yet(platform: Platform, agent: Agent) -> None:
    platform.deaf.add(subject.RESULT)
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: any(run.phase == "spooled" for b in platform.heartbeats for run in b.runs))


async def test_no_more_is_taken_than_fits(platform: Platform, agent: Agent) -> None:
    gates = {number: asyncio.Event() for number in range(1, 5)}

    async def wait(job: Job, folder: Path, live: Live) -> RunOutcome:
        await gates[job.run_id].wait()
        return PASSED

    agent.act = wait
    for number in gates:
        await platform.queue(number)
    agent.start()
    await platform.until(lambda: len(platform.heartbeats) > 3)
    assert agent.began == [1, 2]
    gates[1].set()
    await platform.until(lambda: len(platform.claims) == 3)
    assert platform.claims == [(1, 1), (2, 1), (3, 1)]
    for gate in gates.values():
        gate.set()
    await platform.until(lambda: len(platform.results) == 4)


async def test_a_stop_reaches_its_run_only(platform: Platform, agent: Agent) -> None:
    agent.act = until_stopped
    await platform.queue(1)
    await platform.queue(2)
    agent.start()
    await platform.until(lambda: len(platform.claims) == 2)
    stop = Control(stop=(StopOrder(2, 1, "Stopped by alice."), StopOrder(1, 9, "Stopped by nobody.")))
    await platform.broker.publish(subject.control(AGENT), encode(stop))
    await platform.until(lambda: platform.results)
    assert list(platform.results) == [(2, 1)]
    assert platform.results[2, 1]["reason"] == "Stopped by alice."


async def test_a_stop_that_was_lost_comes_with_the_heartbeat(platform: Platform, agent: Agent) -> None:
    agent.act = until_stopped
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.claims)
    platform.stops = (StopOrder(1, 1, "Stopped by bob."),)
    await platform.until(lambda: platform.results)


async def test_the_kill_switch_stops_every_run_within_a_second(platform: Platform, agent: Agent) -> None:
    agent.act = until_stopped
    await platform.queue(1)
    await platform.queue(2)
    agent.start()
    await platform.until(lambda: len(agent.began) == 2 and len(platform.claims) == 2)
    await platform.broker.publish(subject.KILL, encode(Kill()))
    await platform.until(lambda: len(platform.results) == 2, 1.0)


async def test_a_draining_agent_takes_nothing_new(platform: Platform, agent: Agent) -> None:
    platform.draining = True
    agent.start()
    await platform.until(lambda: len(platform.heartbeats) > 1)
    await platform.queue(1)
    await platform.until(lambda: len(platform.heartbeats) > 4)
    assert agent.began == []
    platform.draining = False
    await platform.until(lambda: platform.results)


async def test_an_error_of_ours_is_a_result_too(platform: Platform, agent: Agent) -> None:
    async def break_down(job: Job, folder: Path, live: Live) -> RunOutcome:
        raise RuntimeError("a bug")

    agent.act = break_down
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.results)
    assert platform.results[1, 1]["verdict"] == "error"
    assert "a bug" in platform.results[1, 1]["reason"]


async def test_ended_it_stops_its_runs_and_tells(platform: Platform, agent: Agent) -> None:
    agent.act = until_stopped
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.claims)
    while not agent.began:
        await asyncio.sleep(0)
    await agent.end()
    assert platform.results[1, 1]["reason"] == "Stopped by the end of the agent."


async def test_progress_is_heard_while_it_runs(platform: Platform, agent: Agent) -> None:
    async def tell(job: Job, folder: Path, live: Live) -> RunOutcome:
        live.report("state", {"call": "step.1.0", "state": "ringing"})
        live.report("state", {"call": "step.1.0", "state": "answered"})
        await platform.until(lambda: len(platform.progress) == 2)
        return PASSED

    agent.act = tell
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.results)
    assert [event.data["state"] for event in platform.progress] == ["ringing", "answered"]


# -- after a crash


async def test_a_result_outlives_the_agent(platform: Platform, agent: Agent) -> None:
    platform.deaf.add(subject.RESULT)
    await platform.queue(1)
    worker = agent.start()
    await platform.until(lambda: any(run.phase == "spooled" for b in platform.heartbeats for run in b.runs))
    assert worker.held == 1
    await agent.kill()
    platform.deaf.clear()
    agent.start()
    await platform.until(lambda: platform.results)
    assert platform.results[1, 1]["verdict"] == "passed"
    assert agent.began == [1]


async def test_an_intent_without_outcome_ends_as_error_and_is_not_repeated(
    platform: Platform, agent: Agent
) -> None:
    async def place_and_hang(job: Job, folder: Path, live: Live) -> RunOutcome:
        await live.intend(CALL)
        await asyncio.Event().wait()
        return PASSED

    agent.act = place_and_hang
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.intents)
    await agent.kill()
    agent.start()
    await platform.until(lambda: platform.results)
    assert platform.results[1, 1]["verdict"] == "error"
    assert "may have been placed" in platform.results[1, 1]["reason"]
    assert agent.began == [1]


async def test_without_an_intent_the_attempt_is_given_back(platform: Platform, agent: Agent) -> None:
    async def hang(job: Job, folder: Path, live: Live) -> RunOutcome:
        await asyncio.Event().wait()
        return PASSED

    agent.act = hang
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.claims)
    while not agent.began:
        await asyncio.sleep(0)
    await agent.kill()
    Spool(agent.folder / "spool").open(Attempt(2, "s2", 1))
    agent.start()
    await platform.until(lambda: len(platform.releases) == 2)
    assert [(r.run_id, r.attempt) for r in platform.releases] == [(1, 1), (2, 1)]
    assert platform.results == {}


# -- who it is


def test_its_identity_is_kept_and_hidden(tmp_path: Path) -> None:
    identity = Identity(agent_id="a1", pool="lab", nats_url="nats://x", user="u", password="hidden")
    write_identity(tmp_path / "data", identity)
    assert read_identity(tmp_path / "data") == identity
    assert "hidden" not in repr(identity)
    assert (tmp_path / "data" / "agent.json").stat().st_mode & 0o777 == 0o600


def test_without_an_identity_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="was not enrolled"):
        read_identity(tmp_path)
    (tmp_path / "agent.json").write_text("{")
    with pytest.raises(IdentityError, match="cannot be used"):
        read_identity(tmp_path)


async def test_a_platform_without_its_database_is_asked_again_soon(platform: Platform, agent: Agent) -> None:
    """An empty answer says so; nobody waits for a request to time out."""
    agent.act = place_a_call
    platform.away = 3
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.results, 3.0)
    assert platform.away == 0


# -- the dead-man's switch, and the second way


async def call_for_ever(live: Live) -> None:
    while True:
        await live.intend(CALL)
        await asyncio.sleep(0.01)


def silent(platform: Platform) -> None:
    platform.deaf = {subject.HEARTBEAT, subject.CLAIM}


async def test_without_an_answer_for_two_leases_no_call_is_placed_and_with_one_they_are_again(
    platform: Platform, agent: Agent
) -> None:
    platform.lease = 0.6
    withheld, placed, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    told: list[str] = []

    async def call_again_and_again(job: Job, folder: Path, live: Live) -> RunOutcome:
        live.has_calls = lambda: False
        live.on_hold.append(lambda holding: told.append("hold" if holding else "free"))
        await live.intend(CALL)
        with pytest.raises(Withheld, match="while the platform does not answer"):
            await call_for_ever(live)
        withheld.set()
        await go_on.wait()
        while True:
            with contextlib.suppress(Withheld):
                await live.intend(CALL)
                placed.set()
                return PASSED
            await asyncio.sleep(0.01)

    agent.act = call_again_and_again
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.intents)
    silent(platform)
    await asyncio.wait_for(withheld.wait(), 10)
    platform.deaf = set()
    go_on.set()
    await asyncio.wait_for(placed.wait(), 10)
    assert told == ["hold", "free"]


async def test_without_an_answer_for_four_leases_calls_are_ended_and_what_places_none_goes_on(
    platform: Platform, agent: Agent
) -> None:
    platform.lease = 0.4
    stopped: list[str] = []
    probing = asyncio.Event()

    async def call_or_probe(job: Job, folder: Path, live: Live) -> RunOutcome:
        if job.run_id == 2:
            await probing.wait()
            assert live.stopped is None
            return PASSED
        await live.intend(CALL)
        await live.stopping.wait()
        stopped.append(live.stopped or "")
        probing.set()
        return PASSED

    agent.act = call_or_probe
    await platform.queue(1)
    await platform.queue(2)
    agent.start()
    await platform.until(lambda: platform.intents and len(platform.claims) == 2)
    silent(platform)
    await asyncio.wait_for(probing.wait(), 10)
    assert "without an answer from the platform" in stopped[0]
    platform.deaf = set()
    await platform.until(lambda: len(platform.results) == 2)


async def test_an_answer_that_nothing_can_be_written_now_is_one(platform: Platform, agent: Agent) -> None:
    platform.lease = 0.4
    agent.act = until_stopped

    await platform.queue(1)
    worker = agent.start()
    await platform.until(lambda: platform.claims)
    platform.cannot_write = True
    begun = len(platform.heartbeats)
    await platform.until(lambda: len(platform.heartbeats) > begun + 6, 20)
    assert worker.used == 1
    assert platform.results == {}


async def test_the_second_way_brings_the_kill_switch_where_the_broker_brings_nothing(
    platform: Platform, agent: Agent
) -> None:
    platform.lease = 30.0
    asked: list[Ask] = []
    confirmed = asyncio.Event()

    async def over_http(question: Ask) -> Orders:
        asked.append(question)
        if not question.runs:
            confirmed.set()
        return Orders(30.0, killed="by the kill switch of ana")

    agent.act = until_stopped
    agent.platform = over_http
    await platform.queue(1)
    agent.start()
    await platform.until(lambda: platform.claims)
    silent(platform)
    await asyncio.wait_for(confirmed.wait(), 10)
    assert {question.token for question in asked} == {"the token"}
    assert [run.run_id for run in asked[0].runs] == [1]
    await platform.until(lambda: platform.results)
    assert platform.results[1, 1]["reason"] == "Stopped by the kill switch of ana."


async def test_the_word_of_the_supervisor_is_an_order_and_an_answer(platform: Platform, agent: Agent) -> None:
    platform.lease = 0.4
    agent.act = until_stopped
    await platform.queue(1)
    worker = agent.start()
    await platform.until(lambda: platform.claims)
    silent(platform)
    for _ in range(40):  # four leases
        worker.told(Word())
        await asyncio.sleep(0.05)
    assert worker.used == 1
    worker.told(Word("by the kill switch of ana"))
    await platform.until(lambda: platform.results)
    assert platform.results[1, 1]["reason"] == "Stopped by the kill switch of ana."


@pytest.mark.parametrize(("speaks", "behind"), [(0, "platform"), (PROTOCOL + 1, "agent")])
async def test_an_agent_ends_at_a_platform_of_another_protocol_and_names_what_to_upgrade(
    platform: Platform, agent: Agent, speaks: int, behind: str
) -> None:
    platform.speaks = speaks
    await platform.queue(1)
    worker = agent.start()
    await asyncio.wait_for(agent.ended(), 5)
    assert worker.mismatch == (
        f"The agent speaks protocol {PROTOCOL} and the platform protocol {speaks}: upgrade the {behind}."
    )
    assert platform.claims == []
    assert not worker.revoked


async def test_a_platform_that_is_upgraded_under_a_run_ends_its_calls_and_gets_the_result_later(
    platform: Platform, agent: Agent
) -> None:
    agent.act = until_stopped
    await platform.queue(1)
    worker = agent.start()
    await platform.until(lambda: platform.claims)
    platform.deaf.add(subject.RESULT)
    platform.speaks = PROTOCOL + 1
    await asyncio.wait_for(agent.ended(), 10)
    assert worker.mismatch
    assert platform.results == {}
    platform.deaf.clear()
    platform.speaks = None
    agent.start()  # upgraded
    await platform.until(lambda: platform.results)
    assert platform.results[1, 1]["verdict"] == "canceled"


async def test_an_agent_ends_when_the_platform_has_not_answered_for_its_time(
    platform: Platform, agent: Agent, broker: MemoryBroker
) -> None:
    agent.act = until_stopped
    agent.exit_after = 1.0
    worker = agent.start()
    await platform.queue(1)
    await platform.until(lambda: agent.began)
    platform.deaf.add(subject.HEARTBEAT)
    await asyncio.wait_for(agent.ended(), 10)
    assert worker.forsaken == "The platform has not answered for 1 s"
    assert worker.held == 1  # told to a later start, from the spool


class Probe:
    """A probe that goes on until it is stopped when `lasting`."""

    def __init__(self, lasting: bool = False) -> None:
        self.lasting, self.begun = lasting, 0

    async def __call__(self, monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        self.begun += 1
        if self.lasting:
            await stop.wait()
            return ProbeResult(verdict=Verdict.CANCELED)
        return ProbeResult(state=State.DONE, verdict=Verdict.PASSED, blame=None, reason="Good.", mos=4.2)

    async def path(self, monitor: Monitor, address: str, stop: asyncio.Event) -> tuple[Hop, ...]:
        return ()


def monitor_with(agent: Agent, broker: MemoryBroker, folder: Path, probe: Probe) -> None:
    agent.monitoring = Monitoring(broker, AGENT, ReadingSpool(folder / "monitors"), probe, pause=0.2)


async def test_a_worker_measures_what_the_platform_plans(
    platform: Platform, agent: Agent, broker: MemoryBroker, tmp_path: Path
) -> None:
    monitor_with(agent, broker, tmp_path, Probe())
    platform.monitors = [Monitor(7, "ping", "192.0.2.1", 1)]
    agent.start()
    await platform.until(lambda: len(platform.readings) >= 2)
    first, second = platform.readings[:2]
    assert (first.monitor_id, first.state, first.figures) == (7, "done", {"mos": 4.2})
    assert second.slot == first.slot + 1


@pytest.mark.parametrize("how", ["killed", "drained", "silent"])
async def test_a_call_of_a_monitor_obeys_what_a_call_of_a_run_does(
    platform: Platform, agent: Agent, broker: MemoryBroker, tmp_path: Path, how: str
) -> None:
    probe = Probe(lasting=True)
    monitor_with(agent, broker, tmp_path, probe)
    platform.monitors = [Monitor(7, "call", "sip:x@192.0.2.1", 1)]
    worker = agent.start()
    await until(lambda: probe.begun == 1)
    assert worker.used == 1
    if how == "killed":
        await broker.publish(subject.KILL, encode(Kill("by alice")))
        await until(lambda: worker.used == 0)
        await platform.until(lambda: any("stopped by alice" in one.reason for one in platform.readings))
    elif how == "silent":
        platform.deaf = {subject.HEARTBEAT}
        await until(lambda: worker.used == 0)
        await platform.until(lambda: any(one.reason == "cut off" for one in platform.readings))
    else:
        platform.draining = True
        await platform.until(lambda: any("drains" in one.reason for one in platform.readings))
        assert worker.used == 1
    assert probe.begun == 1


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
