"""Smoke graphs: a figure over time from one server, its median and spread, with loss as colour. Pure.

Paths are in a box of 1000 by 104; times are unix seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from callwright.control.monitors.history import Tally, merged, percentiles
from callwright.control.monitors.model import StoredReading
from callwright.control.web.rendering import moment
from callwright.evidence.figures import milliseconds, percent

__all__ = [
    "PERIODS",
    "SHOWN",
    "Flag",
    "Gap",
    "Period",
    "Shown",
    "Smoke",
    "Span",
    "Window",
    "flags",
    "smoke",
    "window",
]

WIDTH, HEIGHT = 1_000.0, 104.0
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LEVELS = (0.005, 0.02, 0.045)  # shares of loss from which the line has another colour
_FULL_LOSS, _LEAST_TICK, _MOST_TICK = 0.2, 4.0, 30.0  # a share, and heights
_OPEN = 30.0  # seconds that a reading may be on its way
_LADDER = (1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Period:
    """``resolution``: of the rows that are read, each of ``row`` seconds. ``step``: seconds of a column,
    unless the interval is longer. ``mark``: seconds between two marks of the axis, 0: months."""

    key: str
    text: str
    seconds: int
    resolution: str
    row: int
    step: int
    mark: int
    words: str


PERIODS = (
    Period("1h", "1 h", 3_600, "minute", 60, 60, 600, "the last hour"),
    Period("6h", "6 h", 6 * 3_600, "minute", 60, 300, 3_600, "the last 6 hours"),
    Period("24h", "24 h", _DAY, "minute", 60, 900, 4 * 3_600, "the last 24 hours"),
    Period("7d", "7 d", 7 * _DAY, "hour", 3_600, 7_200, _DAY, "the last 7 days"),
    Period("30d", "30 d", 30 * _DAY, "hour", 3_600, 6 * 3_600, 5 * _DAY, "the last 30 days"),
    Period("1y", "1 y", 365 * _DAY, "day", _DAY, _DAY, 0, "the last year"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure with the ends of its axis; ``top`` None: as its values need."""

    key: str
    name: str
    figure: str
    low: float = 0.0
    top: float | None = None

    def words(self, value: float) -> str:
        return f"{value:.2f}" if self.figure == "mos" else milliseconds(value)


SHOWN = (
    Shown("delay", "Round-trip time", "rtt_ms"),
    Shown("mos", "MOS", "mos", 1.0, 4.5),
    Shown("jitter", "Jitter", "jitter_ms"),
)


