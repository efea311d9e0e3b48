"""Alerts: when something is told, and whether it is so now."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post

from callwright.alerting.watch import State
from callwright.alerting.windows import DAYS, Once, Weekly, Window
from callwright.control.accounts.model import Right
from callwright.control.alerts import model
from callwright.control.api import fields as take
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, read_fields
from callwright.control.api.monitoring.answers import (
    Collection,
    Dates,
    collection,
    dates_of,
    projects_of,
)
from callwright.control.api.monitoring.asking import MaybeState, MaybeStatus, holds, status_of
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid, unknown_value
from callwright.control.api.request import Id, MaybeWord, services_of
from callwright.control.errors import NotFound

_Request = Request[Any, Any, Any]
TAGS = ["monitoring"]
_EDIT, _READ = {"right": Right.EDIT}, {"right": Right.READ}
_STATES = tuple(State)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_FIELDS: dict[str, Any] = {
    "name": text("What is wrong when it fires, such as Head office sounds bad."),
    "condition": text(
        "Such as mos < 3.9 for 3m on 2 of 3 servers, loss > 2 % for 5m, mos < threshold for 3m, unreachable, "
        "certificate < 14d, no data for 10m."
    ),
    "recovery": text("When it is over, as a condition. Empty: when `condition` has not held for as long."),
    "retests": text(
        "What confirms it before it fires, in levels that end early: 2 every 20s; 3 every 1m on all servers."
    ),
    "reminder": {"type": ["number", "null"], "description": "Seconds between two reminders; null: none."},
    "snoozed_until": {"type": ["string", "null"], "description": "A date until which nothing begins."},
    "channel_ids": {
        "type": ["array", "null"],
        "items": {"type": "integer"},
        "description": "Channels of `/api/v2/notifications` that are told of its incidents; null: those "
        "of the project that hear of incidents; empty: nobody.",
    },
    "maintenance": {
        "type": "array",
        "description": "Windows in which nothing begins: `from` and `to` are dates, or each week `days` "
        "(mon to sun), `start` and `end` (HH:MM) by the wall clock of `time_zone`.",
        "items": {
            "type": "object",
            "properties": {
                **{name: {"type": "string"} for name in ("from", "to", "start", "end", "time_zone")},
                "days": {"type": "array", "items": {"type": "string", "enum": list(DAYS)}},
            },
        },
    },
}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """`project`: its name. `state`: firing, pending, no data, snoozed, quiet or never evaluated: the first of
    these that it has at an endpoint. `endpoints`: id of each endpoint that raises it, to its state there."""

    id: int
    project: str
    name: str
    condition: str
    recovery: str | None
    retests: str | None
    reminder: float | None
    snoozed_until: str | None
    channel_ids: list[int] | None
    maintenance: list[dict[str, Any]]
    state: str
    endpoints: dict[str, str]
    created_at: str
    deleted_at: str | None


def shown(row: model.Alert, project: str, states: Mapping[int, State], dates: Dates) -> Alert:
    return Alert(
        id=row.id,
        project=project,
        name=row.name,
        condition=row.condition,
        recovery=row.recovery or None,
        retests=row.retests or None,
        reminder=row.reminder,
        snoozed_until=dates.maybe(row.snoozed_until),
        channel_ids=None if row.channel_ids is None else list(row.channel_ids),
        maintenance=[window_shown(one, dates) for one in row.windows],
        state=str(min(states.values(), key=_STATES.index, default=State.NEVER)),
        endpoints={str(endpoint): str(state) for endpoint, state in states.items()},
        created_at=dates.text(row.created_at),
        deleted_at=dates.maybe(row.deleted_at),
    )


@get("/alerts", opt=_READ, tags=TAGS, summary="List alerts")
async def list_alerts(
    request: _Request, name: MaybeWord = None, state_: MaybeState = None, status: MaybeStatus = None
) -> Collection[Alert]:
    """`name` matches anywhere, in either case."""
    wanted, dates = status_of(status), await dates_of(request)
    if state_ is not None and state_ not in _STATES:
        raise invalid("state", f"{state_[:100]!r} is not a state.", value=state_, permitted=_STATES)
    service, identity = services_of(request).alerts, identity_of(request)
    states, projects = await service.states(identity), await projects_of(request)
    rows = (
        shown(one, projects.get(one.project_id, ""), states.get(one.id, {}), dates)
        for one in await service.alerts(identity)
        if wanted.fits(one.deleted_at) and holds(one.name, name)
    )
    return collection(one for one in rows if state_ in (None, one.state))


@get("/alerts/{alert_id:int}", opt=_READ, tags=TAGS, summary="Show an alert")
async def show_alert(request: _Request, alert_id: Id) -> Alert:
    return await _shown(request, await services_of(request).alerts.alert(identity_of(request), alert_id))


@post(
    "/alerts",
    opt={
        **_EDIT,
        "body": body_of({**_FIELDS, "project": text("Where it belongs.")}, required=("name", "condition")),
    },
    tags=TAGS,
    summary="Make an alert",
    status_code=201,
)
async def create_alert(request: _Request) -> Alert:
    """It watches the endpoints whose `alert_ids` have it."""
    fields = await read_fields(request)
    take.only(fields, (*_FIELDS, "project"))
    take.text(fields, "name", longest=255)
    take.text(fields, "condition")
    values = _values(fields, await dates_of(request))
    project = take.text(fields, "project", optional=True) or None
    try:
        made = await services_of(request).alerts.create(identity_of(request), values, project=project)
    except NotFound as error:
        raise unknown_value(error, error.what) from None
    return await _shown(request, made)


@patch(
    "/alerts/{alert_id:int}", opt={**_EDIT, "body": body_of(_FIELDS)}, tags=TAGS, summary="Change an alert"
)
async def change_alert(request: _Request, alert_id: Id) -> Alert:
    fields = await read_fields(request)
    take.only(fields, tuple(_FIELDS))
    values = _values(fields, await dates_of(request))
    changed = await services_of(request).alerts.change(identity_of(request), alert_id, values)
    return await _shown(request, changed)


@delete("/alerts/{alert_id:int}", opt=_EDIT, tags=TAGS, summary="Cancel an alert", status_code=200)
async def delete_alert(request: _Request, alert_id: Id) -> Alert:
    return await _shown(request, await services_of(request).alerts.cancel(identity_of(request), alert_id))


@patch("/alerts/{alert_id:int}/activate", opt=_EDIT, tags=TAGS, summary="Recover a cancelled alert")
async def activate_alert(request: _Request, alert_id: Id) -> Alert:
    return await _shown(request, await services_of(request).alerts.recover(identity_of(request), alert_id))


async def _shown(request: _Request, row: model.Alert) -> Alert:
    states = await services_of(request).alerts.states(identity_of(request))
    project = (await projects_of(request)).get(row.project_id, "")
    return shown(row, project, states.get(row.id, {}), await dates_of(request))


def window_shown(window: Window, dates: Dates) -> dict[str, Any]:
    if isinstance(window, Once):
        return {"from": dates.text(window.since), "to": dates.text(window.until)}
    return {
        "days": list(window.days),
        "start": f"{window.start // 60:02}:{window.start % 60:02}",
        "end": f"{window.end // 60:02}:{window.end % 60:02}",
        "time_zone": window.time_zone,
    }


def _values(fields: Fields, dates: Dates) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: take.text(fields, name, optional=True, longest=255)
        for name in ("name", "condition", "recovery", "retests")
        if name in fields
    }
    if "reminder" in fields:
        values["reminder"] = take.number(fields, "reminder")
    if "snoozed_until" in fields:
        until = take.text(fields, "snoozed_until", optional=True, longest=100)
        values["snoozed_until"] = dates.moment(until, "snoozed_until")
    if "channel_ids" in fields:
        named = fields["channel_ids"]
        values["channel_ids"] = None if named is None else tuple(take.ids(fields, "channel_ids"))
    if "maintenance" in fields:
        values["windows"] = windows_of(fields["maintenance"], dates)
    return values


def windows_of(value: Any, dates: Dates) -> tuple[Window, ...]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value) if value.strip() else []
        except msgspec.MsgspecError:
            raise invalid("maintenance", "maintenance is not a JSON list of windows.", value=value) from None
    rows = [] if value is None else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise invalid("maintenance", "maintenance is a list of windows.", value=value)
    return tuple(_read_window(row, dates) for row in rows)


def _read_window(row: Mapping[str, Any], dates: Dates) -> Window:
    known = dict(row)
    if "days" not in known:
        take.only(known, ("from", "to"))
        since = dates.moment(take.text(known, "from", longest=100), "from")
        until = dates.moment(take.text(known, "to", longest=100), "to")
        return Once(since or 0.0, until or 0.0)
    take.only(known, ("days", "start", "end", "time_zone"))
    days = known["days"].split(",") if isinstance(known["days"], str) else known["days"]
    if not isinstance(days, list) or not all(isinstance(day, str) for day in days):
        raise invalid("days", "days is a list of mon to sun.", value=days, permitted=DAYS)
    zone = take.text(known, "time_zone", optional=True, longest=64) or "UTC"
    return Weekly(
        tuple(day.strip().lower()[:10] for day in days[:7]),
        _minute(known, "start"),
        _minute(known, "end"),
        zone,
    )


def _minute(row: Fields, name: str) -> int:
    word = take.text(row, name, longest=5)
    if _TIME.fullmatch(word) is None:
        raise invalid(name, f"{name} is a time of day.", value=word, permitted=("HH:MM",))
    return int(word[:2]) * 60 + int(word[3:])


ROUTES: list[Any] = [list_alerts, show_alert, create_alert, change_alert, delete_alert, activate_alert]
