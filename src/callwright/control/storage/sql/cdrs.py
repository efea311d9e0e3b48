"""Call detail records in SQL, and what is known of calls that have not ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Double,
    Index,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    literal,
    select,
    update,
)

from callwright.control.cdrs.model import CDRS, Cdr, CdrNote
from callwright.control.cdrs.rates import Rate
from callwright.control.collections.model import Condition, Kind, Query, Rows
from callwright.control.storage.sql.collections import Binding, days_of, rows_after, rows_of
from callwright.control.storage.sql.columns import (
    Number,
    id_column,
    metadata,
    ordered_text,
    reference,
    text_column,
    time_column,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import as_is, as_value, columns, inserting, upsert, values_of

__all__ = ["SqlCdrs"]


def _column(name: str) -> Column[object]:
    if name == "leg":
        return Column(name, Number, nullable=False)
    known = CDRS.by_name[name]
    match known.kind:
        case Kind.INTEGER:
            return Column(name, Number, nullable=known.nullable)
        case Kind.NUMBER | Kind.DATE:
            return Column(name, Double(), nullable=known.nullable)
    return Column(name, ordered_text, nullable=known.nullable)


cdrs = Table(
    "cdrs",
    metadata,
    id_column(),
    *(_column(name) for name in Cdr.__struct_fields__),
    UniqueConstraint("live_id", "leg"),
)
for _name in ("calldate", "src_id", "dst_id"):
    Index(f"ix_cdrs_{_name}", cdrs.c[_name], cdrs.c.id)
Index("ix_cdrs_user_id", cdrs.c.user_id, cdrs.c.calldate)

open_calls = Table(
    "open_calls",
    metadata,
    Column("call", Text(), primary_key=True),
    Column("news", Text(), nullable=False),
    time_column("seen_at"),
)

notes = Table(
    "cdr_notes",
    metadata,
    id_column(),
    reference("cdr_id", "cdrs.id", cascade=True),
    text_column("text"),
    text_column("username"),
    time_column("created_at"),
)
Index("ix_cdr_notes_cdr_id", notes.c.cdr_id)

rates = Table(
    "rates",
    metadata,
    Column("prefix", Text(), primary_key=True),
    text_column("name"),
    Column("rate", Double(), nullable=False),
    Column("connect", Double(), nullable=False),
    Column("first", Number, nullable=False),
    Column("next", Number, nullable=False),
    time_column("loaded_at"),
)

_NOTES = Statement(
    select(*columns(notes, CdrNote)).where(notes.c.cdr_id == param("cdr_id")).order_by(notes.c.id)
)
_ADD_NOTE = Statement(
    inserting(notes, ("cdr_id", "text", "username", "created_at")).returning(*columns(notes, CdrNote))
)
_DELETE_NOTE = Statement(delete(notes).where(notes.c.id == param("id"), notes.c.cdr_id == param("cdr_id")))
_COUNT_NOTES = Statement(
    update(cdrs)
    .where(cdrs.c.id == param("cdr_id"))
    .values(
        nb_notes=select(func.count()).select_from(notes).where(notes.c.cdr_id == cdrs.c.id).scalar_subquery()
    )
)
_NO_NOTES = Statement(delete(notes).where(notes.c.cdr_id == param("id")))
_OLD = (
    select(cdrs.c.id)
    .where(cdrs.c.calldate < param("before"))
    .order_by(cdrs.c.calldate, cdrs.c.id)
    .limit(param("most", cdrs.c.id.type))
)
_DROP_OLD_NOTES = Statement(delete(notes).where(notes.c.cdr_id.in_(_OLD)))
_DROP_OLD = Statement(delete(cdrs).where(cdrs.c.id.in_(_OLD)))
_RATES = Statement(select(*columns(rates, Rate)).order_by(rates.c.prefix))
_LOADED_AT = Statement(select(rates.c.loaded_at).limit(literal(1)))
_NO_RATES = Statement(delete(rates))
_ADD_RATE = Statement(inserting(rates, (*Rate.__struct_fields__, "loaded_at")))
_ADD = upsert(cdrs, ("live_id", "leg"), Cdr.__struct_fields__, keep=True)
_OPEN = upsert(open_calls, ("call",), ("call", "news", "seen_at"))
_OVER = Statement(delete(open_calls).where(open_calls.c.call == param("call")))
_ALIVE = Statement(update(open_calls).values(seen_at=param("now")))
_LEFT = Statement(select(open_calls.c.news, open_calls.c.seen_at).order_by(open_calls.c.call))
_DELETE = Statement(delete(cdrs).where(cdrs.c.id == param("id")))

_COLUMNS = {one.name: cdrs.c[one.name] for one in CDRS.properties}
_DECODE = {"labels": msgspec.json.decode, "metadata": msgspec.json.decode}
_ALL = Binding(CDRS, cdrs, _COLUMNS, decode=_DECODE)
_OWN = Binding(CDRS, cdrs, _COLUMNS, scope=(cdrs.c.user_id == param("only"),), decode=_DECODE)


@lru_cache(maxsize=8)
def _change(names: tuple[str, ...]) -> Statement:
    return Statement(
        update(cdrs).where(cdrs.c.id == param("id")).values({name: param(name) for name in names})
    )


class SqlCdrs:
    """CdrStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def keep(
        self, ended: Sequence[Cdr], open_calls: Mapping[str, str], over: Sequence[str], now: float
    ) -> None:
        async with self._db.transaction() as transaction:
            if ended:
                await transaction.run_many(_ADD, [values_of(record) for record in ended])
            if open_calls:
                rows = [{"call": call, "news": news, "seen_at": now} for call, news in open_calls.items()]
                await transaction.run_many(_OPEN, rows)
            if over:
                await transaction.run_many(_OVER, [{"call": call} for call in over])

    async def note_alive(self, now: float) -> None:
        await self._db.run(_ALIVE, {"now": now})

    async def open_calls(self) -> list[tuple[str, float]]:
        return await self._db.all(as_is, _LEFT)

    async def cdrs(self, query: Query, *, only: int | None = None) -> Rows:
        if only is None:
            return await rows_of(self._db, _ALL, query)
        return await rows_of(self._db, _OWN, query, {"only": only})

    async def days(self, where: Condition, by: str, *, only: int | None = None) -> list[tuple[int, Any, int]]:
        if only is None:
            return await days_of(self._db, _ALL, where, "calldate", by)
        return await days_of(self._db, _OWN, where, "calldate", by, {"only": only})

    async def change_cdr(self, cdr_id: int, changes: Mapping[str, object]) -> bool:
        if not changes:
            return True
        values = {name: as_value(value) for name, value in changes.items()}
        return await self._db.run(_change(tuple(sorted(changes))), values | {"id": cdr_id}) > 0

    async def delete_cdr(self, cdr_id: int) -> bool:
        async with self._db.transaction() as transaction:
            await transaction.run(_NO_NOTES, {"id": cdr_id})
            return await transaction.run(_DELETE, {"id": cdr_id}) > 0

    async def drop_cdrs_before(self, calldate: float, most: int) -> int:
        wanted = {"before": calldate, "most": most}
        async with self._db.transaction() as transaction:
            await transaction.run(_DROP_OLD_NOTES, wanted)
            return await transaction.run(_DROP_OLD, wanted)

    async def cdrs_after(
        self, where: Condition, after: int, limit: int, *, only: int | None = None
    ) -> list[dict[str, object]]:
        if only is None:
            return await rows_after(self._db, _ALL, where, after, limit)
        return await rows_after(self._db, _OWN, where, after, limit, {"only": only})

    async def add_cdrs(self, records: Sequence[Cdr]) -> int:
        added = 0
        async with self._db.transaction() as transaction:
            for record in records:
                added += await transaction.run(_ADD, values_of(record))
        return added

    async def cdr_notes(self, cdr_id: int) -> list[CdrNote]:
        return await self._db.all(CdrNote, _NOTES, {"cdr_id": cdr_id})

    async def add_cdr_note(self, note: CdrNote) -> CdrNote:
        async with self._db.transaction() as transaction:
            (added,) = await self._db.changed(CdrNote, _ADD_NOTE, values_of(note, without=("id",)))
            await transaction.run(_COUNT_NOTES, {"cdr_id": note.cdr_id})
        return added

    async def delete_cdr_note(self, cdr_id: int, note_id: int) -> bool:
        async with self._db.transaction() as transaction:
            found = await transaction.run(_DELETE_NOTE, {"id": note_id, "cdr_id": cdr_id}) > 0
            await transaction.run(_COUNT_NOTES, {"cdr_id": cdr_id})
        return found

    async def rates(self) -> list[Rate]:
        return await self._db.all(Rate, _RATES)

    async def rates_loaded_at(self) -> float | None:
        found = await self._db.value(_LOADED_AT)
        return None if found is None else float(found)

    async def replace_rates(self, rates: Sequence[Rate], now: float) -> None:
        async with self._db.transaction() as transaction:
            await transaction.run(_NO_RATES)
            if rates:
                await transaction.run_many(_ADD_RATE, [values_of(one) | {"loaded_at": now} for one in rates])
