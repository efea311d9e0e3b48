"""Call history: the API's list with its filters, a chart, views that people keep; and one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.collections.model import MOST_ROWS, Compare, Every, Operator, Query, Sort
from callwright.control.errors import DomainError, Invalid, NotFound
from callwright.control.runs.model import RunFilter
from callwright.control.web import call_filter as filters
from callwright.control.web import call_words as words
from callwright.control.web.board_figures import full_name
from callwright.control.web.call_filter import Asked
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go
from callwright.quality.bands import band

PAGE = 50
_VIEWS = "calls"
_BARS = 20
_MOST_DAYS, _USUAL_DAYS = 62, 30
_ASKED = ("filter", "sort", "dir", "group_by")
_CALLERS = ({"property": "type", "operator": "=", "value": "O"},)
_POOR = 3.6
_LONGEST_RUN = 86_400.0  # seconds between a run's start and its calls; so few runs are searched


@dataclass(frozen=True, slots=True)
class Tab:
    """``id``: of a view that the visitor saved."""

    name: str
    href: str
    on: bool
    id: int | None = None


def routes(pages: Pages) -> list[Any]:
    services = pages.services

    async def shown(
        request: WebRequest,
        visitor: Visitor,
        asked: Asked,
        *,
        refusal: DomainError | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Response[bytes]:
        identity, condition = visitor.identity, asked.condition
        groups = (await services.cdrs.rows(identity, Query(condition, group_by="disposition"))).rows
        counts = {str(row["disposition"]): int(str(row["count"])) for row in groups}
        rows, older = await _rows(pages, visitor, asked, request.query_params.get("after", ""))
        tabs = await _tabs(pages, visitor, asked)
        unit = "call" if _one_line_a_call(visitor, asked) else "record"
        filtered = len(asked.entries) > (1 if visitor.can(Right.ADMINISTER) else 0)
        return await pages.page(
            request,
            visitor,
            "calls.html",
            "Call history",
            status=422 if refusal else 200,
            headline=words.headline(counts, unit, filtered=filtered),
            filtered=filtered,
            unit=unit,
            total=sum(counts.values()),
            asked=asked,
            chips=filters.chips(asked),
            quick=_quick(asked, pages.now),
            tabs=tabs,
            saved=next((tab for tab in tabs if tab.on and tab.id is not None), None),
            named=any(tab.on for tab in tabs),
            properties=filters.properties(),
            operators=filters.OPERATORS,
            groups=filters.GROUPS,
            days=await _days(pages, visitor, asked) if asked.group_by == "day" else None,
            bars=await _bars(pages, visitor, asked) if asked.group_by != "day" else [],
            stretches=words.stretches(rows),
            shown_rows=len(rows),
            older=f"{asked.address}&after={rows[-1]['id']}" if older else None,
            newest=asked.address if request.query_params.get("after") else None,
            words=words,
            refusal=refusal,
            fields=fields or {},
            everything=Asked(sort=asked.sort, descending=asked.descending).address,
            sees_all=visitor.can(Right.ADMINISTER),
        )

    @get("/calls")
    async def calls(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        try:
            asked = Asked.read(_given(request), _usual(visitor))
        except Invalid as error:
            return await shown(request, visitor, Asked(tuple(_usual(visitor))), refusal=error)
        return await shown(request, visitor, asked)

    @get("/calls/filter")
    async def narrow(request: WebRequest) -> Response[Any]:
        """The form of a filter: leads to the list that has it too."""
        visitor = await pages.visitor(request)
        names = ("property", "operator", "value")
        given = {name: request.query_params.get(name, "")[:4_000] for name in names}
        asked = Asked.read(_given(request), _usual(visitor))
        try:
            entry = filters.condition_of(given["property"], given["operator"], given["value"])
            joined = asked.with_entry(entry, joined=request.query_params.get("join") == "or")
            return go(Asked.read({**_given(request), "filter": joined.filter}).address)
        except Invalid as error:
            return await shown(request, visitor, asked, refusal=error, fields=given)

    @post("/calls/views", status_code=303)
    async def keep(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        asked = Asked.read(fields)
        try:
            await services.views.save(visitor.identity, _VIEWS, fields.get("name", ""), asked.query)
        except DomainError as error:
            return await shown(request, visitor, asked, refusal=error)
        return go(asked.address, "kept")

    @post("/calls/views/{view_id:int}/delete", status_code=303)
    async def drop(request: WebRequest, view_id: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await services.views.delete(visitor.identity, view_id)
        return go("/calls", "removed")

    @get("/calls/{cdr_id:int}")
    async def call(request: WebRequest, cdr_id: FromPath[int]) -> Response[bytes]:
        visitor = await pages.visitor(request)
        return await one(request, visitor, cdr_id)

    async def one(
        request: WebRequest, visitor: Visitor, cdr_id: int, refusal: DomainError | None = None
    ) -> Response[bytes]:
        row = await services.cdrs.get(visitor.identity, cdr_id)
        same = Query(Compare("live_id", Operator.EQ, str(row["live_id"])), Sort("id"), limit=MOST_ROWS)
        legs = (await services.cdrs.rows(visitor.identity, same)).rows
        return await pages.page(
            request,
            visitor,
            "call.html",
            "Call history",
            status=422 if refusal else 200,
            row=row,
            legs=legs,
            quality=_quality(row),
            runs=await _runs_of(pages, visitor, legs),
            words=words,
            refusal=refusal,
        )

    @post("/calls/{cdr_id:int}/labels", status_code=303)
    async def label(request: WebRequest, cdr_id: FromPath[int]) -> Response[Any]:
        """Adds one, or takes one away."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        row = await services.cdrs.get(visitor.identity, cdr_id)
        labels: list[str] = [one for one in _labels(row) if one != fields.get("remove")]
        added = fields.get("label", "").strip()
        if added and added not in labels:
            labels.append(added)
        try:
            await services.cdrs.change(visitor.identity, [(cdr_id, {"labels": labels})])
        except Invalid as error:
            return await one(request, visitor, cdr_id, error)
        return go(f"/calls/{cdr_id}", "changed")

    return [calls, narrow, keep, drop, call, label]


