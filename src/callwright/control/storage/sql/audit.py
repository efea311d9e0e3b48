"""The audit log."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Table, Text, cast, literal, or_, select

from callwright.control.audit.model import AuditEntry
from callwright.control.storage.sql.columns import Id, id_column, metadata, text_column, time_column
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, contains, inserting, pattern, values_of

audit = Table(
    "audit",
    metadata,
    id_column(),
    time_column("at"),
    Column("user_id", Id, nullable=False),
    text_column("username"),
    text_column("action"),
    text_column("object"),
    text_column("detail"),
    Column("key_id", Id, nullable=True),
)


_AUDIT_FIELDS = [name for name in AuditEntry.__struct_fields__ if name != "id"]
_ADD_AUDIT = Statement(inserting(audit, _AUDIT_FIELDS))
_AUDIT_FILTERS = {
    "before": audit.c.id < param("before"),
    "search": or_(
        contains(audit.c.action, "search"),
        contains(audit.c.object, "search"),
        contains(audit.c.username, "search"),
        contains(audit.c.detail, "search"),
        contains(literal("key ").concat(cast(audit.c.key_id, Text)), "search"),
    ),
}


@lru_cache(maxsize=4)
def _audit_page(filters: frozenset[str]) -> Statement:
    chosen = [_AUDIT_FILTERS[name] for name in sorted(filters)]
    query = select(*columns(audit, AuditEntry)).where(*chosen)
    return Statement(query.order_by(audit.c.id.desc()).limit(param("limit")))


class SqlAuditStore:
    """AuditStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def transaction(self) -> AbstractAsyncContextManager[object]:
        return self._db.transaction()

    async def add_audit(self, entry: AuditEntry) -> None:
        await self._db.run(_ADD_AUDIT, values_of(entry))

    async def audit(self, before: int | None, limit: int, search: str | None) -> list[AuditEntry]:
        values: dict[str, Any] = {}
        if before is not None:
            values["before"] = before
        if search:
            values["search"] = pattern(search)
        return await self._db.all(AuditEntry, _audit_page(frozenset(values)), values | {"limit": limit})
