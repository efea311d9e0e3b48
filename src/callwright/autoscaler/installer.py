"""Created to running: waits for the agent, which installs and enrols itself on its machine."""

from __future__ import annotations

from collections.abc import Callable

from callwright.autoscaler.ages import Ages
from callwright.autoscaler.fortune import Fortune
from callwright.autoscaler.places import Places
from callwright.autoscaler.provider import Unusable
from callwright.autoscaler.room import Room, Scene
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import Deadlines, Event, State

__all__ = ["Installer"]


class Installer:
    def __init__(
        self,
        room: Room,
        places: Places,
        ages: Ages,
        fortune: Fortune,
        deadlines: Deadlines,
        now: Callable[[], float],
    ) -> None:
        self._room, self._places, self._ages = room, places, ages
        self._fortune, self._deadlines, self._now = fortune, deadlines, now

    async def attend(self, scene: Scene) -> None:
        for server in scene.servers:
            if not server.ours:
                continue
            if server.state is State.CREATED:
                await self._room.move(server, Event.INSTALL)
            elif server.state is State.STAGING:
                work = scene.work.get(server.name)
                if work is not None and work.mark is not None:
                    if await self._room.move(server, Event.HEARD) is not None:
                        self._fortune.worked(server.pool)
                    continue
                reason = self._why_never(server)
                if reason and await self._room.move(server, Event.FAIL, error=reason) is not None:
                    self._fortune.failed(server.pool, self._now())

    def _why_never(self, server: ServerRecord) -> str:
        try:
            machine = self._places.get(server.provider).machine(server.name, server.machine)
        except Unusable as error:
            return str(error)
        if machine is not None and machine.ended:
            return f"the agent did not come up: {machine.ended}"
        seconds = self._deadlines.boot
        if self._ages.of(server, self._now()) >= seconds:
            return f"no agent enrolled within {seconds:g} s"
        return ""
