"""Pending to created: asks the provider for a machine, and finds out what came of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from callwright.autoscaler.ages import Ages
from callwright.autoscaler.doing import Doing
from callwright.autoscaler.fortune import Fortune
from callwright.autoscaler.places import Place, Places, chosen
from callwright.autoscaler.provider import Order, OutOfStock, ProviderError, Unusable
from callwright.autoscaler.room import Room, Scene
from callwright.fleet.plan import retry_delay
from callwright.fleet.pool import Pool
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import Deadlines, Event, State

__all__ = ["ATTEMPTS", "Allocator"]

ATTEMPTS = 3
_RESTARTED = "the platform was restarted while the provider was asked"


class Allocator:
    def __init__(
        self,
        room: Room,
        places: Places,
        doing: Doing,
        ages: Ages,
        fortune: Fortune,
        deadlines: Deadlines,
        now: Callable[[], float],
    ) -> None:
        self._room, self._places, self._doing = room, places, doing
        self._ages, self._fortune, self._deadlines, self._now = ages, fortune, deadlines, now

    def attend(self, scene: Scene) -> None:
        for server in scene.servers:
            if not server.ours or server.name in self._doing:
                continue
            pool = scene.pools.get(server.pool)
            if server.state is State.CREATING:
                self._doing.begin(server.name, partial(self._resume, server, pool))
            elif server.state is State.PENDING and not scene.paused:
                waited = self._ages.of(server, self._now())
                if not server.attempts or waited >= retry_delay(server.attempts):
                    self._doing.begin(server.name, partial(self._allocate, server, pool))

    async def _allocate(self, server: ServerRecord, pool: Pool | None) -> None:
        try:
            place = self._places.get(server.provider)
        except Unusable as error:
            await self._fail(server, str(error))
            return
        pool = pool if pool is not None else _pool_of(server)
        size = server.size if server.size in pool.sizes else None
        empty = self._fortune.stock(pool)
        if size is None or empty.get(size, 0.0) > self._now():
            size = self._fortune.size(pool, self._now())
        if size is None:
            await self._fail(server, _nothing_left(pool))
            return
        async with place.room:
            taken = await self._room.move(server, Event.ALLOCATE, size=size)
            if taken is not None:
                await self._create(taken, pool, place)

    async def _create(self, server: ServerRecord, pool: Pool, place: Place) -> None:
        enrolment = await self._room.enrolment(server)
        order = Order(
            name=server.name,
            pool=server.pool,
            url=enrolment.url,
            token=enrolment.token,
            capacity=server.capacity or pool.capacity,
            size=server.size,
            region=server.region or pool.region,
            image=server.image or pool.image,
            labels=pool.labels,
            ca=enrolment.ca,
        )
        seconds = self._deadlines.create
        try:
            async with asyncio.timeout(seconds):
                machine = await place.provider.create(order)
        except OutOfStock as error:
            await self._try_next_size(server, pool, str(error))
        except Unusable as error:
            await self._fail(server, str(error))
        except ProviderError as error:
            await self._find_out(server, place, str(error))
        except TimeoutError:
            await self._find_out(server, place, f"the provider did not answer within {seconds:g} s")
        else:
            await self._made(server, machine.id, machine.address)
        place.stale()

    async def _resume(self, server: ServerRecord, pool: Pool | None) -> None:
        """Of a request that another process made, it is only known that it may have been made."""
        try:
            place = self._places.get(server.provider)
        except Unusable as error:
            await self._fail(server, str(error))
            return
        await self._find_out(server, place, server.error or _RESTARTED)

    async def _find_out(self, server: ServerRecord, place: Place, reason: str) -> None:
        """The provider's list decides what came of a request."""
        try:
            machines = await place.fresh()
        except ProviderError as error:
            if self._ages.of(server, self._now()) < self._deadlines.create:
                if server.error != reason:
                    await self._room.learn(server.name, error=reason)
                await asyncio.sleep(1.0)  # it stays creating, and is found out in a later round
            else:
                await self._fail(server, f"{reason}; {error}")
            return
        found = chosen(machines, server.name, server.machine)
        if found is not None and not found.ended:
            await self._made(server, found.id, found.address)
        elif server.attempts + 1 < ATTEMPTS:
            await self._room.move(server, Event.RETRY, error=found.ended if found is not None else reason)
        else:
            await self._fail(server, found.ended if found is not None else reason)

    async def _made(self, server: ServerRecord, machine: str, address: str) -> None:
        if await self._room.move(server, Event.MADE, machine=machine, address=address) is None:
            # Deleted meanwhile: whoever destroys it is to know which machine it has.
            await self._room.learn(server.name, machine=machine, address=address)

    async def _try_next_size(self, server: ServerRecord, pool: Pool, reason: str) -> None:
        self._fortune.out_of_stock(pool, server.size, self._now())
        following = self._fortune.size(pool, self._now())
        if following is None:
            await self._fail(server, _nothing_left(pool))
        else:
            await self._room.move(server, Event.RETRY, size=following, error=reason, attempts=server.attempts)

    async def _fail(self, server: ServerRecord, reason: str) -> None:
        if await self._room.move(server, Event.FAIL, error=reason) is not None:
            self._fortune.failed(server.pool, self._now())


def _nothing_left(pool: Pool) -> str:
    named = [size for size in pool.sizes if size]
    where = f" in {pool.region}" if pool.region else ""
    return f"out of stock: the provider has none of {', '.join(named) or 'its usual size'}{where}"


def _pool_of(server: ServerRecord) -> Pool:
    """What is known of a pool that is gone."""
    return Pool(
        server.pool, provider=server.provider, region=server.region, sizes=(server.size,), removed=True
    )
