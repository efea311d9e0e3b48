"""The first page: what is not well now, what changed, how it was over time, who is there to run tests."""

from __future__ import annotations

from typing import Any

from litestar import Response, get

from callwright.control import killing
from callwright.control.accounts.model import Right
from callwright.control.runs.model import Phase, Run, RunFilter
from callwright.control.web import health, rendering
from callwright.control.web.guide_pages import target_of
from callwright.control.web.visitor import Pages, Visitor, WebRequest
from callwright.quality.bands import band

# Key, text, seconds, seconds of a step, the sentence.
_PERIODS = (
    ("24h", "24 h", 86_400, 3_600, "24 hours, one hour a step"),
    ("7d", "7 days", 7 * 86_400, 3 * 3_600, "Seven days, three hours a step"),
    ("30d", "30 days", 30 * 86_400, 12 * 3_600, "30 days, twelve hours a step"),
)
_MOST_RUNS = 3_000  # rows that are looked through for what fails and since when
_MOST_CHANGES = 8


def routes(pages: Pages) -> list[Any]:
    @get("/")
    async def overview(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        context = await _context(pages, visitor, request.query_params.get("period", "7d"))
        if request.query_params.get("part") == "now":
            frame = await pages.frame(request, visitor, "Overview")
            return rendering.page("overview_now.html", {**frame, **context})
        return await pages.page(request, visitor, "overview.html", "Overview", **context)

    return [overview]


async def _context(pages: Pages, visitor: Visitor, wanted: str) -> dict[str, Any]:
    services = pages.services
    chosen = next((period for period in _PERIODS if period[0] == wanted), _PERIODS[1])
    key, _, length, step, text = chosen
    now = pages.now
    since = now - length
    since -= since % step
    runs = await services.runs.list(visitor.identity, RunFilter(since=now - 30 * 86_400), limit=_MOST_RUNS)
    tests = await services.tests.list(visitor.identity, limit=1_000)
    agents = await services.agents.list()
    steps = health.steps(await services.runs.history(visitor.identity, since, step), runs, since, step, now)
    known = {test.id for test in tests}
    failing = [h for h in health.by_test(runs) if h.failing and h.latest.test_id in known]
    standing = await killing.standing(services)
    alive = sum(agent.alive(now) for agent in agents)
    measured = {run.test_id for run in runs if run.finished and run.phase != Phase.CANCELED}
    idle = sum(test.id not in measured for test in tests)
    ever = bool(runs) or bool(await services.runs.list(visitor.identity, RunFilter(), limit=1))
    lately = "in the last 30 days" if len(runs) < _MOST_RUNS else "lately"
    recent = [run for run in runs if run.created_at >= since]
    return {
        "headline": health.headline(failing, (alive, len(agents)), len(tests) if ever else 0, idle, lately),
        "idle": idle,
        "lately": lately,
        "ran": bool(runs),
        "test_count": len(tests),
        "agents": agents,
        "periods": [period[:2] for period in _PERIODS],
        "period": key,
        "period_text": text,
        "switch": standing.switch,
        "standing": standing,
        "live": [run for run in runs if not run.finished],
        "failing": failing,
        "stats": _stats(steps, recent, now, (alive, len(agents))),
        "steps": steps,
        "series": {
            "step": step,
            "start": [s.start for s in steps],
            "passed": [s.passed for s in steps],
            "failed": [s.failed for s in steps],
            "other": [s.other for s in steps],
            "mos": [s.mos for s in steps],
            "low": [s.low for s in steps],
            "high": [s.high for s in steps],
        },
        "runs_says": _runs_says(steps, text),
        "mos_says": _mos_says(steps, text),
        "changed": _changes(health.changes(recent), tests, agents, since, now),
        "can_edit": visitor.can(Right.EDIT),
        # Until a test of theirs calls a PBX of theirs, that is what somebody is here for.
        "first_hour": bool(tests) and not any(target_of(test) for test in tests),
        "demo": runs[-1] if runs else None,
        "in_no_project": visitor.identity.project_ids == (),
    }


def _changes(
    turns: list[health.Change], tests: list[Any], agents: list[Any], since: float, now: float
) -> list[health.Change]:
    found = list(turns)
    for test in tests:
        if test.version > 1 and test.updated_at >= since:
            text = f"{test.title or test.name} was changed"
            found.append(
                health.Change(
                    test.updated_at, text, f"Version {test.version}", f"/tests/{test.name}/versions"
                )
            )
    for agent in agents:
        if not agent.alive(now) and agent.last_seen_at is not None and agent.last_seen_at >= since:
            detail = f"Last heard at {rendering.clock_time(agent.last_seen_at)} UTC"
            found.append(health.Change(agent.last_seen_at, f"Agent {agent.name} was lost", detail, "/agents"))
    return sorted(found, key=lambda change: -change.at)[:_MOST_CHANGES]


def _stats(
    steps: list[health.HealthStep], runs: list[Run], now: float, agents: tuple[int, int]
) -> list[dict[str, Any]]:
    day_ago = now - 86_400
    today = [step for step in steps if step.start >= day_ago]
    before = [step for step in steps if step.start < day_ago]
    rate, usual_rate = health.pass_rate(today), health.pass_rate(before)
    mos = health.median_mos(run for run in runs if run.created_at >= day_ago)
    usual_mos = health.median_mos(run for run in runs if run.created_at < day_ago)
    count = sum(step.passed + step.failed + step.other for step in today)
    failed = sum(step.failed for step in today)
    rates = [health.pass_rate([step]) for step in steps]
    return [
        {
            "name": "Pass rate, last 24 h",
            "figure": None if rate is None else f"{rate:.1f}".removesuffix(".0"),
            "unit": "%",
            "note": "no run yet"
            if rate is None
            else f"{usual_rate:.1f} % before"
            if usual_rate is not None
            else "nothing before to compare with",
            "path": health.spark(rates, 0, 100),
        },
        {
            "name": "Median MOS, last 24 h",
            "figure": None if mos is None else f"{mos:.2f}",
            "unit": None if mos is None else band(mos).name,
            "note": "no audio was rated"
            if mos is None
            else f"{usual_mos:.2f} before"
            if usual_mos is not None
            else "nothing before to compare with",
            "path": health.spark([step.mos for step in steps], 1, 4.5),
        },
        {
            "name": "Runs, last 24 h",
            "figure": f"{count:,}",
            "unit": "",
            "note": f"{failed} failed" if failed else "none failed" if count else "none yet",
            "path": health.spark(
                [step.passed + step.failed + step.other for step in steps],
                0,
                max((step.passed + step.failed + step.other for step in steps), default=1) or 1,
            ),
        },
        {
            "name": "Agents alive",
            "figure": f"{agents[0]}",
            "unit": f"of {agents[1]}",
            "note": "all of them" if agents[0] == agents[1] and agents[1] else "see below",
            "path": "",
        },
    ]


def _runs_says(steps: list[health.HealthStep], text: str) -> str:
    passed, failed = sum(s.passed for s in steps), sum(s.failed for s in steps)
    other = sum(s.other for s in steps)
    worst = max(steps, key=lambda s: s.failed)
    most = f" Most failed from {rendering.moment(worst.start)} UTC: {worst.failed}." if worst.failed else ""
    return f"Runs. {text}: {passed} passed, {failed} failed, {other} not measured.{most}"


def _mos_says(steps: list[health.HealthStep], text: str) -> str:
    rated = [s.mos for s in steps if s.mos is not None]
    if not rated:
        return f"MOS. {text}: no audio was rated."
    lowest = min(s.low for s in steps if s.low is not None)
    return f"Median MOS. {text}: last {rated[-1]:.2f}; the worst twentieth of a step fell to {lowest:.2f}."
