"""Destinations that are permitted, and what runs take of their caps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import Column, Double, ForeignKey, Index, Table, case, func, select, update

from callwright.control.storage.sql.columns import Id, Number, id_column, metadata, text_column, time_column
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.runs.tables import LIVE, runs
from callwright.control.storage.sql.writing import (
    as_is,
    columns,
    in_list,
    inserting,
    list_values,
    values_of,
)
from callwright.control.targets.model import TargetRow, TargetUse

targets = Table(
    "targets",
    metadata,
    id_column(),
    text_column("host", nullable=True),
    text_column("network", nullable=True),
    text_column("number", nullable=True),
    Column("rate", Double(), nullable=True),
    Column("concurrency", Number, nullable=True),
    Column("minutes", Double(), nullable=True),
    text_column("note"),
    text_column("created_by"),
    time_column("created_at"),
    time_column("deleted_at", nullable=True),
    text_column("country", nullable=True),
)

run_targets = Table(
    "run_targets",
    metadata,
    Column("target_id", Id, ForeignKey("targets.id", ondelete="CASCADE"), primary_key=True),
    Column("run_id", Id, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("concurrency", Number, nullable=False),
    Column("rate", Double(), nullable=False),
    Column("minutes", Double(), nullable=False),
    Column("day", Number, nullable=False),  # whose minutes they are
)
Index("ix_run_targets_run_id", run_targets.c.run_id)

target_days = Table(
    "target_days",
    metadata,
    Column("target_id", Id, ForeignKey("targets.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Number, primary_key=True),
    Column("minutes", Double(), nullable=False),
)


_TARGET = columns(targets, TargetRow)
_TARGETS = Statement(select(*_TARGET).where(targets.c.deleted_at.is_(None)).order_by(targets.c.id))
_ADD_TARGET = Statement(
    inserting(targets, [name for name in TargetRow.__struct_fields__ if name != "id"]).returning(*_TARGET)
)
_REMOVE_TARGET = Statement(
    update(targets)
    .where(targets.c.id == param("id"), targets.c.deleted_at.is_(None))
    .values(deleted_at=param("now"))
)
#: In PostgreSQL its row is locked; in SQLite the transaction has the only writer anyway.
_RESERVE_TARGET = Statement(
    select(*_TARGET).where(targets.c.id == param("id"), targets.c.deleted_at.is_(None)).with_for_update()
)
#: By way of the runs that live, which are few: history is not read.
USAGE = Statement(
    select(
        func.coalesce(func.sum(run_targets.c.concurrency), 0),
        func.coalesce(func.sum(run_targets.c.rate), 0.0),
    ).where(
        run_targets.c.target_id == param("target_id"),
        run_targets.c.run_id.in_(select(runs.c.id).where(LIVE)),
    )
)
_MINUTES = Statement(
    select(target_days.c.minutes).where(
        target_days.c.target_id == param("target_id"), target_days.c.day == param("day")
    )
)
_COUNT_MINUTES = Statement(
    update(target_days)
    .where(target_days.c.target_id == param("target_id"), target_days.c.day == param("day"))
    .values(minutes=target_days.c.minutes + param("minutes", target_days.c.minutes.type))
)
_FIRST_MINUTES = Statement(inserting(target_days, ["target_id", "day", "minutes"]))
_GIVE_BACK = Statement(
    update(target_days)
    .where(target_days.c.target_id == param("target_id"), target_days.c.day == param("day"))
    .values(
        minutes=case(
            (
                target_days.c.minutes > param("minutes", target_days.c.minutes.type),
                target_days.c.minutes - param("minutes", target_days.c.minutes.type),
            ),
            else_=0.0,
        )
    )
)
ADD_USE = Statement(inserting(run_targets, ["target_id", "run_id", "concurrency", "rate", "minutes", "day"]))
_AT_ONCE = 512  # runs of which one statement reads what they reserved


@lru_cache(maxsize=16)
def _reserved(count: int) -> Statement:
    return Statement(
        select(run_targets.c.target_id, run_targets.c.day, func.sum(run_targets.c.minutes))
        .where(in_list(run_targets.c.run_id, "run", count), run_targets.c.minutes > 0)
        .group_by(run_targets.c.target_id, run_targets.c.day)
    )


class SqlTargets:
    """Targets on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def targets(self) -> list[TargetRow]:
        return await self._db.all(TargetRow, _TARGETS)

    async def add_target(self, row: TargetRow) -> TargetRow:
        (added,) = await self._db.changed(TargetRow, _ADD_TARGET, values_of(row))
        return added

    async def remove_target(self, target_id: int, now: float) -> bool:
        return await self._db.run(_REMOVE_TARGET, {"id": target_id, "now": now}) > 0

    async def reserve_target(self, target_id: int) -> TargetRow | None:
        return await self._db.one(TargetRow, _RESERVE_TARGET, {"id": target_id})

    async def target_usage(self, target_id: int, day: int) -> TargetUse:
        row = await self._db.one(as_is, USAGE, {"target_id": target_id})
        minutes = await self._db.value(_MINUTES, {"target_id": target_id, "day": day})
        concurrency, rate = row or (0, 0.0)
        return TargetUse(target_id, int(concurrency), float(rate), float(minutes or 0.0))

    async def count_minutes(self, target_id: int, day: int, minutes: float) -> None:
        values = {"target_id": target_id, "day": day, "minutes": minutes}
        if minutes and not await self._db.run(_COUNT_MINUTES, values):
            await self._db.run(_FIRST_MINUTES, values)

    async def give_back(self, run_ids: Sequence[int]) -> None:
        """The minutes that these runs reserved, in the transaction that ends them; it locks in the order in
        which runs reserve."""
        minutes: Counter[tuple[int, int]] = Counter()
        for first in range(0, len(run_ids), _AT_ONCE):
            values, count = list_values("run", run_ids[first : first + _AT_ONCE])
            for target_id, day, reserved in await self._db.all(as_is, _reserved(count), values):
                minutes[target_id, day] += reserved
        for (target_id, day), sum_ in sorted(minutes.items()):
            await self._db.run(_GIVE_BACK, {"target_id": target_id, "day": day, "minutes": sum_})
