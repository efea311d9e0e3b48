"""What the page of the fleet says: its sentences, and the lines of its charts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from callwright.control.agents.model import Agent
from callwright.control.servers.model import Decided, Sample, ServerRecord
from callwright.control.web.rendering import listed, span
from callwright.fleet.plan import COMING, LEAVING, Bound
from callwright.fleet.pool import Pool
from callwright.fleet.server import Deadlines, State, deadline_after
from callwright.fleet.words import counted, sentence, why_not

__all__ = ["Board", "Line", "PlacesChart", "PoolView", "Reason", "Row", "board", "pool_view"]

WIDTH, HEIGHT, LOW = 1_000.0, 150.0, 84.0
DAY, WINDOW, MINUTE = 86_400.0, 7_200.0, 60.0
_MOST_ROWS = 200
_STATES = {
    State.PENDING: "Waiting",
    State.CREATING: "Creating",
    State.CREATED: "Created",
    State.STAGING: "Installing",
    State.RUNNING: "Running",
    State.SHUTDOWN: "Finishing",
    State.STOPPING: "Stopping",
    State.ERROR: "Error",
}


@dataclass(frozen=True, slots=True)
class Reason:
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One server. ``look``: passed, running, warn or error. ``since``: how long it is in its state, and until
    when at most. ``busy`` None: it has no agent that is heard."""

    server: ServerRecord
    word: str
    look: str
    since: str
    busy: int | None
    heard_at: float | None
    why: str


@dataclass(frozen=True, slots=True)
class PlacesChart:
    """Paths in a box of 1000 by 150, a step a minute. ``marks``: a limit, its height in it and its words."""

    capacity: str
    demand: str
    buffer: str
    waiting: str
    gaps: tuple[tuple[float, float], ...]
    marks: tuple[tuple[float, str], ...]
    hours: tuple[tuple[float, float], ...]
    top: int
    says: str


@dataclass(frozen=True, slots=True)
class Line:
    """A figure over a day, in a box of 1000 by 84."""

    name: str
    path: str
    top: str
    says: str
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True)
class PoolView:
    """``held``: what keeps waiting calls without a server, in words; empty when nothing is known."""

    pool: Pool
    says: str
    held: str
    limits: str
    rows: tuple[Row, ...]
    more_rows: int
    places: int
    busy: int
    waiting: int
    running: int
    coming: int
    errored: int
    free_note: str
    wait: str
    wait_note: str
    start: str
    start_note: str
    cost: str
    cost_note: str
    reasons: tuple[Reason, ...]
    chart: PlacesChart | None


@dataclass(frozen=True, slots=True)
class Board:
    """``enrolled``: servers that no provider made."""

    headline: str
    lead: str
    facts: tuple[tuple[str, str], ...]
    pools: tuple[PoolView, ...]
    enrolled: tuple[Row, ...]
    enrolled_says: str
    lines: tuple[Line, ...]


def board(
    pools: Sequence[PoolView],
    enrolled: Sequence[Row],
    samples: Sequence[Sample],
    *,
    paused: bool,
    now: float,
) -> Board:
    """``samples``: of all pools, of a day."""
    alive = sum(row.server.state is State.RUNNING for row in enrolled)
    running = sum(one.running for one in pools) or alive
    waiting = sum(one.waiting for one in pools)
    facts = [
        ("Planner", "paused" if paused else "running"),
        ("Places busy", f"{sum(one.busy for one in pools)} of {sum(one.places for one in pools)}"),
        ("Waiting", counted(waiting, "call") if waiting else "no call"),
    ]
    cost = _cost(samples, now)
    facts.append(("Cost today", "unknown: no prices are set" if cost is None else f"{cost:,.2f}"))
    return Board(
        _headline(pools, running, waiting),
        _lead(pools, paused=paused),
        tuple(facts),
        tuple(pools),
        tuple(enrolled),
        _enrolled_says(enrolled, alive),
        _lines(samples, now),
    )


def _headline(pools: Sequence[PoolView], running: int, waiting: int) -> str:
    coming = sum(one.coming for one in pools)
    made = [one for one in pools if one.pool.maximum or one.rows]
    runs = f"{counted(running, 'server')} {'runs' if running == 1 else 'run'}"
    homes = sum(one.running > 0 for one in pools)
    where = f" in {counted(homes, 'pool')}" if homes > 1 else ""
    if waiting and not coming:
        why = next((one.held for one in pools if one.waiting and one.held), "")
        waits = f"{counted(waiting, 'call')} {'waits' if waiting == 1 else 'wait'}"
        return f"{waits} and no server starts: {why}." if why else f"{waits} for a place; {runs}{where}."
    if coming:
        starts = f"{coming} more {'starts' if coming == 1 else 'start'}"
        tail = f" for {counted(waiting, 'waiting call')}" if waiting else ""
        return f"{runs}{where}, and {starts}{tail}."
    if not made:
        return f"{runs}, and no pool makes servers by itself."
    return f"No call waits: {runs}{where}."


