"""Servers as placement sees them: what is recorded of a machine, and what its agent said last."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.control.agents.model import Agent, AgentState
from callwright.control.agents.service import Agents
from callwright.control.servers.model import ServerRecord
from callwright.control.servers.service import LIVE, Servers
from callwright.fleet.placement import Site
from callwright.fleet.pool import Pool
from callwright.fleet.server import State
from callwright.net.clock import Clock

__all__ = ["Sites", "site_of"]


class Sites:
    """``patience``: seconds within which an agent that works is heard."""

    def __init__(self, agents: Agents, servers: Servers, *, clock: Clock, patience: float = 15.0) -> None:
        self._agents, self._servers, self._clock, self.patience = agents, servers, clock, patience

    async def sites(self) -> list[Site]:
        """Those with an agent."""
        of_agent = {one.agent_id: one for one in await self._servers.all(*LIVE) if one.agent_id is not None}
        wall = self._clock.wall()
        return [
            site_of(agent, of_agent.get(agent.id), wall, self.patience)
            for agent in await self._agents.list()
            if agent.state != AgentState.REVOKED
        ]

    async def site(self, agent: Agent) -> Site:
        server = await self._servers.of_agent(agent.id)
        return site_of(agent, server, self._clock.wall(), self.patience)

    async def pools(self) -> Sequence[Pool]:
        return await self._servers.pools()


def site_of(agent: Agent, server: ServerRecord | None, wall: float, patience: float) -> Site:
    """An agent that has just enrolled has no server yet, and works all the same."""
    labels = {**(server.labels if server is not None else {}), **agent.labels}

    def known(name: str) -> str:
        return (getattr(server, name) if server is not None else "") or labels.get(name, "")

    takes = agent.state == AgentState.ACTIVE and agent.alive(wall, patience) and not agent.mismatch
    return Site(
        name=server.name if server is not None else agent.name,
        pool=agent.pool,
        region=known("region"),
        labels=labels,
        place=known("place"),
        country=known("country"),
        network=known("network"),
        capacity=max(1, agent.capacity),
        busy=agent.busy,
        works=takes and (server is None or server.state is State.RUNNING),
        agent_id=agent.id,
    )
