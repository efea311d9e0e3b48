"""Who leads among the platforms on one database, by the clock of the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Float, Insert, Table, Text, case, cast, func, literal, or_, select, update

from callwright.control.leading import Lead
from callwright.control.storage.sql.columns import Number, metadata, text_column, time_column
from callwright.control.storage.sql.database import Database, DialectName, Statement, param

__all__ = ["SqlLeaders"]

leaders = Table(
    "leaders",
    metadata,
    Column("name", Text(), primary_key=True),
    text_column("holder"),
    Column("term", Number, nullable=False),
    time_column("until"),
)

_UNIX_EPOCH = 2440587.5  # as a Julian day


def _now(dialect: DialectName) -> Any:
    if dialect is DialectName.SQLITE:
        return (func.julianday("now") - literal(_UNIX_EPOCH)) * literal(86_400.0)
    # Not that of the transaction, which may have waited.
    return cast(func.extract("epoch", func.clock_timestamp()), Float)


def _columns(dialect: DialectName) -> tuple[Any, ...]:
    return leaders.c.holder, leaders.c.term, leaders.c.until - _now(dialect)


def _take(dialect: DialectName) -> Insert:
    if dialect is DialectName.SQLITE:
        from sqlalchemy.dialects.sqlite import insert as dialect_insert
    else:
        from sqlalchemy.dialects.postgresql import insert as dialect_insert  # type: ignore[assignment]
    until = _now(dialect) + param("seconds", Float())
    statement = dialect_insert(leaders).values(
        name=param("name"), holder=param("holder"), term=literal(1), until=until
    )
    ours = leaders.c.holder == statement.excluded.holder
    return statement.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": statement.excluded.holder,
            "term": leaders.c.term + case((ours, 0), else_=1),
            "until": until,
        },
        where=or_(ours, leaders.c.until <= _now(dialect)),
    ).returning(*_columns(dialect))


_TAKE = Statement(_take)
_LEAD = Statement(lambda dialect: select(*_columns(dialect)).where(leaders.c.name == param("name")))
_GIVE_UP = Statement(
    update(leaders)
    .where(leaders.c.name == param("name"), leaders.c.holder == param("holder"))
    .values(until=literal(0.0))
)


class SqlLeaders:
    """LeaderStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def take_lead(self, name: str, holder: str, seconds: float) -> Lead:
        values = {"name": name, "holder": holder, "seconds": seconds}
        taken = await self._db.changed(Lead, _TAKE, values)
        if taken:
            return taken[0]
        return await self.lead(name) or Lead("", 0, 0.0)

    async def lead(self, name: str) -> Lead | None:
        return await self._db.one(Lead, _LEAD, {"name": name})

    async def give_up_lead(self, name: str, holder: str) -> None:
        await self._db.run(_GIVE_UP, {"name": name, "holder": holder})
