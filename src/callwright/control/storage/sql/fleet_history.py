"""What the planner decided, and what was counted of pools each minute."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Column, Double, Index, Table, Text, delete, select

from callwright.control.servers.model import Decided, Sample
from callwright.control.storage.sql.columns import Number, id_column, metadata, text_column, time_column
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, inserting, upsert, values_of
from callwright.fleet.plan import Decision

__all__ = ["SqlFleetHistory"]

fleet_decisions = Table(
    "fleet_decisions",
    metadata,
    id_column(),
    text_column("pool"),
    time_column("at"),
    text_column("decision"),
)
Index("ix_fleet_decisions_pool", fleet_decisions.c.pool, fleet_decisions.c.at)
Index("ix_fleet_decisions_at", fleet_decisions.c.at)

fleet_samples = Table(
    "fleet_samples",
    metadata,
    Column("at", Double(), primary_key=True),
    Column("pool", Text(), primary_key=True),
    Column("servers", Number, nullable=False),
    Column("running", Number, nullable=False),
    Column("coming", Number, nullable=False),
    Column("errored", Number, nullable=False),
    Column("places", Number, nullable=False),
    Column("busy", Number, nullable=False),
    Column("waiting", Number, nullable=False),
    Column("waited", Double(), nullable=True),
    Column("cost", Double(), nullable=True),
)

_decoder = msgspec.json.Decoder(Decision)
_ADD_DECIDED = Statement(inserting(fleet_decisions, ("pool", "at", "decision")))
_DECIDED = Statement(
    select(*columns(fleet_decisions, Decided))
    .where(fleet_decisions.c.pool == param("pool"))
    .order_by(fleet_decisions.c.at.desc(), fleet_decisions.c.id.desc())
    .limit(param("most"))
)
_ADD_SAMPLE = upsert(fleet_samples, ("at", "pool"), Sample.__struct_fields__, keep=True)
_SINCE = (
    select(*columns(fleet_samples, Sample))
    .where(fleet_samples.c.at >= param("since"))
    .order_by(fleet_samples.c.at, fleet_samples.c.pool)
)
_SAMPLES = Statement(_SINCE)
_SAMPLES_OF = Statement(_SINCE.where(fleet_samples.c.pool == param("pool")))
_FORGET_DECIDED = Statement(delete(fleet_decisions).where(fleet_decisions.c.at < param("before")))
_FORGET_SAMPLES = Statement(delete(fleet_samples).where(fleet_samples.c.at < param("before")))


def _filled(pool: str, at: float, decision: str) -> Decided:
    return Decided(pool, at, _decoder.decode(decision))


class SqlFleetHistory:
    """HistoryStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add_decided(self, decided: Decided) -> None:
        text = msgspec.json.encode(decided.decision).decode()
        await self._db.run(_ADD_DECIDED, {"pool": decided.pool, "at": decided.at, "decision": text})

    async def decided(self, pool: str, limit: int) -> list[Decided]:
        return await self._db.all(_filled, _DECIDED, {"pool": pool, "most": limit})

    async def add_samples(self, samples: Sequence[Sample]) -> None:
        async with self._db.transaction():
            for sample in samples:
                await self._db.run(_ADD_SAMPLE, values_of(sample))

    async def samples(self, since: float, pool: str | None = None) -> list[Sample]:
        if pool is None:
            return await self._db.all(Sample, _SAMPLES, {"since": since})
        return await self._db.all(Sample, _SAMPLES_OF, {"since": since, "pool": pool})

    async def forget_history(self, decided_before: float, sampled_before: float) -> None:
        await self._db.run(_FORGET_DECIDED, {"before": decided_before})
        await self._db.run(_FORGET_SAMPLES, {"before": sampled_before})
