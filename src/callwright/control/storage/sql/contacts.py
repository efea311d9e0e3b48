"""Contacts in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Table, delete, func, literal_column, or_, select, update

from callwright.control.accounts.model import TELEPHONY_IDS
from callwright.control.collections.model import Query, Rows
from callwright.control.contacts.model import CONTACTS, TEXTS, Contact
from callwright.control.storage.sql.collections import Binding, rows_of
from callwright.control.storage.sql.columns import (
    Number,
    id_column,
    metadata,
    ordered_text,
    reference,
    time_column,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, filling, inserting, values_of

__all__ = ["SqlContacts"]

contacts = Table(
    "contacts",
    metadata,
    id_column(),
    reference("user_id", "users.id", cascade=True),
    Column("shared", Number, nullable=False),
    *(Column(name, ordered_text, nullable=False) for name in TEXTS),
    time_column("created_at"),
    time_column("updated_at"),
)
Index("ix_contacts_user_id", contacts.c.user_id, contacts.c.id)

_filled = filling(Contact, created_at=float, updated_at=float)
_CONTACT = columns(contacts, Contact)
_NEW = tuple(name for name in Contact.__struct_fields__ if name != "id")
_ONE = Statement(select(*_CONTACT).where(contacts.c.id == param("id")))
_COUNT = Statement(select(func.count()).select_from(contacts).where(contacts.c.user_id == param("user_id")))
_ADD = Statement(inserting(contacts, _NEW).returning(*_CONTACT))
_REPLACE = Statement(
    update(contacts)
    .where(contacts.c.id == param("id"))
    .values({name: param(name) for name in ("shared", *TEXTS, "updated_at")})
)
_REMOVE = Statement(delete(contacts).where(contacts.c.id == param("id")))

_PLACES: dict[str, Any] = {
    "user_id": contacts.c.user_id + literal_column(str(TELEPHONY_IDS)),
    "global": contacts.c.shared,
}
_COLUMNS = {
    one.name: _PLACES[one.name] if one.name in _PLACES else contacts.c[one.name]
    for one in CONTACTS.properties
}
_DECODE = {"global": bool}
_ALL = Binding(CONTACTS, contacts, _COLUMNS, decode=_DECODE)
_SEEN = Binding(
    CONTACTS,
    contacts,
    _COLUMNS,
    scope=(or_(contacts.c.user_id == param("only"), contacts.c.shared == 1),),
    decode=_DECODE,
)


class SqlContacts:
    """ContactStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def contacts(self, query: Query, *, only: int | None = None) -> Rows:
        if only is None:
            return await rows_of(self._db, _ALL, query)
        return await rows_of(self._db, _SEEN, query, {"only": only})

    async def contact(self, contact_id: int) -> Contact | None:
        return await self._db.one(_filled, _ONE, {"id": contact_id})

    async def count_contacts(self, user_id: int) -> int:
        return int(await self._db.value(_COUNT, {"user_id": user_id}))

    async def add_contact(self, contact: Contact) -> Contact:
        (added,) = await self._db.changed(_filled, _ADD, values_of(contact, without=("id",)))
        return added

    async def replace_contact(self, contact: Contact) -> None:
        await self._db.run(_REPLACE, values_of(contact, without=("user_id", "created_at")))

    async def remove_contact(self, contact_id: int) -> bool:
        return await self._db.run(_REMOVE, {"id": contact_id}) > 0
