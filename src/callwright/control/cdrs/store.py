"""What call detail records need of a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from callwright.control.cdrs.model import Cdr, CdrNote
from callwright.control.cdrs.rates import Rate
from callwright.control.collections.model import Condition, Query, Rows

__all__ = ["CdrStore"]


class CdrStore(Protocol):
    async def keep(
        self, ended: Sequence[Cdr], open_calls: Mapping[str, str], over: Sequence[str], now: float
    ) -> None:
        """In one transaction: records of calls that ended, each leg once, and what is known of calls that
        have not, by call; those that are ``over`` are open no longer."""
        ...

    async def note_alive(self, now: float) -> None:
        """The open calls were up at that time."""
        ...

    async def open_calls(self) -> list[tuple[str, float]]:
        """What is known of each call, and when it was last known to be up."""
        ...

    async def cdrs(self, query: Query, *, only: int | None = None) -> Rows:
        """Of CDRS. ``only``: those of the user with that id of the chapter."""
        ...

    async def days(self, where: Condition, by: str, *, only: int | None = None) -> list[tuple[int, Any, int]]:
        """(day, value of the property ``by``, records) of what matches; days count from 1970 in UTC.
        ``only``: as of `cdrs`."""
        ...

    async def change_cdr(self, cdr_id: int, changes: Mapping[str, object]) -> bool:
        """``changes``: labels, metadata."""
        ...

    async def delete_cdr(self, cdr_id: int) -> bool: ...
    async def drop_cdrs_before(self, calldate: float, most: int) -> int:
        """The oldest first, with their notes; how many there were."""
        ...

    async def cdrs_after(
        self, where: Condition, after: int, limit: int, *, only: int | None = None
    ) -> list[dict[str, object]]:
        """The next rows of CDRS by their ids. ``only``: as of `cdrs`."""
        ...

    async def add_cdrs(self, records: Sequence[Cdr]) -> int:
        """How many of them were not there before."""
        ...

    async def cdr_notes(self, cdr_id: int) -> list[CdrNote]: ...
    async def add_cdr_note(self, note: CdrNote) -> CdrNote:
        """And one more in `nb_notes`."""
        ...

    async def delete_cdr_note(self, cdr_id: int, note_id: int) -> bool: ...
    async def rates(self) -> list[Rate]: ...
    async def rates_loaded_at(self) -> float | None:
        """When the table was replaced; None: it is empty."""
        ...

    async def replace_rates(self, rates: Sequence[Rate], now: float) -> None: ...
