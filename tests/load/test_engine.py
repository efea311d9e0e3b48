"""The engine over its loops: a short load tells its calls, and one whose processes die ends the others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from callwright.generator.loop import CallNoted, FailedLadder, LoopConfig
from callwright.generator.names import COUNTERS
from callwright.load.engine import Engine, Result
from callwright.load.outcome import document
from callwright.load.plan import make_plan
from callwright.load.preparation import Wishes, loop_configs
from callwright.load.statistics import Snapshot
from callwright.load.verdict import judge
from callwright.load.worker import ProcessWorker, Reading, ThreadWorker, WorkerDied, make_workers
from callwright.net.ports import free_udp_port


def test_calls_that_failed_in_the_last_part_of_a_second_are_among_the_worst() -> None:
    """Nobody listens there: each call is refused at once, long before the first second is full."""
    uri = f"sip:x@127.0.0.1:{free_udp_port('127.0.0.1')}"
    configs, _ = loop_configs(Wishes(uri=uri, calls=3, ladders=2))
    workers = make_workers(configs)
    try:
        engine = Engine(
            workers, make_plan(rate=100.0, calls=3), now=time.monotonic, pause=time.sleep, ladders=2
        )
        result = engine.run()
    finally:
        for worker in workers:
            worker.close()
    assert result.total["attempted"] == result.total["refused"] == 3
    assert len(result.worst) == 3
    assert [[message.sent for message in ladder.messages] for ladder in result.ladders] == [[True], [True]]


class Loop:
    """A worker in virtual time: two calls are up, which end two looks after they were told to. It dies at the
    verb `dies` once `now()` is `at`."""

    local = ("127.0.0.1", 5060)

    def __init__(self, now: Callable[[], float], *, dies: str = "", at: float = 0.0) -> None:
        self.stops: list[int] = []
        self.rates: list[float] = []
        self._now, self._dies, self._at = now, dies, at
        self._looks = 0

    def _verb(self, name: str) -> None:
        if self._dies == name and self._now() >= self._at:
            self._dies, self._at = name, 0.0
            raise WorkerDied("a load process has died")

    def start(self, *, registering: bool, calls: int, rate: float) -> None:
        self._verb("start")

    def set(self, *, rate: float, **_: Any) -> None:
        self._verb("set")
        self.rates.append(rate)

    def stop(self, how: int, seconds: float) -> None:
        self._verb("stop")
        self.stops.append(how)

    def read(self, *, numbers: bool = True) -> Reading:
        self._verb("read")
        self._looks += bool(self.stops)
        done = self._looks > 2
        over = 2 * done
        told = {"attempted": 2, "answered": over, "established": 2, "active": 2 - over}
        snapshot = Snapshot([told.get(name, 0) for name in COUNTERS])
        return Reading(snapshot if numbers or done else None, 0, [], done)

    def ladders(self) -> list[FailedLadder]:
        return []

    def close(self) -> None:
        """Nothing is open."""


def run_of(*deaths: tuple[str, float]) -> tuple[Result, list[Loop]]:
    """One engine over as many loops, in virtual time."""
    moment = [100.0]

    def pause(seconds: float) -> None:
        moment[0] += seconds or 0.001

    loops = [Loop(lambda: moment[0], dies=verb, at=100.0 + at) for verb, at in deaths]
    result = Engine(loops, make_plan(rate=4.0, seconds=60.0), now=lambda: moment[0], pause=pause).run()
    return result, loops


@pytest.mark.parametrize("verb", ["set", "read"])
def test_the_calls_of_the_others_are_ended_when_a_process_dies(verb: str) -> None:
    result, (_, second, third) = run_of((verb, 2.55), ("", 0), ("", 0))
    assert second.stops == third.stops == [2]
    assert second.rates[-1] == 0, "placed no more"
    assert result.elapsed < 4
    (lost,) = result.lost
    assert (lost.process, lost.calls_open) == (1, 2)
    assert 2.5 <= lost.noticed_at <= 2.8
    assert 1.9 <= lost.counted_until <= 2.2


def test_a_load_that_lost_a_process_decides_nothing_and_tells_what_it_counted() -> None:
    result, _ = run_of(("read", 2.55), ("", 0))
    judgement = judge(result.total, result.clean, seconds=len(result.seconds), lost=result.lost)
    assert (judgement.verdict, judgement.blame) == ("error", "platform")
    assert "a load process has died (number 1, noticed after 2." in judgement.reason
    assert "2 calls under way, whose end was not counted" in judgement.reason
    assert judgement.reason.endswith("; the calls of the other processes were ended")
    told = document(
        result, judgement, name="load", target="", role="caller", exit_code=3, cores=2,
        version="", started_at=0.0,
    )  # fmt: skip
    assert (told["attempted"], told["answered"]) == (4, 2), "what was counted, and no end that nobody saw"
    assert [one["process"] for one in told["generator"]["lost_processes"]] == [1]
    assert result.seconds[-1].active == 0


@pytest.mark.parametrize("verb", ["start", "set", "read"])
def test_a_load_all_of_whose_processes_die_ends(verb: str) -> None:
    result, _ = run_of((verb, 0.0), (verb, 0.0))
    assert [lost.process for lost in result.lost] == [1, 2]
    assert result.total["attempted"] == 0


def test_a_whole_load_has_lost_nothing() -> None:
    result, _ = run_of(("", 0), ("", 0))
    assert result.lost == []
    assert judge(result.total, result.clean, seconds=60, lost=result.lost).verdict == "passed"


class Keeper:
    """A guard of loads that writes down what is said to it."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, config: LoopConfig, local: tuple[str, int], descriptors: Sequence[int]) -> Keeper:
        self.said.append("kept")
        return self

    def close(self) -> None:
        self.said.append("closed")

    def orphan(self) -> None:
        self.said.append("orphaned")


