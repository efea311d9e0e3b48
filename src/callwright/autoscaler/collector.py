"""Shutdown to stopped: lets a server finish its work, then has its machine destroyed, and looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from callwright.autoscaler.ages import Ages
from callwright.autoscaler.doing import Doing
from callwright.autoscaler.places import Place, Places
from callwright.autoscaler.provider import Machine, ProviderError, Unusable
from callwright.autoscaler.room import Room, Scene, Work
from callwright.fleet.pool import Pool
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import Deadlines, Event, State, deadline_after

__all__ = ["Collector"]

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_IDLE = Work()


class Collector:
    def __init__(
        self,
        room: Room,
        places: Places,
        doing: Doing,
        ages: Ages,
        deadlines: Deadlines,
        now: Callable[[], float],
    ) -> None:
        self._room, self._places, self._doing = room, places, doing
        self._ages, self._deadlines, self._now = ages, deadlines, now
        self._drained: set[str] = set()

    async def attend(self, scene: Scene) -> None:
        self._drained &= {server.name for server in scene.servers if server.state is State.SHUTDOWN}
        for server in scene.servers:
            if not server.ours or server.name in self._doing:
                continue  # a machine may still be on its way to it
            if server.state is State.SHUTDOWN:
                if server.name not in self._drained:
                    await self._room.drain(server)
                    self._drained.add(server.name)
                    if server.started is not None:
                        continue  # until then it may have taken work that the scene does not show
                work = scene.work.get(server.name, _IDLE)
                if self._is_drained(server, scene.pools.get(server.pool), work):
                    await self._room.move(server, Event.DRAINED)
            elif server.state is State.STOPPING:
                self._doing.begin(server.name, partial(self._destroy, server))

    def _is_drained(self, server: ServerRecord, pool: Pool | None, work: Work) -> bool:
        if server.started is None or not (work.busy or work.holds):
            return True
        drain = deadline_after(
            State.SHUTDOWN, self._deadlines, pool.drain_seconds if pool is not None else None
        )
        if drain is None or self._ages.of(server, self._now()) >= drain:
            return True
        try:
            machine = self._places.get(server.provider).machine(server.name, server.machine)
        except Unusable:
            return False
        return machine is not None and bool(machine.ended)

    async def _destroy(self, server: ServerRecord) -> None:
        """Again and again, until the provider lists it no longer or the time for it is over."""
        try:
            place = self._places.get(server.provider)
        except Unusable as error:
            await self._room.move(server, Event.REFUSE, error=f"it cannot be destroyed: {error}")
            return
        began, pause = self._now(), _FIRST_PAUSE
        while True:
            reason = await self._try(server, place)
            if not reason:
                await self._room.move(server, Event.GONE)
                return
            if self._now() - began >= self._deadlines.destroy:
                await self._room.move(server, Event.REFUSE, error=f"it could not be destroyed: {reason}")
                return
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _try(self, server: ServerRecord, place: Place) -> str:
        """Why a machine is still there; empty: none is."""
        seconds = self._deadlines.destroy
        refusal = ""
        try:
            async with asyncio.timeout(seconds):
                await place.provider.destroy(Machine(server.name, server.machine))
        except ProviderError as error:
            refusal = str(error)
        except TimeoutError:
            refusal = f"the provider did not answer within {seconds:g} s"
        try:
            left = [machine for machine in await place.fresh() if machine.tag == server.name]
            for other in left:
                if other.id != server.machine:
                    await place.provider.destroy(other)
            if left:
                left = [machine for machine in await place.fresh() if machine.tag == server.name]
        except ProviderError as error:
            return refusal or str(error)
        if not left:
            return ""
        return refusal or "the provider accepted that, and still lists its machine"
