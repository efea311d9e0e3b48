"""Loads on a page: their figures second by second, as lines of inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callwright.outcome.load import LoadOutcome
from callwright.outcome.run import RunOutcome
from callwright.scenario.load_condition import parse_load_condition
from callwright.scenario.source import NOWHERE, Refusal, Text
from callwright.sip.status import REASON_PHRASES

WIDTH, HEIGHT = 560, 140
POINTS_SHOWN = 2_000
"""Points of a chart: the data has them all."""
_CHARTS = (
    ("Calls per second", ("target_rate", "rate"), ("asked", "placed")),
    ("Calls under way", ("active",), ("under way",)),
    ("Post-dial delay, ms", ("pdd_p50", "pdd_p95", "pdd_p99"), ("p50", "p95", "p99")),
    ("Failed calls per second", ("failed",), ("failed",)),
)


@dataclass(frozen=True, slots=True)
class ShownLoad:
    """A load of a run with its charts; `times` are the rows of the table of response times."""

    load: LoadOutcome
    charts: Sequence[Mapping[str, Any]]
    times: Sequence[tuple[str, Mapping[str, Any]]]


def limits_of(texts: Sequence[str]) -> list[tuple[str, float]]:
    """(text, milliseconds) of the conditions on the post-dial delay among `texts`: lines of its chart."""
    found = []
    for text in texts:
        try:
            condition = parse_load_condition(Text(text, NOWHERE))
        except Refusal:  # it names a party of its document, or is no condition of ours
            continue
        if condition.metric.name == "pdd":
            found.append((text, condition.limit))
    return found


def shown_loads(outcome: RunOutcome) -> list[ShownLoad]:
    """What `sections/load.html` needs, whoever placed the calls first."""
    placed_first = sorted(outcome.loads, key=lambda load: load.role != "caller")
    return [ShownLoad(load, load_charts(load), _times(load)) for load in placed_first]


def _times(load: LoadOutcome) -> list[tuple[str, Mapping[str, Any]]]:
    named = (("Post-dial delay", load.pdd_ms), ("Setup", load.setup_ms), ("BYE", load.bye_ms))
    return [(name, figures) for name, figures in named if figures.get("count")]


def load_charts(load: LoadOutcome, limits: Sequence[tuple[str, float]] | None = None) -> list[dict[str, Any]]:
    """`limits`: lines of the chart of the post-dial delay; None: those of the load's own conditions."""
    if limits is None:
        limits = limits_of([str(told.get("text", "")) for told in load.conditions])
    return charts_of(load.seconds, answers=load.role != "caller", limits=limits)


def charts_of(
    seconds: Mapping[str, Sequence[Any]], *, answers: bool, limits: Sequence[tuple[str, float]] = ()
) -> list[dict[str, Any]]:
    """From the columns of a load's seconds. What was not measured, or not asked of a side that `answers`, has
    no line, and a chart without lines is left out."""
    at = [float(value) for value in seconds.get("at", ())]
    spans = seconds.get("span", ())
    why = seconds.get("limited", ())
    limited = [(end - span, end) for end, span, text in zip(at, spans, why, strict=False) if text]
    found = []
    for title, columns, names in _CHARTS:
        series = [list(seconds.get(name, ())) for name in columns]
        if answers and title.startswith("Calls per"):
            series, names = series[1:], ("came",)
        known = [n for n, line in enumerate(series) if any(value is not None for value in line)]
        series, shown = [series[n] for n in known], [names[n] for n in known]
        if at and series:
            lines = limits if title.startswith("Post-dial") else ()
            found.append(chart(title, at, series, shown, limited, lines))
    return found


_WORDS = {
    "timeout": "no answer at all",
    "no_answer": "rang for too long",
    "bye_timeout": "BYE not answered",
    "refused": "nothing listened there",
    "unreachable": "no way there",
    "unexpected": "an answer without tag or Contact",
    "no_port": "our RTP ports ran out",
    "no_ack": "no ACK came",
    "no_prack": "no PRACK came",
    "expired": "the session was not refreshed in time",
    "no_media": "answered, and no audio came",
    "media_gaps": "answered, and not heard for long enough",
    "answered": "answered",
    "canceled": "canceled",
}


def failure_words(name: str) -> str:
    """A class of failure as a person says it: "503 Service Unavailable"."""
    code = int(name) if name.isascii() and name.isdigit() and len(name) < 4 else 0
    return f"{name} {REASON_PHRASES[code]}" if code in REASON_PHRASES else _WORDS.get(name, name)


def round_top(value: float) -> float:
    """The least round number that holds `value`: where an axis ends."""
    if value <= 0:
        return 1.0
    size: float = 10.0 ** math.floor(math.log10(value))
    return next((step * size for step in (1, 1.5, 2, 3, 4, 5, 6, 8) if step * size >= value), 10 * size)


def _peaks(names: Sequence[str], series: Sequence[Sequence[float | None]]) -> str:
    told = []
    for name, line in zip(names, series, strict=True):
        known = [value for value in line if value is not None]
        told.append(f"{name} at most {max(known):,.4g}" if known else f"{name} not known")
    return ", ".join(told)


def chart(
    title: str,
    xs: list[float],
    series: Sequence[Sequence[float | None]],
    names: list[str],
    limited: list[tuple[float, float]],
    limits: Sequence[tuple[str, float]] = (),
) -> dict[str, Any]:
    """Lines as points of an SVG of WIDTH x HEIGHT; limited seconds are shaded, `limits` (text, value) are
    drawn across."""
    step = max(1, len(xs) // POINTS_SHOWN)
    end = max(xs, default=1.0) or 1.0
    top = max((value for line in series for value in line if value is not None), default=0.0)
    # A limit that lies far above all figures would press them flat: it is named and not drawn.
    across = [(text, value) for text, value in limits if value <= 4 * top]
    top = max([top, *(value for _, value in across)])
    axis = round_top(top)
    scale = HEIGHT / axis
    lines = []
    for name, line in zip(names, series, strict=True):
        points = " ".join(
            f"{WIDTH * x / end:.1f},{HEIGHT - scale * value:.1f}"
            for x, value in list(zip(xs, line, strict=True))[::step]
            if value is not None
        )
        lines.append({"name": name, "points": points})
    return {
        "title": title.partition(", ")[0],
        "unit": title.partition(", ")[2],
        "top": top,
        "axis": f"{axis:,g}" if axis < 1 else f"{axis:,.0f}",
        "end": end,
        "until": f"{end:,.0f}",
        "says": f"{title}: {_peaks(names, series)}, in {end:,.0f} s",
        "lines": lines,
        "limits": [(text, HEIGHT - scale * value) for text, value in across],
        "limited": [(WIDTH * a / end, max(1.0, WIDTH * (b - a) / end)) for a, b in limited],
        "width": WIDTH,
        "height": HEIGHT,
    }
