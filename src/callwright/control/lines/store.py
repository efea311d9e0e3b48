"""What lines need of a database."""

from __future__ import annotations

from typing import Protocol

from callwright.control.collections.model import Query, Rows
from callwright.control.lines.model import Line

__all__ = ["LineStore"]


class LineStore(Protocol):
    async def line(self, user_id: int) -> Line | None: ...
    async def lines_in_use(self) -> list[tuple[Line, str]]:
        """The active lines of living users, each with the name of its user, by extension."""
        ...

    async def put_line(self, line: Line) -> None:
        """Its user's only one. An extension that only a deleted user has is free. Raises Conflict."""
        ...

    async def drop_line(self, user_id: int) -> bool: ...
    async def people(self, query: Query, *, only: int | None = None) -> Rows:
        """Of PEOPLE: living users. ``only``: that user, and all who have a line."""
        ...
