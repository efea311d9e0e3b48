"""Which of the platforms on one database leads: it alone keeps queues and leases, plans the fleet, evaluates
alerts and delivers notifications. All others answer HTTP and carry out runs, and take over when it is gone.

A row of the database with an end is the only judge. Nothing that a leader does holds without the database, so
one that cannot reach it stays what it is until it learns of another: by that row, or over the broker, where
each leader tells its term. Two that both believe to lead for a moment do no harm: states move by
compare-and-set.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from callwright.control.errors import DomainError
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError, Message, Subscription
from callwright.dispatch.messages.platform import Leader
from callwright.dispatch.messages.wire import BadMessage, decode, encode

__all__ = ["EVERY", "KEEPER", "LASTS", "Lead", "LeaderStore", "Leadership"]

_log = logging.getLogger(__name__)

LASTS = 3.0
"""Seconds for which a lead is held without being renewed."""
EVERY = 0.75
"""Seconds between two looks at it, by everybody."""
KEEPER = "keeper"
"""The name of the lead."""


class Lead(msgspec.Struct, frozen=True):
    """``holder``: the platform that leads; ``term`` grows with each change of it. ``left``: seconds that it
    still has, by the clock of the database; 0 or less: it is free."""

    holder: str
    term: int
    left: float


class LeaderStore(Protocol):
    async def take_lead(self, name: str, holder: str, seconds: float) -> Lead:
        """Take it where it is free, or prolong one's own; the lead as it is then, whoever has it. Raises
        StorageUnavailable."""
        ...

    async def lead(self, name: str) -> Lead | None:
        """As it is; None: nobody ever had it. Raises StorageUnavailable."""
        ...

    async def give_up_lead(self, name: str, holder: str) -> None:
        """It is free at once, if the holder has it. Raises StorageUnavailable."""
        ...


class Leadership:
    """`await start()` looks once, then again and again until `close`. ``begin`` is awaited when this platform
    comes to lead, and ``end`` before it does so no more. ``begin`` may raise: the lead is given up, and
    tried for again. ``store`` None: there is no other platform, and this one leads."""

    def __init__(
        self,
        store: LeaderStore | None,
        holder: str,
        broker: Broker,
        *,
        begin: Callable[[], Awaitable[None]],
        end: Callable[[], Awaitable[None]],
        lasts: float = LASTS,
        every: float = EVERY,
    ) -> None:
        self._store, self.holder, self._broker = store, holder, broker
        self._begin, self._end = begin, end
        self._lasts, self._every = lasts, every
        self.leads = False
        self._term = 0
        self._overtaken = False
        self._heard: Subscription | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises what ``begin`` raises where this platform is alone, and StorageUnavailable, BrokerError."""
        if self._store is None:
            await self._begin()
            self.leads = True
            return
        self._heard = await self._broker.subscribe(subject.LEADER, self._hear)
        await self._look(self._store)
        self._keeping = asyncio.ensure_future(self._keep(self._store))

    async def close(self) -> None:
        """The lead is free for others at once."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._heard is not None:
            await self._heard.close()
        led, self.leads = self.leads, False
        if led:
            await self._end()
        if self._store is not None:
            try:
                async with asyncio.timeout(self._lasts):
                    await self._store.give_up_lead(KEEPER, self.holder)
            except (DomainError, TimeoutError) as error:
                _log.info("the lead was not given up, and ends by itself: %s", error)

    async def _keep(self, store: LeaderStore) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._look(store)
            except (DomainError, BrokerError, TimeoutError, OSError) as error:
                _log.debug("who leads was not learned: %s", error)
            except Exception:
                _log.exception("an exception while the lead was looked at")

    async def _look(self, store: LeaderStore) -> None:
        if self._overtaken:
            self._overtaken = False
            await self._step_down("another platform of this database leads")
        async with asyncio.timeout(self._lasts):
            lead = await store.take_lead(KEEPER, self.holder, self._lasts)
        if lead.holder != self.holder:
            await self._step_down(f"{lead.holder} leads")
            return
        self._term = lead.term
        if not self.leads:
            try:
                await self._begin()
            except BaseException:
                await store.give_up_lead(KEEPER, self.holder)
                raise
            self.leads = True
            _log.info("this platform leads, term %d", lead.term)
        await self._broker.publish(subject.LEADER, encode(Leader(self.holder, lead.term)))

    async def _step_down(self, why: str) -> None:
        if self.leads:
            self.leads = False
            _log.warning("this platform leads no more: %s", why)
            await self._end()

    async def _hear(self, message: Message) -> None:
        """Of a platform that leads. Where we cannot ask the database, this is how we learn of it."""
        try:
            told = decode(Leader, message.data)
        except BadMessage as error:
            _log.debug("%s: %s", message.subject, error)
            return
        if told.holder != self.holder and told.term > self._term:
            self._overtaken = self.leads
