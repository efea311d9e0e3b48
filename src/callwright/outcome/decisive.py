"""Figures written so that a reader sees what decided: never rounded across the limit."""

from __future__ import annotations

import math


def decisive(value: float, limit: float, decimals: int = 1, *, significant: int = 0) -> str:
    """`value` with `decimals` places, or with so many `significant` digits of which no more than two are
    decimals: beyond them a figure is noise. It has as many more as it takes to lie on the same side of
    `limit`, and not to read as 0."""
    if significant:
        whole = math.floor(math.log10(abs(value))) + 1 if value else 1
        decimals = min(max(significant - whole, 0), 2)
    for more in range(9):
        shown = f"{value:.{decimals + more}f}"
        if _side(float(shown), limit) == _side(value, limit) and (float(shown) != 0 or value == 0):
            return shown.rstrip("0").rstrip(".") if significant and "." in shown else shown
    return repr(value)


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)
