"""The port: what a room above needs of a message broker, whichever it is.

Two kinds of carrying. Messages on subjects go to who listens now, and are lost when nobody does (`request`
tells). Tickets in the queue of a pool wait for an agent and go to one; one that was taken and not settled
comes again. Neither remembers anything that matters: the database does, and everything here may be lost or
come twice.

`tests/conformance/test_broker.py` holds every adapter to this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

REDELIVER_AFTER = 10.0
"""Seconds after which a ticket that was taken and not settled is given out again."""


class BrokerError(Exception):
    """The text is a sentence."""


class Unavailable(BrokerError):
    """There is no connection, or the broker refused."""


class CredentialsRefused(Unavailable):
    """The broker is there and does not know us, or does not know us any more."""


class NoAnswer(BrokerError):
    """A request that nobody answered in time; whether it arrived is not known."""


class Message(Protocol):
    @property
    def subject(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    async def respond(self, data: bytes) -> None:
        """Answer a request; nothing happens when it was none, or its sender is gone."""
        ...


Handler = Callable[[Message], Awaitable[None]]


class Subscription(Protocol):
    async def close(self) -> None: ...


class QueuedTicket(Protocol):
    @property
    def data(self) -> bytes: ...
    async def settle(self) -> None:
        """It is dealt with: out of the queue."""
        ...

    async def put_back(self) -> None:
        """Somebody else may have it, now."""
        ...


class Broker(Protocol):
    """Made connected by its adapter. Reconnects by itself, for ever, and then calls `on_reconnect`.

    `on_refused` hears a sentence each time that it came to the broker and was turned away.
    """

    on_reconnect: list[Callable[[], None]]
    on_refused: list[Callable[[str], None]]

    @property
    def connected(self) -> bool: ...

    async def publish(self, subject: str, data: bytes) -> None:
        """To who listens now. Raises Unavailable only when it is known that it did not go."""
        ...

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """Raises NoAnswer, at once when nobody listens, and Unavailable."""
        ...

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """Each message in turn to `handler`; what it raises is logged. `*` is one token, `>` the rest."""
        ...

    async def open_queue(self, pool: str) -> None:
        """Make the queue of a pool where there is none. For the platform, before anything goes in."""
        ...

    async def renew_queues(self) -> None:
        """Throw away the queues of all pools with what waits in them; `open_queue` makes each anew. Raises
        Unavailable."""
        ...

    async def enqueue(self, pool: str, key: str, data: bytes) -> None:
        """Put a ticket in. One with the same `key` that still waits is replaced. Raises Unavailable."""
        ...

    async def withdraw(self, pool: str, key: str) -> None:
        """Take a waiting ticket out, if it is there. Raises Unavailable."""
        ...

    async def take(self, pool: str, timeout: float) -> QueuedTicket | None:
        """The next ticket, or None when there was none in `timeout` seconds. Raises Unavailable."""
        ...

    async def close(self) -> None: ...
