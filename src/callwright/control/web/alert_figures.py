"""What the pages of alerts and incidents say and draw: sentences, the week of maintenance, the preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from callwright.alerting.cause import CauseKind
from callwright.alerting.condition import Condition
from callwright.alerting.rehearsal import Fired
from callwright.alerting.watch import State
from callwright.alerting.windows import DAYS, Once, Window, is_open
from callwright.control.alerts.model import Alert, Child, Incident
from callwright.control.alerts.preview import Preview
from callwright.control.monitors.model import Endpoint
from callwright.control.web.rendering import day, listed, moment, span

__all__ = [
    "Board",
    "Chart",
    "Row",
    "board",
    "cause_says",
    "chart",
    "preview_says",
    "story",
    "week",
    "window_says",
]

_DAY = 86_400.0
_QUARTER = 900.0  # seconds: what the week of maintenance is drawn in
_POINTS = 336
_HIGH = 170.0
_SHOWN_ENDPOINTS = 2
_LOOKS = {
    State.FIRING: ("failed", "Firing"),
    State.PENDING: ("warn", "Pending"),
    State.NO_DATA: ("invalid", "No data"),
    State.SNOOZED: ("waiting", "Snoozed"),
    State.QUIET: ("calmstate", "Quiet"),
    State.NEVER: ("invalid", "Never evaluated"),
}


class Row(msgspec.Struct, frozen=True):
    """A rule. ``look`` and ``word``: of its state; ``where``: the endpoints that have it."""

    alert: Alert
    state: State
    look: str
    word: str
    where: str
    endpoints: str
    last: Incident | None
    last_says: str


class Board(msgspec.Struct, frozen=True):
    headline: str
    lead: str
    rows: tuple[Row, ...]


def board(
    rules: Sequence[Alert],
    states: Mapping[int, Mapping[int, State]],
    incidents: Sequence[Incident],
    endpoints: Mapping[int, Endpoint],
    now: float,
) -> Board:
    """Rules that need attention come first. ``incidents``: newest first."""
    rows = [_row(one, states.get(one.id, {}), incidents, endpoints, now) for one in rules]
    order = list(State)
    rows.sort(key=lambda row: (order.index(row.state), row.alert.name.lower(), row.alert.id))
    counts = {state: sum(row.state is state for row in rows) for state in State}
    firing = [row for row in rows if row.state is State.FIRING]
    if not rows:
        headline, lead = (
            "No alert rule is set up yet.",
            "A rule watches endpoints and tells when they are not well.",
        )
    elif not firing:
        headline = f"None of {len(rows)} rules fires." if len(rows) > 1 else "The one rule does not fire."
        lead = _rest(counts)
    else:
        number = f"{len(firing)} of {len(rows)} rules {'fires' if len(firing) == 1 else 'fire'}"
        headline, lead = f"{number}: {firing[0].alert.name}.", _rest(counts)
    return Board(headline, lead, tuple(rows))


def _rest(counts: Mapping[State, int]) -> str:
    words = {
        State.PENDING: ("is pending", "are pending"),
        State.NO_DATA: ("has no data", "have no data"),
        State.SNOOZED: ("is snoozed", "are snoozed"),
        State.NEVER: ("was never evaluated", "were never evaluated"),
    }
    told = [
        f"{counts[state]} {'rule ' if number == 0 else ''}{one if counts[state] == 1 else many}".replace(
            "rule ", "rule " if counts[state] == 1 else "rules "
        )
        for number, (state, (one, many)) in enumerate(
            (state, pair) for state, pair in words.items() if counts[state]
        )
    ]
    return f"{listed(told)}." if told else "All of them have data, and none is pending."


def _row(
    alert: Alert,
    states: Mapping[int, State],
    incidents: Sequence[Incident],
    endpoints: Mapping[int, Endpoint],
    now: float,
) -> Row:
    state = min(states.values(), key=list(State).index, default=State.NEVER)
    look, word = _LOOKS[state]
    there = [endpoints[number].name for number, one in states.items() if one is state and number in endpoints]
    where = f"at {_some(there)}" if there and len(states) > 1 and state is not State.QUIET else ""
    if state is State.SNOOZED:
        until = alert.snoozed_until or 0.0
        where = f"until {moment(until)}" if until > now else "maintenance"
    names = [endpoints[number].name for number in states if number in endpoints]
    pair = next(
        ((one, child) for one in incidents for child in one.children if child.alert_id == alert.id), None
    )
    if pair is None:
        last_says = "never"
    else:
        child = pair[1]
        last_says = (
            f"now, for {span(now - child.began_at)}"
            if child.ended_at is None
            else f"{moment(child.began_at)[:-3]}, for {span(child.ended_at - child.began_at)}"
        )
    return Row(
        alert,
        state,
        look,
        word,
        where,
        _some(names) if names else "at no endpoint yet",
        None if pair is None else pair[0],
        last_says,
    )


def _some(names: Sequence[str]) -> str:
    if len(names) <= _SHOWN_ENDPOINTS:
        return listed(names)
    return f"{', '.join(names[:_SHOWN_ENDPOINTS])} and {len(names) - _SHOWN_ENDPOINTS} more"


# -- maintenance


def window_says(window: Window) -> str:
    if isinstance(window, Once):
        return f"{moment(window.since)[:-3]} to {moment(window.until)[:-3]} UTC"
    names = [day.capitalize() for day in DAYS if day in window.days]
    days = "each day" if len(names) == len(DAYS) else listed(names)
    start, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in (window.start, window.end))
    return f"{days}, {start} to {end}, {window.time_zone}"


class Bar(msgspec.Struct, frozen=True):
    """In percent of the week. ``on``: it is open now."""

    left: float
    width: float
    on: bool


class Lane(msgspec.Struct, frozen=True):
    says: str
    alert: Alert
    bars: tuple[Bar, ...]


class Week(msgspec.Struct, frozen=True):
    """``days``: their names, and where they begin in percent."""

    days: tuple[tuple[str, float], ...]
    now: float
    lanes: tuple[Lane, ...]


def week(rules: Sequence[Alert], now: float) -> Week:
    """Seven days from the last midnight, UTC; windows that have none of it are left out."""
    begin = now // _DAY * _DAY
    days = [(f"{datetime.fromtimestamp(begin + n * _DAY, UTC):%a %-d}", n * 100 / 7) for n in range(7)]
    lanes = []
    for alert in rules:
        for window in alert.windows:
            bars = _bars(window, begin, now)
            if bars:
                lanes.append(Lane(window_says(window), alert, bars))
    return Week(tuple(days), (now - begin) / _DAY * 100 / 7, tuple(lanes))


def _bars(window: Window, begin: float, now: float) -> tuple[Bar, ...]:
    end = begin + 7 * _DAY
    if isinstance(window, Once):
        since, until = max(begin, window.since), min(end, window.until)
        spans = [(since, until)] if until > since else []
    else:
        spans = []
        zone = ZoneInfo(window.time_zone)  # kept by the standard library; is_open asks for it too
        assert zone
        at = begin
        while at < end:
            if is_open((window,), at):
                if spans and spans[-1][1] == at:
                    spans[-1] = (spans[-1][0], at + _QUARTER)
                else:
                    spans.append((at, at + _QUARTER))
            at += _QUARTER
    return tuple(
        Bar(
            round((since - begin) / (end - begin) * 100, 3),
            round((until - since) / (end - begin) * 100, 3),
            since <= now < until,
        )
        for since, until in spans
    )


# -- the preview


def preview_says(found: Preview) -> str:
    days = (found.until - found.since) / _DAY
    lately = "last week" if days > 6.9 else f"in the last {span(found.until - found.since)}"
    if not found.replayed:
        return "Choose endpoints, and this says how often the rule would have fired."
    if not found.readings:
        return f"Nothing was measured {lately}: nothing can be said."
    if not found.count:
        return f"This rule would not have fired {lately}."
    times = "once" if found.count == 1 else f"{found.count} times"
    return f"This rule would have fired {times} {lately}."


class Mark(msgspec.Struct, frozen=True):
    """One alert of the preview, numbered; ``left`` and ``width`` in percent."""

    number: int
    left: float
    width: float
    began: float
    lasted: str
    detail: str


class Gap(msgspec.Struct, frozen=True):
    left: float
    width: float


class Chart(msgspec.Struct, frozen=True):
    """Of the endpoint with most to tell. ``path``: over 1000 by 170; empty: the condition has no figure, or
    nothing was measured. ``y``: of the limit."""

    endpoint: Endpoint
    path: str
    gaps: tuple[Gap, ...]
    y: float | None
    top: str
    bottom: str
    limit: str
    marks: tuple[Mark, ...]
    near: tuple[tuple[float, str, str], ...]
    days: tuple[tuple[str, float], ...]
    label: str


def chart(found: Preview, condition: Condition) -> Chart | None:
    if not found.replayed:
        return None
    first = found.replayed[0]
    length = found.until - found.since
    points = _thinned(first.found.values, found.since, length, condition)
    known = [value for value in points if value is not None]
    limit = condition.limit if condition.limit is not None else first.endpoint.alert_threshold
    path, y, top, bottom = "", None, "", ""
    if known and limit is not None and condition.operator:
        low, high = (1.0, 4.5) if condition.what == "mos" else (0.0, max(*known, limit) * 1.1 or 1.0)
        top, bottom = f"{high:.3g}", f"{low:.3g}"
        y = _HIGH * (high - min(high, max(low, limit))) / (high - low)
        draw = True
        for n, value in enumerate(points):
            if value is None:
                draw = True
                continue
            at = _HIGH * (high - min(high, max(low, value))) / (high - low)
            path += f"{'M' if draw else 'L'}{n * 1000 / (_POINTS - 1):.1f} {at:.1f}"
            draw = False
    marks = tuple(_mark(n, one, found, condition) for n, one in enumerate(first.found.fired, 1))
    near = sorted(first.found.near, key=lambda one: one.began - one.ended)[:5]
    begin = (found.since // _DAY + 1) * _DAY
    steps = range(int((found.until - begin) // _DAY) + 1)
    named = [
        (f"{datetime.fromtimestamp(begin + n * _DAY, UTC):%a %-d}", _left(begin + n * _DAY, found))
        for n in steps
    ]
    return Chart(
        first.endpoint,
        path,
        _gaps(points),
        y,
        top,
        bottom,
        "" if limit is None else f"{limit:g}",
        marks,
        tuple(
            (
                one.began,
                span(one.ended - one.began),
                "snoozed or maintenance: not counted" if one.muted else "too short to fire",
            )
            for one in sorted(near, key=lambda one: one.began)
        ),
        tuple(named),
        f"{first.endpoint.name}: {len(marks) or 'no'} alert{'' if len(marks) == 1 else 's'}",
    )


def _mark(number: int, one: Fired, found: Preview, condition: Condition) -> Mark:
    ended = found.until if one.ended is None else one.ended
    worst = ""
    if one.worst is not None:
        worst = f"{'lowest' if condition.operator[:1] == '<' else 'highest'} {one.worst:.3g}, "
    servers = f"on {one.servers} server{'' if one.servers == 1 else 's'}"
    lasted = span(ended - one.began) + (", still firing" if one.ended is None else "")
    left = _left(one.began, found)
    return Mark(number, left, max(0.2, _left(ended, found) - left), one.began, lasted, worst + servers)


def _left(at: float, found: Preview) -> float:
    return round((at - found.since) / (found.until - found.since) * 100, 2)


def _thinned(
    values: Sequence[tuple[float, float | None]], since: float, length: float, condition: Condition
) -> list[float | None]:
    """The worst of each step: a dip of a minute must not vanish."""
    steps: list[list[float]] = [[] for _ in range(_POINTS)]
    for at, value in values:
        if value is not None:
            steps[min(_POINTS - 1, int((at - since) / length * _POINTS))].append(value)
    worst = max if condition.operator[:1] == ">" else min
    return [worst(step) if step else None for step in steps]


def _gaps(points: Sequence[float | None]) -> tuple[Gap, ...]:
    """In the units of the chart: 1000 wide."""
    found: list[Gap] = []
    begin: int | None = None
    for n, value in enumerate([*points, 0.0]):
        if value is None and begin is None:
            begin = n
        elif value is not None and begin is not None:
            found.append(Gap(round(begin * 1000 / _POINTS, 1), round((n - begin) * 1000 / _POINTS, 1)))
            begin = None
    return tuple(found)


# -- incidents


def cause_says(
    incident: Incident, endpoints: Mapping[int, str], servers: Mapping[int, str], *, past: bool = False
) -> str:
    """What is at fault, without a full stop."""
    cause = incident.cause
    server = servers.get(cause.server or 0, f"server {cause.server}")
    endpoint = endpoints.get(cause.endpoint or 0, f"endpoint {cause.endpoint}")
    many = len({child.endpoint_id for child in incident.children})
    is_ = "was" if past else "is"
    match cause.kind:
        case CauseKind.SERVER:
            found = "found" if past else "finds"
            return f"{server} {found} all bad that it tests, and other servers {'did' if past else 'do'} not"
        case CauseKind.ENDPOINT:
            more = f", and {many - 1} more with it" if many > 1 else ""
            return f"{endpoint} {is_} bad from every server that tests it{more}"
    return f"{endpoint} {is_} bad from {server} alone"


class Told(msgspec.Struct, frozen=True):
    """One line of a story. ``look``: bad, good, or empty."""

    at: float | None
    look: str
    fact: str
    meaning: str


def story(
    incident: Incident,
    alerts: Mapping[int, str],
    endpoints: Mapping[int, str],
    servers: Mapping[int, str],
) -> list[Told]:
    """Oldest first; what is to come stands last."""
    found: list[Told] = []
    for number, entry in enumerate(incident.story):
        alert = alerts.get(entry.alert_id or 0, f"alert {entry.alert_id}")
        endpoint = endpoints.get(entry.endpoint_id or 0, f"endpoint {entry.endpoint_id}")
        by = [servers.get(one, f"server {one}") for one in entry.servers]
        match entry.kind:
            case "fired":
                fact = f"{alert}." if number == 0 else f"{alert}, for the same cause."
                found.append(
                    Told(entry.at, "bad", fact, f"{endpoint}, from {listed(by)}." if by else f"{endpoint}.")
                )
            case "confirmed":
                found.append(
                    Told(entry.at, "bad", "Re-tests confirmed it.", f"{endpoint}, from {listed(by)}.")
                )
            case "reminded":
                found.append(
                    Told(entry.at, "", "It goes on.", f"{alert} at {endpoint}: nobody has acknowledged it.")
                )
            case "recovered":
                found.append(Told(entry.at, "good", f"{endpoint} recovered.", f"{alert} holds no more."))
            case "set aside":
                meaning = f"{alert} watches {endpoint} no more: one of the two was cancelled or changed."
                found.append(Told(entry.at, "", "Set aside.", meaning))
            case "acknowledged":
                found.append(
                    Told(
                        entry.at,
                        "",
                        f"{entry.who} acknowledged it.",
                        "Reminders stop; it ends when its cause does.",
                    )
                )
            case _:
                found.append(Told(entry.at, "", f"{entry.kind.capitalize()}.", ""))
    if incident.ended_at is None:
        found.append(Told(None, "ahead", "It ends when every rule above has recovered.", ""))
    else:
        found.append(
            Told(
                incident.ended_at,
                "good",
                "The incident ended.",
                f"It lasted {span(incident.ended_at - incident.started_at)}.",
            )
        )
    return found


def still(incident: Incident) -> list[Child]:
    return [child for child in incident.children if child.ended_at is None]


def began(at: float, now: float) -> str:
    """ "14:05", "21 Nov, 14:05"."""
    clock = f"{datetime.fromtimestamp(at, UTC):%H:%M}"
    return clock if now - at < _DAY / 2 else f"{day(at)}, {clock}"
