"""Tasks of one owner: begun and forgotten, yet kept from the garbage collector and awaited at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any


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
