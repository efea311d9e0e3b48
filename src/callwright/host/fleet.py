"""The fleet in the parent of `serve`: the autoscaler's workers over the platform's records of servers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Unpack

from callwright.autoscaler.places import Places
from callwright.autoscaler.room import Enrolment, Scene, Work
from callwright.autoscaler.rounds import Autoscaler
from callwright.control.accounts.model import PLATFORM
from callwright.control.agents.model import Agent, AgentState
from callwright.control.agents.telling import agents_changed
from callwright.control.errors import DomainError
from callwright.control.fleet_counts import samples_now, waiting_calls
from callwright.control.runs.demand import carried
from callwright.control.servers.service import LIVE, facts_of
from callwright.dispatch import subject
from callwright.dispatch.broker import BrokerError
from callwright.fleet.plan import Decision
from callwright.fleet.pool import Pool
from callwright.fleet.record import EMBEDDED, Facts, ServerRecord
from callwright.fleet.server import Event
from callwright.fleet.words import sentence
from callwright.host.announcing import Announcer
from callwright.host.providers import PROCESS, Agents, local, openers

if TYPE_CHECKING:
    from callwright.control.services import Services
    from callwright.dispatch.broker import Broker, Message, Subscription

__all__ = ["Fleet", "Records"]

_log = logging.getLogger(__name__)

_ANSWERS_EVERY = 0.1  # seconds between two looks whether the web worker answers
_MINUTE, _COUNT_EVERY, _CLEAN_EVERY = 60.0, 2.0, 3600.0  # seconds
_PATIENCE = 3.0  # seconds from SIGTERM to SIGKILL of our agents, when the platform ends

Expel = Callable[[str], Awaitable[None]]


class Records:
    """`autoscaler.room.Room` on the platform's database. ``broker``: agents can be heard while it is there.
    ``expel`` cuts an agent off at it. ``url``: where agents of this machine enrol, which those of the
    providers ``here`` are; ``public_url``: where others do."""

    def __init__(
        self,
        services: Services,
        broker: Broker,
        *,
        expel: Expel,
        url: str,
        public_url: str | None = None,
        here: Set[str] = frozenset({PROCESS}),
    ) -> None:
        self._services, self._servers, self._agents = services, services.servers, services.agents
        self._broker, self._expel = broker, expel
        self._url, self._public_url, self._here = url, public_url or url, here
        self._agent_of: dict[str, Agent] = {}  # by server, at the last look

    async def leads(self) -> bool:
        """Rounds are made by the platform that leads alone (`control.leading`)."""
        return True

    async def look(self) -> Scene:
        servers = await self._servers.all(*LIVE)
        agents = await self._agents.list()
        demands = await self._services.runs.demands()
        calls = carried(demands)
        by_id = {agent.id: agent for agent in agents}
        by_server = {agent.server: agent for agent in agents if agent.server not in (None, EMBEDDED)}
        work: dict[str, Work] = {}
        self._agent_of = {}
        for server in servers:
            agent = by_server.get(server.name) if server.ours else by_id.get(server.agent_id or "")
            if agent is not None:
                self._agent_of[server.name] = agent
                work[server.name] = _work(agent, calls)
        return Scene(
            servers,
            await self._pools(servers),
            work,
            {pool: found.calls for pool, found in (await waiting_calls(self._services, demands)).items()},
            await self._servers.paused(),
            self._broker.connected,
        )

    async def _pools(self, servers: Sequence[ServerRecord]) -> Mapping[str, Pool]:
        """Those that may have servers, and those that have some."""
        used = {server.pool for server in servers if server.ours}
        return {pool.name: pool for pool in await self._servers.pools() if pool.maximum or pool.name in used}

    async def move(self, seen: ServerRecord, event: Event, **facts: Unpack[Facts]) -> ServerRecord | None:
        """A server that is heard is what its agent says; the agent of one that is gone may do nothing any
        more."""
        agent = self._agent_of.get(seen.name)
        if event is Event.HEARD and agent is not None:
            now = self._services.clock.wall()
            facts = Facts(last_login_at=now, **facts_of(agent, seen)) | facts
        after = await self._servers.move(seen, event, **facts)
        if after is not None and event is Event.GONE and seen.ours:
            await self._revoke(seen.name)
        return after

    async def _revoke(self, server: str) -> None:
        """What fails here the keeper of servers does later."""
        try:
            for agent in await self._agents.list():
                if agent.server == server:
                    await self._agents.revoke(PLATFORM, agent.id)
                    await self._expel(agent.id)
        except (DomainError, BrokerError, OSError) as error:
            _log.warning("the agent of server %s was not revoked yet: %s", server, error)

    async def learn(self, name: str, **facts: Unpack[Facts]) -> ServerRecord | None:
        return await self._servers.learn(name, **facts)

    async def add(self, pool: Pool, count: int, size: str, known: Set[str]) -> Sequence[str]:
        made = await self._servers.create(pool.name, count, size=size, known=known)
        return [server.name for server in made]

    async def created_since(self, pool: str, time: float) -> Sequence[float]:
        return await self._servers.created_since(pool, time)

    async def enrolment(self, server: ServerRecord) -> Enrolment:
        url = self._url if server.provider in self._here else self._public_url
        return Enrolment(url, await self._servers.token(server))

    async def drain(self, server: ServerRecord) -> None:
        agent = self._agent_of.get(server.name)
        if agent is not None and agent.state == AgentState.ACTIVE:
            await agents_changed(self._broker, await self._agents.drain(PLATFORM, agent.id))

    async def tell(self, decision: Decision) -> None:
        _log.info("pool %s: %s", decision.pool, sentence(decision))
        await self._services.history.note(decision)


def _work(agent: Agent, calls: Mapping[str, int]) -> Work:
    """Its heartbeat may be older than what it took since."""
    here = calls.get(agent.id, 0)
    return Work(max(agent.busy, here), bool(here or agent.spool.runs), agent.last_seen_at)


class Fleet:
    """`start`, then `close` before the keeper ends: agents hand in their last results to it. ``agents``:
    those on this machine. ``answers``: whether the platform can be asked for an enrolment. ``providers``:
    tables of the settings file by name, see `host.providers`. ``public_url``: where machines elsewhere find
    the platform and its broker; None: they cannot. ``installation``: by which its machines are known
    there."""

    def __init__(
        self,
        services: Services,
        broker: Broker,
        *,
        expel: Expel,
        url: str,
        agents: Agents,
        answers: Callable[[], Awaitable[bool]],
        public_url: str | None = None,
        providers: Mapping[str, Mapping[str, Any]] | None = None,
        installation: str = "callwright",
    ) -> None:
        tables = providers or {}
        here = local(tables)
        records = Records(services, broker, expel=expel, url=url, public_url=public_url, here=here)
        clock = services.clock
        found = openers(tables, agents, installation, public_url)
        places = Places(found, clock, dict.fromkeys(here, 1.0))
        self._autoscaler = Autoscaler(records, places, clock)
        self._services, self._servers, self._answers = services, services.servers, answers
        self._broker, self._announcer = broker, Announcer(broker)
        self._heard: Subscription | None = None
        self._running: list[asyncio.Task[None]] = []
        self._paused = False

    async def start(self) -> None:
        """Raises Unavailable."""
        self._servers.on_move += [self._on_move, self._announcer.server]
        self._heard = await self._broker.subscribe(subject.SERVERS, self._hear)
        self._running = [asyncio.ensure_future(self._run()), asyncio.ensure_future(self._count())]

    def wake(self) -> None:
        """Something changed that a round should see now."""
        self._autoscaler.wake()

    async def close(self) -> None:
        """Machines that cannot be without the platform end."""
        began = bool(self._running) or self._paused
        await self.pause()
        if began:
            await self._autoscaler.close(_PATIENCE)

    async def pause(self) -> None:
        """Machines go on, looked after by whoever leads next. For good: a new fleet begins anew."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._paused = self._paused or bool(self._running)
        self._running = []
        await self._autoscaler.pause()
        for watcher in (self._on_move, self._announcer.server):
            if watcher in self._servers.on_move:
                self._servers.on_move.remove(watcher)
        if self._heard is not None:
            heard, self._heard = self._heard, None
            with contextlib.suppress(BrokerError):
                await heard.close()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                if await self._answers():
                    break
            await asyncio.sleep(_ANSWERS_EVERY)
        await self._autoscaler.run()

    async def _count(self) -> None:
        """A sample of every pool each minute, for the charts of the page."""
        history, clock = self._services.history, self._services.clock
        last, cleaned = 0.0, float("-inf")
        while True:
            minute = clock.wall() // _MINUTE * _MINUTE
            try:
                if minute != last:
                    await history.keep(await samples_now(self._services, minute))
                    last = minute
                if clock.now() - cleaned >= _CLEAN_EVERY:
                    await history.forget_old()
                    await self._servers.forget_stopped()
                    cleaned = clock.now()
            except (DomainError, OSError) as error:
                _log.warning("the fleet was not counted: %s", error)
            except Exception:
                _log.exception("an exception while the fleet was counted")
            await asyncio.sleep(_COUNT_EVERY)

    async def _hear(self, _: Message) -> None:
        """A server was ordered or deleted by one of the web workers."""
        self.wake()

    def _on_move(self, seen: ServerRecord, event: Event, after: ServerRecord) -> None:
        self.wake()
