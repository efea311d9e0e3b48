"""The list of runs: search, filters in the address, page by page; and any two runs side by side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

from litestar import Response, get

from callwright.control.errors import Invalid
from callwright.control.runs.differences import differences
from callwright.control.runs.model import Run, RunFilter
from callwright.control.web import rendering, run_page
from callwright.control.web.visitor import Pages, WebRequest
from callwright.evidence.excerpt import beside
from callwright.evidence.figures import milliseconds
from callwright.evidence.ladder import Ladder
from callwright.evidence.naming import with_quality
from callwright.evidence.page import MOST_ROWS, PlacedRow, lane_positions, placed_row

PAGE = 50
_STATES = (("running", "Under way"), ("passed", "Passed"), ("failed", "Failed"))
_BLAMES = (("target", "Target"), ("network", "Network"), ("platform", "Platform"), ("test", "Test"))
_FILTERS = ("status", "blame", "test", "tag", "phase", "pool", "project", "agent", "from", "to")
_DAY = 86_400.0
_MOST_CHIPS = 6  # projects that stand there to be chosen
_FIELDS = ("from", "to", "agent", "project")
"""Those that have a field of their own."""
_MOST_CALLS = 6


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
        projects = await pages.services.projects.list(visitor.identity)
        agents = await pages.services.agents.list()
        query["from"], query["to"] = _day(query["from"]), _day(query["to"])
        if query["agent"] not in [agent.name for agent in agents]:
            query["agent"] = ""
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
            agent_id=next((a.id for a in agents if a.name == query["agent"]), None),
            since=_seconds(query["from"]),
            until=None if not query["to"] else (_seconds(query["to"]) or 0.0) + _DAY,
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
            kept={name: value for name, value in used.items() if name not in ("q", *_FIELDS)},
            query=query,
            projects=[project.name for project in projects],
            agents=sorted(agent.name for agent in agents),
            chips=_chips(used, [project.name for project in projects]),
            several_projects=len(projects) > 1,
            runs=rows,
            filtered=bool(used) or before is not None,
            any_live=before is None and any(not run.finished for run in rows),
            here=_address(used),
            newer=_address(used) if before is not None else None,
            older=older,
        )

    @get("/runs/compare")
    async def compare(request: WebRequest) -> Response[bytes]:
        """Two runs, the earlier one on the left."""
        visitor = await pages.visitor(request)
        chosen = [number for number in request.query_params.getall("run", []) if number][:3]
        if len(chosen) != 2:
            raise Invalid("Choose two runs to compare.", "Tick two in the list of runs, then compare.")
        runs = [await pages.services.runs.get(visitor.identity, number) for number in chosen]
        before, after = sorted(runs, key=lambda run: run.id)
        names = {agent.id: agent.name for agent in await pages.services.agents.list()}
        seen = [await run_page.stored(pages, run, names) for run in (before, after)]
        found = await asyncio.to_thread(differences, seen[0].seen, seen[1].seen)
        others = await pages.services.runs.list(
            visitor.identity, RunFilter(test_id=after.test_id), limit=PAGE
        )
        return await pages.page(
            request,
            visitor,
            "runs_compare.html",
            "Runs",
            both=[_side(one) for one in seen],
            rows=compared(_side(seen[0]), _side(seen[1])),
            ladders=await asyncio.to_thread(_ladders, seen[0], seen[1]),
            differences=found,
            before=before,
            after=after,
            others=others,
        )

    return [runs, compare]


@dataclass(frozen=True, slots=True)
class TwinRow:
    """A row of each run, drawn at the same height; None: that run has none there."""

    sides: tuple[PlacedRow | None, PlacedRow | None]
    differs: bool


@dataclass(frozen=True, slots=True)
class Twins:
    """Two ladders side by side. `lanes`: of each, the middles in percent. `hidden`: rows not drawn."""

    ladders: tuple[Ladder, Ladder]
    lanes: tuple[list[float], list[float]]
    rows: list[TwinRow]
    hidden: int


def _ladders(before: run_page.Stored, after: run_page.Stored) -> Twins | None:
    """None: neither run left messages."""
    one, two = (with_quality(side.ladder, side.outcome) for side in (before, after))
    rows = beside(one, two)
    if not rows:
        return None
    counts = len(one.parties), len(two.parties)
    drawn = [
        TwinRow((placed_row(row.before, counts[0]), placed_row(row.after, counts[1])), row.differs)
        for row in rows[:MOST_ROWS]
    ]
    lanes = lane_positions(counts[0]), lane_positions(counts[1])
    return Twins((one, two), lanes, drawn, len(rows) - len(drawn))


@dataclass(frozen=True, slots=True)
class RunSide:
    """One of two runs: its record, and what stands beside what of the other."""

    run: Run
    facts: tuple[tuple[str, str], ...]


def _side(one: run_page.Stored) -> RunSide:
    run, outcome = one.run, one.outcome
    facts = [
        ("Result", f"{run.phase.capitalize()}. {outcome.reason}"),
        ("Started", rendering.moment(run.created_at)),
        ("Version", str(one.detail.test_version)),
        ("Agent", one.agent or "not known"),
        ("By", run.started_by),
    ]
    for address, value in one.detail.shown.items():
        facts.append((f"Parameter {address}", str(value)))
    for n, call in enumerate(outcome.calls[:_MOST_CALLS], 1):
        name = f"{call.party or 'Call'} ({call.address or n})"
        facts.append((f"{name}: result", f"{call.sip_code or ''} {call.reason}".strip()))
        facts.append((f"{name}: MOS heard", _figure(call.received.mos, "{:.2f}")))
        facts.append((f"{name}: post-dial delay", _ms(call.pdd_ms)))
        facts.append((f"{name}: setup", _ms(call.setup_ms)))
        facts.append((f"{name}: duration", _ms(call.duration_ms)))
        facts.append((f"{name}: codec", call.codec or call.received.codec or "no data"))
        facts.append((f"{name}: loss", _figure(call.received.loss_pct, "{:.2f} %")))
        facts.append((f"{name}: jitter", _ms(call.received.jitter_ms)))
        facts.append((f"{name}: Call-ID", call.call_id or "no data"))
    for condition in outcome.conditions:
        seen = condition.seen if condition.seen is not None else "nothing"
        facts.append(
            (f"Condition {condition.text}", f"{'holds' if condition.passed else 'does not hold'}: {seen}")
        )
    return RunSide(run, tuple(facts))


@dataclass(frozen=True, slots=True)
class Pair:
    """What one fact is in both runs; None: it is not there."""

    name: str
    before: str | None
    after: str | None

    @property
    def differs(self) -> bool:
        if self.name == "Started" or self.name.endswith("Call-ID"):
            return False  # two runs never share them
        if self.name.startswith("Condition ") and self.before and self.after:
            return self.before.partition(":")[0] != self.after.partition(":")[0]
        return self.before != self.after


def compared(before: RunSide, after: RunSide) -> list[Pair]:
    """In the order of the later run; what only the earlier one has comes after."""
    old, new = dict(before.facts), dict(after.facts)
    return [Pair(name, old.get(name), new.get(name)) for name in [*new, *(n for n in old if n not in new)]]


def _figure(value: float | None, form: str) -> str:
    return "no data" if value is None else form.format(value)


def _ms(value: float | None) -> str:
    return "no data" if value is None else milliseconds(value)


def _day(text: str) -> str:
    """A day of the calendar as 2026-11-28, or nothing."""
    try:
        return date.fromisoformat(text).isoformat() if len(text) == 10 else ""
    except ValueError:
        return ""


def _seconds(day: str) -> float | None:
    """Its beginning in UTC, unix seconds."""
    return datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp() if day else None


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
    for name in ("project", "test", "tag", "phase", "pool", "agent", "from", "to"):
        if name in used:
            rest = {n: v for n, v in used.items() if n != name}
            chips.append(Chip(f"{name.capitalize()}: {used[name]}", _address(rest), True))
    return chips


def _address(query: dict[str, str]) -> str:
    return f"/runs?{urlencode(query)}" if query else "/runs"


def _one_of(value: str, permitted: list[str]) -> str | None:
    return value if value in permitted else None
