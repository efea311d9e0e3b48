"""Follows a plan with some loops: sets their rate, adds up their numbers each second, stops them in order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from callwright.generator.loop import CallNoted, FailedLadder
from callwright.generator.names import OUTCOMES
from callwright.load.ladders import chosen
from callwright.load.plan import Plan
from callwright.load.statistics import LoadSecond, LostProcess, Snapshot, second_of, together
from callwright.load.worker import Reading, Worker, WorkerDied, share

T = TypeVar("T")

TICK = 0.1
"""Seconds between two looks."""
WORST = 20
"""Calls of each kind that are kept."""
STOP_SECONDS = 8.0


@dataclass(slots=True)
class Controls:
    """What a person wants while it runs; keys and the control socket write here."""

    factor: float = 1.0
    """The rate of the plan is multiplied by it."""
    rate: float | None = None
    """Instead of the plan's."""
    paused: bool = False
    stop: int = 0
    """1: no new calls; 2: end every call; 3: leave at once."""


@dataclass(slots=True)
class LoadProgress:
    """Where a load stands, for whoever shows it."""

    elapsed: float
    stage: int
    target_rate: float
    total: Snapshot
    seconds: list[LoadSecond]
    worst: list[CallNoted]
    controls: Controls


@dataclass(slots=True)
class Result:
    """What a load has counted. `clean` are the numbers of the seconds that were not limited."""

    total: Snapshot
    clean: Snapshot
    seconds: list[LoadSecond]
    worst: list[CallNoted]
    elapsed: float
    interrupted: bool
    stages: list[Snapshot] = field(default_factory=list)
    """By stage of the plan, where it has several."""
    ladders: list[FailedLadder] = field(default_factory=list)
    """Of the first failed calls of each class, and of the slowest call."""
    lost: list[LostProcess] = field(default_factory=list)
    """Processes that died. Their numbers in `total` are those that they told last."""

    @property
    def limited(self) -> list[str]:
        return [second.limited for second in self.seconds if second.limited]

    @property
    def loaded(self) -> int:
        """Seconds in which calls were placed or under way: of them the limited ones are a part."""
        return sum(bool(second.attempted or second.active or second.limited) for second in self.seconds)


