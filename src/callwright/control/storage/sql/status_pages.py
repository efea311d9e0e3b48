"""Status pages, and the endpoints that each of them shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Column, Index, Table, select, update

from callwright.control.status_pages.model import StatusPage
from callwright.control.storage.sql.columns import (
    Number,
    id_column,
    metadata,
    reference,
    text_column,
    time_column,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, in_projects, inserting, project_values, values_of

__all__ = ["SqlStatusPages"]

status_pages = Table(
    "status_pages",
    metadata,
    id_column(),
    reference("project_id", "projects.id"),
    text_column("name"),
    text_column("endpoint_ids", default="[]"),
    Column("addresses", Number, nullable=False),
    Column("serial", Number, nullable=False),
    text_column("created_by"),
    time_column("created_at"),
    time_column("deleted_at", nullable=True),
)
Index("ix_status_pages_project_id", status_pages.c.project_id)

_PAGE = columns(status_pages, StatusPage)
_LIVING = select(*_PAGE).where(status_pages.c.deleted_at.is_(None)).order_by(status_pages.c.id)
_ALL = Statement(_LIVING)
_BY_ID = Statement(select(*_PAGE).where(status_pages.c.id == param("id")))
_ADD = Statement(
    inserting(status_pages, [name for name in StatusPage.__struct_fields__ if name != "id"]).returning(*_PAGE)
)
_REPLACE = Statement(
    update(status_pages)
    .where(status_pages.c.id == param("id"))
    .values({name: param(name) for name in ("name", "endpoint_ids", "addresses", "serial", "deleted_at")})
    .returning(*_PAGE)
)


@lru_cache(maxsize=8)
def _in(count: int) -> Statement:
    return Statement(_LIVING.where(in_projects(status_pages.c.project_id, count)))


def _page(*values: Any) -> StatusPage:
    row: dict[str, Any] = dict(zip(StatusPage.__struct_fields__, values, strict=True))
    row["endpoint_ids"] = msgspec.json.decode(row["endpoint_ids"], type=tuple[int, ...])
    row["addresses"] = bool(row["addresses"])
    return StatusPage(**row)


def _values(page: StatusPage) -> dict[str, Any]:
    return {**values_of(page), "addresses": int(page.addresses)}


class SqlStatusPages:
    """StatusPageStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def pages(self, visible: Sequence[int] | None) -> list[StatusPage]:
        values, count = project_values(visible)
        return await self._db.all(_page, _ALL if count is None else _in(count), values)

    async def page(self, page_id: int) -> StatusPage | None:
        return await self._db.one(_page, _BY_ID, {"id": page_id})

    async def add_page(self, page: StatusPage) -> StatusPage:
        (added,) = await self._db.changed(_page, _ADD, _values(page))
        return added

    async def replace_page(self, page: StatusPage) -> StatusPage | None:
        rows = await self._db.changed(_page, _REPLACE, _values(page))
        return rows[0] if rows else None
