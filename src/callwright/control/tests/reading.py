"""Large documents are read beside the event loop, one at a time: reading holds the interpreter for long.

What is short is read at once, since a thread costs more than that. Those that wait are bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from callwright.control.errors import QuotaExceeded

__all__ = ["LARGE", "WAITING", "beside"]

LARGE = 8_000  # characters: some milliseconds
WAITING = 16  # large documents that wait for their turn

T = TypeVar("T")


class _Desk:
    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.waiting = 0


_desks: WeakKeyDictionary[asyncio.AbstractEventLoop, _Desk] = WeakKeyDictionary()


async def beside(size: int, work: Callable[[], T], *, most: int = WAITING) -> T:
    """What `work` returns. ``size``: characters of what it reads. Raises QuotaExceeded where ``most`` wait
    already (0: any number may), and whatever the work raises."""
    if size < LARGE:
        return work()
    desk = _desks.setdefault(asyncio.get_running_loop(), _Desk())
    if most and desk.waiting >= most:
        raise QuotaExceeded(f"{most} large documents wait to be read.", "Send it again in a few seconds.")
    desk.waiting += 1
    try:
        async with desk.turn:
            return await asyncio.to_thread(work)
    finally:
        desk.waiting -= 1
