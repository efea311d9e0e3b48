"""Endpoints, for people: the list, the page of one with its graphs, and the forms that change it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.alerts.model import Incident
from callwright.control.api.monitoring.endpoints import values_of
from callwright.control.api.problems import ApiProblem
from callwright.control.errors import Conflict, Invalid, NotFound, RefusedByPolicy
from callwright.control.monitors.history import merged, percentile
from callwright.control.monitors.model import Category, Endpoint, Latest, VoipTest
from callwright.control.monitors.sense import checked_test, first
from callwright.control.web import matrix, smoke
from callwright.control.web.monitoring import columns_of
from callwright.control.web.rendering import moment
from callwright.control.web.smoke import PERIODS, SHOWN, Shown, Span, Window
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

__all__ = ["routes"]

_DAY = 86_400
_USUAL = 30 * _DAY  # seconds before today, of which the usual value is made
_MOST_GRAPHS = 8  # unless all are asked for
_MOST_LISTED = 500
_MOST_INCIDENTS = 20
_TEXTS = ("name", "ip_address", "port", "description", "category", "interval", "alert_threshold", "uri")
_CHOSEN = ("credentials", "transport")
_SHAPE = ("codec", "num_tests", "interpacket_ms")
_STATUSES = ("active", "paused", "deleted")
_NO_URI = {"uri": "", "credentials": "", "transport": "udp"}
#: What a category has no use for; the form hides it, and what it held is not sent.
_UNUSED: Mapping[Category, Mapping[str, Any]] = {
    Category.UDP: _NO_URI,
    Category.PING: {**_NO_URI, "port": ""},
    Category.DNS: {**_NO_URI, "port": ""},
}


def routes(pages: Pages) -> list[Any]:
    monitors = pages.services.monitors

    async def form(
        request: WebRequest,
        visitor: Visitor,
        endpoint: Endpoint | None,
        fields: Mapping[str, str],
        *,
        error: Exception | None = None,
    ) -> Response[bytes]:
        """``fields``: as they were typed, or as they are; ``endpoint`` None: a new one."""
        servers = await pages.services.servers.listed_for(visitor.identity)
        alerts = [
            one
            for one in await pages.services.alerts.alerts(visitor.identity)
            if one.deleted_at is None and (endpoint is None or one.project_id == endpoint.project_id)
        ]
        projects = await pages.services.projects.list(visitor.identity)
        accounts = {row.name for row in await pages.services.credentials.list(visitor.identity)}
        name = endpoint.name if endpoint is not None else ""
        return await pages.page(
            request,
            visitor,
            "endpoint_form.html",
            "Endpoints",
            status=200 if error is None else 409 if isinstance(error, Conflict) else 422,
            endpoint=endpoint,
            heading=f"Edit {name}" if endpoint is not None else "Add an endpoint",
            fields=fields,
            wrong=_wrong(error),
            refusal=_refusal(error),
            servers=[one for one in servers if one.deleted_at is None or f"server_{one.number}" in fields],
            alerts=alerts,
            accounts=sorted(accounts),
            projects=[one for one in projects if visitor.can_in(Right.EDIT, one.id)],
            categories=list(Category),
        )

    @get("/monitoring/endpoints")
    async def listed(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        query = {name: str(value)[:200].strip() for name, value in request.query_params.items()}
        text, category, status = (query.get(name, "") for name in ("q", "category", "status"))
        columns = await columns_of(pages, visitor)
        cells: dict[int, list[matrix.Cell]] = {}
        for one in await monitors.latest(visitor.identity):
            cell = matrix.cell_of(one, pages.now, columns.get(one.server_id))
            cells.setdefault(one.endpoint_id, []).append(cell)
        rows = [
            (one, min(cells.get(one.id, ()), key=lambda cell: cell.rank, default=None), stands)
            for one in await monitors.endpoints(visitor.identity)
            if (not text or text.lower() in f"{one.name} {matrix.place(one)}".lower())
            and category in ("", one.category)
            and (stands := _status(one, one.id in cells)) in ((status,) if status else _STATUSES[:2])
        ]
        rows.sort(key=lambda row: (row[0].name.lower(), row[0].id))
        return await pages.page(
            request,
            visitor,
            "endpoints.html",
            "Endpoints",
            rows=rows[:_MOST_LISTED],
            more=max(0, len(rows) - _MOST_LISTED),
            counts={key: len(found) for key, found in cells.items()},
            place=matrix.place,
            q=text,
            category=category,
            chosen_status=status,
            filtered=bool(text or category or status),
            categories=list(Category),
            statuses=_STATUSES,
        )

    @get("/monitoring/endpoints/new")
    async def new(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        visitor.need(Right.EDIT)
        servers = await pages.services.servers.listed_for(visitor.identity)
        usual = {"category": "ping", "interval": "60", "transport": "udp"}
        ticked = {f"server_{one.number}": "on" for one in servers if one.deleted_at is None}
        return await form(request, visitor, None, usual | (ticked if len(ticked) <= 3 else {}))

    @post("/monitoring/endpoints", status_code=303)
    async def create(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            values, shape = _values(fields), _shape(fields)
            made = await monitors.create(
                visitor.identity,
                values,
                server_ids=_numbers(fields, "server_"),
                project=fields.get("project") or None,
            )
            await _reshape(visitor, made, shape)
        except (Invalid, Conflict, RefusedByPolicy, ApiProblem) as error:
            return await form(request, visitor, None, fields, error=error)
        return go(f"/monitoring/endpoints/{made.id}", "added")

    @get("/monitoring/endpoints/{number:int}/edit")
    async def edit(request: WebRequest, number: FromPath[int]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        endpoint = await monitors.endpoint(visitor.identity, number)
        if not visitor.can_in(Right.EDIT, endpoint.project_id):
            visitor.need(Right.EDIT)
        tests = await monitors.voip_tests(visitor.identity, number)
        return await form(request, visitor, endpoint, _texts(endpoint, tests))

    @post("/monitoring/endpoints/{number:int}", status_code=303)
    async def change(request: WebRequest, number: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        endpoint = await monitors.endpoint(visitor.identity, number)
        try:
            values, shape = _values(fields), _shape(fields)
            seen = {one.number for one in await pages.services.servers.listed_for(visitor.identity)}
            tests = await monitors.voip_tests(visitor.identity, number)
            hidden = {one.server_id for one in tests if one.deleted_at is None} - seen
            ids = sorted(hidden.union(_numbers(fields, "server_")))
            kept = await monitors.change(visitor.identity, number, values, server_ids=ids)
            await _reshape(visitor, kept, shape)
        except (Invalid, Conflict, RefusedByPolicy, ApiProblem) as error:
            return await form(request, visitor, endpoint, fields, error=error)
        return go(f"/monitoring/endpoints/{number}", "changed")

    async def _reshape(visitor: Visitor, endpoint: Endpoint, shape: Mapping[str, Any]) -> None:
        """Packets and codec of all its VoIP tests."""
        for one in await monitors.voip_tests(visitor.identity, endpoint.id):
            if one.deleted_at is None and any(getattr(one, name) != value for name, value in shape.items()):
                await monitors.change_voip_test(visitor.identity, endpoint.id, one.id, shape)

    @post("/monitoring/endpoints/{number:int}/{verb:str}", status_code=303)
    async def move(request: WebRequest, number: FromPath[int], verb: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        here, identity = f"/monitoring/endpoints/{number}", visitor.identity
        match verb:
            case "pause":
                await monitors.pause(identity, number)
                return go(here, "paused_endpoint")
            case "resume":
                await monitors.resume(identity, number)
                return go(here, "resumed_endpoint")
            case "delete":
                await monitors.cancel(identity, number)
                return go("/monitoring/endpoints", "removed")
            case "recover":
                await monitors.recover(identity, number)
                return go(here, "resumed_endpoint")
        raise NotFound("action", verb)

    @get("/monitoring/endpoints/{number:int}")
    async def show(request: WebRequest, number: FromPath[int]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        identity, now = visitor.identity, pages.now
        endpoint = await monitors.endpoint(identity, number)
        tests = [one for one in await monitors.voip_tests(identity, number) if one.deleted_at is None]
        columns = await columns_of(pages, visitor)
        period = next((one for one in PERIODS if one.key == request.query_params.get("period")), PERIODS[2])
        shown = _shown(request.query_params.get("figure", ""), tests)
        over = smoke.window(period, endpoint.interval, now)
        cells = {
            one.server_id: matrix.cell_of(Latest.of(one, endpoint.interval), now, columns.get(one.server_id))
            for one in tests
        }
        tests.sort(key=lambda one: (cells[one.server_id].rank, one.server_id))
        every = "all" in request.query_params
        drawn = tests if every else tests[:_MOST_GRAPHS]
        incidents = [
            one
            for one in await pages.services.alerts.incidents(identity)
            if any(child.endpoint_id == number for child in one.children)
        ]
        alerts = {one.id: one.name for one in await pages.services.alerts.alerts(identity)}
        return await pages.page(
            request,
            visitor,
            "endpoint.html",
            "Endpoints",
            endpoint=endpoint,
            place=matrix.place(endpoint),
            headline=matrix.endpoint_says(endpoint, list(cells.values())),
            lead=_lead(incidents, number, now),
            tests=tests,
            drawn=drawn,
            cells=cells,
            columns={
                one.server_id: columns.get(one.server_id)
                or matrix.Column(one.server_id, f"server {one.server_id}", "gone", lost=True)
                for one in tests
            },
            latest={one.server_id: Latest.of(one, endpoint.interval) for one in tests},
            graphs={
                one.server_id: graph
                for one, graph in zip(
                    drawn,
                    await asyncio.gather(*(_graph(pages, one, endpoint, over, shown, now) for one in drawn)),
                    strict=True,
                )
            },
            over=over,
            period=period,
            periods=[(one, f"?period={one.key}&figure={shown.key}") for one in PERIODS],
            shown=shown,
            figures=[(one, f"?period={period.key}&figure={one.key}") for one in SHOWN],
            all_href=f"?period={period.key}&figure={shown.key}&all=1",
            flags=smoke.flags(
                await monitors.measurements.changes([one.id for one in drawn], over.since, over.until)
                if period.seconds <= _DAY
                else (),
                over,
            ),
            spans=_spans(incidents, number, over, now),
            incidents=incidents[:_MOST_INCIDENTS],
            causes={one.id: _cause(one, endpoint, columns) for one in incidents[:_MOST_INCIDENTS]},
            alert_names=[alerts.get(one, f"alert {one}") for one in endpoint.alert_ids],
            can_change=visitor.can_in(Right.EDIT, endpoint.project_id),
        )

    return [listed, new, create, edit, change, move, show]


async def _graph(
    pages: Pages, test: VoipTest, endpoint: Endpoint, over: Window, shown: Shown, now: float
) -> smoke.Smoke:
    measurements = pages.services.monitors.measurements
    rows = await measurements.history(test.id, over.period.resolution, over.since, over.until, shown.figure)
    today = math.floor(now / _DAY) * _DAY
    days = await measurements.history(test.id, "day", today - _USUAL, today, shown.figure)
    usual = percentile(merged(tally for _, tally in days), shown.figure, 0.5)
    return smoke.smoke(rows, over, shown, usual=usual, interval=endpoint.interval, now=now)


def _shown(key: str, tests: Sequence[VoipTest]) -> Shown:
    """As asked for; else the round trip, or MOS where only that is measured."""
    found = next((one for one in SHOWN if one.key == key), None)
    if found is not None:
        return found
    measured = [one.figures for one in tests if one.figures]
    rated = any(one.get("mos") is not None for one in measured)
    return SHOWN[1] if rated and all(one.get("rtt_ms") is None for one in measured) else SHOWN[0]


def _status(endpoint: Endpoint, tested: bool) -> str:
    return "deleted" if endpoint.deleted_at is not None else "active" if tested else "paused"


# -- incidents


def _lead(incidents: Sequence[Incident], endpoint: int, now: float) -> str:
    running = [one for one in incidents if one.ended_at is None]
    if running:
        began = min(child.began_at for child in running[0].children if child.endpoint_id == endpoint)
        more = f", and {len(running) - 1} more" if len(running) > 1 else ""
        return f"Incident {running[0].id} is open since {moment(began)} UTC{more}."
    month = [one for one in incidents if one.started_at >= now - _USUAL]
    return f"{len(month) or 'No'} {'incident' if len(month) == 1 else 'incidents'} in 30 days."


def _spans(incidents: Sequence[Incident], endpoint: int, over: Window, now: float) -> list[Span]:
    found = []
    for one in incidents:
        for child in one.children:
            ended = child.ended_at or one.ended_at
            until = ended if ended is not None else now
            if child.endpoint_id != endpoint or until < over.since or child.began_at >= over.until:
                continue
            left = over.share(child.began_at)
            told = f"{moment(child.began_at)} to {moment(ended) if ended is not None else 'now'} UTC"
            width = max(0.4, over.share(until) - left)
            found.append(
                Span(left, width, f"Incident {one.id}", f"Incident {one.id}, {told}", open=ended is None)
            )
    return found


def _cause(incident: Incident, endpoint: Endpoint, columns: Mapping[int, matrix.Column]) -> str:
    cause = incident.cause
    server = columns.get(cause.server or 0)
    name = server.name if server is not None else f"server {cause.server}"
    match cause.kind:
        case "server":
            return f"the server {name} finds bad all that it tests"
        case "path":
            return f"between {name} and {endpoint.name}"
    return "every server finds it bad"


# -- forms


def _values(fields: Mapping[str, str]) -> dict[str, Any]:
    """Raises ApiProblem with the field."""
    category = Category(fields["category"]) if fields.get("category") in list(Category) else None
    asked: dict[str, Any] = {name: fields.get(name, "") for name in (*_TEXTS, *_CHOSEN)}
    if category is not None:
        asked |= _UNUSED.get(category, {})
    values = values_of(asked)
    values["alert_ids"] = tuple(_numbers(fields, "alert_"))
    return values


def _shape(fields: Mapping[str, str]) -> dict[str, Any]:
    """What is empty stays as it is. Raises Invalid."""
    found: dict[str, Any] = {}
    if fields.get("codec", "").strip():
        found["codec"] = fields["codec"].strip().lower()
    for name, kind in (("num_tests", int), ("interpacket_ms", float)):
        text = fields.get(name, "").strip()
        if text:
            try:
                found[name] = kind(text)
            except ValueError:
                raise Invalid(f"{text[:40]!r} is no number.", field=name) from None
    checked_test(msgspec.structs.replace(first(0, 0, 0.0), **found))
    return found


def _numbers(fields: Mapping[str, str], prefix: str) -> list[int]:
    rest = [name.removeprefix(prefix) for name, value in fields.items() if name.startswith(prefix) and value]
    return sorted({int(one) for one in rest if one.isascii() and one.isdigit() and len(one) < 16})


def _texts(endpoint: Endpoint, tests: Sequence[VoipTest]) -> dict[str, str]:
    """As the form has them."""
    found: dict[str, str] = {}
    for name in (*_TEXTS, *_CHOSEN):
        value = getattr(endpoint, name)
        found[name] = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    active = [one for one in tests if one.deleted_at is None]
    for name in _SHAPE:
        values: set[Any] = {getattr(one, name) for one in active}
        value = values.pop() if len(values) == 1 else ""
        found[name] = f"{value:g}" if isinstance(value, float) else str(value)
    return (
        found
        | {f"server_{one.server_id}": "on" for one in active}
        | {f"alert_{one}": "on" for one in endpoint.alert_ids}
    )


def _wrong(error: Exception | None) -> dict[str, str]:
    """Field to sentence."""
    match error:
        case RefusedByPolicy():
            return {error.address: f"{error.reason} {error.remedy}".strip()}
        case Invalid() if error.field:
            return {error.field: f"{error.message} {error.remedy}".strip()}
        case ApiProblem():
            return {str(one["address"]): str(one["message"]) for one in error.errors if one.get("address")}
    return {}


def _refusal(error: Exception | None) -> tuple[str, str] | None:
    """On top of the form: what is wrong, and what to do."""
    match error:
        case None:
            return None
        case RefusedByPolicy():
            return error.reason, error.remedy
        case Invalid() | Conflict():
            return error.message, error.remedy
        case ApiProblem():
            return error.message, ""
    return str(error), ""
