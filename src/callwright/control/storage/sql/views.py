"""Saved lists of users in SQL."""

from __future__ import annotations

from sqlalchemy import Column, Table, Text, UniqueConstraint, delete, select

from callwright.control.storage.sql.columns import id_column, metadata, reference
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, upsert, values_of
from callwright.control.views.model import View

__all__ = ["SqlViews"]

views = Table(
    "views",
    metadata,
    id_column(),
    reference("user_id", "users.id", cascade=True),
    Column("page", Text(), nullable=False),
    Column("name", Text(), nullable=False),
    Column("query", Text(), nullable=False),
    UniqueConstraint("user_id", "page", "name"),
)

_LIST = Statement(
    select(*columns(views, View))
    .where(views.c.user_id == param("user_id"), views.c.page == param("page"))
    .order_by(views.c.id)
)
_PUT = upsert(views, ("user_id", "page", "name"), ("user_id", "page", "name", "query"))
_DROP = Statement(delete(views).where(views.c.user_id == param("user_id"), views.c.id == param("id")))


class SqlViews:
    """ViewStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def views(self, user_id: int, page: str) -> list[View]:
        return await self._db.all(View, _LIST, {"user_id": user_id, "page": page})

    async def put_view(self, view: View) -> None:
        await self._db.run(_PUT, values_of(view, without=("id",)))

    async def drop_view(self, user_id: int, view_id: int) -> bool:
        return await self._db.run(_DROP, {"user_id": user_id, "id": view_id}) > 0