def test_calls_of_a_killed_process_are_left_to_the_guardian_at_once() -> None:
    uri = f"sip:x@127.0.0.1:{free_udp_port('127.0.0.1')}"
    (config,), _ = loop_configs(Wishes(uri=uri, calls=1))
    keeper = Keeper()
    worker = ProcessWorker(config, guard=keeper)
    try:
        worker.stop(1, 1.0)
        os.kill(worker.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(WorkerDied):
                worker.read()
        assert keeper.said == ["kept", "orphaned"]
    finally:
        worker.close()
    assert keeper.said == ["kept", "orphaned"]


def test_calls_of_a_loop_that_broke_are_left_to_the_guardian() -> None:
    uri = f"sip:x@127.0.0.1:{free_udp_port('127.0.0.1')}"
    (config,), _ = loop_configs(Wishes(uri=uri, calls=1))
    keeper = Keeper()
    worker = ProcessWorker(config, guard=keeper)
    with pytest.raises(WorkerDied, match="a load process has broken"):
        worker.start(registering=False, calls="none", rate=1.0)  # type: ignore[arg-type]
    assert keeper.said == ["kept", "orphaned"]
    worker.close()


@pytest.mark.parametrize("kind", [ThreadWorker, ProcessWorker])
@pytest.mark.parametrize(("how", "said"), [(1, "closed"), (2, "closed"), (3, "orphaned")])
def test_calls_that_are_left_at_once_are_left_to_the_guardian(
    kind: type[ThreadWorker] | type[ProcessWorker], how: int, said: str
) -> None:
    uri = f"sip:x@127.0.0.1:{free_udp_port('127.0.0.1')}"
    (config,), _ = loop_configs(Wishes(uri=uri, calls=1))
    keeper = Keeper()
    worker = kind(config, guard=keeper)
    worker.stop(how, 1.0)
    worker.close()
    assert keeper.said == ["kept", said]


class NotedLoop(Loop):
    """Ends at once, and tells a call that it noted once."""

    noted = CallNoted(*[0] * len(CallNoted._fields))

    def read(self, *, numbers: bool = True) -> Reading:
        reading = super().read(numbers=numbers)
        notes = [self.noted] if self._looks == 0 else []
        self._looks = 3
        return Reading(reading.numbers, 0, notes, done=True)


def test_what_a_process_noted_that_ends_before_the_others_is_told() -> None:
    moment = [100.0]

    def pause(seconds: float) -> None:
        moment[0] += seconds or 0.001

    loops = [NotedLoop(lambda: moment[0]), Loop(lambda: moment[0])]
    result = Engine(loops, make_plan(rate=4.0, seconds=3.0), now=lambda: moment[0], pause=pause).run()
    assert result.worst == [NotedLoop.noted]