@dataclass(frozen=True, slots=True)
class Window:
    """Columns of ``step`` seconds from ``since`` to ``until``."""

    period: Period
    since: int
    until: int
    step: int

    @property
    def columns(self) -> int:
        return (self.until - self.since) // self.step

    def share(self, at: float) -> float:
        """Where a moment is, % from the left."""
        whole = self.until - self.since
        return round(100 * min(1.0, max(0.0, (at - self.since) / whole)), 2)

    @property
    def marks(self) -> tuple[tuple[float, str], ...]:
        """Of the axis: % from the left, and words."""
        if self.period.mark:
            form = "%H:%M" if self.period.mark < _DAY else "%-d %b"
            first = -(-self.since // self.period.mark) * self.period.mark
            times: Iterable[int] = range(first, self.until, self.period.mark)
        else:
            form, times = "%b", _months(self.since, self.until)
        found = [(self.share(at), f"{datetime.fromtimestamp(at, UTC):{form}}") for at in times]
        return (*(mark for mark in found if mark[0] < 92), (100.0, "now"))


def window(period: Period, interval: int, now: float) -> Window:
    """A column is at least as long as the interval of the endpoint, so that each has a slot."""
    step = -(-max(period.step, interval) // period.row) * period.row
    until = (math.floor(now / step) + 1) * step
    return Window(period, until - max(1, period.seconds // step) * step, until, step)


@dataclass(frozen=True, slots=True)
class Gap:
    """Where nothing was measured: place and width in the box, and why in words."""

    x: float
    width: float
    says: str


@dataclass(frozen=True, slots=True)
class Span:
    """Something on the lane of incidents, % from the left."""

    left: float
    width: float
    text: str
    says: str
    href: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """Something that changed, % from the left."""

    left: float
    says: str


def flags(readings: Iterable[StoredReading], over: Window) -> dict[int, list[Flag]]:
    """Changes of path and of answers, by VoIP test."""
    found: dict[int, list[Flag]] = {}
    for one in readings:
        path = one.figures.get("path")
        told = "Other answers than before"
        if isinstance(path, dict) and path.get("changed") is True:
            hops = path.get("hops")
            told = f"New path, {len(hops)} hops" if isinstance(hops, list) and hops else "New path"
        elif one.figures.get("changed") is not True:
            continue
        flag = Flag(over.share(one.slot), f"{told}, {moment(one.slot)} UTC")
        found.setdefault(one.voip_test_id, []).append(flag)
    return found


@dataclass(frozen=True, slots=True)
class Smoke:
    """``outer`` and ``inner``: all but the extreme twentieths, and the middle half. ``lines``: the level of
    loss, 0 to 3, and a path. ``ticks``: place, width and height of loss. ``usual``: the height of the usual
    median, None where none is known. ``scale``: the figures of the axis, from the top."""

    outer: str
    inner: str
    lines: tuple[tuple[int, str], ...]
    ticks: tuple[tuple[float, float, float], ...]
    gaps: tuple[Gap, ...]
    usual: float | None
    usual_words: str
    scale: tuple[str, str, str]
    says: str
    empty: bool


@dataclass(frozen=True, slots=True)
class _Column:
    values: tuple[float, ...] | None
    loss: float | None
    measured: bool
    slots: Mapping[str, int]


def smoke(
    rows: Sequence[tuple[int, Tally]],
    over: Window,
    shown: Shown,
    *,
    usual: float | None,
    interval: int,
    now: float,
) -> Smoke:
    """``rows``: of the window, oldest first. ``usual``: the median of the time before."""
    columns = _columns(rows, over, shown)
    tops = [column.values[-1] for column in columns if column.values is not None]
    top = shown.top or _nice(max([*tops, usual or 0.0], default=0.0))
    width = WIDTH / len(columns)

    def y(value: float) -> float:
        share = (value - shown.low) / (top - shown.low)
        return round(HEIGHT * (1 - min(1.0, max(0.0, share))), 1)

    outer, inner, lines = [], [], []
    for first, last in _runs([column.values is not None for column in columns]):
        part = [column.values for column in columns[first:last] if column.values is not None]
        outer.append(_area([(y(v[-1]), y(v[0])) for v in part], first, width))
        inner.append(_area([(y(v[-2]), y(v[1])) for v in part], first, width))
        levels = [_level(column.loss) for column in columns[first:last]]
        lines += _coloured([y(v[2]) for v in part], levels, first, width)
    ticks = tuple(
        (round(n * width + width * 0.15, 1), round(width * 0.7, 1), round(_tick(column.loss), 1))
        for n, column in enumerate(columns)
        if column.loss is not None and column.loss >= _LEVELS[0]
    )
    return Smoke(
        "".join(outer),
        "".join(inner),
        tuple(lines),
        ticks,
        _gaps(columns, over, width, interval, now),
        None if usual is None else y(usual),
        "" if usual is None else shown.words(usual),
        (f"{top:.3g}", f"{(top + shown.low) / 2:.3g}", f"{shown.low:.3g}"),
        _says(columns, over, shown, usual),
        not any(column.measured for column in columns),
    )


def _columns(rows: Sequence[tuple[int, Tally]], over: Window, shown: Shown) -> list[_Column]:
    parts: list[list[Tally]] = [[] for _ in range(over.columns)]
    for at, tally in rows:
        if over.since <= at < over.until:
            parts[(at - over.since) // over.step].append(tally)
    found = []
    for part in parts:
        whole = part[0] if len(part) == 1 else merged(part)
        answered, failed = whole.slots.get("done", 0), whole.slots.get("failed", 0)
        values = percentiles(whole, shown.figure, _SHARES) if part else None
        found.append(_Column(values, _loss(whole, answered, failed), answered + failed > 0, whole.slots))
    return found


def _loss(tally: Tally, answered: int, failed: int) -> float | None:
    """Of packets; a slot that nobody answered and that counted no packets has lost all of its own."""
    if not answered + failed:
        return None
    sent, lost = tally.counted.get("sent", 0), tally.counted.get("lost", 0)
    if not sent:
        return failed / (answered + failed)
    return min(1.0, lost / sent)


def _level(loss: float | None) -> int:
    return sum((loss or 0.0) >= bound for bound in _LEVELS)


def _tick(loss: float) -> float:
    return _LEAST_TICK + (_MOST_TICK - _LEAST_TICK) * min(1.0, loss / _FULL_LOSS)


def _runs(there: Sequence[bool]) -> list[tuple[int, int]]:
    """Begin and end of what lies side by side."""
    found, begin = [], None
    for n, one in enumerate([*there, False]):
        if one and begin is None:
            begin = n
        elif not one and begin is not None:
            found.append((begin, n))
            begin = None
    return found


def _points(heights: Sequence[float], first: int, width: float) -> list[tuple[float, float]]:
    """From the left edge of the first column to the right edge of the last, through the middle of each."""
    middles = [(round((first + n + 0.5) * width, 1), height) for n, height in enumerate(heights)]
    left, right = round(first * width, 1), round((first + len(heights)) * width, 1)
    return [(left, heights[0]), *middles, (right, heights[-1])]


def _area(bounds: Sequence[tuple[float, float]], first: int, width: float) -> str:
    above = _points([top for top, _ in bounds], first, width)
    below = _points([low for _, low in bounds], first, width)
    return f"M{'L'.join(f'{x:g} {y:g}' for x, y in [*above, *reversed(below)])}Z"


def _coloured(
    heights: Sequence[float], levels: Sequence[int], first: int, width: float
) -> list[tuple[int, str]]:
    """A path for each stretch of one level; they meet at the edges of columns."""
    found = []
    points = _points(heights, first, width)
    begin = 0
    for n in range(1, len(levels) + 1):
        if n < len(levels) and levels[n] == levels[begin]:
            continue
        inside = points[begin + 1 : n + 1]
        left = points[0] if begin == 0 else _between(points[begin], points[begin + 1])
        right = points[-1] if n == len(levels) else _between(points[n], points[n + 1])
        path = "L".join(f"{x:g} {y:g}" for x, y in (left, *inside, right))
        found.append((levels[begin], f"M{path}"))
        begin = n
    return found


def _between(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return round((one[0] + other[0]) / 2, 1), round((one[1] + other[1]) / 2, 1)


def _gaps(
    columns: Sequence[_Column], over: Window, width: float, interval: int, now: float
) -> tuple[Gap, ...]:
    """What may still be on its way is no gap."""
    due = now - interval - _OPEN
    blank = [
        not column.measured and over.since + (n + 1) * over.step <= due for n, column in enumerate(columns)
    ]
    found = []
    for first, last in _runs(blank):
        slots: dict[str, int] = {}
        for column in columns[first:last]:
            for state, count in column.slots.items():
                slots[state] = slots.get(state, 0) + count
        told = ", ".join(f"{count} {state}" for state, count in sorted(slots.items()))
        begin, end = over.since + first * over.step, over.since + last * over.step
        says = f"No data from {moment(begin)} to {moment(end)} UTC: {told or 'nothing was told of any slot'}"
        found.append(Gap(round(first * width, 1), round((last - first) * width, 1), says))
    return tuple(found)


def _says(columns: Sequence[_Column], over: Window, shown: Shown, usual: float | None) -> str:
    medians = [column.values[2] for column in columns if column.values is not None]
    said = [f"{shown.name} over {over.period.words}"]
    if medians:
        said.append(
            f"median {shown.words(medians[-1])} now, {shown.words(min(medians))} to "
            f"{shown.words(max(medians))} in this time"
        )
    else:
        said.append("not measured")
    if usual is not None:
        said.append(f"usually {shown.words(usual)}")
    losses = [column.loss for column in columns if column.loss is not None]
    if losses:
        said.append(f"loss now {percent(100 * losses[-1])}, at most {percent(100 * max(losses))}")
    return "; ".join(said)


def _nice(value: float) -> float:
    """The round figure above."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (*_LADDER, 12.0) if step * unit >= value)


def _months(since: int, until: int) -> list[int]:
    at = datetime.fromtimestamp(since, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found: list[int] = []
    while True:
        at = at.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)
        if at.timestamp() >= until:
            return found
        found.append(int(at.timestamp()))
