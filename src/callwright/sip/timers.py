"""Time in the endpoint: the base values of RFC 3261 17.1.1.1 and one agenda of things to do later."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timers:
    """The three base values, in seconds; all others follow from them (RFC 3261, table 4)."""

    t1: float = 0.5  # estimate of the round trip
    t2: float = 4.0  # longest interval between retransmissions of non-INVITE requests and 2xx
    t4: float = 5.0  # how long a message stays in the network

    @property
    def transaction_timeout(self) -> float:
        """Timers B, F, H, J, L, M, and the wait for the ACK of a 2xx: 64*T1."""
        return 64 * self.t1

    @property
    def d(self) -> float:
        """Timer D: at least 32 s on an unreliable transport, whatever T1 is."""
        return max(32.0, 64 * self.t1)


class Alarm:
    """A thing to do at `when`; `cancel()` makes it nothing."""

    __slots__ = ("action", "agenda", "when")

    def __init__(self, when: float, action: Callable[[float], object], agenda: Agenda) -> None:
        self.when = when
        self.action: Callable[[float], object] | None = action
        self.agenda = agenda

    def cancel(self) -> None:
        """Never ring. May be called at any time, any number of times."""
        if self.action is not None:
            self.action = None
            self.agenda.canceled += 1


class Agenda:
    """Alarms in order of time. Canceled ones are swept when they are the majority, so the size stays bounded
    by twice the alarms that are wanted."""

    __slots__ = ("_heap", "_serial", "canceled")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._serial = 0
        self.canceled = 0

    def __len__(self) -> int:
        return len(self._heap) - self.canceled

    def at(self, when: float, action: Callable[[float], object]) -> Alarm:
        """Call `action(now)` in the first `ring` at or after `when`."""
        alarm = Alarm(when, action, self)
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, alarm))
        if self.canceled > 64 and self.canceled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self.canceled = 0
        return alarm

    def next(self) -> float | None:
        """When the next alarm is due, or None."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
            self.canceled -= 1
        return heap[0][0] if heap else None

    def ring(self, now: float) -> None:
        """Do all that is due at `now`, in order of time. What an action schedules for `now` rings too."""
        while self._heap and self._heap[0][0] <= now:
            alarm = heapq.heappop(self._heap)[2]
            action = alarm.action
            if action is None:
                self.canceled -= 1
                continue
            alarm.action = None
            action(now)
