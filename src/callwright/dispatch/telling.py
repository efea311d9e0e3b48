"""Messages that are told and not waited for, in their order, by any broker."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from callwright.dispatch.broker import Broker, BrokerError
from callwright.dispatch.messages.wire import encode


class Teller:
    """Publishes to one subject. What the broker does not take is lost, and so are the oldest messages where
    more than `most` wait."""

    def __init__(self, broker: Broker, subject: str, most: int) -> None:
        self._broker, self._subject = broker, subject
        self._waiting: deque[msgspec.Struct] = deque(maxlen=most)
        self._sending: asyncio.Task[None] | None = None

    def tell(self, message: msgspec.Struct) -> None:
        """Never waits."""
        self._waiting.append(message)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    def forget(self) -> None:
        """Nobody needs what still waits."""
        self._waiting.clear()

    async def _send(self) -> None:
        while self._waiting:
            try:
                await self._broker.publish(self._subject, encode(self._waiting.popleft()))
            except BrokerError:
                continue
