"""Files that runs left."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, ForeignKey, Table, Text, delete, func, literal, select

from callwright.control.runs.model import Evidence
from callwright.control.storage.sql.columns import Id, Number, metadata, text_column, time_column
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.runs.tables import runs
from callwright.control.storage.sql.writing import as_is, columns, upsert, values_of

evidence = Table(
    "evidence",
    metadata,
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Number, primary_key=True),
    Column("name", Text(), primary_key=True),
    Column("size", Number, nullable=False),
    text_column("sha256"),
    text_column("media_type"),
    text_column("path"),
    time_column("created_at"),
)


_EVIDENCE = columns(evidence, Evidence)
_ADD_EVIDENCE = upsert(evidence, ("run_id", "attempt", "name"), Evidence.__struct_fields__)
_LIST_EVIDENCE = Statement(
    select(*_EVIDENCE)
    .where(evidence.c.run_id == param("run_id"), evidence.c.attempt == param("attempt"))
    .order_by(evidence.c.name)
)
_EVIDENCE_SIZE = Statement(select(func.coalesce(func.sum(evidence.c.size), 0)))
_OLDEST_EVIDENCE = Statement(
    select(runs.c.id, runs.c.session_id, runs.c.created_at, func.sum(evidence.c.size))
    .join(runs, runs.c.id == evidence.c.run_id)
    .where(runs.c.status != literal("running"))
    .group_by(runs.c.id, runs.c.session_id, runs.c.created_at)
    .order_by(runs.c.id)
    .limit(param("limit"))
)
_FORGET_EVIDENCE = Statement(delete(evidence).where(evidence.c.run_id == param("run_id")))


class SqlEvidence:
    """The list of files on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add_evidence(self, entry: Evidence) -> None:
        await self._db.run(_ADD_EVIDENCE, values_of(entry))

    async def evidence(self, run_id: int, attempt: int) -> list[Evidence]:
        return await self._db.all(Evidence, _LIST_EVIDENCE, {"run_id": run_id, "attempt": attempt})

    async def evidence_size(self) -> int:
        return int(await self._db.value(_EVIDENCE_SIZE))

    async def oldest_evidence(self, limit: int) -> list[tuple[int, str, float, int]]:
        rows = await self._db.all(as_is, _OLDEST_EVIDENCE, {"limit": limit})
        return [(run_id, session_id, created_at, int(size)) for run_id, session_id, created_at, size in rows]

    async def forget_evidence(self, run_ids: Sequence[int]) -> None:
        async with self._db.transaction() as transaction:
            await transaction.run_many(_FORGET_EVIDENCE, [{"run_id": run_id} for run_id in run_ids])
