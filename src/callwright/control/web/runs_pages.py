"""The list of runs: search, filters in the address, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from litestar import Response, get

from callwright.control.runs.model import RunFilter
from callwright.control.web.visitor import Pages, WebRequest

PAGE = 50
_STATES = (("running", "Under way"), ("passed", "Passed"), ("failed", "Failed"))
_BLAMES = (("target", "Target"), ("network", "Network"), ("platform", "Platform"), ("test", "Test"))
_FILTERS = ("status", "blame", "test", "tag", "phase", "pool", "project")
_MOST_CHIPS = 6  # projects that stand there to be chosen


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that can be set or taken away."""

    text: str
    href: str
    on: bool


def routes(pages: Pages) -> list[Any]:
    @get("/runs")
    async def runs(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        query = {name: request.query_params.get(name, "")[:200] for name in (*_FILTERS, "q")}
        after = request.query_params.get("after", "")
        projects = await pages.services.tests.projects(visitor.identity)
        if query["project"] not in [project.name for project in projects]:
            query["project"] = ""
        asked = RunFilter(
            status=_one_of(query["status"], [key for key, _ in _STATES]),
            phase=_one_of(query["phase"], ["error", "invalid", "canceled", "failed", "passed", "queued"]),
            blame=_one_of(query["blame"], [key for key, _ in _BLAMES]),
            test_name=query["test"] or None,
            tag=query["tag"] or None,
            pool=query["pool"] or None,
            search=query["q"].strip() or None,
            project_id=next((p.id for p in projects if p.name == query["project"]), None),
        )
        before = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else None
        found = await pages.services.runs.list(visitor.identity, asked, after=before, limit=PAGE + 1)
        rows = found[:PAGE]
        used = {name: value for name, value in query.items() if value}
        older = _address({**used, "after": str(rows[-1].id)}) if len(found) > PAGE else None
        return await pages.page(
            request,
            visitor,
            "runs.html",
            "Runs",
            heading=f"Runs of {query['test']}" if query["test"] else "Runs",
            test=query["test"],
            q=query["q"],
            kept={name: value for name, value in used.items() if name != "q"},
            chips=_chips(used, [project.name for project in projects]),
            several_projects=len(projects) > 1,
            runs=rows,
            filtered=bool(used) or before is not None,
            any_live=before is None and any(not run.finished for run in rows),
            here=_address(used),
            newer=_address(used) if before is not None else None,
            older=older,
        )

    return [runs]


def _chips(used: dict[str, str], projects: list[str]) -> list[Chip]:
    chips = []
    for name, options in (("status", _STATES), ("blame", _BLAMES)):
        for key, text in options:
            on = used.get(name) == key
            if name in used and not on:
                continue
            rest = {n: v for n, v in used.items() if n != name}
            shown = f"Blame: {text.lower()}" if name == "blame" else text
            chips.append(Chip(shown, _address(rest if on else {**rest, name: key}), on))
    if "project" not in used and 1 < len(projects) <= _MOST_CHIPS:
        chips += [Chip(name, _address({**used, "project": name}), False) for name in projects]
    for name in ("project", "test", "tag", "phase", "pool"):
        if name in used:
            rest = {n: v for n, v in used.items() if n != name}
            chips.append(Chip(f"{name.capitalize()}: {used[name]}", _address(rest), True))
    return chips


def _address(query: dict[str, str]) -> str:
    return f"/runs?{urlencode(query)}" if query else "/runs"


def _one_of(value: str, permitted: list[str]) -> str | None:
    return value if value in permitted else None
