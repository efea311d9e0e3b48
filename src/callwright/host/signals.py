"""What ends a process in order: Ctrl-C, SIGTERM, and a terminal that goes away.

A terminal that goes away (SIGHUP) ends a command as SIGTERM does: in order, with its calls.

The signal comes twice there, from the kernel and from the shell, so the second one is no impatience. What was
started with nohup goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SAME_SIGNAL = 0.5
"""Seconds within which a second signal is the first one again: timeout(1) sends it to us and to our group."""


def run_async(work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run `work(stop)` on a loop; `stop` is set by the first Ctrl-C or SIGTERM, a second one ends at once
    with KeyboardInterrupt. A terminal that goes away sets it too, however often that is told."""

    async def main() -> T:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        first, done = 0.0, False

        def interrupt() -> None:
            nonlocal first
            if not stop.is_set():
                first = loop.time()
                stop.set()
            elif not done and loop.time() - first >= SAME_SIGNAL:
                raise KeyboardInterrupt

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        on_hangup(stop.set, loop)
        try:
            return await work(stop)
        finally:
            done = True  # asyncio stumbles over a loop that is left just as its work ends

    return asyncio.run(main())


async def first_of(stop: asyncio.Event, *waiting: Awaitable[Any]) -> bool:
    """Wait until one of `waiting` is done or `stop` is set; True when it was `stop`."""
    stopped = asyncio.ensure_future(stop.wait())
    others = [asyncio.ensure_future(future) for future in waiting]
    try:
        await asyncio.wait([stopped, *others], return_when=asyncio.FIRST_COMPLETED)
        return stop.is_set() and not any(other.done() for other in others)
    finally:
        stopped.cancel()


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
