"""Runs that ask for servers of their own choice: offered one by one to the agents that are chosen for them.

An offer promises nothing and may be lost: the claim decides, and what still waits is offered anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from callwright.control.runs.model import Run
from callwright.control.servers.sites import Sites
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker
from callwright.dispatch.messages.agents import Control
from callwright.dispatch.messages.runs import Ticket
from callwright.dispatch.messages.wire import encode
from callwright.fleet.placement import Site, choose
from callwright.net.clock import Clock

__all__ = ["Placing", "assigned"]

_AGAIN = 3.0  # seconds that an agent has to claim what it was offered

Key = tuple[int, int]  # run id, attempt


class Placing:
    """What it remembers may be lost."""

    def __init__(self, sites: Sites, broker: Broker, clock: Clock) -> None:
        self._sites, self._broker, self._clock = sites, broker, clock
        self._seen: Sequence[Site] | None = None
        self._offered: dict[Key, tuple[str, float]] = {}  # -> agent, when

    def look_again(self) -> None:
        """At the servers, before the next offer."""
        self._seen = None

    def forget(self, but: Iterable[Key]) -> None:
        """Offers of all runs but those that wait."""
        waiting = set(but)
        self._offered = {key: offer for key, offer in self._offered.items() if key in waiting}

    async def offer(
        self,
        units: Sequence[Sequence[Run]],
        held: Mapping[str, int],
        groups: Mapping[str, set[str]],
        owners: Mapping[str, int],
    ) -> None:
        """``units``: runs that wait, those over several servers together; ``held``: runs that each agent has,
        ``groups``: agents that have one of a group, ``owners``: of pools that one project alone may use."""
        self.forget((run.id, run.attempt) for unit in units for run in unit)
        if not units:
            return
        if self._seen is None:
            self._seen = await self._sites.sites()
        now = self._clock.now()
        lapsed = {key: agent for key, (agent, since) in self._offered.items() if now - since >= _AGAIN}
        for key in lapsed:
            del self._offered[key]
        busy = Counter(agent for agent, _ in self._offered.values())
        busy.update(held)
        for unit in units:
            open_ = [run for run in unit if (run.id, run.attempt) not in self._offered]
            if not open_:
                continue
            there = [
                replace(site, busy=max(site.busy, busy[site.agent_id]))
                for site in self._seen
                if owners.get(site.pool, unit[0].project_id) == unit[0].project_id
            ]
            taken = groups.get(unit[0].group_id or "", set()) | {
                self._offered[key][0] for run in unit if (key := (run.id, run.attempt)) in self._offered
            }
            deaf = {lapsed[key] for run in open_ if (key := (run.id, run.attempt)) in lapsed}
            for run, agent_id in zip(open_, assigned(open_, there, taken, deaf), strict=False):
                self._offered[run.id, run.attempt] = agent_id, now
                busy[agent_id] += 1
                ticket = Ticket(run.id, run.session_id, run.attempt)
                await self._broker.publish(subject.control(agent_id), encode(Control(offer=(ticket,))))


def assigned(runs: Sequence[Run], sites: Iterable[Site], taken: set[str], deaf: set[str]) -> list[str]:
    """An agent for each run, or none at all: runs over several servers go to different ones, beside those
    that are ``taken``. Who was ``deaf`` to the last offer is asked again only if nobody else fits."""
    free = [site for site in sites if site.agent_id not in taken]
    wish = msgspec.structs.replace(runs[0].placement, count=len(runs))
    agents = {site.name: site.agent_id for site in free}
    for candidates in ([site for site in free if site.agent_id not in deaf], free):
        chosen = choose(wish, candidates).servers
        if chosen:
            return [agents[name] for name in chosen]
    return []
