"""Tasks of one owner: begun and forgotten, yet kept from the garbage collector and awaited at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

_AGAIN = 0.5  # seconds


async def canceled(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancels them until all are done. Once is not always enough: before Python 3.12 `asyncio.wait_for` loses
    a cancellation that comes in the very moment of its result, and the task goes on."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN)


class Tasks:
    """`spawn` begins one; iterate over those that are not done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter([task for task in self._tasks if not task.done()])

    async def wait(self, seconds: float) -> None:
        """For all that are there now, at most so long."""
        pending = list(self)
        if pending:
            await asyncio.wait(pending, timeout=seconds)
