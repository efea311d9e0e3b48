"""A broker within one process and one event loop: for tests, and to hold the real one to account."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from callwright.dispatch.broker import REDELIVER_AFTER, Handler, NoAnswer
from callwright.dispatch.subject import matches

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Message:
    subject: str
    data: bytes
    answer: asyncio.Future[bytes] | None = None

    async def respond(self, data: bytes) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(data)


class _Subscription:
    def __init__(self, broker: MemoryBroker, subject: str, handler: Handler) -> None:
        self.subject = subject
        self.inbox: asyncio.Queue[_Message] = asyncio.Queue()
        self._broker, self._handler = broker, handler
        self._task = asyncio.ensure_future(self._deliver())

    async def _deliver(self) -> None:
        while True:
            message = await self.inbox.get()
            try:
                await self._handler(message)
            except Exception:
                _log.exception("an exception in a handler of %s", message.subject)

    async def close(self) -> None:
        self._task.cancel()
        self._broker.forget(self)


@dataclass(slots=True)
class _Queue:
    waiting: dict[str, bytes] = field(default_factory=dict)
    """In order; a ticket that is taken stands in `taken` until it is settled."""
    taken: dict[str, bytes] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class _Ticket:
    def __init__(self, queue: _Queue, key: str, data: bytes, redeliver_after: float) -> None:
        self.data = data
        self._queue, self._key = queue, key
        self._timer = asyncio.get_running_loop().call_later(redeliver_after, self._return)

    def _return(self) -> None:
        if self._queue.taken.pop(self._key, None) is not None:
            self._queue.waiting.setdefault(self._key, self.data)
            self._queue.arrived.set()

    async def settle(self) -> None:
        self._timer.cancel()
        self._queue.taken.pop(self._key, None)

    async def put_back(self) -> None:
        self._timer.cancel()
        self._return()


class MemoryBroker:
    """See `dispatch.broker.Broker`. All who share the object are connected."""

    def __init__(self, *, redeliver_after: float = REDELIVER_AFTER) -> None:
        self.on_reconnect: list[Callable[[], None]] = []
        self.on_refused: list[Callable[[str], None]] = []
        self._redeliver_after = redeliver_after
        self._subscriptions: list[_Subscription] = []
        self._queues: dict[str, _Queue] = {}

    @property
    def connected(self) -> bool:
        return True

    async def publish(self, subject: str, data: bytes) -> None:
        self._send(_Message(subject, data))

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        message = _Message(subject, data, asyncio.get_running_loop().create_future())
        if not self._send(message):
            raise NoAnswer(f"nobody listens to {subject}")
        assert message.answer is not None
        try:
            async with asyncio.timeout(timeout):
                return await message.answer
        except TimeoutError:
            raise NoAnswer(f"{subject} was not answered in {timeout:g} s") from None

    def _send(self, message: _Message) -> bool:
        listening = [s for s in self._subscriptions if matches(s.subject, message.subject)]
        for subscription in listening:
            subscription.inbox.put_nowait(message)
        return bool(listening)

    async def subscribe(self, subject: str, handler: Handler) -> _Subscription:
        subscription = _Subscription(self, subject, handler)
        self._subscriptions.append(subscription)
        return subscription

    def forget(self, subscription: _Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    async def open_queue(self, pool: str) -> None:
        self._queues.setdefault(pool, _Queue())

    async def renew_queues(self) -> None:
        for queue in self._queues.values():
            queue.waiting.clear()
            queue.taken.clear()

    async def enqueue(self, pool: str, key: str, data: bytes) -> None:
        queue = self._queues.setdefault(pool, _Queue())
        queue.waiting.pop(key, None)
        queue.waiting[key] = data
        queue.arrived.set()

    async def withdraw(self, pool: str, key: str) -> None:
        queue = self._queues.setdefault(pool, _Queue())
        queue.waiting.pop(key, None)
        queue.taken.pop(key, None)

    async def take(self, pool: str, timeout: float) -> _Ticket | None:
        queue = self._queues.setdefault(pool, _Queue())
        deadline = asyncio.get_running_loop().time() + timeout
        while not queue.waiting:
            queue.arrived.clear()
            left = deadline - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(left):
                    await queue.arrived.wait()
            except TimeoutError:
                return None
        key = next(iter(queue.waiting))
        data = queue.waiting.pop(key)
        queue.taken[key] = data
        return _Ticket(queue, key, data, self._redeliver_after)

    async def close(self) -> None:
        for subscription in list(self._subscriptions):
            await subscription.close()
