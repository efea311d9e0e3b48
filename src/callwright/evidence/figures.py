"""Numbers as people write them: units, no needless digits, and a dash where nothing is known."""

from __future__ import annotations

UNKNOWN = "–"


def milliseconds(value: float | None) -> str:
    """ "352 ms", "2.569 s", "16.45 s", "4 min 3 s"."""
    if value is None:
        return UNKNOWN
    if value < 9.95:
        return f"{value:.1f}".removesuffix(".0") + " ms"
    if value < 999.5:
        return f"{value:.0f} ms"
    seconds = value / 1000
    if seconds < 9.9995:
        return f"{seconds:.3f} s"
    if seconds < 119.5:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def percent(value: float | None) -> str:
    """ "0 %", "0.25 %", "3.1 %", "74 %"."""
    if value is None:
        return UNKNOWN
    digits = 0 if value == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") + " %" if digits else f"{value:.0f} %"


def number(value: float | None, digits: int = 0) -> str:
    """With thousands marks; trailing zeros of `digits` are kept, so that columns align."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def octets(value: int) -> str:
    """ "14 kB", "1.4 MB" (powers of ten)."""
    if value < 1000:
        return f"{value} B"
    if value < 999_500:
        return f"{value / 1000:.0f} kB"
    return f"{value / 1e6:.1f} MB"
