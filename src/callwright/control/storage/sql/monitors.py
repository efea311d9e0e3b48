"""Endpoints, their VoIP tests, the revisions of plans, and the readings of slots."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Column, Double, Index, Table, Text, UniqueConstraint, delete, or_, select, update

from callwright.control.monitors.history import SPREAD, Tally
from callwright.control.monitors.model import (
    Category,
    Endpoint,
    Figures,
    Latest,
    Planned,
    SlotState,
    StoredReading,
    VoipTest,
)
from callwright.control.storage.sql.columns import (
    Id,
    Number,
    id_column,
    metadata,
    reference,
    text_column,
    time_column,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import (
    as_is,
    as_value,
    columns,
    filling,
    in_list,
    in_projects,
    inserting,
    list_values,
    project_values,
    upsert,
    values_of,
)

__all__ = ["SqlMonitors"]

_MINUTE, _HOUR = 60, 3_600

endpoints = Table(
    "endpoints",
    metadata,
    id_column(),
    reference("project_id", "projects.id"),
    text_column("name"),
    text_column("ip_address"),
    Column("port", Number, nullable=True),
    text_column("description"),
    text_column("category"),
    Column("interval", Number, nullable=False),
    Column("alert_threshold", Double(), nullable=True),
    text_column("alert_ids", default="[]"),
    text_column("uri"),
    text_column("credentials"),
    text_column("transport"),
    time_column("created_at"),
    time_column("deleted_at", nullable=True),
)
Index("ix_endpoints_project_id", endpoints.c.project_id)

voip_tests = Table(
    "voip_tests",
    metadata,
    id_column(),
    reference("endpoint_id", "endpoints.id", cascade=True),
    Column("server_id", Id, nullable=False),  # no reference: a server's row may go, its history stays
    text_column("codec"),
    Column("num_tests", Number, nullable=False),
    Column("interpacket_ms", Double(), nullable=False),
    time_column("created_at"),
    time_column("deleted_at", nullable=True),
    Column("mos", Double(), nullable=True),
    time_column("updated_at", nullable=True),
    Column("slot", Number, nullable=True),
    text_column("state"),
    text_column("reason"),
    text_column("verdict"),
    text_column("figures", default="{}"),
    UniqueConstraint("endpoint_id", "server_id"),
)
Index("ix_voip_tests_server_id", voip_tests.c.server_id, voip_tests.c.id)

monitor_plans = Table(
    "monitor_plans",
    metadata,
    Column("server_id", Id, primary_key=True, autoincrement=False),
    Column("revision", Number, nullable=False),
)

readings = Table(
    "readings",
    metadata,
    Column("voip_test_id", Id, primary_key=True, autoincrement=False),
    Column("slot", Number, primary_key=True, autoincrement=False),
    text_column("state"),
    time_column("at", nullable=True),
    text_column("reason"),
    text_column("verdict"),
    Column("figures", Text(), nullable=False),
)
Index("ix_readings_slot", readings.c.slot)

#: Hours of which something came in since they were rolled up.
history_due = Table(
    "history_due",
    metadata,
    Column("voip_test_id", Id, primary_key=True, autoincrement=False),
    Column("hour", Number, primary_key=True, autoincrement=False),
    Column("touched", Number, nullable=False),
)
Index("ix_history_due_hour", history_due.c.hour)

history = Table(
    "history",
    metadata,
    Column("voip_test_id", Id, primary_key=True, autoincrement=False),
    Column("seconds", Number, primary_key=True, autoincrement=False),
    Column("at", Number, primary_key=True, autoincrement=False),
    Column("tally", Text(), nullable=False),
)
Index("ix_history_at", history.c.seconds, history.c.at)

_ENDPOINT, _TEST = columns(endpoints, Endpoint), columns(voip_tests, VoipTest)
_ENDPOINTS = Statement(select(*_ENDPOINT).order_by(endpoints.c.id))
_BY_ID = Statement(select(*_ENDPOINT).where(endpoints.c.id == param("id")))
_CHANGEABLE = [name for name in Endpoint.__struct_fields__ if name not in ("id", "project_id", "created_at")]
_ADD = Statement(
    inserting(endpoints, [name for name in Endpoint.__struct_fields__ if name != "id"]).returning(*_ENDPOINT)
)
_REPLACE = Statement(
    update(endpoints)
    .where(endpoints.c.id == param("id"))
    .values({name: param(name) for name in _CHANGEABLE})
    .returning(*_ENDPOINT)
)
_TESTS = Statement(select(*_TEST).order_by(voip_tests.c.id))
_TESTS_OF = Statement(
    select(*_TEST).where(voip_tests.c.endpoint_id == param("endpoint_id")).order_by(voip_tests.c.id)
)
_TEST_BY_ID = Statement(select(*_TEST).where(voip_tests.c.id == param("id")))
_ADD_TEST = Statement(
    inserting(voip_tests, [name for name in VoipTest.__struct_fields__ if name != "id"]).returning(*_TEST)
)
_REPLACE_TEST = Statement(
    update(voip_tests)
    .where(voip_tests.c.id == param("id"))
    .values({name: param(name) for name in ("codec", "num_tests", "interpacket_ms", "deleted_at")})
    .returning(*_TEST)
)
_PLANNED = Statement(
    select(
        voip_tests.c.id,
        *(endpoints.c[name] for name in Planned.__struct_fields__[1:10]),
        *(voip_tests.c[name] for name in Planned.__struct_fields__[10:]),
    )
    .join(endpoints, endpoints.c.id == voip_tests.c.endpoint_id)
    .where(
        voip_tests.c.server_id == param("server_id"),
        voip_tests.c.id > param("after"),
        voip_tests.c.deleted_at.is_(None),
        endpoints.c.deleted_at.is_(None),
    )
    .order_by(voip_tests.c.id)
    .limit(param("limit"))
)
_REVISION = Statement(select(monitor_plans.c.revision).where(monitor_plans.c.server_id == param("server_id")))
_FIRST_REVISION = upsert(monitor_plans, ("server_id",), ("server_id", "revision"), keep=True)
_BUMP = Statement(
    update(monitor_plans)
    .where(monitor_plans.c.server_id == param("server_id"))
    .values(revision=monitor_plans.c.revision + 1)
)
_ADD_READING = upsert(readings, ("voip_test_id", "slot"), StoredReading.__struct_fields__, keep=True)
_newer = or_(voip_tests.c.slot.is_(None), voip_tests.c.slot < param("slot"))
_LATEST = Statement(
    update(voip_tests)
    .where(voip_tests.c.id == param("voip_test_id"), _newer)
    .values({name: param(name) for name in ("slot", "state", "reason", "verdict", "figures")})
)
_LATEST_MOS = Statement(
    update(voip_tests)
    .where(
        voip_tests.c.id == param("voip_test_id"),
        or_(voip_tests.c.updated_at.is_(None), voip_tests.c.updated_at < param("at")),
    )
    .values(mos=param("mos"), updated_at=param("at"))
)
_READINGS = Statement(
    select(*columns(readings, StoredReading))
    .where(
        readings.c.voip_test_id == param("voip_test_id"),
        readings.c.slot >= param("since"),
        readings.c.slot < param("until"),
    )
    .order_by(readings.c.slot)
)
#: An update where it is there already, which locks the row: who takes it waits for our readings.
_TOUCH = upsert(history_due, ("voip_test_id", "hour"), ("voip_test_id", "hour", "touched"))
_DUE = Statement(
    select(history_due.c.voip_test_id, history_due.c.hour)
    .where(history_due.c.hour < param("before"))
    .order_by(history_due.c.hour, history_due.c.voip_test_id)
    .limit(param("limit"))
)
_DUE_OF = Statement(
    select(history_due.c.hour)
    .where(
        history_due.c.voip_test_id == param("voip_test_id"),
        history_due.c.hour >= param("since"),
        history_due.c.hour < param("until"),
    )
    .order_by(history_due.c.hour)
)
_TAKE_DUE = Statement(
    delete(history_due).where(
        history_due.c.voip_test_id == param("voip_test_id"), history_due.c.hour == param("hour")
    )
)
_TALLIES = Statement(
    select(history.c.at, history.c.tally).where(
        history.c.voip_test_id == param("voip_test_id"),
        history.c.seconds == param("seconds"),
        history.c.at >= param("since"),
        history.c.at < param("until"),
    )
)
_PUT_TALLY = upsert(history, ("voip_test_id", "seconds", "at"), ("voip_test_id", "seconds", "at", "tally"))
_CHANGED = '%"changed":true%'  # of a path, or of the answers of DNS
_FORGET = Statement(delete(readings).where(readings.c.slot < param("before")))
_FORGET_MINUTES = Statement(
    delete(history).where(history.c.seconds == _MINUTE, history.c.at < param("before"))
)


@lru_cache(maxsize=8)
def _endpoints_in(count: int) -> Statement:
    return Statement(
        select(*_ENDPOINT).where(in_projects(endpoints.c.project_id, count)).order_by(endpoints.c.id)
    )


_LATEST_OF_ALL = (
    select(
        voip_tests.c.id,
        voip_tests.c.endpoint_id,
        voip_tests.c.server_id,
        endpoints.c.interval,
        *(voip_tests.c[name] for name in Latest.__struct_fields__[4:]),
    )
    .join(endpoints, endpoints.c.id == voip_tests.c.endpoint_id)
    .where(voip_tests.c.deleted_at.is_(None), endpoints.c.deleted_at.is_(None))
    .order_by(voip_tests.c.endpoint_id, voip_tests.c.server_id)
)


@lru_cache(maxsize=16)
def _changes_among(count: int) -> Statement:
    return Statement(
        select(*columns(readings, StoredReading))
        .where(
            in_list(readings.c.voip_test_id, "test", count),
            readings.c.slot >= param("since"),
            readings.c.slot < param("until"),
            readings.c.figures.like(_CHANGED),
        )
        .order_by(readings.c.slot, readings.c.voip_test_id)
    )


@lru_cache(maxsize=8)
def _latest_in(count: int | None) -> Statement:
    if count is None:
        return Statement(_LATEST_OF_ALL)
    return Statement(_LATEST_OF_ALL.where(in_projects(endpoints.c.project_id, count)))


@lru_cache(maxsize=16)
def _tests_among(count: int) -> Statement:
    return Statement(
        select(voip_tests.c.id).where(
            voip_tests.c.server_id == param("server_id"), in_list(voip_tests.c.id, "test", count)
        )
    )


_endpoint = filling(Endpoint, category=Category, alert_ids=tuple[int, ...])
_test = filling(VoipTest, figures=dict[str, Any], interpacket_ms=float)
_planned = filling(Planned, category=Category)
_reading = filling(StoredReading, state=SlotState, figures=dict[str, Any])
_FIGURES = msgspec.json.Decoder(Figures)
_LATEST_FIELDS = Latest.__struct_fields__[:-1]


def _figures(text: str) -> Figures:
    try:
        return _FIGURES.decode(text)
    except msgspec.ValidationError:
        return Figures.of(msgspec.json.decode(text, type=dict[str, Any]))


def _latest(*values: Any) -> Latest:
    row: dict[str, Any] = dict(zip(_LATEST_FIELDS, values, strict=False))
    return Latest(figures=_figures(values[-1]), **row)


_TALLY = msgspec.json.Decoder(Tally)


@lru_cache(maxsize=len(SPREAD))
def _narrow(figure: str) -> Callable[[str], Tally]:
    """Reads a tally with the spread of one figure: most of its text are those of the others."""
    spread = msgspec.defstruct("Spread", [(figure, dict[int, int], msgspec.field(default_factory=dict))])
    counts = dict[str, int]
    tally = msgspec.defstruct(
        "Narrow",
        [
            ("slots", counts, msgspec.field(default_factory=dict)),
            ("counted", counts, msgspec.field(default_factory=dict)),
            ("spread", spread, msgspec.field(default_factory=spread)),
        ],
    )
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(tally)

    def read(text: str) -> Tally:
        found = decoder.decode(text)
        buckets = getattr(found.spread, figure)
        return Tally(found.slots, found.counted, {figure: buckets} if buckets else {})

    return read


class SqlMonitors:
    """MonitorStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def transaction(self) -> AbstractAsyncContextManager[object]:
        return self._db.transaction()

    async def endpoints(self, visible: Sequence[int] | None) -> list[Endpoint]:
        values, count = project_values(visible)
        return await self._db.all(_endpoint, _ENDPOINTS if count is None else _endpoints_in(count), values)

    async def endpoint(self, endpoint_id: int) -> Endpoint | None:
        return await self._db.one(_endpoint, _BY_ID, {"id": endpoint_id})

    async def add_endpoint(self, endpoint: Endpoint) -> Endpoint:
        (added,) = await self._db.changed(_endpoint, _ADD, values_of(endpoint))
        return added

    async def replace_endpoint(self, endpoint: Endpoint) -> Endpoint | None:
        rows = await self._db.changed(_endpoint, _REPLACE, values_of(endpoint))
        return rows[0] if rows else None

    async def voip_tests(self, endpoint_id: int | None = None) -> list[VoipTest]:
        if endpoint_id is None:
            return await self._db.all(_test, _TESTS)
        return await self._db.all(_test, _TESTS_OF, {"endpoint_id": endpoint_id})

    async def voip_test(self, voip_test_id: int) -> VoipTest | None:
        return await self._db.one(_test, _TEST_BY_ID, {"id": voip_test_id})

    async def add_voip_test(self, voip_test: VoipTest) -> VoipTest:
        (added,) = await self._db.changed(_test, _ADD_TEST, values_of(voip_test))
        return added

    async def replace_voip_test(self, voip_test: VoipTest) -> VoipTest | None:
        rows = await self._db.changed(_test, _REPLACE_TEST, values_of(voip_test))
        return rows[0] if rows else None

    async def latest(self, visible: Sequence[int] | None) -> list[Latest]:
        values, count = project_values(visible)
        return await self._db.all(_latest, _latest_in(count), values)

    async def planned(self, server_id: int, after: int, limit: int) -> list[Planned]:
        values = {"server_id": server_id, "after": after, "limit": limit}
        return await self._db.all(_planned, _PLANNED, values)

    async def voip_tests_of(self, server_id: int, ids: Sequence[int]) -> set[int]:
        if not ids:
            return set()
        values, count = list_values("test", ids)
        found = await self._db.all(as_is, _tests_among(count), {**values, "server_id": server_id})
        return {test_id for (test_id,) in found}

    async def revision(self, server_id: int) -> int | None:
        found: int | None = await self._db.value(_REVISION, {"server_id": server_id})
        return found

    async def bump(self, server_ids: Sequence[int]) -> None:
        rows = [{"server_id": server_id, "revision": 0} for server_id in sorted(set(server_ids))]
        async with self._db.transaction() as transaction:
            await transaction.run_many(_FIRST_REVISION, rows)
            await transaction.run_many(_BUMP, rows)

    async def add_readings(self, readings: Sequence[StoredReading]) -> None:
        rows = [values_of(one) for one in readings]
        newest = {row["voip_test_id"]: row for row in sorted(rows, key=lambda row: row["slot"])}
        measured = {
            one.voip_test_id: {"voip_test_id": one.voip_test_id, "at": one.at or one.slot, "mos": one.mos}
            for one in sorted(readings, key=lambda one: one.slot)
            if one.state in (SlotState.DONE, SlotState.FAILED)
        }
        hours = {(one.voip_test_id, one.slot // _HOUR * _HOUR) for one in readings}
        touched = [
            {"voip_test_id": test_id, "hour": hour, "touched": hour} for test_id, hour in sorted(hours)
        ]
        async with self._db.transaction() as transaction:
            await transaction.run_many(_TOUCH, touched)
            await transaction.run_many(_ADD_READING, rows)
            await transaction.run_many(_LATEST, [row for _, row in sorted(newest.items())])
            await transaction.run_many(_LATEST_MOS, [row for _, row in sorted(measured.items())])

    async def readings(self, voip_test_id: int, since: float, until: float) -> list[StoredReading]:
        values = {"voip_test_id": voip_test_id, "since": math.ceil(since), "until": math.ceil(until)}
        return await self._db.all(_reading, _READINGS, values)

    async def changes(self, voip_test_ids: Sequence[int], since: float, until: float) -> list[StoredReading]:
        if not voip_test_ids:
            return []
        values, count = list_values("test", voip_test_ids)
        times = {"since": math.ceil(since), "until": math.ceil(until)}
        return await self._db.all(_reading, _changes_among(count), {**values, **times})

    async def due(self, before: int, limit: int) -> list[tuple[int, int]]:
        return await self._db.all(as_is, _DUE, {"before": before, "limit": limit})

    async def due_of(self, voip_test_id: int, since: int, until: int) -> list[int]:
        values = {"voip_test_id": voip_test_id, "since": since, "until": until}
        return [hour for (hour,) in await self._db.all(as_is, _DUE_OF, values)]

    async def take_due(self, voip_test_id: int, hour: int) -> bool:
        return await self._db.run(_TAKE_DUE, {"voip_test_id": voip_test_id, "hour": hour}) > 0

    async def tallies(
        self, voip_test_id: int, seconds: int, since: int, until: int, figure: str | None = None
    ) -> dict[int, Tally]:
        values = {"voip_test_id": voip_test_id, "seconds": seconds, "since": since, "until": until}
        rows = await self._db.all(as_is, _TALLIES, values)
        read = _TALLY.decode if figure is None else _narrow(figure)
        return {at: read(text) for at, text in rows}

    async def put_tallies(self, voip_test_id: int, seconds: int, tallies: Mapping[int, Tally]) -> None:
        rows = [
            {"voip_test_id": voip_test_id, "seconds": seconds, "at": at, "tally": as_value(one)}
            for at, one in sorted(tallies.items())
        ]
        await self._db.run_many(_PUT_TALLY, rows)

    async def forget_readings(self, before: int, minutes_before: int) -> int:
        gone = await self._db.run(_FORGET, {"before": before})
        return gone + await self._db.run(_FORGET_MINUTES, {"before": minutes_before})
