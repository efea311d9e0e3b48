"""What call detail records need of a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from callwright.control.cdrs.model import Cdr
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
