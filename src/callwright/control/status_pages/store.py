"""What status pages need of a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from callwright.control.status_pages.model import StatusPage

__all__ = ["StatusPageStore"]


class StatusPageStore(Protocol):
    async def pages(self, visible: Sequence[int] | None) -> list[StatusPage]:
        """Oldest first, without deleted ones. ``visible``: projects, None: all."""
        ...

    async def page(self, page_id: int) -> StatusPage | None: ...
    async def add_page(self, page: StatusPage) -> StatusPage: ...
    async def replace_page(self, page: StatusPage) -> StatusPage | None: ...
