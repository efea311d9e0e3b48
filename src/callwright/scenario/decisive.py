"""Figures written so that a reader sees what decided: never rounded across the limit."""

from __future__ import annotations


def decisive(value: float, limit: float, decimals: int = 1, *, significant: int = 0) -> str:
    """`value` with `decimals` places or so many `significant` digits, or with as many more as it takes to lie
    on the same side of `limit`."""
    for more in range(9):
        shown = f"{value:.{significant + more}g}" if significant else f"{value:.{decimals + more}f}"
        if _side(float(shown), limit) == _side(value, limit):
            return shown
    return repr(value)


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)