# -- inside


def _given(request: WebRequest) -> dict[str, str]:
    return {name: request.query_params.get(name, "") for name in _ASKED}


def _usual(visitor: Visitor) -> list[dict[str, Any]]:
    """Administrators see the records of every leg: of each call that of the caller is enough."""
    return list(_CALLERS) if visitor.can(Right.ADMINISTER) else []


def _one_line_a_call(visitor: Visitor, asked: Asked) -> bool:
    return not visitor.can(Right.ADMINISTER) or _CALLERS[0] in asked.entries


async def _rows(
    pages: Pages, visitor: Visitor, asked: Asked, after: str
) -> tuple[list[dict[str, Any]], bool]:
    """A page of the list, and whether more come after it."""
    where, cdrs = asked.condition, pages.services.cdrs
    if after.isascii() and after.isdigit() and len(after) < 19:
        try:
            last = await cdrs.get(visitor.identity, int(after))
            where = Every((where, filters.after_row(asked.order, last)))
        except NotFound:  # deleted meanwhile: from the beginning
            pass
    found = (await cdrs.rows(visitor.identity, Query(where, asked.order, limit=PAGE + 1))).rows
    return found[:PAGE], len(found) > PAGE


async def _tabs(pages: Pages, visitor: Visitor, asked: Asked) -> list[Tab]:
    usual = tuple(_usual(visitor))
    poor = {
        "or": [
            {"property": "disposition", "operator": "=", "value": "FAILED"},
            {"property": "mos", "operator": "<", "value": _POOR},
        ]
    }
    missed = {"property": "type", "operator": "=", "value": "M"}
    known = [("All calls", Asked(usual)), ("Not well", Asked((*usual, poor))), ("Missed", Asked((missed,)))]
    if usual:
        known.append(("Every leg", Asked()))
    tabs = [Tab(name, one.address, one.query == asked.query) for name, one in known]
    kept = await pages.services.views.list(visitor.identity, _VIEWS)
    return tabs + [Tab(one.name, f"/calls?{one.query}", one.query == asked.query, one.id) for one in kept]


