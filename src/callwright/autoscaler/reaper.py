"""Destroys the machines that no server answers for: orphans, and doubles of one tag."""

from __future__ import annotations

import logging

from callwright.autoscaler.doing import Doing
from callwright.autoscaler.places import Place, Places, chosen
from callwright.autoscaler.provider import Machine, ProviderError
from callwright.autoscaler.room import Scene
from callwright.fleet.server import State

__all__ = ["Reaper"]

_log = logging.getLogger(__name__)


class Reaper:
    """Lists must be older than the scene: then a machine that was made meanwhile is not among them, and each
    that is had its record before."""

    def __init__(self, places: Places, doing: Doing) -> None:
        self._places, self._doing = places, doing

    def attend(self, scene: Scene) -> None:
        known = {(server.provider, server.name): server for server in scene.servers}
        for place in self._places.open:
            machines = place.at_round
            for machine in machines:
                server = known.get((place.name, machine.tag))
                if server is None:
                    self._end(place, machine, "no server of this platform has it")
                elif (
                    server.state in (State.CREATED, State.STAGING, State.RUNNING)
                    and chosen(machines, machine.tag, server.machine) is not machine
                ):
                    self._end(place, machine, f"{machine.tag} has another one")

    def _end(self, place: Place, machine: Machine, why: str) -> None:
        async def destroy() -> None:
            _log.warning("machine %s of %s is destroyed: %s", machine.id or machine.tag, place.name, why)
            try:
                await place.provider.destroy(machine)
            except ProviderError as error:
                _log.warning("machine %s of %s: %s", machine.id or machine.tag, place.name, error)
            place.stale()

        self._doing.begin(f"{place.name} {machine.tag} {machine.id}", destroy)
