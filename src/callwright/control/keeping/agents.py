"""Agents: their heartbeats, their accounts at the broker, and the end of one that was revoked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from callwright.control.agents.model import AgentInfo, AgentState
from callwright.control.agents.service import Agents
from callwright.control.keeping.carrying import Carrying
from callwright.control.keeping.leases import Leases
from callwright.control.keeping.monitors import MonitorKeeper
from callwright.control.keeping.stops import Stops
from callwright.control.runs.service import Runs
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError, Message
from callwright.dispatch.messages.agents import (
    AccountAnswer,
    AccountRequest,
    Control,
    Heartbeat,
    HeartbeatAnswer,
    StopOrder,
)
from callwright.dispatch.messages.protocol import PROTOCOL, Spoken, mismatch
from callwright.dispatch.messages.wire import BadMessage, decode, encode
from callwright.net.clock import Clock

__all__ = ["AgentKeeper", "BrokerAccounts"]

_log = logging.getLogger(__name__)

_NOT_OURS = "This platform makes no accounts of agents; the token was not spent."


class BrokerAccounts(Protocol):
    """Who makes agents known to the broker: `host.nats_server` at our own, `host.callout` at another's."""

    async def account(self, agent_id: str, pool: str) -> AccountAnswer: ...
    async def revoke(self, agent_id: str) -> None: ...
    async def restore(self, agent_id: str) -> None:
        """A revoked one may come back with the credentials that it had."""
        ...


class AgentKeeper:
    """`accounts` None: agents' accounts are somebody else's business."""

    def __init__(
        self,
        agents: Agents,
        runs: Runs,
        broker: Broker,
        carrying: Carrying,
        leases: Leases,
        stops: Stops,
        *,
        lease: float,
        accounts: BrokerAccounts | None,
        monitors: MonitorKeeper | None = None,
        clock: Clock,
    ) -> None:
        self._monitors, self._clock = monitors, clock
        self._agents, self._runs, self._broker, self._accounts = agents, runs, broker, accounts
        self._carrying, self._leases, self._stops, self._lease = carrying, leases, stops, lease
        self._beating: set[str] = set()  # agents whose heartbeat is being written
        self._met: set[str] = set()
        self.on_new: list[Callable[[], None]] = []

    async def subscribe(self) -> None:
        """Raises Unavailable."""
        await self._carrying.subscribe(subject.of_agents(subject.HEARTBEAT), self._hear)
        await self._carrying.subscribe_aside(subject.AGENTS_CHANGED, self._on_changed)
        await self._carrying.subscribe_aside(subject.ACCOUNT, self._account)

    async def _hear(self, message: Message) -> None:
        """Noted before anything waits: an agent is not silent because the database is slow. One heartbeat of
        an agent at a time; the agent repeats a later one."""
        agent_id = subject.sender(message.subject)
        try:
            spoken = decode(Spoken, message.data).protocol
            if spoken != PROTOCOL:
                self._carrying.spawn(self._decline(agent_id, spoken, message))
                return
            beat = decode(Heartbeat, message.data)
        except BadMessage as error:
            _log.warning("%s: %s", message.subject, error)
            return
        self._leases.hear(agent_id, beat.runs)
        if agent_id in self._beating:
            await message.respond(b"")  # we cannot write now, which is an answer
            return
        self._beating.add(agent_id)
        self._carrying.spawn(self._answer(agent_id, beat, message))

    async def _decline(self, agent_id: str, spoken: int, message: Message) -> None:
        """It hears our number alone, by which it knows what is to be upgraded; so do those who look at it.
        Its leases are not renewed."""

        async def respond(message: Message) -> None:
            await message.respond(encode(Spoken(PROTOCOL)))
            if agent_id in self._beating:
                return
            self._beating.add(agent_id)
            try:
                known = await self._agents.note_protocol(agent_id, spoken)
            finally:
                self._beating.discard(agent_id)
            if known is not None:
                _log.warning("agent %s: %s", known.name, mismatch(spoken, PROTOCOL))

        await self._carrying.carry(respond, message)

    async def _answer(self, agent_id: str, beat: Heartbeat, message: Message) -> None:
        async def respond(message: Message) -> None:
            await message.respond(encode(await self._beat(agent_id, beat)))

        try:
            await self._carrying.carry(respond, message)
        finally:
            self._beating.discard(agent_id)

    async def _beat(self, agent_id: str, beat: Heartbeat) -> HeartbeatAnswer:
        info = AgentInfo(
            beat.version,
            beat.capacity,
            beat.used,
            beat.codecs,
            beat.labels,
            spool=beat.spool,
            protocol=beat.protocol,
        )
        agent = await self._agents.heartbeat(agent_id, info)
        if agent is None or agent.state == AgentState.REVOKED:
            # Its leases are not renewed. It should not be here: its account goes, if it was not heard before.
            await self.expel(agent_id)
            return HeartbeatAnswer(self._lease, revoked=True, ask_token="")
        if agent_id not in self._met:
            self._met.add(agent_id)
            for hear in self.on_new:
                hear()
        held = [(run.run_id, run.attempt) for run in beat.runs]
        kept = await self._runs.held.renew(held, agent_id, self._lease) if held else set()
        orders = self._stops.of(agent_id)
        orders += [
            StopOrder(run.run_id, run.attempt, "Stopped by the platform: the run is no longer this agent's.")
            for run in beat.runs
            if run.run_id not in kept and run.phase == "running"
        ]
        switch = await self._runs.kill_switch()
        return HeartbeatAnswer(
            self._lease,
            tuple(orders),
            agent.state != AgentState.ACTIVE,
            killed=switch.to_agents if switch is not None else "",
            ask_token=self._runs.held.ask_token(agent_id),
            plan=None if self._monitors is None else await self._monitors.revision(agent_id),
            now=self._clock.wall(),
        )

    async def _on_changed(self, _: Message) -> None:
        for agent in await self._agents.list():
            if agent.state == AgentState.REVOKED:
                await self.expel(agent.id)
                continue
            control = Control(draining=agent.state != AgentState.ACTIVE)
            await self._broker.publish(subject.control(agent.id), encode(control))

    async def expel(self, agent_id: str) -> None:
        """It is told, cut off, and what it had is found at once rather than by its lease."""
        await self._broker.publish(subject.control(agent_id), encode(Control(revoked=True)))
        if self._accounts is not None:
            await self._accounts.revoke(agent_id)
        await self._runs.held.lose_agent(agent_id)

    async def _account(self, message: Message) -> None:
        request = decode(AccountRequest, message.data)
        answer = AccountAnswer(reason=_NOT_OURS)
        try:
            if request.revoke:
                await self.expel(request.agent_id)
                answer = AccountAnswer()
            elif self._accounts is not None:
                answer = await self._accounts.account(request.agent_id, request.pool)
                await self._broker.open_queue(request.pool)
        except (BrokerError, OSError) as error:
            answer = AccountAnswer(reason=str(error))
        await message.respond(encode(answer))
