"""The pages of monitoring that show many: the matrix, and what one server sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from litestar import Response, get
from litestar.params import FromPath

from callwright.control.monitors.model import Category
from callwright.control.servers.model import ServerRecord
from callwright.control.web import matrix
from callwright.control.web.matrix import Column, Figure, Wanted
from callwright.control.web.rendering import clock_time
from callwright.control.web.visitor import Pages, Visitor, WebRequest
from callwright.fleet.words import counted
from callwright.quality.bands import BANDS

__all__ = ["columns_of", "routes"]

_FIGURES = ((Figure.MOS, "MOS"), (Figure.LOSS, "Loss"), (Figure.DELAY, "Delay"))
_LONGEST = 200  # characters of a filter


def routes(pages: Pages) -> list[Any]:
    monitors = pages.services.monitors

    @get("/monitoring")
    async def show_matrix(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        identity = visitor.identity
        projects = await pages.services.projects.list(identity)
        wanted = _wanted(request, {one.name: one.id for one in projects})
        servers = await columns_of(pages, visitor)
        endpoints = [one for one in await monitors.endpoints(identity) if one.deleted_at is None]
        board = matrix.board(endpoints, await monitors.latest(identity), servers, wanted, pages.now)
        query = {name: value for name, value in request.query_params.items() if name != "did" and value}
        return await pages.page(
            request,
            visitor,
            "matrix.html",
            "Matrix",
            board=board,
            wanted=wanted,
            any_endpoint=bool(endpoints),
            filtered=bool(wanted.text or wanted.category or wanted.band or wanted.server or wanted.project),
            here=_href(query),
            figures=[(one, text, _href(query | {"figure": one.value})) for one, text in _FIGURES],
            sorts=[
                ("Worst first", not wanted.by_name, _href({**query, "sort": ""})),
                ("By name", wanted.by_name, _href(query | {"sort": "name"})),
            ],
            page_hrefs=[_href(query | {"page": str(n + 1)}) for n in range(board.pages)],
            kept={name: query[name] for name in ("figure", "sort") if name in query},
            bands=BANDS,
            band_names=[*(one.name for one in BANDS), matrix.NO_DATA],
            categories=list(Category),
            servers=sorted(servers.values(), key=lambda one: one.name),
            projects=projects,
            project=request.query_params.get("project", ""),
        )

    @get("/monitoring/servers/{number:int}")
    async def show_server(request: WebRequest, number: FromPath[int]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        identity, now = visitor.identity, pages.now
        server = await pages.services.servers.numbered(identity, number)
        agents = {one.id: one for one in await pages.services.agents.list()}
        agent = agents.get(server.agent_id or "")
        column = _column(server, agent, now)
        endpoints = {one.id: one for one in await monitors.endpoints(identity) if one.deleted_at is None}
        latest = [one for one in await monitors.latest(identity) if one.server_id == number]
        rows = [
            (endpoints[one.endpoint_id], matrix.cell_of(one, now, column), one)
            for one in latest
            if one.endpoint_id in endpoints
        ]
        rows.sort(key=lambda row: (row[1].rank, row[0].name.lower(), row[0].id))
        errors = sorted(one.figures.error_ms for _, _, one in rows if one.figures.error_ms is not None)
        return await pages.page(
            request,
            visitor,
            "monitoring_server.html",
            "Matrix",
            server=server,
            column=column,
            agent=agent,
            rows=rows,
            headline=_server_says(column, [cell for _, cell, _ in rows]),
            place=matrix.place,
            error_median=errors[len(errors) // 2] if errors else None,
            error_worst=errors[-1] if errors else None,
            errors=len(errors),
        )

    return [show_matrix, show_server]


async def columns_of(pages: Pages, visitor: Visitor) -> Mapping[int, Column]:
    """The servers that the visitor sees, by number."""
    agents = {one.id: one for one in await pages.services.agents.list()}
    servers = await pages.services.servers.listed_for(visitor.identity)
    return {one.number: _column(one, agents.get(one.agent_id or ""), pages.now) for one in servers}


def _column(server: ServerRecord, agent: Any, now: float) -> Column:
    where = server.place or server.region
    if server.deleted_at is not None:
        return Column(server.number, server.label, "cancelled", lost=True, heard=server.last_login_at)
    if agent is None or not agent.alive(now):
        heard = agent.last_seen_at if agent is not None else server.last_login_at
        note = f"lost {clock_time(heard)[:5]}" if heard is not None else "never heard"
        return Column(server.number, server.label, note, lost=True, heard=heard)
    return Column(server.number, server.label, where, heard=agent.last_seen_at)


def _server_says(column: Column, cells: list[matrix.Cell]) -> str:
    bad, known = sum(cell.bad for cell in cells), sum(cell.known for cell in cells)
    if not cells:
        return f"{column.name} tests no endpoint."
    if not known:
        return f"{column.name} has no data of {counted(len(cells), 'endpoint')}."
    if not bad:
        measured = f"{known} of {len(cells)} endpoints" if known < len(cells) else counted(known, "endpoint")
        return f"{column.name} finds all well that it measured: {measured}."
    which = f"{bad} of the {known} measured endpoints" if known > 1 else "the measured endpoint"
    return f"From {column.name} {which} {'are' if bad > 1 else 'is'} not well."


def _wanted(request: WebRequest, projects: Mapping[str, int]) -> Wanted:
    """What means nothing is as if it were not there: an address from a mail should still open."""
    query = {name: str(value)[:_LONGEST].strip() for name, value in request.query_params.items()}
    figure, category, band = query.get("figure", ""), query.get("category", ""), query.get("band", "")
    return Wanted(
        text=query.get("q", ""),
        category=category if category in list(Category) else "",
        band=band if band in (*(one.name for one in BANDS), matrix.NO_DATA) else "",
        server=_whole(query.get("server", "")),
        project=projects.get(query.get("project", "")),
        figure=Figure(figure) if figure in list(Figure) else Figure.MOS,
        by_name=query.get("sort") == "name",
        page=max(1, _whole(query.get("page", "")) or 1),
    )


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _href(query: Mapping[str, str]) -> str:
    kept = {name: value for name, value in query.items() if value}
    return f"/monitoring?{urlencode(kept)}" if kept else "/monitoring"
