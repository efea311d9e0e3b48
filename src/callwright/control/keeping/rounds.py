"""A small ticket goes round: whether a run that is queued now would reach an agent, before there is one.

What does not come back is told and mended: the queues are made anew (their store may have been lost under a
server that runs), then the server is started again. Both lose nothing: the database knows what waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from callwright.dispatch.broker import Broker, BrokerError

__all__ = ["POOL", "Rounds"]

_log = logging.getLogger(__name__)

POOL = "~health"  # no name of a pool: those begin with a letter or a digit
EVERY = 2.0
_BACK_WITHIN = 3.0
_RESTART_EVERY = 3  # failures in a row
_STALE = 30.0  # seconds after which a round that has not ended is a failure too


class Rounds:
    """`missing` is what keeps tickets from going round, a sentence; empty when the last one came back.

    `pools` gives those whose queues must be there; `renewed` is called when queues were made anew; `restart`
    starts the server again, None: it is not ours.
    """

    def __init__(
        self,
        broker: Broker,
        pools: Callable[[], Awaitable[Iterable[str]]],
        *,
        renewed: Callable[[], None],
        restart: Callable[[], Awaitable[None]] | None = None,
        now: Callable[[], float],
        every: float = EVERY,
    ) -> None:
        self._broker, self._pools = broker, pools
        self._renewed, self._restart = renewed, restart
        self._now, self._every = now, every
        self._missing = "no ticket has gone round yet"
        self._ended_at: float | None = None
        self._serial = self._failures = 0

    @property
    def missing(self) -> str:
        if self._ended_at is not None and self._now() - self._ended_at > _STALE:
            return "no ticket goes round"
        return self._missing

    async def keep(self) -> None:
        """Until it is canceled."""
        while True:
            await self.once()
            await asyncio.sleep(self._every)

    async def once(self) -> None:
        """One round, and what is to be done when it fails."""
        if not self._broker.connected:
            self._missing = "there is no connection to NATS"
            return
        try:
            reason = await self._go_round()
        except BrokerError as error:
            reason = str(error)
        self._ended_at = self._now()
        if not reason:
            if self._failures:
                _log.warning("tickets go round again")
            self._failures, self._missing = 0, ""
            return
        self._failures += 1
        self._missing = "tickets do not go round in NATS; the keeper mends it"
        await self._mend(reason)

    async def _go_round(self) -> str:
        """Why it did not come back; empty when it did."""
        self._serial += 1
        sent = f"round {self._serial}".encode()
        for pool in (POOL, *await self._pools()):
            await self._broker.open_queue(pool)
        await self._broker.enqueue(POOL, "round", sent)
        until = self._now() + _BACK_WITHIN
        while (left := until - self._now()) > 0:
            ticket = await self._broker.take(POOL, left)
            if ticket is None:
                break
            await ticket.settle()
            if ticket.data == sent:
                return ""
        return "a ticket was queued and did not come back"

    async def _mend(self, reason: str) -> None:
        restart = self._restart
        if self._failures % _RESTART_EVERY == 0 and restart is not None:
            _log.error("tickets do not go round (%s): nats-server is started again", reason)
            await restart()
        else:
            _log.error("tickets do not go round (%s): the queues are made anew", reason)
            try:
                await self._broker.renew_queues()
            except BrokerError as error:
                _log.warning("the queues were not made anew: %s", error)
        self._renewed()