def _lead(pools: Sequence[PoolView], *, paused: bool) -> str:
    said = []
    if paused:
        said.append("The fleet is paused: no server is made or ended by itself until somebody resumes it.")
    errored = [one for one in pools if one.errored]
    if errored:
        number = sum(one.errored for one in errored)
        names = listed([one.pool.name for one in errored])
        said.append(
            f"{counted(number, 'server')} in {names} {'is' if number == 1 else 'are'} in error; "
            f"the platform replaces {'it' if number == 1 else 'them'} where work needs it, "
            "and destroys what is left."
        )
    return " ".join(said) or "A pool makes servers when there is work and ends them when there is none."


def _enrolled_says(rows: Sequence[Row], alive: int) -> str:
    if not rows:
        return ""
    if alive == len(rows):
        all_of = "it is alive" if len(rows) == 1 else f"all {len(rows)} are alive"
    else:
        all_of = f"{alive} of {len(rows)} {'is' if alive == 1 else 'are'} alive"
    return f"Enrolled by hand: {all_of}, and the planner leaves {'it' if len(rows) == 1 else 'them'} alone."


# -- one pool


def pool_view(
    pool: Pool,
    servers: Sequence[ServerRecord],
    agents: Mapping[str, Agent],
    samples: Sequence[Sample],
    decided: Sequence[Decided],
    *,
    waiting: int,
    waits_since: float | None,
    paused: bool,
    now: float,
) -> PoolView:
    """``servers``: of this pool, those that stopped too. ``agents``: by id. ``samples``: of this pool, of a
    day. ``waiting``: calls without a place, the first since ``waits_since``."""
    here = [one for one in servers if one.ours and one.state is not State.STOPPED]
    running = sum(one.state is State.RUNNING for one in here)
    coming = sum(one.state in COMING for one in here)
    errored = sum(one.state is State.ERROR for one in here)
    alive = [one for one in agents.values() if one.pool == pool.name and one.alive(now)]
    places, busy = sum(one.capacity for one in alive), sum(one.busy for one in alive)
    held = "the fleet is paused" if paused else why_not(_bound(decided), pool.maximum)
    wait, wait_note = _wait(samples, waits_since, now)
    start, start_note = _starts(servers, errored, now)
    cost = _cost(samples, now)
    return PoolView(
        pool=pool,
        says=_says(pool, running, coming, errored, waiting, held),
        held=held,
        limits=_limits(pool),
        rows=tuple(row(one, agents.get(one.agent_id or ""), pool, now) for one in here[:_MOST_ROWS]),
        more_rows=max(0, len(here) - _MOST_ROWS),
        places=places,
        busy=busy,
        waiting=waiting,
        running=running,
        coming=coming,
        errored=errored,
        free_note=_free_note(pool, places - busy, waiting, coming),
        wait=wait,
        wait_note=wait_note,
        start=start,
        start_note=start_note,
        cost="–" if cost is None else f"{cost:,.2f}",
        cost_note="no price of its sizes is set" if cost is None else "of all its machines, since 00:00",
        reasons=tuple(Reason(one.at, _sentence(one)) for one in decided if sentence(one.decision)),
        chart=_places_chart(pool, samples, now),
    )


def _bound(decided: Sequence[Decided]) -> Bound | None:
    return decided[0].decision.bound if decided else None


def _says(pool: Pool, running: int, coming: int, errored: int, waiting: int, held: str) -> str:
    """One sentence with the pool's name."""
    servers = f"{counted(running, 'server')} {'runs' if running == 1 else 'run'}" if running else ""
    waits = f"{counted(waiting, 'call')} {'waits' if waiting == 1 else 'wait'}"
    if pool.removed:
        return f"{pool.name}: its servers finish their calls, and then the pool goes."
    if coming:
        starts = f"{coming} {'starts' if coming == 1 else 'start'}"
        what = f"{servers} and {starts}" if running else f"{counted(coming, 'server')} {starts.split()[1]}"
        return f"{pool.name}: {what}{f', because {waits}' if waiting else ''}."
    if waiting:
        return f"{pool.name}: {waits}, and no server starts{f': {held}' if held else ''}."
    if running:
        return f"{pool.name}: {servers}, and no call waits."
    if errored:
        return f"{pool.name}: {counted(errored, 'server')} in error, and none runs."
    return f"{pool.name}: no server runs, and none is needed."


