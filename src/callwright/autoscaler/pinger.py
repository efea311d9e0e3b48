"""Finds the servers that are silent, and those that are heard again."""

from __future__ import annotations

from collections.abc import Callable

from callwright.autoscaler.ages import Ages
from callwright.autoscaler.places import Places
from callwright.autoscaler.provider import Unusable
from callwright.autoscaler.room import Room, Scene
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import Deadlines, Event, State

__all__ = ["Pinger"]


class Pinger:
    """Servers that a person enrolled are looked at too; nothing else of the fleet touches those."""

    def __init__(
        self, room: Room, places: Places, ages: Ages, deadlines: Deadlines, now: Callable[[], float]
    ) -> None:
        self._room, self._places, self._ages = room, places, ages
        self._deadlines, self._now = deadlines, now

    async def attend(self, scene: Scene) -> None:
        for server in scene.servers:
            if server.state is State.RUNNING:
                reason = self._why_lost(server)
                if reason:
                    await self._room.move(server, Event.LOST, error=reason)
            elif server.state is State.ERROR and self._may_return(server):
                await self._room.move(server, Event.HEARD)

    def _why_lost(self, server: ServerRecord) -> str:
        silent = self._ages.silent(server, self._now())
        if silent >= self._deadlines.heard:
            return f"lost: not heard for {silent:.0f} s"
        if server.ours:
            try:
                machine = self._places.get(server.provider).machine(server.name, server.machine)
            except Unusable:
                return ""  # it works, whatever became of the settings
            if machine is not None and machine.ended:
                return f"lost: {machine.ended}"
        return ""

    def _may_return(self, server: ServerRecord) -> bool:
        """Not one that was ended, and whose provider refuses to destroy it."""
        return not server.attempts and server.deleted_at is None and self._ages.heard(server, self._now())
