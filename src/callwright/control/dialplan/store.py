"""What the dial plan needs of a database."""

from __future__ import annotations

from typing import Protocol

from callwright.control.dialplan.model import Item

__all__ = ["DialplanStore"]


class DialplanStore(Protocol):
    async def items(self, kind: str | None = None) -> list[Item]:
        """By their ids; None: of every kind."""
        ...

    async def item(self, item_id: int) -> Item | None: ...
    async def has_extension(self, ext: str) -> bool:
        """Whether something is dialled by it: its key is `ext:` and that."""
        ...

    async def add_item(self, item: Item) -> Item:
        """With a new id. Raises Conflict when another has its key."""
        ...

    async def replace_item(self, item: Item) -> None:
        """Raises Conflict."""
        ...

    async def remove_item(self, item_id: int) -> bool: ...
