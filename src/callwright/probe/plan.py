"""When each monitor is to be measured: the plan that an agent holds, whatever its clock or the platform does.

A slot is one measurement of one monitor: `n * interval + int(phase)` in unix seconds, its start
`n * interval + phase`. Each slot is decided once, as begun or as missed, and never again: a calendar that is
set back finds the slots of that hour decided. The machine takes monotonic `now` and adds `offset`, so
daylight saving is nothing to it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MOST_MISSED = 1000
"""Slots of one monitor that are told as missed after a long absence: the newest."""
_LATEST = 10.0
"""Seconds that a slot may begin late, in any interval; half of the interval at most."""
CUT_OFF = "cut off"
"""Why a slot was missed by the dead-man's switch."""
_ROUNDED = 1e-6
"""Seconds: unix seconds as floats are no finer, and a wake is not to come just before its slot."""
_ORDERED = 60.0
"""Seconds from now in which the slot of an order lies."""
_OVERLAP = "the slot before was still running"
_ABSENT = "this agent was asleep or too busy"
AWAY = "this agent was not running"


@dataclass(frozen=True, slots=True)
class Planned:
    """A monitor as the plan sees it. `guarded`: it places calls or registers, so the dead-man's switch holds
    it. `interval` in seconds, `phase` seconds within it."""

    monitor_id: int
    interval: int
    phase: float
    guarded: bool = False

    def slot(self, number: int) -> int:
        return number * self.interval + int(self.phase)

    def start(self, number: int) -> float:
        return number * self.interval + self.phase

    def number_from(self, unix: float) -> int:
        """Of the first slot that starts at `unix` or later."""
        return -int(-(unix - self.phase) // self.interval)

    def number_after(self, slot: int) -> int:
        """Of the first slot whose identity is above `slot`."""
        return (slot - int(self.phase)) // self.interval + 1

    @property
    def patience(self) -> float:
        return min(_LATEST, self.interval / 2)


@dataclass(frozen=True, slots=True)
class Begin:
    """Measure this slot now."""

    monitor_id: int
    slot: int


@dataclass(frozen=True, slots=True)
class Missed:
    monitor_id: int
    slot: int
    reason: str


@dataclass(slots=True)
class _Held:
    planned: Planned
    number: int  # of the next slot
    generation: int
    away_until: float  # unix seconds before which nobody was here to begin it


class ProbePlan:
    """`offset`: unix seconds less `now`. `decided`: by monitor, the newest slot that an earlier process of
    this agent decided; later ones until `now` were missed while it was away."""

    def __init__(self, offset: float, decided: Mapping[int, int] | None = None) -> None:
        self.offset = offset
        self.withheld = ""  # why nothing at all is begun
        self.cut_off = False  # the dead-man's switch holds calls and registrations
        self._decided = dict(decided or {})
        self._away = set(self._decided)
        self._held: dict[int, _Held] = {}
        self._queue: list[tuple[float, int, int]] = []  # unix seconds, monitor, generation
        self._running: dict[int, set[int]] = {}
        self._generation = 0
        self._events: list[Begin | Missed] = []

    # -- what is planned

    def hold(self, planned: Iterable[Planned], now: float) -> None:
        """This plan from now on. Monitors that are new begin with their next slot; those that go, and slots
        of the past, are not told of."""
        unix, wanted = now + self.offset, {one.monitor_id: one for one in planned}
        for monitor_id in self._held.keys() - wanted.keys():
            del self._held[monitor_id]
        for monitor_id, one in wanted.items():
            held = self._held.get(monitor_id)
            if held is None or held.planned != one:
                self._take(one, unix)

    def _take(self, one: Planned, unix: float) -> None:
        number = one.number_from(unix)
        decided = self._decided.get(one.monitor_id)
        if decided is not None:
            after = one.number_after(decided)
            number = after if one.monitor_id in self._away else max(number, after)
        self._away.discard(one.monitor_id)
        self._generation += 1
        self._held[one.monitor_id] = _Held(one, number, self._generation, unix)
        heapq.heappush(self._queue, (one.start(number), one.monitor_id, self._generation))

    def order(self, monitor_id: int, slot: int, now: float) -> None:
        """One slot beside the plan, at once. It is missed when the monitor is not held here, and nothing when
        it was decided already, or is not of this minute."""
        held = self._held.get(monitor_id)
        if held is None:
            self._events.append(Missed(monitor_id, slot, "this agent does not hold the monitor"))
        elif abs(slot - now - self.offset) > _ORDERED:
            return
        elif slot > self._decided.get(monitor_id, -1) and not self._is_planned(held, slot):
            self._decide(held, slot)

    def _is_planned(self, held: _Held, slot: int) -> bool:
        """Whether the slot is one that its own time will bring."""
        return held.planned.slot(held.planned.number_after(slot - 1)) == slot

    # -- the verbs

    def wake(self, now: float) -> None:
        unix = now + self.offset + _ROUNDED
        while self._queue and self._queue[0][0] <= unix:
            _, monitor_id, generation = heapq.heappop(self._queue)
            held = self._held.get(monitor_id)
            if held is not None and held.generation == generation:
                self._pass(held, unix)

    def next_wake(self) -> float | None:
        """Monotonic; None: nothing is planned."""
        while self._queue:
            start, monitor_id, generation = self._queue[0]
            held = self._held.get(monitor_id)
            if held is not None and held.generation == generation:
                return start - self.offset
            heapq.heappop(self._queue)
        return None

    def events(self) -> list[Begin | Missed]:
        """Takes what was decided, in order."""
        events, self._events = self._events, []
        return events

    def finished(self, monitor_id: int, slot: int) -> None:
        """The measurement of a slot that was begun is over."""
        running = self._running.get(monitor_id, set())
        running.discard(slot)
        if not running:
            self._running.pop(monitor_id, None)

    @property
    def held(self) -> int:
        """Monitors."""
        return len(self._held)

    # -- decisions

    def _pass(self, held: _Held, unix: float) -> None:
        """Every slot that has come is decided; only the newest may still be begun."""
        one = held.planned
        beyond = one.number_from(unix)
        if one.start(beyond) <= unix:
            beyond += 1
        for number in range(max(held.number, beyond - MOST_MISSED), beyond):
            late = number < beyond - 1 or unix - one.start(number) > one.patience
            why = AWAY if one.start(number) < held.away_until else _ABSENT
            self._decide(held, one.slot(number), why if late else "")
        held.number = max(held.number, beyond)
        heapq.heappush(self._queue, (one.start(held.number), one.monitor_id, held.generation))

    def _decide(self, held: _Held, slot: int, late: str = "") -> None:
        """`late`: why it cannot be begun in time any more."""
        one = held.planned
        if slot <= self._decided.get(one.monitor_id, -1):
            return
        self._decided[one.monitor_id] = slot
        reason = self._why_not(one, late)
        if reason:
            self._events.append(Missed(one.monitor_id, slot, reason))
            return
        self._running.setdefault(one.monitor_id, set()).add(slot)
        self._events.append(Begin(one.monitor_id, slot))

    def _why_not(self, one: Planned, late: str) -> str:
        if late or self.withheld:
            return late or self.withheld
        if self.cut_off and one.guarded:
            return CUT_OFF
        return _OVERLAP if self._running.get(one.monitor_id) else ""
