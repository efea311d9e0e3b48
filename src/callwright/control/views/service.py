"""Lists that users keep for themselves."""

from __future__ import annotations

from callwright.control.accounts.model import Identity
from callwright.control.errors import Conflict, Invalid, NotFound
from callwright.control.views.model import View
from callwright.control.views.store import ViewStore

__all__ = ["Views"]

_MOST = 30  # of one user on one page
_LONGEST_NAME, _LONGEST_QUERY = 60, 8_000


class Views:
    """Everybody has their own."""

    def __init__(self, store: ViewStore) -> None:
        self._store = store

    async def list(self, identity: Identity, page: str) -> list[View]:
        return await self._store.views(identity.user_id, page)

    async def save(self, identity: Identity, page: str, name: str, query: str) -> None:
        """One of the same name is replaced. Raises Invalid, Conflict."""
        name = " ".join(name.split())
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise Invalid(f"A view has a name of 1 to {_LONGEST_NAME} characters.", field="name")
        if len(query) > _LONGEST_QUERY:
            raise Invalid("The filter is too long to be kept as a view.", "Shorten its lists of values.")
        kept = await self._store.views(identity.user_id, page)
        if len(kept) >= _MOST and all(one.name != name for one in kept):
            raise Conflict(f"You have {_MOST} views already.", "Delete one of them first.")
        await self._store.put_view(View(0, identity.user_id, page, name, query))

    async def delete(self, identity: Identity, view_id: int) -> None:
        """Raises NotFound."""
        if not await self._store.drop_view(identity.user_id, view_id):
            raise NotFound("view", view_id)
