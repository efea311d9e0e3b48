"""Servers: one record, moved by compare-and-set through the table of `fleet/server`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from callwright.control.errors import NotFound
from callwright.control.servers.model import ServerRecord
from callwright.control.servers.store import ServerStore
from callwright.fleet.pool import Pool
from callwright.fleet.record import Facts, NoSuchMove, moved
from callwright.fleet.server import Event, State
from callwright.net.clock import Clock

__all__ = ["Servers"]


class Servers:
    """For the workers of the fleet, which nobody needs to authorize; people come by `control/api`."""

    def __init__(self, store: ServerStore, *, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def all(self, *states: State) -> Sequence[ServerRecord]:
        """Oldest first, those that stopped included; ``states``: only those in one of them."""
        return await self._store.servers(states)

    async def get(self, name: str) -> ServerRecord:
        """Raises NotFound."""
        found = await self._store.server(name)
        if found is None:
            raise NotFound("server", name)
        return found

    async def move(self, seen: ServerRecord, event: Event, **facts: Unpack[Facts]) -> ServerRecord | None:
        """The server after the event, and what was learned with it; None when somebody else moved it since it
        was seen, or the table has no such move: look again."""
        try:
            after = moved(seen, event, self._clock.wall(), **facts)
        except NoSuchMove:
            return None
        return await self._store.write_move(seen, after)

    async def learn(self, name: str, **facts: Unpack[Facts]) -> ServerRecord | None:
        """What was learned of a server beside its state; None when it is gone."""
        return await self._store.learn(name, facts, self._clock.wall())

    async def pools(self) -> Sequence[Pool]:
        return await self._store.fleet_pools()

    async def created_since(self, pool: str, time: float) -> Sequence[float]:
        """When the pool's servers were created since then, those that are gone included."""
        return await self._store.created_since(pool, time)

    async def paused(self) -> bool:
        return await self._store.paused()
