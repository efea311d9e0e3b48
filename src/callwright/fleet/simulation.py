"""A day of load replayed against the planner, in steps of virtual time.

Calls arrive in batches, wait for a place, last a while and go. Work is spread evenly over the servers that
have calls; an idle server is woken when those are full, so that the others may end. Counts per server are
arrays: ten thousand servers take seconds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from callwright.fleet.plan import Cause, Decision, Idle, Peaks, Tally, decide
from callwright.fleet.pool import Pool

__all__ = ["Arrival", "Day", "PoolResult", "Result", "SimulatedPool", "simulate"]

HOUR = 3600.0
_NONE, _BOOTING, _RUNNING = 0, 1, 2
Counts = NDArray[np.int64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Arrival:
    """``calls`` calls that begin at ``at`` seconds from midnight and last ``seconds`` each."""

    at: float
    pool: str
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SimulatedPool:
    """``boot_seconds``: from the decision to the first call that a new server can take."""

    pool: Pool
    boot_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Day:
    """What is replayed: ``arrivals`` in order of time; ``seconds`` long; decided every ``step`` seconds."""

    pools: Sequence[SimulatedPool]
    arrivals: Sequence[Arrival]
    seconds: float = 86_400.0
    step: float = 10.0


@dataclass(slots=True)
class PoolResult:
    """What became of one pool. ``waits``: seconds waited -> calls. ``servers`` and ``waiting``: by minute,
    the most in it. ``cost``: server hours at the pool's price; None without a price."""

    name: str
    calls: int = 0
    placed: int = 0
    unplaced: int = 0
    created: int = 0
    retired: int = 0
    most_servers: int = 0
    server_seconds: float = 0.0
    cost: float | None = None
    waits: dict[float, int] = field(default_factory=dict)
    servers: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    decisions: list[tuple[float, Decision]] = field(default_factory=list)

    def wait(self, share: float) -> float | None:
        """The wait, in seconds, within which ``share`` (0 to 1) of the placed calls found their place; None
        when none was placed."""
        return _percentile(self.waits, share)


@dataclass(slots=True)
class Result:
    seconds: float
    pools: list[PoolResult]

    def wait(self, share: float) -> float | None:
        together: dict[float, int] = {}
        for pool in self.pools:
            for wait, calls in pool.waits.items():
                together[wait] = together.get(wait, 0) + calls
        return _percentile(together, share)

    @property
    def cost(self) -> float | None:
        known = [pool.cost for pool in self.pools if pool.cost is not None]
        return math.fsum(known) if known else None


def _percentile(waits: Mapping[float, int], share: float) -> float | None:
    total = sum(waits.values())
    seen = 0
    for wait in sorted(waits):
        seen += waits[wait]
        if seen >= share * total:
            return wait
    return None


