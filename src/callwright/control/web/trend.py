"""How a figure of a test went over its last runs, as a line to draw and a sentence to read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from callwright.control.runs.model import Run
from callwright.evidence.figures import milliseconds

LAST = 60
_WIDTH, _HEIGHT = 1_000.0, 84.0


@dataclass(frozen=True, slots=True)
class Trend:
    """``path``: in a box of 1000 by 84; a run without the figure leaves a gap. ``bottom``, ``top``: the ends
    of the scale as words."""

    name: str
    detail: str
    path: str
    bottom: str
    top: str
    says: str
    first_at: float
    last_at: float


def trends(runs: Sequence[Run]) -> list[Trend]:
    """Of runs, newest first; a figure that fewer than two of them have is left out."""
    ended = [run for run in reversed(runs[:LAST]) if run.finished]
    found = []
    mos = [run.mos for run in ended]
    if sum(value is not None for value in mos) > 1:
        found.append(_trend("MOS", "lowest of a run, 1 to 4.5", ended, mos, 1.0, 4.5, _mos))
    delay = [run.pdd_ms for run in ended]
    if sum(value is not None for value in delay) > 1:
        highest = max(value for value in delay if value is not None) * 1.1 or 1.0
        found.append(_trend("Post-dial delay", "longest of a run", ended, delay, 0.0, highest, milliseconds))
    return found


def _mos(value: float) -> str:
    return f"{value:.2f}"


def _trend(
    name: str,
    detail: str,
    runs: Sequence[Run],
    values: Sequence[float | None],
    low: float,
    high: float,
    word: Callable[[float], str],
) -> Trend:
    known = [value for value in values if value is not None]
    says = (
        f"{name} of the last {len(known)} runs that have one: last {word(known[-1])}, "
        f"median {word(median(known))}, from {word(min(known))} to {word(max(known))}."
    )
    path = line(values, low, high)
    return Trend(name, detail, path, word(low), word(high), says, runs[0].created_at, runs[-1].created_at)


def line(values: Iterable[float | None], low: float, high: float) -> str:
    """An SVG path, one step a value; a single point between two gaps is a short dash."""
    listed = list(values)
    step = _WIDTH / max(1, len(listed) - 1)
    parts, pen = [], "M"
    for n, value in enumerate(listed):
        if value is None:
            pen = "M"
            continue
        share = max(0.0, min(1.0, (value - low) / (high - low)))
        parts.append(f"{pen}{n * step:.1f} {_HEIGHT - _HEIGHT * share:.1f}")
        if pen == "M" and (n + 1 == len(listed) or listed[n + 1] is None):
            parts.append("h4")
        pen = "L"
    return "".join(parts)
