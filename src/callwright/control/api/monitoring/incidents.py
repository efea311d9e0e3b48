"""Incidents: one cause, what fires because of it, and what happened."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get, patch

from callwright.control.accounts.model import Right
from callwright.control.alerts import model
from callwright.control.api.auth import identity_of
from callwright.control.api.monitoring.answers import Collection, Dates, collection, dates_of
from callwright.control.api.monitoring.asking import MaybeState
from callwright.control.api.problems import invalid
from callwright.control.api.request import Id, services_of

_Request = Request[Any, Any, Any]
TAGS = ["monitoring"]
_READ = {"right": Right.READ}
_STATES = ("open", "ended")


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """`kind`: endpoint (every server finds it bad), server (it finds bad all that it tests) or path (between
    the two)."""

    kind: str
    server_id: int | None
    endpoint_id: int | None


class Child(msgspec.Struct, frozen=True, kw_only=True):
    alert_id: int
    endpoint_id: int
    began_at: str
    ended_at: str | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """`kind`: fired, reminded, recovered, set aside, acknowledged. `server_ids`: where it holds."""

    at: str
    kind: str
    alert_id: int | None
    endpoint_id: int | None
    server_ids: list[int]
    who: str | None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """`ended_at` null: it goes on."""

    id: int
    cause: Cause
    started_at: str
    ended_at: str | None
    acknowledged_at: str | None
    acknowledged_by: str | None
    children: list[Child]
    story: list[Entry]


def shown(row: model.Incident, dates: Dates) -> Incident:
    return Incident(
        id=row.id,
        cause=Cause(kind=str(row.cause.kind), server_id=row.cause.server, endpoint_id=row.cause.endpoint),
        started_at=dates.text(row.started_at),
        ended_at=dates.maybe(row.ended_at),
        acknowledged_at=dates.maybe(row.acknowledged_at),
        acknowledged_by=row.acknowledged_by or None,
        children=[
            Child(
                alert_id=one.alert_id,
                endpoint_id=one.endpoint_id,
                began_at=dates.text(one.began_at),
                ended_at=dates.maybe(one.ended_at),
            )
            for one in row.children
        ],
        story=[
            Entry(
                at=dates.text(one.at),
                kind=one.kind,
                alert_id=one.alert_id,
                endpoint_id=one.endpoint_id,
                server_ids=list(one.servers),
                who=one.who or None,
            )
            for one in row.story
        ],
    )


@get("/incidents", opt=_READ, tags=TAGS, summary="List incidents")
async def list_incidents(request: _Request, state_: MaybeState = None) -> Collection[Incident]:
    """Newest first, the newest thousand. `state`: open or ended."""
    if state_ is not None and state_ not in _STATES:
        raise invalid("state", f"{state_[:100]!r} is not a state.", value=state_, permitted=_STATES)
    service, dates = services_of(request).alerts, await dates_of(request)
    rows = await service.incidents(identity_of(request), open_only=state_ == "open")
    return collection(shown(one, dates) for one in rows if state_ != "ended" or one.ended_at is not None)


@get("/endpoints/{endpoint_id:int}/incidents", opt=_READ, tags=TAGS, summary="List incidents of an endpoint")
async def list_incidents_of(request: _Request, endpoint_id: Id) -> Collection[Incident]:
    """Newest first: those that it caused, and those of others that it is a child of."""
    services, identity, dates = services_of(request), identity_of(request), await dates_of(request)
    await services.monitors.endpoint(identity, endpoint_id)
    return collection(
        shown(one, dates)
        for one in await services.alerts.incidents(identity)
        if any(child.endpoint_id == endpoint_id for child in one.children)
    )


@get("/incidents/{incident_id:int}", opt=_READ, tags=TAGS, summary="Show an incident")
async def show_incident(request: _Request, incident_id: Id) -> Incident:
    found = await services_of(request).alerts.incident(identity_of(request), incident_id)
    return shown(found, await dates_of(request))


@patch(
    "/incidents/{incident_id:int}/acknowledge",
    opt={"right": Right.RUN},
    tags=TAGS,
    summary="Acknowledge an incident: its reminders stop",
)
async def acknowledge_incident(request: _Request, incident_id: Id) -> Incident:
    found = await services_of(request).alerts.acknowledge(identity_of(request), incident_id)
    return shown(found, await dates_of(request))


ROUTES: list[Any] = [list_incidents, list_incidents_of, show_incident, acknowledge_incident]
