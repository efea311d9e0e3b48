"""The report of monitoring over whole days: what was answered, how it sounded, what happened; printable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get

from callwright.control.alerts.model import Incident
from callwright.control.monitors.history import Tally, merged, percentile
from callwright.control.monitors.model import Endpoint, VoipTest
from callwright.control.monitors.standing import USUAL_LIMIT
from callwright.control.web import alert_figures as figures
from callwright.control.web.rendering import listed, span
from callwright.control.web.visitor import Pages, Visitor, WebRequest

__all__ = ["Line", "line_of", "routes"]

_DAY = 86_400
_PERIODS = ((1, "Day"), (7, "Week"), (30, "30 days"))
_MOST_TESTS = 200  # VoIP tests that one report reads
_MOST_INCIDENTS = 100


class Line(msgspec.Struct, frozen=True):
    """One endpoint. What was not measured is None. ``answered``, ``good``, ``loss``: percent; ``good``: tests
    that were answered with a MOS of at least its threshold, of those that say something. ``trouble``: seconds
    in which an alert of it fired."""

    endpoint: Endpoint
    tested: int
    answered: float | None
    good: float | None
    mos: float | None
    worst: float | None
    before: float | None
    loss: float | None
    rtt: float | None
    missed: int
    trouble: float


def routes(pages: Pages) -> list[Any]:
    services = pages.services

    @get("/monitoring/report")
    async def report(request: WebRequest) -> Response[bytes]:
        """Whole days of UTC, up to the midnight that `to` names: today's if it is absent."""
        visitor = await pages.visitor(request)
        days = next((n for n, _ in _PERIODS if str(n) == request.query_params.get("days", "")), 7)
        today = datetime.fromtimestamp(pages.now, UTC).date()
        end = min(_date(request.query_params.get("to", "")) or today, today)
        until = datetime(end.year, end.month, end.day, tzinfo=UTC).timestamp()
        since = until - days * _DAY
        projects = await services.projects.list(visitor.identity)
        chosen = next((one for one in projects if one.name == request.query_params.get("project", "")), None)
        endpoints = [
            one
            for one in await services.monitors.endpoints(visitor.identity)
            if one.deleted_at is None and (chosen is None or one.project_id == chosen.id)
        ]
        endpoints.sort(key=lambda one: (one.name.lower(), one.id))
        incidents = [
            one
            for one in await services.alerts.incidents(visitor.identity)
            if one.started_at < until
            and (one.ended_at is None or one.ended_at > since)
            and (chosen is None or one.project_id == chosen.id)
        ]
        lines, left_out = await _lines(pages, visitor, endpoints, incidents, since, until)
        names = {one.id: one.name for one in await services.monitors.endpoints(visitor.identity)}
        servers = {one.number: one.label for one in await services.servers.listed_for(visitor.identity)}
        query = f"&{urlencode({'project': chosen.name})}" if chosen is not None else ""
        return await pages.page(
            request,
            visitor,
            "monitoring_report.html",
            "Report",
            days=days,
            periods=[(n, text, f"/monitoring/report?days={n}&to={end}{query}") for n, text in _PERIODS],
            earlier=f"/monitoring/report?days={days}&to={end - timedelta(days=days)}{query}",
            later=(
                f"/monitoring/report?days={days}&to={min(today, end + timedelta(days=days))}{query}"
                if end < today
                else None
            ),
            since=since,
            until=until,
            lines=lines,
            left_out=left_out,
            headline=_headline(lines, incidents, days),
            incidents=[
                (one, figures.cause_says(one, names, servers, past=True), _within(one, since, until))
                for one in incidents[:_MOST_INCIDENTS]
            ],
            chosen=chosen,
            projects=projects,
        )

    return [report]


async def _lines(
    pages: Pages,
    visitor: Visitor,
    endpoints: Sequence[Endpoint],
    incidents: Sequence[Incident],
    since: float,
    until: float,
) -> tuple[list[Line], int]:
    """And how many endpoints there was no room for."""
    tests: dict[int, list[VoipTest]] = {}
    for test in await pages.services.monitors.all_voip_tests(visitor.identity):
        tests.setdefault(test.endpoint_id, []).append(test)
    measurements = pages.services.monitors.measurements
    lines: list[Line] = []
    read = 0
    for endpoint in endpoints:
        here = tests.get(endpoint.id, [])
        if lines and read + len(here) > _MOST_TESTS:
            break
        read += len(here)
        before: list[Tally] = []
        during: list[Tally] = []
        for test in here:
            for at, tally in await measurements.history(test.id, "day", 2 * since - until, until):
                (during if at >= since else before).append(tally)
        trouble = _trouble(endpoint.id, incidents, since, until)
        lines.append(line_of(endpoint, merged(during), merged(before), trouble))
    return lines, len(endpoints) - len(lines)


def line_of(endpoint: Endpoint, during: Tally, before: Tally, trouble: float) -> Line:
    done, failed = during.slots.get("done", 0), during.slots.get("failed", 0)
    sent, lost = during.counted.get("sent"), during.counted.get("lost")
    limit = round((endpoint.alert_threshold or USUAL_LIMIT) * 100)
    spread: Mapping[int, int] = during.spread.get("mos", {})
    well = sum(count for bucket, count in spread.items() if bucket >= limit)
    said = max(sum(spread.values()), done + failed) if spread else 0
    return Line(
        endpoint,
        done + failed,
        100 * done / (done + failed) if done + failed else None,
        100 * well / said if said else None,
        percentile(during, "mos", 0.5),
        percentile(during, "mos", 0.05),
        percentile(before, "mos", 0.5),
        100 * lost / sent if sent and lost is not None else None,
        percentile(during, "rtt_ms", 0.5),
        sum(count for state, count in during.slots.items() if state not in ("done", "failed")),
        trouble,
    )


def _trouble(endpoint_id: int, incidents: Sequence[Incident], since: float, until: float) -> float:
    """Seconds; what overlaps counts once."""
    spans = sorted(
        (max(since, child.began_at), min(until, until if child.ended_at is None else child.ended_at))
        for one in incidents
        for child in one.children
        if child.endpoint_id == endpoint_id
    )
    seconds, reached = 0.0, since
    for begin, end in spans:
        seconds += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return seconds


def _within(incident: Incident, since: float, until: float) -> float:
    end = until if incident.ended_at is None else min(until, incident.ended_at)
    return max(0.0, end - max(since, incident.started_at))


def _headline(lines: Sequence[Line], incidents: Sequence[Incident], days: int) -> str:
    lately = "a day" if days == 1 else f"{days} days"
    if not lines:
        return "Nothing is monitored yet."
    known = [one for one in lines if one.tested]
    if not known:
        return f"Nothing was measured in {lately}."
    ill = [one for one in lines if one.trouble]
    if ill:
        worst = max(ill, key=lambda one: one.trouble)
        others = f" {len(ill) - 1} more had alerts too." if len(ill) > 1 else ""
        return f"{worst.endpoint.name} was not well for {span(worst.trouble)} in {lately}.{others}"
    below = [one.endpoint.name for one in known if one.answered is not None and one.answered < 99.9]
    if below:
        shown = listed(below) if len(below) < 4 else f"{len(below)} endpoints"
        return f"No alert fired in {lately}. {shown} did not answer every test."
    return f"No alert fired in {lately}, and nearly every test was answered."


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
