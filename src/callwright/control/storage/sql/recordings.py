"""Recorded calls in SQL; their audio is in the evidence store."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Table, Text, UniqueConstraint, delete, or_, select

from callwright.control.collections.model import Query, Rows
from callwright.control.recordings.model import MONITORS, Recording
from callwright.control.storage.sql.collections import Binding, rows_of
from callwright.control.storage.sql.columns import Number, id_column, metadata, ordered_text
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, upsert, values_of

__all__ = ["SqlRecordings"]

recordings = Table(
    "recordings",
    metadata,
    id_column(),
    Column("live_id", ordered_text, nullable=False),
    Column("part", Number, nullable=False),
    Column("calldate", Double(), nullable=False),
    Column("duration", Number, nullable=False),
    Column("size", Number, nullable=False),
    Column("src", ordered_text, nullable=False),
    Column("src_id", ordered_text, nullable=True),
    Column("src_name", ordered_text, nullable=False),
    Column("dst", ordered_text, nullable=False),
    Column("dst_id", ordered_text, nullable=True),
    Column("dst_name", ordered_text, nullable=False),
    Column("sha256", Text(), nullable=False),
    Column("path", Text(), nullable=False),
    UniqueConstraint("live_id", "part"),
)
for _name in ("calldate", "src_id", "dst_id"):
    Index(f"ix_recordings_{_name}", recordings.c[_name], recordings.c.id)

_NEW = tuple(name for name in Recording.__struct_fields__ if name != "id")
_ONE = Statement(select(*columns(recordings, Recording)).where(recordings.c.id == param("id")))
_OLD = Statement(
    select(*columns(recordings, Recording))
    .where(recordings.c.calldate < param("before"))
    .order_by(recordings.c.calldate, recordings.c.id)
    .limit(param("most", recordings.c.id.type))
)
_ADD = upsert(recordings, ("live_id", "part"), _NEW, keep=True)
_DELETE = Statement(delete(recordings).where(recordings.c.id == param("id")))

_ALIASES = {"timestamp": "calldate", "caller": "src", "called": "dst"}
_COLUMNS = {one.name: recordings.c[_ALIASES.get(one.name, one.name)] for one in MONITORS.properties}
_ALL = Binding(MONITORS, recordings, _COLUMNS)
_OWN = Binding(
    MONITORS,
    recordings,
    _COLUMNS,
    scope=(or_(recordings.c.src_id == param("only"), recordings.c.dst_id == param("only")),),
)


class SqlRecordings:
    """RecordingStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def recordings(self, query: Query, *, only: str | None = None) -> Rows:
        if only is None:
            return await rows_of(self._db, _ALL, query)
        return await rows_of(self._db, _OWN, query, {"only": only})

    async def recording(self, recording_id: int) -> Recording | None:
        return await self._db.one(Recording, _ONE, {"id": recording_id})

    async def add_recording(self, recording: Recording) -> None:
        await self._db.run(_ADD, values_of(recording, without=("id",)))

    async def delete_recording(self, recording_id: int) -> bool:
        return await self._db.run(_DELETE, {"id": recording_id}) > 0

    async def recordings_before(self, calldate: float, most: int) -> list[Recording]:
        return await self._db.all(Recording, _OLD, {"before": calldate, "most": most})
