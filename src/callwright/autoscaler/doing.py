"""What is being done for servers beside the rounds: one thing for each at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Doing"]

_log = logging.getLogger(__name__)


class Doing:
    """``done`` is called when something has ended, for it may give the next round work."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._done = done

    def __contains__(self, key: str) -> bool:
        return key in self._tasks

    def begin(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """False: something is being done for it already."""
        if key in self._tasks:
            return False
        self._tasks[key] = asyncio.ensure_future(self._carry(key, work))
        return True

    async def _carry(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception:
            # The record says what it is in the middle of, and the next round goes on from there.
            _log.exception("%s was left as it is", key)
        finally:
            self._tasks.pop(key, None)
            self._done()

    async def settle(self) -> None:
        """Until nothing is being done."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