def _limits(pool: Pool) -> str:
    said = (
        f"At least {pool.minimum} and at most {counted(pool.maximum, 'server')} of "
        f"{counted(pool.capacity, 'place')}, "
        + (f"with a buffer of {counted(pool.buffer, 'place')}." if pool.buffer else "no buffer.")
        + f" A server retires after {span(pool.idle_seconds)} without a call."
    )
    sizes = [size for size in pool.sizes if size]
    where = [f"Provider: {pool.provider}"]
    where += [f"region: {pool.region}"] if pool.region else []
    where += [f"sizes: {', then '.join(sizes)}"] if sizes else []
    bound = pool.max_created_per_hour
    spending = "" if bound is None else f" At most {counted(bound, 'server')} made in an hour."
    return f"{said} {', '.join(where)}.{spending}"


def _sentence(decided: Decided) -> str:
    text = sentence(decided.decision)
    return f"{text[:1].upper()}{text[1:]}."


def _free_note(pool: Pool, free: int, waiting: int, coming: int) -> str:
    if waiting or coming:
        return f"{waiting} more wanted, {coming * pool.capacity} more on the way"
    return f"{max(0, free)} free"


def _wait(samples: Sequence[Sample], since: float | None, now: float) -> tuple[str, str]:
    """The longest wait of today, and what is so now."""
    waits = [one.waited for one in _today(samples, now) if one.waited is not None]
    present = "no call waits now" if since is None else f"the first of those that wait: {span(now - since)}"
    longest = max([*waits, *([now - since] if since is not None else [])], default=0.0)
    return span(max(0.0, longest)), f"the longest, looked at once a minute; {present}"


def _starts(servers: Sequence[ServerRecord], errored: int, now: float) -> tuple[str, str]:
    """The median of today's starts."""
    midnight = now // DAY * DAY
    took = sorted(
        one.started - one.created
        for one in servers
        if one.ours and one.started is not None and one.created >= midnight
    )
    failed = f"{errored} in error now" if errored else "none in error now"
    if not took:
        return "–", f"none started today, {failed}"
    high = quantiles(took, n=20)[-1] if len(took) > 1 else took[0]
    return span(median(took)), f"95 %: {span(high)} · {counted(len(took), 'start')}, {failed}"


def _cost(samples: Sequence[Sample], now: float) -> float | None:
    """Of today, from what was counted each minute; None when nothing is known of it."""
    known = [one.cost for one in _today(samples, now) if one.cost is not None]
    return sum(known) * MINUTE / 3600.0 if known else None


def _today(samples: Sequence[Sample], now: float) -> list[Sample]:
    midnight = now // DAY * DAY
    return [one for one in samples if one.at >= midnight]


# -- one server


def row(server: ServerRecord, agent: Agent | None, pool: Pool | None, now: float) -> Row:
    state, age = server.state, span(max(0.0, now - server.since))
    heard = agent is not None and agent.alive(now)
    look = "running" if state in COMING else "warn" if state in LEAVING else "error"
    since = f"for {age}"
    if state is State.RUNNING:
        look = "passed"
        if agent is not None and heard and not agent.busy:
            since = f"for {age}, no call now"
    elif state is not State.ERROR:
        limit = deadline_after(state, Deadlines(), pool.drain_seconds if pool is not None else None)
        since += f"; at most {span(limit)}" if limit is not None else ""
    why = ""
    if state is State.ERROR:
        after = "The platform destroys what is left of it; you do not need to do anything."
        why = f"{server.error.rstrip('.')[:300] or 'No reason is known'}. "
        why += after if server.ours else "It runs again when its agent is heard."
    return Row(
        server,
        _STATES.get(state, str(state)),
        look,
        since,
        agent.busy if agent is not None and heard else None,
        agent.last_seen_at if agent is not None else None,
        why,
    )


# -- charts


