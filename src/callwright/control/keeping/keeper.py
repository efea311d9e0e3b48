"""Between database and agents: queued runs go out, what agents say goes in, what falls silent is found.

One keeper in the parent of `serve`. It holds nothing that matters: what it remembers can be lost at any time
and is read again from the database, and whatever an agent says holds only when the database agrees.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from callwright.control.agents.model import AgentState
from callwright.control.agents.service import Agents
from callwright.control.alerts.evaluation import Evaluation
from callwright.control.cdrs.service import Cdrs
from callwright.control.certificates.service import Certificates
from callwright.control.errors import DomainError, NotFound, StorageUnavailable
from callwright.control.evidence.service import RunEvidence
from callwright.control.keeping.agents import AgentKeeper, BrokerAccounts
from callwright.control.keeping.alerts import watch_alerts
from callwright.control.keeping.carrying import Act, Carrying
from callwright.control.keeping.cdrs import forget_cdrs
from callwright.control.keeping.intake import Intake
from callwright.control.keeping.leases import Leases
from callwright.control.keeping.monitors import MonitorKeeper
from callwright.control.keeping.placing import Placing
from callwright.control.keeping.queues import Queues
from callwright.control.keeping.rounds import Rounds
from callwright.control.keeping.servers import ServerKeeper
from callwright.control.keeping.starts import Starts
from callwright.control.keeping.stops import Stops
from callwright.control.keeping.watching import Watching
from callwright.control.monitors.measurements import Measurements
from callwright.control.notifications.delivery import Delivery
from callwright.control.runs.model import Run
from callwright.control.runs.service import Runs
from callwright.control.servers.service import Servers
from callwright.control.servers.sites import Sites
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError, Message
from callwright.dispatch.messages.platform import Health, RunsChanged
from callwright.dispatch.messages.runs import Claim, EvidenceChunk, IntentNotice, Ready, Release, Result
from callwright.dispatch.messages.wire import decode, encode
from callwright.net.clock import Clock, SystemClock

__all__ = ["Keeper"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

_HOUSEKEEPING = 600.0  # seconds between two looks for what is too old or too much
_FEW = 50  # runs that changed: so many are looked up one by one, more by reading all that live


class Keeper:
    """`async with Keeper(…)`: it works from then on, and until the end.

    `lease`: seconds that an agent has between two signs of life. `own`: (numeric host, port) of PBXs of the
    platform that runs may always call. `accounts` None: agents' accounts are somebody else's business.
    `restart` starts the broker again, None: it is not ours.
    `certificates`: those of servers, renewed before they end.
    """

    def __init__(
        self,
        runs: Runs,
        agents: Agents,
        evidence: RunEvidence,
        broker: Broker,
        *,
        lease: float = 15.0,
        own: tuple[tuple[str, int], ...] = (),
        accounts: BrokerAccounts | None = None,
        restart: Callable[[], Awaitable[None]] | None = None,
        certificates: Certificates | None = None,
        servers: Servers | None = None,
        measurements: Measurements | None = None,
        evaluation: Evaluation | None = None,
        delivery: Delivery | None = None,
        cdrs: Cdrs | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.lease = lease
        self._certificates, self._servers, self._accounts = certificates, servers, accounts
        self._runs, self._agents, self._evidence, self._broker = runs, agents, evidence, broker
        self._clock: Clock = clock or SystemClock()
        sites = None
        if servers is not None:
            sites = Sites(agents, servers, clock=self._clock, patience=max(15.0, lease))
        self._intake = Intake(runs, agents, evidence, lease=lease, own=own, sites=sites)
        self._leases = Leases(runs, lease=lease, clock=self._clock)
        self._carrying = Carrying(broker, self._leases.lose_database)
        placing = Placing(sites, broker, self._clock) if sites is not None else None
        self._queues = Queues(runs, agents, broker, lease=lease, clock=self._clock, placing=placing)
        self._starts = Starts(runs, self._clock)
        self._stops = Stops(runs, broker)
        self._watching = Watching(runs, broker, self._clock)
        self._monitors = (
            None if measurements is None else MonitorKeeper(measurements, self._carrying, own=own)
        )
        self._of_agents = AgentKeeper(
            agents,
            runs,
            broker,
            self._carrying,
            self._leases,
            self._stops,
            lease=lease,
            accounts=accounts,
            monitors=self._monitors,
            clock=self._clock,
        )
        self._rounds = Rounds(
            broker,
            self._served_pools,
            renewed=self._reconnected,
            restart=restart,
            now=self._clock.now,
        )
        self._evaluation, self._delivery, self._cdrs = evaluation, delivery, cdrs
        self._changed: set[int] = set()
        self._look = asyncio.Event()
        self._sweep = True
        self._cleaned_at = float("-inf")

    async def __aenter__(self) -> Keeper:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Raises Unavailable when the broker is not there."""
        intake, carrying = self._intake, self._carrying
        for kind, act in (
            (subject.CLAIM, self._answering(Claim, intake.claim)),
            (subject.READY, self._answering(Ready, self._starts.ready)),
            (subject.INTENT, self._answering(IntentNotice, intake.intent)),
            (subject.RELEASE, self._answering(Release, intake.release)),
            (subject.RESULT, self._answering(Result, intake.result)),
        ):
            await carrying.subscribe_aside(subject.of_agents(kind), act)
        # A store that hangs must not stop the heartbeats.
        chunks = self._answering(EvidenceChunk, intake.chunk)
        await carrying.subscribe_aside(subject.of_agents(subject.EVIDENCE), chunks, own_turns=True)
        await carrying.subscribe(subject.of_agents(subject.PROGRESS), self._watching.progress)
        await carrying.subscribe(subject.SO_FAR, self._watching.tell_so_far)
        await carrying.subscribe(subject.RUNS_CHANGED, self._on_changed)
        await carrying.subscribe(subject.HEALTH, self._health)
        await self._of_agents.subscribe()
        if self._monitors is not None:
            await self._monitors.subscribe()
            carrying.spawn(self._monitors.keep())
        if self._evaluation is not None:
            carrying.spawn(watch_alerts(self._evaluation, self._broker, self._servers))
        if self._delivery is not None:
            carrying.spawn(self._delivery.keep())
        if self._cdrs is not None and self._cdrs.retention is not None:
            carrying.spawn(forget_cdrs(self._cdrs))
        self._broker.on_reconnect.append(self._reconnected)
        self._runs.on_change.append(self._on_change)
        carrying.spawn(self._keep())
        carrying.spawn(self._rounds.keep())
        if self._servers is not None:
            restore = self._accounts.restore if self._accounts is not None else _nothing
            keeper = ServerKeeper(
                self._servers,
                self._agents,
                self._clock,
                expel=self._of_agents.expel,
                restore=restore,
                certificates=self._certificates,
            )
            carrying.spawn(keeper.keep())

    async def close(self) -> None:
        if self._on_change in self._runs.on_change:
            self._runs.on_change.remove(self._on_change)
        if self._reconnected in self._broker.on_reconnect:
            self._broker.on_reconnect.remove(self._reconnected)
        await self._carrying.close()

    async def expel(self, agent_id: str) -> None:
        """An agent that was revoked is told, and cut off at the broker."""
        await self._of_agents.expel(agent_id)

    @property
    def on_new_agent(self) -> list[Callable[[], None]]:
        """Hear of each agent that is heard for the first time since the platform began."""
        return self._of_agents.on_new

    # -- health

    async def _health(self, message: Message) -> None:
        missing = [self._rounds.missing] if self._rounds.missing else []
        if self._leases.database_lost:
            missing.append("the keeper finds no database")
        await message.respond(encode(Health(tuple(missing))))

    async def _served_pools(self) -> set[str]:
        """Those that some agent takes from."""
        try:
            return {agent.pool for agent in await self._agents.list() if agent.state != AgentState.REVOKED}
        except DomainError:
            return set()

    # -- looking at the database

    def _on_change(self, run: Run) -> None:
        self._changed.add(run.id)
        self._look.set()

    async def _on_changed(self, message: Message) -> None:
        run_id = decode(RunsChanged, message.data).run_id
        if run_id is None:
            self._sweep = True
        else:
            self._changed.add(run_id)
        self._look.set()

    def _reconnected(self) -> None:
        """What lay in the queues may be gone, and agents may be on their way back."""
        self._leases.be_deaf()
        self._sweep = True
        self._queues.forget()
        self._look.set()

    async def _keep(self) -> None:
        """At once when something changed, else four times in a lease, at least once a second."""
        every = max(0.1, min(1.0, self.lease / 4))
        while True:
            try:
                if self._broker.connected:
                    await self._attend()
            except StorageUnavailable as error:
                self._sweep = True
                self._leases.lose_database(error)
            except BrokerError as error:
                _log.warning("%s", error)
            except Exception:
                _log.exception("an exception in the keeper")
            self._clean_up()
            try:
                async with asyncio.timeout(every):
                    await self._look.wait()
                self._look.clear()
            except TimeoutError:
                self._sweep = True

    async def _attend(self) -> None:
        await self._leases.look()
        changed, self._changed = self._changed, set()
        if not self._sweep and len(changed) <= _FEW:
            for run_id in changed:
                await self._attend_to(run_id)
            await self._queues.offer()
            return
        self._sweep = False
        await self._stops.announce_kill()
        await self._leases.expire()
        live = await self._runs.live()
        attempts = {(run.id, run.attempt) for run in live}
        self._queues.keep_only(attempts)
        self._starts.keep_only(live)
        self._stops.keep_only(attempts)
        self._leases.keep_only(attempts)
        self._watching.keep_only(live)
        for run in live:
            await self._queues.see(run)
            self._stops.see(run)
        await self._queues.count_rooms()
        await self._queues.offer()
        await self._stops.tell()

    async def _attend_to(self, run_id: int) -> None:
        try:
            run = await self._runs.by_id(run_id)
        except NotFound:
            return
        await self._queues.see(run)
        to_be_told = self._stops.see(run)
        await self._watching.say_phase(run)
        if to_be_told:
            await self._stops.tell()

    # -- what agents say

    def _answering(self, kind: type[T], answer: Callable[[str, T], Awaitable[msgspec.Struct]]) -> Act:
        async def respond(message: Message) -> None:
            asked = decode(kind, message.data)
            await message.respond(encode(await answer(subject.sender(message.subject), asked)))
            for run in self._intake.take_moved():
                self._watching.see(run)
                await self._queues.see(run)
                self._look.set()  # for the next in line
                await self._watching.say_phase(run)

        return respond

    # -- housekeeping

    def _clean_up(self) -> None:
        now = self._clock.now()
        if now - self._cleaned_at >= _HOUSEKEEPING:
            self._cleaned_at = now
            self._carrying.spawn(self._sweep_out())

    async def _sweep_out(self) -> None:
        try:
            aged = await self._evidence.age()
            if aged:
                _log.info("%d runs were removed: their projects keep them no longer", aged)
            freed = await self._evidence.sweep()
            if freed:
                _log.info("%d octets of evidence were removed", freed)
            await self._runs.forget_old_keys()
        except (DomainError, OSError) as error:
            _log.error("evidence was not cleaned up: %s", error)
        if self._certificates is not None:
            try:
                # Those that stopped keep theirs: they are listed still.
                servers = self._servers
                there = None if servers is None else [one.name for one in await servers.listed()]
                await self._certificates.renew_due(there)
            except DomainError as error:
                _log.error("the certificates of servers were not renewed: %s", error)


async def _nothing(_: str) -> None:
    """Accounts at a broker of somebody else's are not ours."""
