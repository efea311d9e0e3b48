"""Lines of the PBX, and users as the chapter of telephony lists them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Integer, Table, Text, case, delete, func, literal_column, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from callwright.control.accounts.model import TELEPHONY_IDS
from callwright.control.collections.model import Query, Rows
from callwright.control.lines.model import FORWARDS, PEOPLE, Line
from callwright.control.storage.sql.collections import Binding, rows_of
from callwright.control.storage.sql.columns import (
    Id,
    Number,
    metadata,
    text_column,
    time_column,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.users import ALIVE, users
from callwright.control.storage.sql.writing import columns, upsert, values_of

__all__ = ["SqlLines"]

lines = Table(
    "lines",
    metadata,
    Column("user_id", Id, primary_key=True, autoincrement=False),
    Column("ext", Text(), nullable=False, unique=True),
    text_column("sealed_password"),
    time_column("created_at"),
    time_column("updated_at"),
    Column("active", Number, nullable=False),
    text_column("caller_id_name", nullable=True),
    Column("dnd", Number, nullable=False),
    Column("record", Number, nullable=False),
    *(text_column(name, nullable=True) for name in FORWARDS),
    Column("forward_after", Number, nullable=False),
    Column("voicemail", Number, nullable=False),
)


class _position(FunctionElement[int]):  # noqa: N801 (as functions of SQLAlchemy are called)
    """Where the second text begins in the first, from 1; 0: nowhere."""

    type = Integer()
    inherit_cache = True


@compiles(_position, "sqlite")
def _in_sqlite(element: Any, compiler: Any, **_: Any) -> str:
    return f"instr({compiler.process(element.clauses)})"


@compiles(_position, "postgresql")
def _in_postgresql(element: Any, compiler: Any, **_: Any) -> str:
    return f"strpos({compiler.process(element.clauses)})"


_closed = users.c.name + literal_column("' '", Text())
_blank = _position(_closed, literal_column("' '", Text()))
_first = func.replace(func.substr(users.c.name, 1, _blank - 1), "\u00a0", " ", type_=Text())
_last = func.substr(users.c.name, _blank + 1, type_=Text())

_LINE = columns(lines, Line)
_ONE = Statement(select(*_LINE).where(lines.c.user_id == param("user_id")))
_IN_USE = Statement(
    select(*_LINE, users.c.name)
    .join(users, users.c.id == lines.c.user_id)
    .where(ALIVE, lines.c.active == 1)
    .order_by(lines.c.ext)
)
_FREE = Statement(
    delete(lines).where(
        lines.c.ext == param("ext"),
        lines.c.user_id.in_(select(users.c.id).where(users.c.deleted_at.is_not(None))),
    )
)
_PUT = upsert(lines, ("user_id",), Line.__struct_fields__, unchanged=("created_at",))
_DROP = Statement(delete(lines).where(lines.c.user_id == param("user_id")))

_PLACES: dict[str, Any] = {
    "id": users.c.id + literal_column(str(TELEPHONY_IDS)),
    "first_name": _first,
    "last_name": _last,
    "status": case((lines.c.active == 0, "suspended"), else_="active"),
    "dnd": func.coalesce(lines.c.dnd, 0, type_=Number),
    "record": func.coalesce(lines.c.record, 0, type_=Number),
    "voicemail": func.coalesce(lines.c.voicemail, 0, type_=Number),
    "forward_after": func.coalesce(lines.c.forward_after, 20, type_=Number),
    **{name: lines.c[name] for name in ("ext", "caller_id_name", *FORWARDS)},
}
_COLUMNS = {
    one.name: _PLACES[one.name] if one.name in _PLACES else users.c[one.name] for one in PEOPLE.properties
}
_SOURCE = users.outerjoin(lines, lines.c.user_id == users.c.id)
_ALL = Binding(
    PEOPLE, _SOURCE, _COLUMNS, scope=(ALIVE,), decode={"dnd": bool, "record": bool, "voicemail": bool}
)
_SEEN = Binding(
    PEOPLE,
    _SOURCE,
    _COLUMNS,
    scope=(ALIVE, or_(users.c.id == param("only"), lines.c.ext.is_not(None))),
    decode={"dnd": bool, "record": bool, "voicemail": bool},
)


def _with_name(*values: Any) -> tuple[Line, str]:
    return Line(*values[:-1]), values[-1]


class SqlLines:
    """LineStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def line(self, user_id: int) -> Line | None:
        return await self._db.one(Line, _ONE, {"user_id": user_id})

    async def lines_in_use(self) -> list[tuple[Line, str]]:
        return await self._db.all(_with_name, _IN_USE)

    async def put_line(self, line: Line) -> None:
        async with self._db.transaction() as transaction:
            await transaction.run(_FREE, {"ext": line.ext})
            await transaction.run(_PUT, values_of(line))

    async def drop_line(self, user_id: int) -> bool:
        return await self._db.run(_DROP, {"user_id": user_id}) > 0

    async def people(self, query: Query, *, only: int | None = None) -> Rows:
        if only is None:
            return await rows_of(self._db, _ALL, query)
        return await rows_of(self._db, _SEEN, query, {"only": only})
