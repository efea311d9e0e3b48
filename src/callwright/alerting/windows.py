"""Maintenance windows: once, or each week by the wall clock of a time zone, daylight saving included."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

__all__ = ["DAYS", "Once", "Weekly", "Window", "is_open"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Once(msgspec.Struct, frozen=True, tag_field="kind", tag="once"):
    """Unix seconds, `until` not included."""

    since: float
    until: float


class Weekly(msgspec.Struct, frozen=True, tag_field="kind", tag="weekly"):
    """``start`` and ``end``: minutes after midnight; an end at or before its start is on the next day."""

    days: tuple[str, ...]
    start: int
    end: int
    time_zone: str = "UTC"


Window = Once | Weekly


def is_open(windows: Iterable[Window], now: float) -> bool:
    return any(_is_open(one, now) for one in windows)


def _is_open(window: Window, now: float) -> bool:
    if isinstance(window, Once):
        return window.since <= now < window.until
    local = datetime.fromtimestamp(now, ZoneInfo(window.time_zone))
    minute = local.hour * 60 + local.minute
    today, yesterday = DAYS[local.weekday()], DAYS[(local - timedelta(days=1)).weekday()]
    if window.end > window.start:
        return today in window.days and window.start <= minute < window.end
    begun = today in window.days and minute >= window.start
    return begun or (yesterday in window.days and minute < window.end)
