"""What contacts need of a database."""

from __future__ import annotations

from typing import Protocol

from callwright.control.collections.model import Query, Rows
from callwright.control.contacts.model import Contact

__all__ = ["ContactStore"]


class ContactStore(Protocol):
    async def contacts(self, query: Query, *, only: int | None = None) -> Rows:
        """Of CONTACTS. ``only``: those of that user, and those that all share."""
        ...

    async def contact(self, contact_id: int) -> Contact | None: ...
    async def count_contacts(self, user_id: int) -> int: ...
    async def add_contact(self, contact: Contact) -> Contact:
        """With a new id."""
        ...

    async def replace_contact(self, contact: Contact) -> None: ...
    async def remove_contact(self, contact_id: int) -> bool: ...
