"""The fleet's round: what providers list, what the records say, and each worker in turn.

A round is quick and may be cut off anywhere: what takes long is done beside it, the records say what is in
progress, and a round of another process goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from callwright.autoscaler.ages import Ages
from callwright.autoscaler.allocator import Allocator
from callwright.autoscaler.collector import Collector
from callwright.autoscaler.doing import Doing
from callwright.autoscaler.fortune import Fortune
from callwright.autoscaler.installer import Installer
from callwright.autoscaler.pinger import Pinger
from callwright.autoscaler.places import Places
from callwright.autoscaler.planner import Planner
from callwright.autoscaler.provider import ProviderError
from callwright.autoscaler.reaper import Reaper
from callwright.autoscaler.room import Room
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import Deadlines, Event, State
from callwright.net.clock import Clock

__all__ = ["Autoscaler"]

_log = logging.getLogger(__name__)
_TO_AN_END = (Event.RETIRE, Event.DRAINED, Event.GONE)


class Autoscaler:
    """`await run()` until it is cancelled, then `close`. ``every``: seconds between two rounds; `wake` makes
    the next one come at once."""

    def __init__(
        self,
        room: Room,
        places: Places,
        clock: Clock,
        *,
        deadlines: Deadlines | None = None,
        every: float = 1.0,
    ) -> None:
        self._room, self._places, self._clock, self._every = room, places, clock, every
        self._wanted = asyncio.Event()
        self._leads = False
        self._trouble = ""
        fortune, now, deadlines = Fortune(), clock.now, deadlines or Deadlines()
        self._ages, self.doing = Ages(max(10.0, 5 * every)), Doing(self.wake)
        self._allocator = Allocator(room, places, self.doing, self._ages, fortune, deadlines, now)
        self._installer = Installer(room, places, self._ages, fortune, deadlines, now)
        self._pinger = Pinger(room, places, self._ages, deadlines, now)
        self._collector = Collector(room, places, self.doing, self._ages, deadlines, now)
        self._reaper = Reaper(places, self.doing)
        self._planner = Planner(room, fortune, clock)

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self.round()
                self._trouble = ""
            except Exception as error:
                if str(error) != self._trouble:  # the same sentence each second helps nobody
                    _log.exception("the fleet's round failed")
                self._trouble = str(error)
                await asyncio.sleep(self._every)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._wanted.wait()

    async def round(self) -> None:
        if not await self._room.leads():
            self._leads = False
            return
        if not self._leads:
            self._leads = True
            self._planner.forget()
        before = await self._room.look()
        await self._places.refresh(
            sorted({server.provider for server in before.servers if server.ours})
            + sorted({pool.provider for pool in before.pools.values()})
        )
        scene = await self._room.look()  # after the lists, see the reaper
        self._ages.look(scene, self._clock.now())
        await self._pinger.attend(scene)
        await self._installer.attend(scene)
        await self._collector.attend(scene)
        self._reaper.attend(scene)
        await self._planner.attend(scene)
        self._allocator.attend(scene)

    async def pause(self) -> None:
        """What is being done is cut off; the records say how far it came."""
        await self.doing.close()

    async def close(self, patience: float = 3.0) -> None:
        """Machines that cannot be without the platform end within ``patience`` seconds, and so do their
        servers."""
        await self.doing.close()
        await self._places.close(patience)
        with contextlib.suppress(Exception):  # the next start finds what is left
            scene = await self._room.look()
            for place in self._places.open:
                with contextlib.suppress(ProviderError):
                    ended = {machine.tag: machine for machine in await place.fresh() if machine.ended}
                    for server in scene.servers:
                        if server.provider == place.name and server.name in ended:
                            await place.provider.destroy(ended[server.name])
                            await self._end(server)

    async def _end(self, server: ServerRecord) -> None:
        moved: ServerRecord | None = server
        for event in _TO_AN_END:
            if moved is not None and moved.state is not State.STOPPED:
                moved = await self._room.move(moved, event) or moved
