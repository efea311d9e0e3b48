"""How messages reach the keepers: several at once, and no answer that the database has not given."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from callwright.control.errors import StorageUnavailable
from callwright.dispatch.broker import Broker, BrokerError, Message, Subscription
from callwright.dispatch.messages.wire import BadMessage, NotNow

__all__ = ["Act", "Carrying"]

_log = logging.getLogger(__name__)

_AT_ONCE = 32

Act = Callable[[Message], Awaitable[None]]


class Carrying:
    """`on_lost` hears each error of a database that is away."""

    def __init__(self, broker: Broker, on_lost: Callable[[StorageUnavailable], None]) -> None:
        self._broker, self._on_lost = broker, on_lost
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def subscribe(self, to: str, act: Act) -> None:
        """Each message in turn. Raises Unavailable."""
        self._subscriptions.append(await self._broker.subscribe(to, act))

    async def subscribe_aside(self, to: str, act: Act, *, own_turns: bool = False) -> None:
        """Several messages at once, so that one that waits for the disk holds up no other. ``own_turns``: nor
        those of other kinds, however many wait. Raises Unavailable."""
        turns = asyncio.Semaphore(_AT_ONCE) if own_turns else self._turns

        async def begin(message: Message) -> None:
            await turns.acquire()
            self.spawn(self._carry(act, message, turns))

        await self.subscribe(to, begin)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Until it ends or all are closed."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def carry(self, act: Act, message: Message) -> None:
        """In turn with those that `subscribe_aside` began."""
        await self._turns.acquire()
        await self._carry(act, message, self._turns)

    async def _carry(self, act: Act, message: Message, turns: asyncio.Semaphore) -> None:
        """A message whose handling fails was not taken: the agent repeats it."""
        try:
            await act(message)
        except StorageUnavailable as error:
            self._on_lost(error)
            await message.respond(b"")
        except NotNow:
            await message.respond(b"")
        except (BadMessage, BrokerError) as error:
            _log.warning("%s: %s", message.subject, error)
        except Exception:
            _log.exception("an exception with a message on %s", message.subject)
        finally:
            turns.release()

    async def close(self) -> None:
        for subscription in self._subscriptions:
            await subscription.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
