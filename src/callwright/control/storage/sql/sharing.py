"""Readings that many ask for at once, such as of the key that a client shows with each of its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["SharedReadings"]

Question = tuple[Any, ...]


class SharedReadings:
    """``await shared(*question)``: what ``read(*question)`` finds.

    Who asks while the same is being read waits for the next reading, and shares it with all who wait. So a
    reading answers only those who asked before it began, and each sees what was committed when it asked: a
    key that was revoked is refused at once, as if everybody had read alone.
    """

    def __init__(self, read: Callable[..., Awaitable[Any]]) -> None:
        self._read = read
        self._waiting: dict[Question, list[asyncio.Future[Any]]] = {}  # for the reading that has not begun
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, *question: Any) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(question)
        if waiting is not None:
            waiting.append(answer)
        else:
            self._waiting[question] = [answer]
            task = asyncio.ensure_future(self._answer(question))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _answer(self, question: Question) -> None:
        """Reads until nobody waits."""
        asked: list[asyncio.Future[Any]] = []
        try:
            while asked := self._waiting[question]:
                self._waiting[question] = []
                try:
                    found = await self._read(*question)
                except Exception as error:
                    for one in asked:
                        if not one.done():  # it was canceled
                            one.set_exception(error)
                else:
                    for one in asked:
                        if not one.done():
                            one.set_result(found)
        finally:  # when this was canceled itself, nobody else would answer
            for one in (*asked, *self._waiting.pop(question)):
                one.cancel()
