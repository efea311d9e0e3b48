"""What a thread that keeps time asks of Python and of the kernel."""

from __future__ import annotations

import contextlib
import os
import platform
import select
import struct
import sys
import threading
import time

SWITCH_INTERVAL = 0.0001
"""Seconds after which a busy Python thread hands the GIL over while media runs (Python's own is 5 ms)."""

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SELECT_LIMIT = 1024  # FD_SETSIZE
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")


class SwitchInterval:
    """Python's switch interval, which belongs to the whole process: short as long as anybody asks for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._before = 0.0

    def shorten(self) -> None:
        """To be followed by one `restore`."""
        with self._lock:
            self._holders += 1
            if self._holders == 1:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(self._before, SWITCH_INTERVAL))

    def restore(self) -> None:
        """Gives the interval back as it was, when this was the last who asked."""
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                sys.setswitchinterval(self._before)


switch_interval = SwitchInterval()


def readable_within(descriptor: int, timeout: float | None) -> bool:
    """Sleeps, to the microsecond, until a descriptor is readable (true) or `timeout` seconds are over."""
    if descriptor < _SELECT_LIMIT:
        return bool(select.select([descriptor], [], [], timeout)[0])
    # poll takes any descriptor, but counts in milliseconds: it gets the whole ones, sleep the rest.
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    if timeout is None:
        return bool(poller.poll())
    milliseconds = int(timeout * 1000)
    if poller.poll(milliseconds):
        return True
    time.sleep(timeout - milliseconds / 1000)
    return False


def raise_priority() -> None:
    """Lets this thread run before others, where that is permitted: real-time, else a better nice value."""
    if sys.platform != "linux":
        return
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)
        short_slice()
    # How much later than asked the kernel may wake us; 50 µs by default.
    with contextlib.suppress(OSError), open(f"/proc/{threading.get_native_id()}/timerslack_ns", "w") as slack:
        slack.write("1")


def short_slice(nanoseconds: int = 100_000) -> bool:
    """Asks Linux for short time slices of this thread, which needs no privilege; false where it is unknown.

    From 6.12 on, the kernel lets a thread with a short slice interrupt one with a long one as soon as it
    wakes; the price is that its own turns are as short. See sched_setattr(2), `sched_runtime`.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return False
    import ctypes

    attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, 0, 0, 0, 0, nanoseconds, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, attributes, 0) == 0)