def _quick(asked: Asked, now: float) -> list[filters.Chip]:
    """Filters of one click, as far as they are not set."""
    day = words.today(now)
    offered = [
        (f"{text.capitalize()}", {"property": "disposition", "operator": "=", "value": key})
        for key, text in words.RESULTS.items()
        if not any(one.get("property") == "disposition" for one in asked.entries)
    ]
    if not any(one.get("property") == "calldate" for one in asked.entries):
        since = {"property": "calldate", "operator": ">="}
        offered += [("Today", {**since, "value": words.date_of(day)})]
        offered += [("7 days", {**since, "value": words.date_of(day - 6)})]
    return [filters.Chip(text, asked.with_entry(entry).address) for text, entry in offered]


async def _days(pages: Pages, visitor: Visitor, asked: Asked) -> words.DayChart | None:
    """All calls of the time that is asked for, so that those which match are seen against something."""
    since, until = filters.spans(asked)
    last = words.today(min(until if until is not None else pages.now, pages.now))
    first = words.today(since) if since is not None else last - _USUAL_DAYS + 1
    first = max(first, last - _MOST_DAYS + 1)
    if first > last:
        return None
    times = [
        Compare("calldate", Operator.GTE, float(first * 86_400)),
        Compare("calldate", Operator.LT, float((last + 1) * 86_400)),
    ]
    mine = [Compare("type", Operator.EQ, "O")] if _usual(visitor) else []
    tally = await pages.services.cdrs.days(visitor.identity, Every((*times, *mine)), "disposition")
    return words.day_chart(tally, first, last, lambda a, b: asked.in_time(a, b).address)


async def _bars(pages: Pages, visitor: Visitor, asked: Asked) -> list[words.Bar]:
    """Those that match, by the property; the most frequent first."""
    name = asked.group_by
    query = Query(asked.condition, Sort("count", True), limit=_BARS, group_by=name)
    groups = (await pages.services.cdrs.rows(visitor.identity, query)).rows
    people: dict[Any, str] = {}
    if name == "user_id":
        ids = tuple(int(str(row[name])) for row in groups if row[name] is not None)
        found = await pages.services.lines.rows(
            visitor.identity, Query(Compare("id", Operator.IN, ids), limit=MOST_ROWS)
        )
        people = {row["id"]: f"{row['ext'] or ''} {full_name(row)}".strip() for row in found.rows}

    def worded(value: Any) -> str:
        if value is None:
            return "not a user" if name == "user_id" else "not known"
        match name:
            case "t_cause":
                return words.cause(value)
            case "disposition":
                return words.RESULTS.get(str(value), str(value)).capitalize()
            case "type":
                return words.leg(value)
            case "user_id":
                return people.get(value, f"user {value}")
        return str(value) or "none"

    def narrowed(value: Any) -> str:
        return asked.with_entry({"property": name, "operator": "=", "value": value}).address

    return words.bars(groups, name, worded, narrowed)


def _labels(row: Mapping[str, Any]) -> list[str]:
    return [str(one) for one in row["labels"]]


def _quality(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each direction what was measured; nothing where nothing was."""
    found = []
    for of, who in (("src", "From the caller, to the callee"), ("dst", "From the callee, to the caller")):
        figures = {name: row[f"{name}_{of}"] for name in ("mos", "r_factor", "jitter", "loss")}
        if any(value is not None for value in figures.values()):
            mos = figures["mos"]
            found.append({"who": who, "band": band(mos).name if mos is not None else "", **figures})
    return found


async def _runs_of(pages: Pages, visitor: Visitor, legs: list[dict[str, Any]]) -> list[Any]:
    """Runs whose calls have the Call-ID of a leg: our own agent placed or answered it."""
    found = {}
    for call_id in dict.fromkeys(str(row["call_id"]) for row in legs if row["call_id"]):
        at = legs[0]["calldate"]
        near = RunFilter(search=call_id, since=at - _LONGEST_RUN, until=at + _LONGEST_RUN)
        for run in await pages.services.runs.list(visitor.identity, near, limit=2):
            found[run.id] = run
    return list(found.values())
