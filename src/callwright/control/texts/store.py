"""What texts need of a database."""

from __future__ import annotations

from typing import Protocol

from callwright.control.collections.model import Query, Rows
from callwright.control.texts.model import Text

__all__ = ["TextStore"]


class TextStore(Protocol):
    async def texts(self, query: Query, *, only: int | None = None) -> Rows:
        """Of SMS. ``only``: those that this user has sent."""
        ...

    async def text(self, text_id: int) -> Text | None: ...
    async def add_text(self, text: Text) -> Text:
        """With a new id."""
        ...

    async def remove_text(self, text_id: int) -> bool: ...