def _places_chart(pool: Pool, samples: Sequence[Sample], now: float) -> PlacesChart | None:
    """The last two hours; None while there are no two minutes to draw."""
    begin = (now - WINDOW) // MINUTE * MINUTE
    seen = [one for one in samples if one.at >= begin]
    if len(seen) < 2:
        return None
    highest = max(max(one.places, one.busy + one.waiting + pool.buffer) for one in seen)
    limit = pool.maximum * pool.capacity
    top = max(highest, pool.minimum * pool.capacity, limit if limit <= 3 * highest else 0, 1)
    span_ = max(MINUTE, now - begin)

    def x(at: float) -> float:
        return round(min(WIDTH, (at - begin) / span_ * WIDTH), 1)

    def y(value: float) -> float:
        return round(HEIGHT - HEIGHT * value / (1.05 * top), 1)

    def steps(value: Callable[[Sample], float]) -> list[list[tuple[float, float]]]:
        return _steps(seen, lambda one: y(value(one)), x, now)

    wanted = steps(lambda one: one.busy + one.waiting)
    with_buffer = steps(lambda one: one.busy + one.waiting + pool.buffer)
    covered = steps(lambda one: min(one.busy + one.waiting, max(one.places, one.busy)))
    marks = [(y(limit), f"at most {counted(pool.maximum, 'server')}")] if limit <= top else []
    if pool.minimum:
        marks.append((y(pool.minimum * pool.capacity), f"at least {counted(pool.minimum, 'server')}"))
    last = seen[-1]
    hours = range(int(begin // 1_800 + 1), int(now // 1_800) + 1)
    return PlacesChart(
        capacity="".join(_path(part) for part in steps(lambda one: one.places)),
        demand="".join(_area(part, [(part[-1][0], HEIGHT), (part[0][0], HEIGHT)]) for part in wanted),
        buffer="".join(_area(above, below[::-1]) for above, below in zip(with_buffer, wanted, strict=True))
        if pool.buffer
        else "",
        waiting="".join(_area(above, below[::-1]) for above, below in zip(wanted, covered, strict=True))
        if any(one.waiting for one in seen)
        else "",
        gaps=_gaps(seen, begin, now, x),
        marks=tuple(marks),
        hours=tuple((x(at * 1_800), at * 1_800.0) for at in hours),
        top=top,
        says=(
            f"{pool.name}, the last two hours: {counted(last.places, 'place')} now, at most "
            f"{max(one.places for one in seen)}; {counted(last.busy + last.waiting, 'call')} now, at most "
            f"{max(one.busy + one.waiting for one in seen)}."
        ),
    )


def _steps(
    seen: Sequence[Sample], height: Callable[[Sample], float], x: Callable[[float], float], now: float
) -> list[list[tuple[float, float]]]:
    """Corners of a line that holds each value for its minute; a part for each stretch without a gap."""
    parts: list[list[tuple[float, float]]] = []
    for number, one in enumerate(seen):
        after = seen[number + 1].at if number + 1 < len(seen) else min(now, one.at + MINUTE)
        end = min(after, one.at + MINUTE)
        if number == 0 or seen[number - 1].at + MINUTE < one.at:
            parts.append([])
        parts[-1] += [(x(one.at), height(one)), (x(end), height(one))]
    return parts


def _gaps(
    seen: Sequence[Sample], begin: float, now: float, x: Callable[[float], float]
) -> tuple[tuple[float, float], ...]:
    """(left, width) of what was not counted."""
    edges = [begin, *(one.at for one in seen)]
    ends = [begin, *(one.at + MINUTE for one in seen)]
    found = [(end, start) for end, start in zip(ends, [*edges[1:], now], strict=True) if start - end > MINUTE]
    return tuple((x(start), round(x(end) - x(start), 1)) for start, end in found)


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{left:g} {top:g}" for left, top in corners)


def _area(above: Sequence[tuple[float, float]], below: Sequence[tuple[float, float]]) -> str:
    return f"{_path([*above, *below])}Z"


def _lines(samples: Sequence[Sample], now: float) -> tuple[Line, ...]:
    """Servers, cost and waiting of the whole fleet over a day; a figure that is not known is left out."""
    begin = now - DAY
    by_time: dict[float, list[Sample]] = {}
    for one in samples:
        if one.at >= begin:
            by_time.setdefault(one.at, []).append(one)
    if len(by_time) < 2:
        return ()
    times = sorted(by_time)
    servers = [float(sum(one.running for one in by_time[at])) for at in times]
    waits = [max((one.waited or 0.0 for one in by_time[at]), default=0.0) for at in times]
    costs = [[one.cost for one in by_time[at] if one.cost is not None] for at in times]
    found = [
        _line("Servers that run", times, servers, lambda value: f"{value:.0f}"),
        _line("Longest wait for a place", times, waits, span),
    ]
    if all(costs):
        hourly = [sum(one) for one in costs]
        found.insert(1, _line("Cost per hour", times, hourly, lambda value: f"{value:,.2f}"))
    return tuple(found)


def _line(name: str, times: Sequence[float], values: Sequence[float], word: Callable[[float], str]) -> Line:
    top = max(values) or 1.0
    begin, length = times[0], max(MINUTE, times[-1] - times[0])
    parts, before = [], None
    for at, value in zip(times, values, strict=True):
        left, height = (at - begin) / length * WIDTH, LOW - LOW * value / top
        if before is None or at - before > 1.5 * MINUTE:
            parts.append(f"M{left:.1f} {height:.1f}h1")
        else:
            parts.append(f"H{left:.1f}V{height:.1f}")
        before = at
    says = f"Now {word(values[-1])}, median {word(median(values))}, at most {word(max(values))}."
    return Line(name, "".join(parts), word(top), says, times[0], times[-1])
