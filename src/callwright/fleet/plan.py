"""The planner: from a pool, its servers and its work to the changes that are wanted, with their reasons.

`decide` looks at counts (`Tally`), so one decision costs the same for ten servers and for ten thousand; only
a pool that may shrink looks at its idle servers. It asks nobody and keeps nothing: the same input gives the
same decision, in the platform and in `callwright fleet simulate`.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from callwright.fleet.pool import Pool
from callwright.fleet.server import State

__all__ = [
    "Bound",
    "Cause",
    "Decision",
    "Errored",
    "Idle",
    "Peaks",
    "Seen",
    "Tally",
    "decide",
    "plan",
    "reap_delay",
    "retry_delay",
    "tally",
]

HOUR = 3600.0
_FIRST_RETRY, _LONGEST_RETRY = 5.0, 600.0
_FIRST_REAP, _LONGEST_REAP = 60.0, 3600.0

COMING = frozenset({State.PENDING, State.CREATING, State.CREATED, State.STAGING})
LEAVING = frozenset({State.SHUTDOWN, State.STOPPING})


class Cause(StrEnum):
    """What moved the planner."""

    STEADY = "steady"
    MINIMUM = "minimum"
    WAITING = "waiting"
    BUFFER = "buffer"
    IDLE = "idle"
    ABOVE_MAXIMUM = "above_maximum"
    REMOVED = "removed"


class Bound(StrEnum):
    """What kept the planner from doing all that is wanted."""

    PAUSED = "paused"
    MAXIMUM = "maximum"
    SPENDING = "spending"
    BACK_OFF = "back_off"
    OUT_OF_STOCK = "out_of_stock"


@dataclass(frozen=True, slots=True)
class Seen:
    """One server as the planner sees it; times in seconds of the clock that `now` is of.

    ``busy``: calls it has. ``idle_since``: when its last call ended, or it began to run; None while it is
    busy. ``attempts``: how often an errored one could not be destroyed. ``ours``: a provider made it; one
    that a person enrolled gives its places, and is neither counted nor ended.
    """

    name: str
    state: State
    capacity: int
    created: float
    busy: int = 0
    idle_since: float | None = None
    errored_at: float = 0.0
    attempts: int = 0
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Idle:
    name: str
    since: float
    created: float
    capacity: int


@dataclass(frozen=True, slots=True)
class Errored:
    name: str
    since: float
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """The servers of one pool, counted.

    ``waiting``: calls of work that found no place. ``places``: calls that running servers can have at once;
    ``busy``: those they have; ``coming_places``: those of servers on their way. ``coming`` holds servers from
    pending to staging, ``leaving`` those that drain or are destroyed. ``created_last_hour`` and
    ``hour_frees_at`` (when the oldest of them is an hour old) serve the bound on spending. ``failures``:
    failed creations since the last that worked. ``out_of_stock``: size -> until when. ``peak``: the most
    calls that the pool had or kept waiting within its idle time, until ``peak_falls_at``; a pool shrinks to
    its peak, since the idle time of single servers says little where the buffer's servers are idle by design.
    """

    running: int = 0
    coming: int = 0
    leaving: int = 0
    places: int = 0
    coming_places: int = 0
    busy: int = 0
    waiting: int = 0
    created_last_hour: int = 0
    hour_frees_at: float | None = None
    failures: int = 0
    last_failure_at: float = 0.0
    errored: Sequence[Errored] = ()
    out_of_stock: Mapping[str, float] = field(default_factory=dict)
    peak: int = 0
    peak_falls_at: float | None = None
    idle: Callable[[], Iterable[Idle]] = tuple

    @property
    def active(self) -> int:
        """Servers that work or will: what the minimum is compared with."""
        return self.running + self.coming

    @property
    def free(self) -> int:
        """Places for calls that are free now or will be when all that is coming runs."""
        return self.places + self.coming_places - self.busy


@dataclass(frozen=True, slots=True)
class Decision:
    """What is wanted of one pool now, and why. ``short``: servers that were wanted beyond ``create`` and that
    ``bound`` forbids. ``again_at``: when the same counts would give another decision; None: never."""

    pool: str
    cause: Cause
    create: int = 0
    size: str = ""
    retire: tuple[str, ...] = ()
    reap: tuple[str, ...] = ()
    bound: Bound | None = None
    short: int = 0
    waiting: int = 0
    free: int = 0
    coming: int = 0
    active: int = 0
    errored: int = 0
    buffer: int = 0
    minimum: int = 0
    maximum: int = 0
    again_at: float | None = None

    @property
    def changes(self) -> bool:
        return bool(self.create or self.retire or self.reap)


class Peaks:
    """The most calls that a pool had within its idle time: a window that slides.

    It is not kept over a restart: a new one has seen nothing, so its owner begins it with the calls that the
    running servers could have, and the pool shrinks after one idle time at the earliest.
    """

    __slots__ = ("_highest_first", "window")

    def __init__(self, window: float) -> None:
        self.window = window
        self._highest_first: deque[tuple[float, int]] = deque()  # falling calls, rising times

    def add(self, now: float, calls: int) -> None:
        while self._highest_first and self._highest_first[-1][1] <= calls:
            self._highest_first.pop()
        self._highest_first.append((now, calls))
        while self._highest_first[0][0] + self.window <= now and len(self._highest_first) > 1:
            self._highest_first.popleft()

    @property
    def highest(self) -> int:
        return self._highest_first[0][1] if self._highest_first else 0

    @property
    def falls_at(self) -> float | None:
        """When the highest leaves the window; None when it is what the pool has now."""
        return self._highest_first[0][0] + self.window if len(self._highest_first) > 1 else None


def retry_delay(failures: int) -> float:
    """Seconds until a pool creates again after so many failures in a row."""
    return min(_LONGEST_RETRY, _FIRST_RETRY * 2.0 ** min(failures - 1, 20)) if failures else 0.0


def reap_delay(attempts: int) -> float:
    """Seconds for which an errored server is left: it may be heard again, and its provider may be ill."""
    return min(_LONGEST_REAP, _FIRST_REAP * 2.0 ** min(attempts, 20))


def decide(pool: Pool, seen: Tally, now: float, *, paused: bool = False) -> Decision:
    """The changes that a pool wants now.

    Servers that drain still cost money, so they count for the maximum, and not for the minimum. Errored ones
    count for neither: they are replaced at once and destroyed later.
    """
    target = 0 if pool.removed else pool.maximum
    minimum = min(pool.minimum, target)
    cause, wanted = _wanted(pool, seen, minimum)
    create, size, bound, again = 0, "", None, _Earliest()
    if wanted > 0 and not pool.removed:
        create, size, bound = _bounded(pool, seen, wanted, target, now, paused, again)
    retire: tuple[str, ...] = ()
    if (wanted <= 0 or seen.active > target) and not paused:
        cause, retire = _surplus(pool, seen, minimum, target, now, again)
    reap: list[str] = []
    for one in seen.errored:
        due = one.since + reap_delay(one.attempts)
        if due > now:
            again.at(due)
        elif not paused:
            reap.append(one.name)
    return Decision(
        pool=pool.name,
        cause=cause,
        create=create,
        size=size,
        retire=retire,
        reap=tuple(reap),
        bound=bound,
        short=max(0, wanted - create) if bound is not None else 0,
        waiting=seen.waiting,
        free=seen.free,
        coming=seen.coming,
        active=seen.active,
        errored=len(seen.errored),
        buffer=pool.buffer,
        minimum=minimum,
        maximum=target,
        again_at=again.time,
    )


class _Earliest:
    """The earliest of several times."""

    def __init__(self) -> None:
        self.time: float | None = None

    def at(self, time: float) -> None:
        self.time = time if self.time is None else min(self.time, time)


def _wanted(pool: Pool, seen: Tally, minimum: int) -> tuple[Cause, int]:
    if pool.removed:
        return Cause.REMOVED, 0
    for_minimum = max(0, minimum - seen.active)
    missing = seen.waiting + pool.buffer - seen.free
    for_work = max(0, math.ceil(missing / pool.capacity))
    if for_work > for_minimum:
        return (Cause.WAITING if seen.waiting > seen.free else Cause.BUFFER), for_work
    return (Cause.MINIMUM, for_minimum) if for_minimum else (Cause.STEADY, 0)


def _bounded(
    pool: Pool, seen: Tally, wanted: int, maximum: int, now: float, paused: bool, again: _Earliest
) -> tuple[int, str, Bound | None]:
    """How many of the wanted servers may be made now, of which size, and what forbids the rest."""
    if paused:
        return 0, "", Bound.PAUSED
    retry_at = seen.last_failure_at + retry_delay(seen.failures)
    if seen.failures and now < retry_at:
        again.at(retry_at)
        return 0, "", Bound.BACK_OFF
    size = next((one for one in pool.sizes if seen.out_of_stock.get(one, 0.0) <= now), None)
    if size is None:
        again.at(min(seen.out_of_stock[one] for one in pool.sizes))
        return 0, "", Bound.OUT_OF_STOCK
    allowed, bound = wanted, None
    room = max(0, maximum - seen.active - seen.leaving)
    if room < allowed:
        allowed, bound = room, Bound.MAXIMUM
    if pool.max_created_per_hour is not None:
        money = max(0, pool.max_created_per_hour - seen.created_last_hour)
        if money < allowed:
            allowed, bound = money, Bound.SPENDING
            if seen.hour_frees_at is not None:
                again.at(seen.hour_frees_at)
    if seen.failures and allowed > max(0, 1 - seen.coming):
        allowed, bound = max(0, 1 - seen.coming), Bound.BACK_OFF  # one tries whether the provider works again
    return allowed, size, bound


def _surplus(
    pool: Pool, seen: Tally, minimum: int, maximum: int, now: float, again: _Earliest
) -> tuple[Cause, tuple[str, ...]]:
    """Which idle servers end: the one that was idle longest first, never one with a call."""
    above = seen.active - maximum
    used = max(seen.busy + seen.waiting, seen.peak)
    spare_places = seen.places + seen.coming_places - used - pool.buffer
    removable = seen.active - minimum
    if used > seen.busy + seen.waiting and seen.peak_falls_at is not None and removable > 0:
        again.at(seen.peak_falls_at)
    if pool.removed:
        spare_places = seen.places + seen.coming_places
    if removable <= 0 or (above <= 0 and spare_places < pool.capacity):
        return (Cause.REMOVED if pool.removed else Cause.STEADY), ()
    most = max(above, min(removable, spare_places))
    retired: list[str] = []
    cause = Cause.REMOVED if pool.removed else Cause.ABOVE_MAXIMUM if above > 0 else Cause.IDLE
    for one in heapq.nsmallest(most, seen.idle(), key=lambda idle: (idle.since, idle.created, idle.name)):
        if len(retired) >= removable:
            break
        if len(retired) >= above and spare_places < one.capacity:
            break
        due = one.created + pool.min_age_seconds
        if len(retired) >= above:
            due = max(due, one.since + pool.idle_seconds)
        if due > now and not pool.removed:
            again.at(due)
            continue
        retired.append(one.name)
        spare_places -= one.capacity
    if not retired and not pool.removed:
        cause = Cause.STEADY
    return cause, tuple(retired)


def tally(
    servers: Iterable[Seen],
    now: float,
    *,
    waiting: int = 0,
    failures: int = 0,
    last_failure_at: float = 0.0,
    out_of_stock: Mapping[str, float] | None = None,
    created: Iterable[float] | None = None,
    peaks: Peaks | None = None,
) -> Tally:
    """The servers of one pool, counted in one pass. ``created``: when each server of the last hour was made,
    those that are gone included; without it the servers given are looked at. ``peaks`` is brought up to now.
    """
    running = coming = leaving = places = coming_places = busy = 0
    idle: list[Idle] = []
    errored: list[Errored] = []
    births: list[float] = []
    for one in servers:
        if not one.ours:
            if one.state is State.RUNNING:
                places += one.capacity
                busy += one.busy
            continue
        births.append(one.created)
        if one.state is State.RUNNING:
            running += 1
            places += one.capacity
            busy += one.busy
            if not one.busy and one.idle_since is not None:
                idle.append(Idle(one.name, one.idle_since, one.created, one.capacity))
        elif one.state in COMING:
            coming += 1
            coming_places += one.capacity
        elif one.state in LEAVING:
            leaving += 1
        elif one.state is State.ERROR:
            errored.append(Errored(one.name, one.errored_at, one.attempts))
    if peaks is not None:
        peaks.add(now, busy + waiting)
    recent = [at for at in (births if created is None else created) if now - HOUR < at <= now]
    return Tally(
        running=running,
        coming=coming,
        leaving=leaving,
        places=places,
        coming_places=coming_places,
        busy=busy,
        waiting=waiting,
        created_last_hour=len(recent),
        hour_frees_at=min(recent) + HOUR if recent else None,
        failures=failures,
        last_failure_at=last_failure_at,
        errored=errored,
        out_of_stock=out_of_stock or {},
        peak=peaks.highest if peaks is not None else 0,
        peak_falls_at=peaks.falls_at if peaks is not None else None,
        idle=lambda: idle,
    )


def plan(
    pools: Iterable[Pool], tallies: Mapping[str, Tally], now: float, *, paused: bool = False
) -> list[Decision]:
    """One decision for each pool, in their order."""
    return [decide(pool, tallies.get(pool.name, Tally()), now, paused=paused) for pool in pools]
