"""Servers and the agents on them: what is known of them, and the end of those that a person enrolled.

Which of them are lost, and which are heard again, the fleet's pinger finds out (`autoscaler/pinger`).

The records of both are in the database, so a round may be cut off anywhere and the next one goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from callwright.control.accounts.model import PLATFORM
from callwright.control.agents.model import Agent, AgentState
from callwright.control.agents.service import Agents
from callwright.control.certificates.service import Certificates
from callwright.control.errors import DomainError, NotFound
from callwright.control.servers.model import ServerRecord
from callwright.control.servers.service import LIVE, Servers, facts_of
from callwright.dispatch.broker import BrokerError
from callwright.fleet.record import EMBEDDED
from callwright.fleet.server import Deadlines, Event, State
from callwright.net.clock import Clock

__all__ = ["ServerKeeper"]

_log = logging.getLogger(__name__)
_EVERY = 1.0  # seconds
_CERTIFIED_AT_ONCE = 20  # keys take a while to make, and a round must not
_CERTIFY_AGAIN = 600.0  # seconds after which is looked whether all have theirs still


class ServerKeeper:
    """`expel` cuts an agent off at the broker, `restore` lets it in again. `certificates`: each server gets
    its own."""

    def __init__(
        self,
        servers: Servers,
        agents: Agents,
        clock: Clock,
        *,
        expel: Callable[[str], Awaitable[None]],
        restore: Callable[[str], Awaitable[None]],
        certificates: Certificates | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._servers, self._agents, self._clock = servers, agents, clock
        self._certificates, self._certified = certificates, set[str]()
        self._expel, self._restore = expel, restore
        self._deadlines = deadlines or Deadlines()
        self._certified_at = clock.now()

    async def keep(self) -> None:
        """Until it is canceled."""
        while True:
            try:
                await self.once()
            except (DomainError, BrokerError, OSError) as error:
                _log.warning("servers were not looked at: %s", error)
            except Exception:
                _log.exception("an exception with the servers")
            await asyncio.sleep(_EVERY)

    async def once(self) -> None:
        live = await self._servers.all(*LIVE)
        of_agent = {one.agent_id: one for one in live if one.agent_id is not None}
        by_name = {one.name: one for one in live if one.ours}
        for agent in await self._known(live):
            server = of_agent.get(agent.id) or by_name.get(agent.server or "")
            if server is not None:
                await self._attend(agent, server)
            elif agent.state != AgentState.REVOKED:
                await self._find(agent)
        await self._servers.finish_removals()
        if self._certificates is not None:
            await self._certify(self._certificates, {one.name for one in live if not one.forgotten})

    async def _known(self, live: Sequence[ServerRecord]) -> list[Agent]:
        """Agents that may work, and those of servers that live. Revoked ones of servers that stopped are ever
        more, and nobody's business."""
        found = await self._agents.list()
        known = {agent.id for agent in found}
        for server in live:
            if server.agent_id is not None and server.agent_id not in known:
                with contextlib.suppress(NotFound):
                    found.append(await self._agents.get(server.agent_id))
        return found

    async def _certify(self, certificates: Certificates, names: set[str]) -> None:
        if self._clock.now() - self._certified_at >= _CERTIFY_AGAIN:
            self._certified, self._certified_at = set(), self._clock.now()
        self._certified &= names
        for name in sorted(names - self._certified)[:_CERTIFIED_AT_ONCE]:
            await certificates.ensure(name)
            self._certified.add(name)

    def _heard(self, agent: Agent) -> bool:
        return agent.alive(self._clock.wall(), self._deadlines.heard)

    async def _find(self, agent: Agent) -> None:
        """An agent without a server that lives: it is new, or its server was deleted."""
        server = await self._servers.of_agent(agent.id)
        embedded = agent.server == EMBEDDED
        if agent.server is not None and not embedded:
            await self._revoke(agent)  # the server that it was made for has stopped
        elif server is None:
            if self._heard(agent):
                await self._servers.adopt(agent, embedded=embedded)
        elif not server.ours and agent.enrolled_at > (server.deleted_at or 0.0) and not embedded:
            await self._servers.move(server, Event.RECOVER, deleted_at=None, error="not heard yet")
        elif embedded:
            await self._drain(agent)
        else:
            await self._revoke(agent)

    async def _attend(self, agent: Agent, server: ServerRecord) -> None:
        if agent.state == AgentState.REVOKED:
            if server.state in (State.RUNNING, State.ERROR, State.STAGING):
                await self._servers.move(server, Event.RETIRE, deleted_at=self._clock.wall())
            elif not server.ours:
                await self._end(server)
            return
        match server.state:
            case State.SHUTDOWN if not server.ours:
                await self._drain(agent)
                over = self._clock.wall() - server.since >= self._deadlines.drain
                if over or not agent.busy or not self._heard(agent):
                    await self._servers.move(server, Event.DRAINED)
            case State.STOPPING if not server.ours:
                if agent.server != EMBEDDED:
                    await self._revoke(agent)
                await self._end(server)
            case State.ERROR if not server.ours:
                await self._restore(agent.id)
            case State.RUNNING if self._heard(agent):
                facts = facts_of(agent, server)
                if any(getattr(server, name) != value for name, value in facts.items()):
                    await self._servers.learn(server.name, **facts)

    async def _end(self, server: ServerRecord) -> None:
        """Nothing is to be destroyed."""
        gone = server if server.state is State.STOPPING else await self._servers.move(server, Event.DRAINED)
        if gone is not None:
            await self._servers.move(gone, Event.GONE)

    async def _drain(self, agent: Agent) -> None:
        if agent.state == AgentState.ACTIVE:
            await self._agents.drain(PLATFORM, agent.id)

    async def _revoke(self, agent: Agent) -> None:
        await self._agents.revoke(PLATFORM, agent.id)
        await self._expel(agent.id)
