"""Numbers to the paths of inline SVG. A plot is 1000 units wide and PLOT_HEIGHT high; words are written by
HTML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 1000.0
PLOT_HEIGHT = 46.0
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_JITTER_TOPS = (5, 10, 20, 30, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 60_000)
MOS_BOTTOM, MOS_TOP = 1.0, 4.5


@dataclass(frozen=True, slots=True)
class Axis:
    """Seconds from 0 to `end`, with a tick each `step`."""

    end: float
    step: float

    @staticmethod
    def to(seconds: float) -> Axis:
        """The shortest axis with at most six ticks that holds `seconds`."""
        seconds = max(seconds, 0.1)
        step = next((s for s in _STEPS if seconds / s <= 5), seconds / 5)
        return Axis(math.ceil(seconds / step - 1e-9) * step, step)

    def x(self, seconds: float) -> float:
        """Units from the left, within the plot."""
        return round(min(max(seconds / self.end, 0.0), 1.0) * WIDTH, 1)

    def percent(self, seconds: float) -> float:
        return round(self.x(seconds) / WIDTH * 100, 2)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Percent from the left and text; the first and the last have the unit."""
        count = round(self.end / self.step)
        found = []
        for n in range(count + 1):
            text = f"{n * self.step:g}"
            found.append((round(n / count * 100, 2), f"{text} s" if n in {0, count} else text))
        return found


def mos_y(mos: float) -> float:
    span = MOS_TOP - MOS_BOTTOM
    return round(PLOT_HEIGHT * (1 - (min(max(mos, MOS_BOTTOM), MOS_TOP) - MOS_BOTTOM) / span), 1)


def jitter_top(values: Sequence[float]) -> float:
    """The top of the jitter axis in milliseconds, one for all plots of a page."""
    highest = max(values, default=0.0)
    return float(next((top for top in _JITTER_TOPS if top >= highest), _JITTER_TOPS[-1]))


def share_y(value: float, top: float) -> float:
    return round(PLOT_HEIGHT * (1 - min(max(value / top, 0.0), 1.0)), 1)


def curve(points: Sequence[tuple[float, float | None]]) -> str:
    """A path through (x, y); None lifts the pen. A lonely point becomes a short line, else it could not be
    seen.
    """
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            pieces.append([])
        else:
            pieces[-1].append((x, y))
    path = []
    for piece in pieces:
        if len(piece) == 1:
            (x, y) = piece[0]
            piece = [(x - 4, y), (x + 4, y)]
        if piece:
            path.append("M" + "L".join(f"{x:g} {y:g}" for x, y in piece))
    return "".join(path)


def wave_path(peaks: Sequence[float], left: float, right: float) -> str:
    """A closed outline around the middle line."""
    if not peaks or right <= left:
        return ""
    middle, reach = PLOT_HEIGHT / 2, PLOT_HEIGHT / 2 - 2
    # Speech is far below full scale: its loudest fills the plot, but near silence is not blown up.
    gain = 1 / max(max(peaks), 0.1)
    step = (right - left) / len(peaks)
    upper = [
        (round(left + (n + 0.5) * step, 1), round(reach * p * gain + 0.4, 1)) for n, p in enumerate(peaks)
    ]
    there = "L".join(f"{x:g} {middle - h:g}" for x, h in upper)
    back = "L".join(f"{x:g} {middle + h:g}" for x, h in reversed(upper))
    return f"M{there}L{back}Z"
