"""Test tones: one sine or several, at a stated level."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from functools import lru_cache

from callwright.audio.level import amplitude

TONE_HZ = 440
"""The tone that `--play tone` sends."""
DEFAULT_DBFS = -16.0


def tone(
    frequency: float = TONE_HZ, seconds: float = 1.0, sample_rate: int = 8000, level: float = DEFAULT_DBFS
) -> bytes:
    """A sine as s16le. `level` is its RMS in dBFS."""
    return tones((frequency,), seconds, sample_rate, level)


def tones(
    frequencies: Sequence[float],
    seconds: float = 1.0,
    sample_rate: int = 8000,
    level: float | Sequence[float] = DEFAULT_DBFS,
) -> bytes:
    """Sines added up, as s16le, clipped at full scale. `level` is the RMS in dBFS of each, or one for each.

    `ValueError` for a frequency that this rate cannot carry.
    """
    levels = (level,) * len(frequencies) if isinstance(level, (int, float)) else tuple(level)
    if len(levels) != len(frequencies):
        raise ValueError(f"{len(frequencies)} tones have {len(levels)} levels")
    for frequency in frequencies:
        if not 0 < frequency < sample_rate / 2:
            raise ValueError(
                f"a tone of {frequency:g} Hz does not fit a rate of {sample_rate} samples a second"
            )
    count = round(seconds * sample_rate)
    period = _period(frequencies, sample_rate)
    if not period or period >= count:
        return _samples(tuple(frequencies), levels, sample_rate, count)
    one = _samples(tuple(frequencies), levels, sample_rate, period)
    return (one * (count // period + 1))[: 2 * count]


def _period(frequencies: Sequence[float], sample_rate: int) -> int:
    """Samples after which everything repeats exactly, for whole frequencies; else 0."""
    if any(frequency != int(frequency) for frequency in frequencies):
        return 0
    return sample_rate // math.gcd(sample_rate, *map(int, frequencies))


@lru_cache(maxsize=32)
def _samples(frequencies: tuple[float, ...], levels: tuple[float, ...], rate: int, count: int) -> bytes:
    parts = [(2 * math.pi * f / rate, amplitude(db)) for f, db in zip(frequencies, levels, strict=True)]
    sine = math.sin
    if len(parts) == 1:
        step, peak = parts[0]
        values = [peak * sine(step * n) for n in range(count)]
    else:
        values = [sum(peak * sine(step * n) for step, peak in parts) for n in range(count)]
    return array("h", [max(-32768, min(32767, round(value))) for value in values]).tobytes()
