"""Counts of all runs there ever were, cheap enough to be asked every second.

A run that has ended never changes again. So what is below the oldest that could still change is counted once
and kept, and a look costs as much as the runs since then. Every worker counts the same database, so all
agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Self

import msgspec

__all__ = [
    "ENDLESS",
    "FIRST_BOUNDS",
    "LASTS_BOUNDS",
    "EndedRuns",
    "LivePhase",
    "RunFigures",
    "RunFiguresStore",
]

#: Upper bounds of the histograms, in seconds.
LASTS_BOUNDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
FIRST_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

ENDLESS = 2**53
_SETTLES = 60.0  # seconds after which no transaction can bring a run with an older id
_PIECE = 50_000  # ids that are counted at once, so that nobody waits long for the database
_PIECES = 20  # at one look


class LivePhase(msgspec.Struct, frozen=True):
    """Runs that have not ended. ``oldest``: its ``created_at``, unix seconds; ``first``: the lowest id."""

    phase: str
    count: int
    oldest: float
    first: int


class EndedRuns(msgspec.Struct, frozen=True):
    """Runs that ended alike. ``lasts``: from an agent's claim to the end; ``first``: from the order to the
    moment an INVITE may have left. Each is (sum in seconds, count, count up to each bound…)."""

    phase: str
    blame: str
    count: int
    lasts: tuple[float, ...]
    first: tuple[float, ...]

    @classmethod
    def of(cls, phase: str, blame: str | None, count: int, *numbers: Any) -> Self:
        """From the columns of a row."""
        values, cut = [float(number) for number in numbers], 2 + len(LASTS_BOUNDS)
        return cls(phase, blame or "", int(count), tuple(values[:cut]), tuple(values[cut:]))

    def plus(self, other: EndedRuns) -> EndedRuns:
        return msgspec.structs.replace(
            self,
            count=self.count + other.count,
            lasts=tuple(map(sum, zip(self.lasts, other.lasts, strict=True))),
            first=tuple(map(sum, zip(self.first, other.first, strict=True))),
        )


class RunFiguresStore(Protocol):
    async def live_figures(self) -> list[LivePhase]: ...
    async def ended_figures(self, after: int, upto: int) -> list[EndedRuns]:
        """Of the runs with after < id <= upto."""
        ...

    async def newest_ids(self, since: float) -> tuple[int | None, int]:
        """(the first run made at ``since`` or later, the highest id of all, 0 without any)."""
        ...


class RunFigures:
    def __init__(self, store: RunFiguresStore) -> None:
        self._store = store
        self._upto = 0
        self._kept: dict[tuple[str, str], EndedRuns] = {}

    async def look(self, wall: float) -> tuple[list[LivePhase], Sequence[EndedRuns] | None]:
        """What goes on, and all that has ended: None while a large database is counted for the first time."""
        live = await self._store.live_figures()
        recent, highest = await self._store.newest_ids(wall - _SETTLES)
        open_ids = [phase.first for phase in live] + ([recent] if recent is not None else [])
        floor = min(open_ids) - 1 if open_ids else highest
        for _ in range(_PIECES):
            if self._upto >= floor:
                break
            upto = min(floor, self._upto + _PIECE)
            found = await self._store.ended_figures(self._upto, upto)
            self._kept, self._upto = _merged(self._kept.values(), found), upto
        if self._upto < floor:
            return live, None
        tail = await self._store.ended_figures(self._upto, ENDLESS)
        return live, list(_merged(self._kept.values(), tail).values())


def _merged(*groups: Iterable[EndedRuns]) -> dict[tuple[str, str], EndedRuns]:
    merged: dict[tuple[str, str], EndedRuns] = {}
    for group in groups:
        for row in group:
            key = row.phase, row.blame
            merged[key] = merged[key].plus(row) if key in merged else row
    return merged
