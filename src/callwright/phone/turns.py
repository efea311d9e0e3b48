"""The turns of a phone's requests where caps of targets hold; without a gate each request leaves at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator

from callwright.phone.intent import Gate
from callwright.policy.destination import Target


class Turns:
    """What waits here ends with the phone (`close`)."""

    def __init__(self, gate: Gate | None) -> None:
        self._gate = gate
        self._waiting: set[asyncio.Task[object]] = set()

    @property
    def free(self) -> bool:
        """Nothing ever waits."""
        return self._gate is None

    async def enter(self, target: Target) -> Callable[[], None]:
        """Wait for a call's turn; the result is called when the call has ended. Raises Capped."""
        if self._gate is None:
            return _nothing
        with self._wait():
            return await self._gate.enter(target)

    async def send(self, targets: Iterable[Target]) -> None:
        """Wait for the turn of a request that begins no call, at each of its targets. Raises Capped."""
        if self._gate is not None:
            with self._wait():
                for target in targets:
                    await self._gate.send(target)

    def count(self, targets: Iterable[Target]) -> None:
        """A request that waits for nothing, such as a refresh."""
        if self._gate is not None:
            for target in targets:
                self._gate.count(target)

    def close(self) -> None:
        """Cancel whoever still waits."""
        for task in list(self._waiting):
            task.cancel()

    @contextlib.contextmanager
    def _wait(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            yield
        finally:
            self._waiting.discard(task)


def _nothing() -> None:
    pass
