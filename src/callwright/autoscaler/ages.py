"""How long servers have been as they are, by the clock of intervals.

The times in the records are of calendars, which jump. What counts is how long this process has seen a server
in its state, so a platform that starts gives everybody their whole time again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from callwright.autoscaler.room import Scene
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import State

__all__ = ["Ages"]

_Entry = tuple[State, float, int]


class Ages:
    """``deaf_after``: seconds between two looks after which nobody was listened to in between."""

    def __init__(self, deaf_after: float = 10.0) -> None:
        self._deaf_after = deaf_after
        self._entered: dict[str, tuple[_Entry, float]] = {}
        self._marks: dict[str, tuple[float | None, float, bool]] = {}
        self._looked_at: float | None = None

    def look(self, scene: Scene, now: float) -> None:
        deaf = not scene.listening or (
            self._looked_at is not None and now - self._looked_at > self._deaf_after
        )
        self._looked_at = now
        for server in scene.servers:
            entry = (server.state, server.since, server.attempts)
            known = self._entered.get(server.name)
            if known is None or known[0] != entry:
                self._entered[server.name] = entry, now
            work = scene.work.get(server.name)
            mark = work.mark if work is not None else None
            last = self._marks.get(server.name)
            if last is None:
                self._marks[server.name] = mark, now, False
            elif last[0] != mark:
                self._marks[server.name] = mark, now, True
            elif deaf:
                self._marks[server.name] = mark, now, False
        names = {server.name for server in scene.servers}
        _keep(self._entered, names)
        _keep(self._marks, names)

    def of(self, server: ServerRecord, now: float) -> float:
        """Seconds that it has been seen in its state."""
        return now - self._began(server, now)

    def silent(self, server: ServerRecord, now: float) -> float:
        """Seconds without a sign of life while there was somebody to hear it."""
        known = self._marks.get(server.name)
        return now - known[1] if known is not None else 0.0

    def heard(self, server: ServerRecord, now: float) -> bool:
        """Whether it gave a sign of life since it was seen to enter its state."""
        known = self._marks.get(server.name)
        return known is not None and known[2] and known[1] >= self._began(server, now)

    def _began(self, server: ServerRecord, now: float) -> float:
        known = self._entered.get(server.name)
        if known is None or known[0] != (server.state, server.since, server.attempts):
            return now
        return known[1]


def _keep(kept: dict[str, Any], names: Iterable[str]) -> None:
    for gone in kept.keys() - names:
        del kept[gone]
