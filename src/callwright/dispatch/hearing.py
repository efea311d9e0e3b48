"""A subscription of somebody who goes on without it while the broker is away."""

from __future__ import annotations

from callwright.dispatch.broker import Broker, BrokerError, Handler, Subscription

__all__ = ["Hearing"]


class Hearing:
    """`await begin()` again and again: it does nothing once it has begun. ``broker`` None: nothing is ever
    heard."""

    def __init__(self, broker: Broker | None, subject: str, handler: Handler) -> None:
        self._broker, self._subject, self._handler = broker, subject, handler
        self._subscription: Subscription | None = None

    async def begin(self) -> bool:
        """Whether it hears."""
        if self._subscription is None and self._broker is not None:
            try:
                self._subscription = await self._broker.subscribe(self._subject, self._handler)
            except BrokerError:
                return False
        return self._subscription is not None

    async def close(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()