class Engine:
    """Runs one plan. `now` is monotonic seconds; `pause(seconds)` waits, and lets keys and sockets in.

    When the process of a worker dies, the calls of the others are ended in order, and the result says so.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        plan: Plan,
        *,
        now: Callable[[], float],
        pause: Callable[[float], None],
        controls: Controls | None = None,
        on_second: Callable[[LoadSecond], None] | None = None,
        on_progress: Callable[[LoadProgress], None] | None = None,
        registering: bool = False,
        stop_seconds: float = STOP_SECONDS,
        ladders: int = 5,
    ) -> None:
        self._workers = list(workers)
        self._plan = plan
        self._now = now
        self._pause = pause
        self.controls = controls or Controls()
        self._on_second = on_second
        self._on_progress = on_progress
        self._registering = registering
        self._stop_seconds = stop_seconds
        self._ladders = ladders
        self._seconds: list[LoadSecond] = []
        self._worst: list[tuple[tuple[int, int, int], int, CallNoted]] = []
        self._noted = 0
        self._clean = Snapshot()
        self._stages: list[Snapshot] = []
        self._slower_us = 0
        self._worse_mos = 4.0
        self._told = [Snapshot() for _ in self._workers]
        self._told_at = [0.0] * len(self._workers)
        self._lost: dict[int, LostProcess] = {}
        self._started = 0.0

    def run(self) -> Result:
        """Until every call has ended."""
        n = len(self._workers)
        started = self._started = self._now()
        for index in range(n):
            self._ask(index, partial(self._start, index))
        before: Snapshot | None = None
        marked = started
        cpu_before = [0] * n
        stopped = 0
        while True:
            elapsed = self._now() - started
            stage = self._plan.stage_at(elapsed)
            target = self._target(elapsed)
            self._steer(target)
            wanted = max(self.controls.stop, self._least_stop(stage))
            if wanted > stopped:
                stopped = wanted
                for index in range(n):
                    self._ask(index, partial(self._stop, wanted))
            full = self._now() - marked >= 1.0
            readings = self._read(full)
            done = all(reading.done for reading in readings)
            full = full or done  # who is done tells its numbers with it
            self._note(readings)  # what was noted is told only once
            now = self._now()
            if full:
                latest = max((reading.latest_us for reading in readings), default=0)
                total = together(self._told)
                cpus = [snapshot["cpu_ns"] for snapshot in self._told]
                span = max(now - marked, 1e-6)
                busiest = max((a - b) / 1e9 / span for a, b in zip(cpus, cpu_before, strict=True))
                self._second(total.minus(before), now - started, span, target, busiest, latest / 1000, stage)
                before, marked, cpu_before = total, now, cpus
                if self._on_progress is not None:
                    worst = self.worst()
                    self._on_progress(
                        LoadProgress(now - started, stage, target, total, self._seconds, worst, self.controls)
                    )
            if done:
                break
            self._pause(max(0.0, TICK - (self._now() - started - elapsed)))
        return Result(
            total=before if before is not None else Snapshot(),
            clean=self._clean,
            seconds=self._seconds,
            worst=self.worst(),
            elapsed=self._now() - started,
            interrupted=self.controls.stop >= 2,
            stages=self._stages,
            ladders=chosen(
                (ladder for index in range(n) for ladder in self._ask(index, _ladders) or ()), self._ladders
            ),
            lost=[self._lost[index] for index in sorted(self._lost)],
        )

    # -- the workers

    def _ask(self, index: int, what: Callable[[Worker], T]) -> T | None:
        """None of a worker that has died."""
        if index in self._lost:
            return None
        try:
            return what(self._workers[index])
        except WorkerDied as error:
            told = self._told[index]
            self._lost[index] = LostProcess(
                index + 1,
                str(error),
                round(self._now() - self._started, 3),
                round(self._told_at[index], 3),
                told["active"],
            )
            self._told[index] = told.left()
            return None

    def _start(self, index: int, worker: Worker) -> None:
        n = len(self._workers)
        worker.start(
            registering=self._registering,
            calls=share(self._plan.calls, n, index),
            rate=self._plan.rate_at(0.0) / n,
        )

    def _stop(self, how: int, worker: Worker) -> None:
        worker.stop(how, self._stop_seconds)

    def _read(self, full: bool) -> list[Reading]:
        """Of those that live; what each told last is kept."""
        readings = []
        for index in range(len(self._workers)):
            reading = self._ask(index, lambda worker: worker.read(numbers=full))
            if reading is None:
                continue
            readings.append(reading)
            if reading.numbers is not None:
                self._told[index] = reading.numbers
                self._told_at[index] = self._now() - self._started
        return readings

    def _least_stop(self, stage: int) -> int:
        """How the load stops though nobody wishes it."""
        if self._lost:
            return 2
        return 1 if stage >= len(self._plan.stages) else 0

    def _target(self, elapsed: float) -> float:
        if self.controls.paused or self.controls.stop or self._lost:
            return 0.0
        rate = self._plan.rate_at(elapsed) if self.controls.rate is None else self.controls.rate
        return rate * self.controls.factor

    def _steer(self, target: float) -> None:
        n = len(self._workers)
        for index in range(n):
            self._ask(index, partial(self._set, target / n, share(self._plan.concurrent, n, index)))

    def _set(self, rate: float, concurrent: int, worker: Worker) -> None:
        worker.set(
            rate=rate,
            paused=self.controls.paused,
            concurrent=concurrent,
            slower_us=self._slower_us,
            worse_mos=self._worse_mos,
        )

    def _second(
        self, delta: Snapshot, at: float, span: float, target: float, cpu: float, latest_ms: float, stage: int
    ) -> None:
        second = second_of(delta, at=at, span=span, target_rate=target, cpu=cpu, latest_ms=latest_ms)
        self._seconds.append(second)
        if not second.limited:
            self._clean = self._clean.plus(delta)
        if len(self._plan.stages) > 1:
            while len(self._stages) <= min(stage, len(self._plan.stages) - 1):
                self._stages.append(Snapshot())
            self._stages[-1] = self._stages[-1].plus(delta)
        if self._on_second is not None:
            self._on_second(second)

    def _note(self, readings: Sequence[Reading]) -> None:
        """Keeps the worst: failures first, then low MOS, then what was slow."""
        for reading in readings:
            for call in reading.notable:
                failed = OUTCOMES[call.outcome] not in ("answered", "canceled")
                rank = (int(failed), -call.mos if call.mos >= 0 else -5000, max(call.setup, call.pdd))
                self._noted += 1
                heapq.heappush(self._worst, (rank, -self._noted, call))
                if len(self._worst) > WORST:
                    heapq.heappop(self._worst)
        if len(self._worst) >= WORST:
            self._slower_us = max(self._slower_us, self._worst[0][2].setup)
            scores = [call.mos for _, _, call in self._worst if call.mos >= 0]
            if len(scores) >= WORST // 2:
                self._worse_mos = max(scores) / 1000

    def worst(self) -> list[CallNoted]:
        """The worst first."""
        return [call for _, _, call in sorted(self._worst, reverse=True)]


def _ladders(worker: Worker) -> list[FailedLadder]:
    return worker.ladders()
