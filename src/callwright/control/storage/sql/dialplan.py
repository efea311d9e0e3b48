"""The dial plan in SQL. Few rows, which the PBX holds whole: their settings are one JSON text."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Table, Text, delete, select, update

from callwright.control.dialplan.model import Item
from callwright.control.storage.sql.columns import id_column, metadata, text_column, time_column
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, filling, inserting, values_of

__all__ = ["SqlDialplan"]

dialplan = Table(
    "dialplan",
    metadata,
    id_column(),
    Column("kind", Text(), nullable=False),
    Column("key", Text(), nullable=False, unique=True),
    Column("settings", Text(), nullable=False),
    text_column("sealed", nullable=True),
    time_column("created_at"),
    time_column("updated_at"),
)
Index("ix_dialplan_kind", dialplan.c.kind, dialplan.c.id)

_ITEM = columns(dialplan, Item)
_filled = filling(Item, settings=dict[str, Any], created_at=float, updated_at=float)
_NEW = tuple(name for name in Item.__struct_fields__ if name != "id")
_ALL = Statement(select(*_ITEM).order_by(dialplan.c.id))
_OF_KIND = Statement(select(*_ITEM).where(dialplan.c.kind == param("kind")).order_by(dialplan.c.id))
_ONE = Statement(select(*_ITEM).where(dialplan.c.id == param("id")))
_KEY = Statement(select(dialplan.c.id).where(dialplan.c.key == param("key")))
_ADD = Statement(inserting(dialplan, _NEW).returning(*_ITEM))
_REPLACE = Statement(
    update(dialplan)
    .where(dialplan.c.id == param("id"))
    .values({name: param(name) for name in ("key", "settings", "sealed", "updated_at")})
)
_REMOVE = Statement(delete(dialplan).where(dialplan.c.id == param("id")))


class SqlDialplan:
    """DialplanStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def items(self, kind: str | None = None) -> list[Item]:
        if kind is None:
            return await self._db.all(_filled, _ALL)
        return await self._db.all(_filled, _OF_KIND, {"kind": kind})

    async def item(self, item_id: int) -> Item | None:
        return await self._db.one(_filled, _ONE, {"id": item_id})

    async def has_extension(self, ext: str) -> bool:
        return await self._db.value(_KEY, {"key": f"ext:{ext}"}) is not None

    async def add_item(self, item: Item) -> Item:
        (added,) = await self._db.changed(_filled, _ADD, values_of(item, without=("id",)))
        return added

    async def replace_item(self, item: Item) -> None:
        await self._db.run(_REPLACE, values_of(item, without=("kind", "created_at")))

    async def remove_item(self, item_id: int) -> bool:
        return await self._db.run(_REMOVE, {"id": item_id}) > 0
