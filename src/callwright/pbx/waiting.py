"""Callers that wait with music: in a queue for whoever is free, or parked until somebody fetches them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from callwright.pbx.booth import Booth
from callwright.pbx.menu import Elsewhere, Farewell, Quiet
from callwright.pbx.plan import ParkingSlot, Queue, RingGroup

__all__ = ["ParkingAct", "QueueAct"]

_LOOK_EVERY = 1.0  # seconds between two looks at who is free
_REST = 5.0  # after nobody that is free has answered


class QueueAct(Quiet):
    """`line` has all that wait in this queue, first come first; `free(users)` who of them can be rung now."""

    def __init__(
        self, queue: Queue, line: list[Booth], free: Callable[[Sequence[str]], tuple[str, ...]]
    ) -> None:
        self._queue, self._line, self._free = queue, line, free
        self._until = 0.0

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        if len(self._line) >= self._queue.most:
            self._give_up(booth, now)
            return
        self._line.append(booth)
        self._until = now + self._queue.longest
        booth.after(self._queue.longest, lambda at: self._give_up(booth, at), now)
        booth.play(*self._queue.music, repeat=True)
        self._look(booth, now)

    def unreached(self, booth: Booth, now: float) -> None:
        """See Act."""
        if now >= self._until:
            self._give_up(booth, now)
            return
        booth.play(*self._queue.music, repeat=True)
        booth.after(_REST, lambda at: self._look(booth, at), now)

    def left(self, booth: Booth, now: float) -> None:
        """See Act."""
        if booth in self._line:
            self._line.remove(booth)

    def _look(self, booth: Booth, now: float) -> None:
        if booth.over or booth.away or booth not in self._line:
            return
        queue = self._queue
        ready = self._free(queue.members)
        first = next((one for one in self._line if not one.away), booth)
        if ready and first is booth:
            group = RingGroup(queue.number, ready, queue.name, queue.hunt, queue.seconds)
            booth.send_on(group, now, meanwhile=queue.music)
        else:
            booth.after(_LOOK_EVERY, lambda at: self._look(booth, at), now)

    def _give_up(self, booth: Booth, now: float) -> None:
        if booth.over or booth.away:
            return
        if self._queue.otherwise:
            booth.become(Elsewhere(self._queue.otherwise), now)
        else:
            booth.become(Farewell("say:goodbye"), now)


class ParkingAct(Quiet):
    """`lot`: who waits at which number. `parker`: the number that is rung when nobody fetches the party."""

    def __init__(self, slot: ParkingSlot, lot: dict[str, Booth], parker: str, music: tuple[str, ...]) -> None:
        self._slot, self._lot, self._parker = slot, lot, parker
        self._music = music or ("music",)

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        self._lot[self._slot.number] = booth
        self._wait(booth, now)

    def unreached(self, booth: Booth, now: float) -> None:
        """See Act."""
        self._lot.setdefault(self._slot.number, booth)
        self._wait(booth, now)

    def left(self, booth: Booth, now: float) -> None:
        """See Act."""
        if self._lot.get(self._slot.number) is booth:
            del self._lot[self._slot.number]

    def _wait(self, booth: Booth, now: float) -> None:
        booth.play(*self._music, repeat=True)
        if self._parker:
            booth.after(self._slot.seconds, lambda at: self._recall(booth, at), now)

    def _recall(self, booth: Booth, now: float) -> None:
        if not booth.over and self._lot.get(self._slot.number) is booth:
            booth.send_on(self._parker, now, meanwhile=self._music)
