"""A terminal that goes away (SIGHUP) ends a command as SIGTERM does: in order, with its calls.

The signal comes twice there, from the kernel and from the shell, so the second one is no impatience. What was
started with nohup goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from collections.abc import Callable
from typing import Any


def on_hangup(end: Callable[[], None], loop: asyncio.AbstractEventLoop | None = None) -> Callable[[], None]:
    """Calls `end` at each SIGHUP, until what this returns is called. For the main thread."""
    old = signal.getsignal(signal.SIGHUP)
    if old is signal.SIG_IGN:  # nohup(1)
        return lambda: None

    def hung_up(*_: Any) -> None:
        _leave_terminal()
        end()

    if loop is not None:
        loop.add_signal_handler(signal.SIGHUP, hung_up)
    else:
        signal.signal(signal.SIGHUP, hung_up)

    def take_back() -> None:
        if loop is not None:
            loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, old)

    return take_back


def _leave_terminal() -> None:
    """To write to a terminal that is gone raises, amid what ends the calls: so it goes nowhere."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            with contextlib.suppress(OSError):
                if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                    os.dup2(nowhere, descriptor)
        os.close(nowhere)
