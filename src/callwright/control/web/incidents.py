"""The pages of incidents: the list, and one as a story with its proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.alerts.model import Incident
from callwright.control.monitors.model import Endpoint
from callwright.control.monitors.standing import Sight, Standing, sight
from callwright.control.web import alert_figures as figures
from callwright.control.web.rendering import span
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

_MOST = 100
_MOST_COLUMNS = 8


class Names(msgspec.Struct, frozen=True):
    """Of all that an incident may name, cancelled ones too."""

    alerts: Mapping[int, str]
    endpoints: Mapping[int, str]
    servers: Mapping[int, str]


class Grid(msgspec.Struct, frozen=True):
    """What servers (rows) see of endpoints (columns) now; None: this server does not test it. ``implicated``:
    the row's server or the column's endpoint is the cause."""

    columns: tuple[tuple[int, str, bool], ...]
    rows: tuple[tuple[str, bool, tuple[Sight | None, ...]], ...]
    left_out: int


def routes(pages: Pages) -> list[Any]:
    services = pages.services
    alerts = services.alerts

    async def names_of(visitor: Visitor) -> Names:
        identity = visitor.identity
        return Names(
            {one.id: one.name for one in await alerts.alerts(identity)},
            {one.id: one.name for one in await services.monitors.endpoints(identity)},
            {one.number: one.label for one in await services.servers.listed_for(identity)},
        )

    @get("/monitoring/incidents")
    async def listed(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        names, now = await names_of(visitor), pages.now
        found = await alerts.incidents(visitor.identity)
        running = [one for one in found if one.ended_at is None]
        over = [one for one in found if one.ended_at is not None][:_MOST]
        return await pages.page(
            request,
            visitor,
            "incidents.html",
            "Incidents",
            running=[(one, figures.cause_says(one, names.endpoints, names.servers)) for one in running],
            over=[(one, figures.cause_says(one, names.endpoints, names.servers, past=True)) for one in over],
            headline=_headline(running, names, now),
            names=names,
            still=figures.still,
        )

    @get("/monitoring/incidents/{number:int}")
    async def show(request: WebRequest, number: FromPath[int]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        incident = await alerts.incident(visitor.identity, number)
        names, now = await names_of(visitor), pages.now
        is_over = incident.ended_at is not None
        cause = figures.cause_says(incident, names.endpoints, names.servers, past=is_over)
        return await pages.page(
            request,
            visitor,
            "incident.html",
            "Incidents",
            incident=incident,
            names=names,
            cause=cause,
            cause_link=_cause_link(incident),
            lasted=span((now if incident.ended_at is None else incident.ended_at) - incident.started_at),
            story=figures.story(incident, names.alerts, names.endpoints, names.servers),
            still=figures.still(incident),
            grid=None if is_over else await grid_of(visitor, incident, names),
            may_acknowledge=visitor.can_in(Right.RUN, incident.project_id),
        )

    async def grid_of(visitor: Visitor, incident: Incident, names: Names) -> Grid | None:
        ours = {child.endpoint_id for child in incident.children}
        endpoints = {
            one.id: one
            for one in await services.monitors.endpoints(visitor.identity)
            if one.deleted_at is None and one.project_id == incident.project_id
        }
        seen: dict[tuple[int, int], Sight] = {}
        for test in await services.monitors.all_voip_tests(visitor.identity):
            endpoint = endpoints.get(test.endpoint_id)
            if endpoint is not None and test.deleted_at is None:
                seen[test.server_id, endpoint.id] = sight(endpoint, test, pages.now)
        return _grid(incident, ours, endpoints, seen, names)

    @post("/monitoring/incidents/{number:int}/acknowledge", status_code=303)
    async def acknowledge(request: WebRequest, number: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await alerts.acknowledge(visitor.identity, number)
        return go(f"/monitoring/incidents/{number}", "acknowledged")

    return [listed, show, acknowledge]


def _headline(running: list[Incident], names: Names, now: float) -> str:
    if not running:
        return "No incident is open."
    says = figures.cause_says(running[0], names.endpoints, names.servers)
    if len(running) == 1:
        return f"{says}, since {figures.began(running[0].started_at, now)}."
    return f"{len(running)} incidents are open. The newest: {says}."


def _cause_link(incident: Incident) -> str:
    cause = incident.cause
    if cause.endpoint is not None:
        return f"/monitoring/endpoints/{cause.endpoint}"
    return f"/monitoring/servers/{cause.server}"


def _grid(
    incident: Incident,
    ours: set[int],
    endpoints: Mapping[int, Endpoint],
    seen: Mapping[tuple[int, int], Sight],
    names: Names,
) -> Grid | None:
    """The children first, then what the same servers see well: innocence is proof too."""
    testing = {server for server, endpoint in seen if endpoint in ours}
    near = {endpoint for server, endpoint in seen if server in testing}
    order = sorted(near, key=lambda one: (one not in ours, endpoints[one].name.lower(), one))
    shown = order[:_MOST_COLUMNS]
    servers = sorted({server for server, endpoint in seen if endpoint in shown})
    if not shown or not servers:
        return None
    cause = incident.cause
    servers.sort(key=lambda one: (one != cause.server, -_bad(one, shown, seen), names.servers.get(one, "")))
    return Grid(
        tuple((one, endpoints[one].name, cause.server is None and one == cause.endpoint) for one in shown),
        tuple(
            (
                names.servers.get(server, f"server {server}"),
                server == cause.server,
                tuple(seen.get((server, endpoint)) for endpoint in shown),
            )
            for server in servers
        ),
        len(order) - len(shown),
    )


def _bad(server: int, endpoints: list[int], seen: Mapping[tuple[int, int], Sight]) -> int:
    return sum(
        (found := seen.get((server, one))) is not None and found.standing is Standing.BAD for one in endpoints
    )
