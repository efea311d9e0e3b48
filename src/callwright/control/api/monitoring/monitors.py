"""Monitors: what is tested, and whether it is good now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Request, get

from callwright.alerting.watch import State
from callwright.control.accounts.model import Right
from callwright.control.api.auth import identity_of
from callwright.control.api.monitoring.answers import (
    Collection,
    Dates,
    collection,
    dates_of,
    projects_of,
)
from callwright.control.api.monitoring.asking import MaybeState, holds
from callwright.control.api.monitoring.endpoints import by_endpoint
from callwright.control.api.problems import invalid
from callwright.control.api.request import Id, MaybeWord, services_of
from callwright.control.errors import NotFound
from callwright.control.monitors.model import Endpoint, VoipTest
from callwright.control.monitors.standing import Sight, Standing, health

_Request = Request[Any, Any, Any]
TAGS = ["monitoring"]
_READ = {"right": Right.READ}
_STATES = tuple(str(one) for one in Standing)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What one server saw last. `slot`: unix seconds of the planned start; null: it has not tested yet."""

    server_id: int
    server: str
    voip_test_id: int
    state: str
    reason: str
    mos: float | None
    slot: int | None


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    state: str


class Monitor(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that is tested. `state`: bad (an alert of it fires, or at least half of the servers that
    measured it find it bad), no data, or good. `mos`: the worst that a server measured last; null: nothing
    measured it. `at`: when the newest test was due. `id` is that of the endpoint."""

    id: int
    project: str
    name: str
    category: str
    ip_address: str
    port: int | None
    interval: int
    state: str
    reason: str
    mos: float | None
    at: str | None
    servers: list[Seen]
    alerts: list[Raised]


@get("/monitors", opt=_READ, tags=TAGS, summary="Say of each endpoint whether it is good now")
async def list_monitors(
    request: _Request, name: MaybeWord = None, project: MaybeWord = None, state_: MaybeState = None
) -> Collection[Monitor]:
    """Bad ones first. Cancelled endpoints are not in it. `name` matches anywhere, in either case."""
    if state_ is not None and state_ not in _STATES:
        raise invalid("state", f"{state_[:100]!r} is not a state.", value=state_, permitted=_STATES)
    rows = [
        one
        for one in await _monitors(request)
        if holds(one.name, name) and project in (None, one.project) and state_ in (None, one.state)
    ]
    return collection(sorted(rows, key=lambda one: (_STATES.index(one.state), one.name.lower(), one.id)))


@get("/monitors/{endpoint_id:int}", opt=_READ, tags=TAGS, summary="Say whether an endpoint is good now")
async def show_monitor(request: _Request, endpoint_id: Id) -> Monitor:
    found = next((one for one in await _monitors(request, endpoint_id)), None)
    if found is None:
        raise NotFound("monitor", endpoint_id)
    return found


async def _monitors(request: _Request, only: int | None = None) -> list[Monitor]:
    services, identity, dates = services_of(request), identity_of(request), await dates_of(request)
    now = services.clock.wall()
    projects = await projects_of(request)
    labels = {one.number: one.label for one in await services.servers.listed_for(identity)}
    tests = by_endpoint(await services.monitors.all_voip_tests(identity))
    names = {one.id: one.name for one in await services.alerts.alerts(identity)}
    raised: dict[int, list[Raised]] = {}
    for alert_id, states in (await services.alerts.states(identity)).items():
        for endpoint_id, state in states.items():
            raised.setdefault(endpoint_id, []).append(
                Raised(id=alert_id, name=names.get(alert_id, ""), state=str(state))
            )
    return [
        _shown(
            one,
            projects.get(one.project_id, ""),
            tests.get(one.id, ()),
            raised.get(one.id, []),
            labels,
            now,
            dates,
        )
        for one in await services.monitors.endpoints(identity)
        if one.deleted_at is None and only in (None, one.id)
    ]


def _shown(
    row: Endpoint,
    project: str,
    tests: Sequence[VoipTest],
    raised: list[Raised],
    labels: Mapping[int, str],
    now: float,
    dates: Dates,
) -> Monitor:
    found = health(row, tests, [one.name for one in raised if one.state == State.FIRING], now)
    return Monitor(
        id=row.id,
        project=project,
        name=row.name,
        category=str(row.category),
        ip_address=row.ip_address,
        port=row.port,
        interval=row.interval,
        state=str(found.standing),
        reason=found.reason,
        mos=found.mos,
        at=dates.maybe(found.slot),
        servers=[_seen(one, labels) for one in found.sights],
        alerts=raised,
    )


def _seen(one: Sight, labels: Mapping[int, str]) -> Seen:
    return Seen(
        server_id=one.server_id,
        server=labels.get(one.server_id, str(one.server_id)),
        voip_test_id=one.voip_test_id,
        state=str(one.standing),
        reason=one.reason,
        mos=one.mos,
        slot=one.slot,
    )


ROUTES: list[Any] = [list_monitors, show_monitor]
