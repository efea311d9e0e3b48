"""Texts that were sent, in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Table, delete, literal_column, select

from callwright.control.accounts.model import TELEPHONY_IDS
from callwright.control.collections.model import Query, Rows
from callwright.control.storage.sql.collections import Binding, rows_of
from callwright.control.storage.sql.columns import id_column, metadata, ordered_text, reference, time_column
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, filling, inserting, values_of
from callwright.control.texts.model import SMS, Text

__all__ = ["SqlTexts"]

texts = Table(
    "texts",
    metadata,
    id_column(),
    reference("user_id", "users.id", cascade=True),
    *(
        Column(name, ordered_text, nullable=False)
        for name in ("sender", "receiver", "text", "status", "info")
    ),
    time_column("created_at"),
)
Index("ix_texts_user_id", texts.c.user_id, texts.c.id)

_filled = filling(Text, created_at=float)
_TEXT = columns(texts, Text)
_NEW = tuple(name for name in Text.__struct_fields__ if name != "id")
_ONE = Statement(select(*_TEXT).where(texts.c.id == param("id")))
_ADD = Statement(inserting(texts, _NEW).returning(*_TEXT))
_REMOVE = Statement(delete(texts).where(texts.c.id == param("id")))
_PLACES: dict[str, Any] = {
    "user_id": texts.c.user_id + literal_column(str(TELEPHONY_IDS)),
    "from": texts.c.sender,
    "to": texts.c.receiver,
}
_COLUMNS = {
    one.name: _PLACES[one.name] if one.name in _PLACES else texts.c[one.name] for one in SMS.properties
}
_ALL = Binding(SMS, texts, _COLUMNS)
_OWN = Binding(SMS, texts, _COLUMNS, scope=(texts.c.user_id == param("only"),))


class SqlTexts:
    """TextStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def texts(self, query: Query, *, only: int | None = None) -> Rows:
        if only is None:
            return await rows_of(self._db, _ALL, query)
        return await rows_of(self._db, _OWN, query, {"only": only})

    async def text(self, text_id: int) -> Text | None:
        return await self._db.one(_filled, _ONE, {"id": text_id})

    async def add_text(self, text: Text) -> Text:
        (added,) = await self._db.changed(_filled, _ADD, values_of(text, without=("id",)))
        return added

    async def remove_text(self, text_id: int) -> bool:
        return await self._db.run(_REMOVE, {"id": text_id}) > 0
