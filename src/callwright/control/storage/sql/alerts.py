"""Rules, what is known of each endpoint for each of them, and incidents."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache

import msgspec
from sqlalchemy import Column, Double, Index, Table, Text, delete, select, update

from callwright.alerting.cause import Cause
from callwright.alerting.watch import Watch
from callwright.alerting.windows import Window
from callwright.control.alerts.model import Alert, Child, Entry, Incident
from callwright.control.storage.sql.columns import (
    Id,
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
    in_projects,
    inserting,
    project_values,
    upsert,
    values_of,
)

__all__ = ["SqlAlerts"]

alerts = Table(
    "alerts",
    metadata,
    id_column(),
    reference("project_id", "projects.id"),
    text_column("name"),
    text_column("condition"),
    text_column("recovery"),
    Column("reminder", Double(), nullable=True),
    text_column("windows", default="[]"),
    time_column("snoozed_until", nullable=True),
    time_column("created_at"),
    time_column("deleted_at", nullable=True),
    text_column("channel_ids", nullable=True),
    text_column("retests"),
)
Index("ix_alerts_project_id", alerts.c.project_id)

alert_watches = Table(
    "alert_watches",
    metadata,
    Column("alert_id", Id, primary_key=True, autoincrement=False),
    Column("endpoint_id", Id, primary_key=True, autoincrement=False),
    Column("watch", Text(), nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    id_column(),
    reference("project_id", "projects.id"),
    Column("cause", Text(), nullable=False),
    time_column("started_at"),
    time_column("ended_at", nullable=True),
    time_column("acknowledged_at", nullable=True),
    text_column("acknowledged_by"),
    text_column("children", default="[]"),
    text_column("story", default="[]"),
)
Index("ix_incidents_project_id", incidents.c.project_id)
Index("ix_incidents_ended_at", incidents.c.ended_at)

_ALERT, _INCIDENT = columns(alerts, Alert), columns(incidents, Incident)
_ALERTS = Statement(select(*_ALERT).order_by(alerts.c.id))
_BY_ID = Statement(select(*_ALERT).where(alerts.c.id == param("id")))
_IDS = Statement(
    select(alerts.c.id).where(alerts.c.project_id == param("project_id"), alerts.c.deleted_at.is_(None))
)
_ADD = Statement(
    inserting(alerts, [name for name in Alert.__struct_fields__ if name != "id"]).returning(*_ALERT)
)
_REPLACE = Statement(
    update(alerts)
    .where(alerts.c.id == param("id"))
    .values(
        {
            name: param(name)
            for name in Alert.__struct_fields__
            if name not in ("id", "project_id", "created_at")
        }
    )
    .returning(*_ALERT)
)
_WATCHES = Statement(select(alert_watches.c.alert_id, alert_watches.c.endpoint_id, alert_watches.c.watch))
_PUT_WATCH = upsert(alert_watches, ("alert_id", "endpoint_id"), ("alert_id", "endpoint_id", "watch"))
_REMOVE_WATCH = Statement(
    delete(alert_watches).where(
        alert_watches.c.alert_id == param("alert_id"), alert_watches.c.endpoint_id == param("endpoint_id")
    )
)
_INCIDENT_BY_ID = Statement(select(*_INCIDENT).where(incidents.c.id == param("id")))
_ADD_INCIDENT = Statement(
    inserting(incidents, [name for name in Incident.__struct_fields__ if name != "id"]).returning(*_INCIDENT)
)
_REPLACE_INCIDENT = Statement(
    update(incidents)
    .where(incidents.c.id == param("id"))
    .values(
        {
            name: param(name)
            for name in Incident.__struct_fields__
            if name not in ("id", "project_id", "started_at")
        }
    )
    .returning(*_INCIDENT)
)


@lru_cache(maxsize=8)
def _alerts_in(count: int) -> Statement:
    return Statement(select(*_ALERT).where(in_projects(alerts.c.project_id, count)).order_by(alerts.c.id))


@lru_cache(maxsize=16)
def _incidents_in(count: int | None, open_only: bool) -> Statement:
    statement = select(*_INCIDENT).order_by(incidents.c.id.desc()).limit(param("limit"))
    if count is not None:
        statement = statement.where(in_projects(incidents.c.project_id, count))
    if open_only:
        statement = statement.where(incidents.c.ended_at.is_(None))
    return Statement(statement)


_alert = filling(Alert, windows=tuple[Window, ...], channel_ids=tuple[int, ...])
_incident = filling(Incident, cause=Cause, children=tuple[Child, ...], story=tuple[Entry, ...])


class SqlAlerts:
    """AlertStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def transaction(self) -> AbstractAsyncContextManager[object]:
        return self._db.transaction()

    async def alerts(self, visible: Sequence[int] | None) -> list[Alert]:
        values, count = project_values(visible)
        return await self._db.all(_alert, _ALERTS if count is None else _alerts_in(count), values)

    async def alert(self, alert_id: int) -> Alert | None:
        return await self._db.one(_alert, _BY_ID, {"id": alert_id})

    async def ids_of(self, project_id: int) -> set[int]:
        return {found for (found,) in await self._db.all(as_is, _IDS, {"project_id": project_id})}

    async def add_alert(self, alert: Alert) -> Alert:
        (added,) = await self._db.changed(_alert, _ADD, values_of(alert))
        return added

    async def replace_alert(self, alert: Alert) -> Alert | None:
        rows = await self._db.changed(_alert, _REPLACE, values_of(alert))
        return rows[0] if rows else None

    async def watches(self) -> dict[tuple[int, int], Watch]:
        rows = await self._db.all(as_is, _WATCHES)
        return {(alert, endpoint): msgspec.json.decode(text, type=Watch) for alert, endpoint, text in rows}

    async def put_watch(self, alert_id: int, endpoint_id: int, watch: Watch) -> None:
        values = {"alert_id": alert_id, "endpoint_id": endpoint_id, "watch": as_value(watch)}
        await self._db.run(_PUT_WATCH, values)

    async def remove_watch(self, alert_id: int, endpoint_id: int) -> None:
        await self._db.run(_REMOVE_WATCH, {"alert_id": alert_id, "endpoint_id": endpoint_id})

    async def incidents(
        self, visible: Sequence[int] | None, *, open_only: bool = False, limit: int = 1_000
    ) -> list[Incident]:
        values, count = project_values(visible)
        return await self._db.all(_incident, _incidents_in(count, open_only), {**values, "limit": limit})

    async def incident(self, incident_id: int) -> Incident | None:
        return await self._db.one(_incident, _INCIDENT_BY_ID, {"id": incident_id})

    async def add_incident(self, incident: Incident) -> Incident:
        (added,) = await self._db.changed(_incident, _ADD_INCIDENT, values_of(incident))
        return added

    async def replace_incident(self, incident: Incident) -> Incident | None:
        rows = await self._db.changed(_incident, _REPLACE_INCIDENT, values_of(incident))
        return rows[0] if rows else None
