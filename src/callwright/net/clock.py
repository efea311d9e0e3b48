"""Time enters the house here: everybody above takes a `Clock`, everybody below takes `now`."""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path
from typing import Protocol

_TIMESYNC = "/run/systemd/timesync/synchronized"
_STA_UNSYNC = 0x40  # adjtimex(2)
_STATUS_AT = 40  # octets into struct timex, where long has 64 bits


class Clock(Protocol):
    """Two times that are never mixed: one for intervals, one for calendars."""

    def now(self) -> float:
        """Monotonic seconds; comparable only with other values of the same clock."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch; may jump when the machine's clock is set."""
        ...


class SystemClock:
    """The machine's clock. `now()` is CLOCK_MONOTONIC, which asyncio's loop uses as well."""

    __slots__ = ()

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class WakefulClock:
    """As the machine's clock, and `now()` goes on while the machine sleeps, where the system can tell that
    (Linux: CLOCK_BOOTTIME). For plans that a calendar holds."""

    __slots__ = ()

    def now(self) -> float:
        boot = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if boot is None else time.clock_gettime(boot)

    def wall(self) -> float:
        return time.time()


def synchronised() -> bool:
    """Whether something like NTP keeps this machine's calendar, as the kernel or systemd-timesyncd has it;
    False where that is not known."""
    if Path(_TIMESYNC).exists():  # where a hardened unit may not ask the kernel
        return True
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_long) != 8:
        return False
    timex = (ctypes.c_char * 512)()
    try:
        known = ctypes.CDLL(None, use_errno=True).adjtimex(timex) >= 0
    except (OSError, AttributeError):
        return False
    status = int.from_bytes(timex.raw[_STATUS_AT : _STATUS_AT + 4], sys.byteorder)
    return known and not status & _STA_UNSYNC


class SteadyClock:
    """The calendar of one undertaking: as `clock` has it now, and from then on by its intervals, so that two
    of its times lie apart by what has passed, whatever somebody does to the machine's clock meanwhile. Not
    for what goes on for days, which is to follow the machine."""

    __slots__ = ("_clock", "_offset")

    def __init__(self, clock: Clock) -> None:
        self._clock, self._offset = clock, clock.wall() - clock.now()

    def now(self) -> float:
        return self._clock.now()

    def wall(self) -> float:
        return self._clock.now() + self._offset


class ManualClock:
    """A clock that stands until it is told to advance, for tests and simulations in virtual time."""

    __slots__ = ("_now", "_wall")

    def __init__(self, now: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> float:
        """Moves both times forward and returns the new `now()`; raises ValueError when negative."""
        if seconds < 0:
            raise ValueError("a monotonic clock does not run backwards")
        self._now += seconds
        self._wall += seconds
        return self._now