def simulate(
    day: Day, *, progress: Callable[[float], None] | None = None, keep_decisions: int = 200
) -> Result:
    """Replay a day. ``progress`` is told the share that is done, from 0 to 1, about a hundred times."""
    worlds = {one.pool.name: _World(one, day.step, keep_decisions) for one in day.pools}
    arrivals = iter(sorted(day.arrivals, key=lambda arrival: arrival.at))
    following = next(arrivals, None)
    steps = math.ceil(day.seconds / day.step)
    per_minute = max(1, round(60.0 / day.step))
    for number in range(steps):
        now = number * day.step
        while following is not None and following.at < now + day.step:
            worlds[following.pool].arrive(following, now)
            following = next(arrivals, None)
        for world in worlds.values():
            world.turn(number, now, number % per_minute == 0)
        if progress is not None and number % max(1, steps // 100) == 0:
            progress(number / steps)
    return Result(day.seconds, [world.close() for world in worlds.values()])


class _World:
    """One pool: its servers as arrays, its queue, and the calls that end later."""

    def __init__(self, simulated: SimulatedPool, step: float, keep_decisions: int) -> None:
        self.pool, self.boot, self.step = simulated.pool, simulated.boot_seconds, step
        size = max(1, self.pool.maximum)
        self.state: NDArray[np.int8] = np.zeros(size, np.int8)
        self.busy: Counts = np.zeros(size, np.int64)
        self.idle_since: NDArray[np.float64] = np.zeros(size)
        self.created: NDArray[np.float64] = np.zeros(size)
        self.queue: deque[tuple[float, int, float]] = deque()  # arrived at, calls, seconds each
        self.ends: dict[
            int, list[tuple[Places, Counts]]
        ] = {}  # step -> servers, and their calls that end then
        self.running = self.coming = self.calls = 0
        self.births: deque[tuple[float, int]] = deque()
        self.booting: deque[tuple[float, Places]] = deque()
        self.peaks = Peaks(self.pool.idle_seconds)
        self.result = PoolResult(self.pool.name)
        self._keep = keep_decisions
        self._waiting = self._born = 0
        self._price = self.pool.prices.get(self.pool.sizes[0])

    def arrive(self, arrival: Arrival, now: float) -> None:
        self.queue.append((max(arrival.at, now), arrival.calls, arrival.seconds))
        self._waiting += arrival.calls
        self.result.calls += arrival.calls

    def turn(self, number: int, now: float, new_minute: bool) -> None:
        for which, ended in self.ends.pop(number, ()):
            left = self.busy[which] - ended
            self.busy[which] = left
            self.idle_since[which[left == 0]] = now
            self.calls -= int(ended.sum())
        while self.booting and self.booting[0][0] <= now:
            _, which = self.booting.popleft()
            self.state[which] = _RUNNING
            self.idle_since[which] = now
            self.running += which.size
            self.coming -= which.size
        if self._waiting:
            self._place(number, now)
        self._decide(now)
        servers = self.running + self.coming
        self.result.server_seconds += servers * self.step
        self.result.most_servers = max(self.result.most_servers, servers)
        if new_minute:
            self.result.servers.append(servers)
            self.result.waiting.append(self._waiting)
        else:
            self.result.servers[-1] = max(self.result.servers[-1], servers)
            self.result.waiting[-1] = max(self.result.waiting[-1], self._waiting)

    def _place(self, number: int, now: float) -> None:
        capacity = self.pool.capacity
        free = capacity * self.running - self.calls
        while self.queue and free:
            arrived, calls, seconds = self.queue[0]
            taken = min(calls, free)
            end = number + max(1, round(seconds / self.step))
            self.ends.setdefault(end, []).append(self._spread(taken))
            wait = max(0.0, now - arrived)
            self.result.waits[wait] = self.result.waits.get(wait, 0) + taken
            self.result.placed += taken
            self._waiting -= taken
            self.calls += taken
            free -= taken
            if taken == calls:
                self.queue.popleft()
            else:
                self.queue[0] = (arrived, calls - taken, seconds)

    def _spread(self, calls: int) -> tuple[Places, Counts]:
        """Put so many calls on the servers, evenly over those that have some, then on the ones idle
        shortest."""
        capacity = self.pool.capacity
        working = self.busy.nonzero()[0]
        needed = math.ceil((calls - (capacity * working.size - self.calls)) / capacity)
        if needed > 0:
            idle = ((self.busy == 0) & (self.state == _RUNNING)).nonzero()[0]
            newest = idle[np.argsort(-self.idle_since[idle], kind="stable")[:needed]]
            working = np.concatenate([working, newest])
        before = self.busy[working]
        after = _filled(before, calls, capacity)
        more = after - before
        touched = more.nonzero()[0]
        self.busy[working] = after
        return working[touched], more[touched]

    def _decide(self, now: float) -> None:
        while self.births and self.births[0][0] <= now - HOUR:
            self._born -= self.births.popleft()[1]
        self.peaks.add(now, self.calls + self._waiting)
        seen = Tally(
            running=self.running,
            coming=self.coming,
            places=self.running * self.pool.capacity,
            coming_places=self.coming * self.pool.capacity,
            busy=self.calls,
            waiting=self._waiting,
            created_last_hour=self._born,
            hour_frees_at=self.births[0][0] + HOUR if self.births else None,
            peak=self.peaks.highest,
            peak_falls_at=self.peaks.falls_at,
            idle=self._idle,
        )
        decision = decide(self.pool, seen, now)
        if decision.create:
            self._create(decision.create, now)
        for name in decision.retire:
            self.state[int(name)] = _NONE
        self.running -= len(decision.retire)
        self.result.retired += len(decision.retire)
        if (decision.changes or decision.short) and len(self.result.decisions) < self._keep:
            last = self.result.decisions[-1][1] if self.result.decisions else None
            if (
                decision.changes
                or last is None
                or last.bound is not decision.bound
                or last.cause is Cause.STEADY
            ):
                self.result.decisions.append((now, decision))

    def _create(self, count: int, now: float) -> None:
        which = np.flatnonzero(self.state == _NONE)[:count]
        self.state[which] = _BOOTING
        self.created[which] = now
        self.booting.append((now + self.boot, which))
        self.births.append((now, which.size))
        self._born += which.size
        self.coming += which.size
        self.result.created += count

    def _idle(self) -> Iterator[Idle]:
        for which in np.flatnonzero((self.state == _RUNNING) & (self.busy == 0)):
            yield Idle(
                str(which), float(self.idle_since[which]), float(self.created[which]), self.pool.capacity
            )

    def close(self) -> PoolResult:
        self.result.unplaced = self._waiting
        if self._price is not None:
            self.result.cost = self.result.server_seconds / HOUR * self._price
        return self.result


def _filled(busy: Counts, calls: int, capacity: int) -> Counts:
    """``busy`` with so many calls more, the least busy first, none above ``capacity``. There is room for
    them."""
    held = np.bincount(busy, minlength=capacity + 1)
    water = np.cumsum(np.cumsum(held[:-1]))  # calls that raise the least busy to levels 1, 2 ...
    level = int(np.searchsorted(water, calls, side="right"))
    filled = np.maximum(busy, level)
    rest = calls - (int(water[level - 1]) if level else 0)
    if rest:
        filled[(filled == level).nonzero()[0][:rest]] += 1
    return filled
