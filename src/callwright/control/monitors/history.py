"""Tallies of readings whose percentiles merge exactly: that of two hours is that of all their readings.

A figure's values are counted in fixed buckets, 0.01 wide for MOS and R, 2 % wide for times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from callwright.control.monitors.model import SlotState, StoredReading

K = TypeVar("K")

__all__ = ["COUNTED", "RESOLUTIONS", "SPREAD", "Tally", "merged", "percentile", "percentiles", "tally"]

#: Seconds of one row of history.
RESOLUTIONS: Mapping[str, int] = {"minute": 60, "hour": 3_600, "day": 86_400}
#: Figures that are added up.
COUNTED = ("sent", "received", "lost", "late", "duplicated", "reordered")
#: Figures that have percentiles.
SPREAD = ("mos", "r_factor", "rtt_ms", "jitter_ms", "error_ms")
_LINEAR = frozenset({"mos", "r_factor"})
_STEPS_A_UNIT = 100
_SMALLEST, _GROWTH = 0.01, math.log(1.02)
_LARGEST = 1e9
_NOTHING = -1  # the bucket of times below the smallest


class Tally(msgspec.Struct, frozen=True):
    """``slots``: how many ended in each state, and ``invalid`` ones, whose measurement the agent itself
    spoilt; these count for nothing else. ``counted``: sums; a figure that nothing measured is not in it.
    ``spread``: of each figure, bucket to number of readings."""

    slots: dict[str, int] = {}
    counted: dict[str, int] = {}
    spread: dict[str, dict[int, int]] = {}


def tally(readings: Iterable[StoredReading]) -> Tally:
    slots: dict[str, int] = {}
    counted: dict[str, int] = {}
    spread: dict[str, dict[int, int]] = {}
    for one in readings:
        state = "invalid" if one.verdict == "invalid" else str(one.state)
        slots[state] = slots.get(state, 0) + 1
        if state not in (SlotState.DONE, SlotState.FAILED):
            continue
        for name in COUNTED:
            value = one.figures.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
                counted[name] = counted.get(name, 0) + value
        for name in SPREAD:
            value = one.figures.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST:
                buckets = spread.setdefault(name, {})
                bucket = _bucket(name, value)
                buckets[bucket] = buckets.get(bucket, 0) + 1
    return Tally(slots, counted, spread)


def merged(tallies: Iterable[Tally]) -> Tally:
    slots: dict[str, int] = {}
    counted: dict[str, int] = {}
    spread: dict[str, dict[int, int]] = {}
    for one in tallies:
        _add(slots, one.slots)
        _add(counted, one.counted)
        for name, buckets in one.spread.items():
            _add(spread.setdefault(name, {}), buckets)
    return Tally(slots, counted, spread)


def percentile(found: Tally, figure: str, share: float) -> float | None:
    """By nearest rank, as the middle of its bucket; None where nothing measured it. ``share``: 0 to 1."""
    values = percentiles(found, figure, (share,))
    return None if values is None else values[0]


def percentiles(found: Tally, figure: str, shares: Sequence[float]) -> tuple[float, ...] | None:
    """Several at once, each as `percentile`. ``shares`` grow."""
    buckets = found.spread.get(figure)
    if not buckets:
        return None
    whole, passed, at = sum(buckets.values()), 0, -1
    ordered = sorted(buckets)
    values: list[float] = []
    for share in shares:
        rank = max(1, math.ceil(share * whole))
        while passed < rank and at + 1 < len(ordered):
            at += 1
            passed += buckets[ordered[at]]
        values.append(_value(figure, ordered[at]))
    return tuple(values)


def _bucket(figure: str, value: float) -> int:
    if figure in _LINEAR:
        return round(value * _STEPS_A_UNIT)
    return _NOTHING if value < _SMALLEST else int(math.log(value / _SMALLEST) / _GROWTH)


def _value(figure: str, bucket: int) -> float:
    if figure in _LINEAR:
        return bucket / _STEPS_A_UNIT
    return 0.0 if bucket == _NOTHING else float(f"{_SMALLEST * math.exp((bucket + 0.5) * _GROWTH):.3g}")


def _add(into: dict[K, int], more: Mapping[K, int]) -> None:
    for key, count in more.items():
        into[key] = into.get(key, 0) + count
