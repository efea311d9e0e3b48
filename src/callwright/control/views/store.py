"""What saved lists need of a database."""

from __future__ import annotations

from typing import Protocol

from callwright.control.views.model import View

__all__ = ["ViewStore"]


class ViewStore(Protocol):
    async def views(self, user_id: int, page: str) -> list[View]:
        """In the order in which they were made."""
        ...

    async def put_view(self, view: View) -> None:
        """``view.id`` is ignored. One of the same name is replaced."""
        ...

    async def drop_view(self, user_id: int, view_id: int) -> bool: ...
