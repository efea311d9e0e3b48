"""Between database and agents: queued runs go out, what agents say goes in, what falls silent is found.

One keeper in the parent of `serve`. It holds nothing that matters: what it remembers can be lost at any time
and is read again from the database, and whatever an agent says holds only when the database agrees.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec

from callwright.control.agents.model import AgentInfo, AgentState
from callwright.control.agents.service import Agents
from callwright.control.errors import DomainError, NotFound, StorageUnavailable
from callwright.control.evidence.service import RunEvidence
from callwright.control.keeping.intake import Intake, why_stopped
from callwright.control.keeping.rounds import Rounds
from callwright.control.keeping.so_far import SoFar
from callwright.control.runs.line import Line
from callwright.control.runs.model import Run
from callwright.control.runs.service import Runs
from callwright.control.runs.transitions import Phase
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError, Message, Subscription
from callwright.dispatch.messages.agents import (
    AccountAnswer,
    AccountRequest,
    Control,
    Heartbeat,
    HeartbeatAnswer,
    Kill,
    StopOrder,
)
from callwright.dispatch.messages.live import Progress, SoFarAnswer, SoFarRequest
from callwright.dispatch.messages.platform import Health, RunsChanged
from callwright.dispatch.messages.runs import Claim, EvidenceChunk, IntentNotice, Release, Result, Ticket
from callwright.dispatch.messages.wire import BadMessage, NotNow, decode, encode
from callwright.net.clock import Clock, SystemClock

__all__ = ["BrokerAccounts", "Keeper"]

_log = logging.getLogger(__name__)
K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_ENQUEUE_AGAIN = 15.0  # seconds after which a run that still waits is put into its queue once more
_AT_ONCE = 32
_GRACE = 5.0  # seconds beyond a lease that agents have to be heard again after an outage of ours
_HOUSEKEEPING = 600.0  # seconds between two looks for evidence that is too old or too much
_NOT_OURS = (
    "This platform uses a NATS of somebody else's (--nats), where Callwright makes no accounts of agents. "
    "To have agents elsewhere, start it with --nats-listen in place of --nats; the token was not spent."
)
_MOST_SO_FAR = 4 * 1024 * 1024  # octets of one answer
_FEW = 50  # runs that changed: so many are looked up one by one, more by reading all that live


class BrokerAccounts(Protocol):
    """Who makes agents known to the broker; `host.nats_server.NatsServer` does."""

    async def account(self, agent_id: str, pool: str) -> AccountAnswer: ...
    async def revoke(self, agent_id: str) -> None: ...
    async def restart(self) -> None:
        """Start the broker again."""
        ...


class Keeper:
    """`async with Keeper(…)`: it works from then on, and until the end.

    `lease`: seconds that an agent has between two signs of life. `own`: (numeric host, port) of PBXs of the
    platform that runs may always call. `accounts` None: agents' accounts are somebody else's business.
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
        clock: Clock | None = None,
    ) -> None:
        self.lease = lease
        self._runs, self._agents, self._evidence = runs, agents, evidence
        self._broker, self._accounts = broker, accounts
        self._intake = Intake(runs, agents, evidence, lease=lease, own=own)
        self._clock: Clock = clock or SystemClock()
        self._queued: dict[tuple[int, int], tuple[str, float]] = {}  # -> pool, when it was put in
        self._stops: dict[tuple[int, int], tuple[str, StopOrder]] = {}  # -> agent, what it is told
        self._owners: dict[tuple[int, int], tuple[str, str]] = {}  # -> agent, session id
        self._so_far = SoFar()
        self._heard: dict[tuple[int, int], tuple[str, float]] = {}  # -> agent that holds it, when it said so
        self._beating: set[str] = set()  # agents whose heartbeat is being written
        self._looked_at: float | None = None
        self._pools: set[str] = set()
        self._line = Line()
        self._rooms: dict[str, int] = {}  # pool -> runs that are offered to its agents at once
        self._limits: dict[int, int] = {}  # project -> runs that agents may have of it
        self._owners_of_pools: dict[str, int] = {}
        self._changed: set[int] = set()
        self._look = asyncio.Event()
        self._sweep = True
        self._away = True  # nobody could be heard: leases are extended before any is judged
        self._lost = False  # the database was, and it was told
        self._cleaned_at = float("-inf")
        self._killed_at: float | None = None
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._evidence_turns = asyncio.Semaphore(_AT_ONCE)  # a store that hangs must not stop the heartbeats
        self._loop: asyncio.Task[None] | None = None
        self._rounds = Rounds(
            broker,
            self._served_pools,
            renewed=self._reconnected,
            restart=accounts.restart if accounts is not None else None,
            now=self._clock.now,
        )

    async def __aenter__(self) -> Keeper:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Raises Unavailable when the broker is not there."""
        intake = self._intake
        for kind, handler in (
            (subject.CLAIM, self._answering(Claim, intake.claim)),
            (subject.INTENT, self._answering(IntentNotice, intake.intent)),
            (subject.RELEASE, self._answering(Release, intake.release)),
            (subject.RESULT, self._answering(Result, intake.result)),
            (subject.EVIDENCE, self._answering(EvidenceChunk, intake.chunk)),
        ):
            turns = self._evidence_turns if kind == subject.EVIDENCE else self._turns
            await self._subscribe(subject.of_agents(kind), self._aside(handler, turns))
        await self._subscribe(subject.of_agents(subject.HEARTBEAT), self._hear)
        await self._subscribe(subject.of_agents(subject.PROGRESS), self._progress)
        await self._subscribe(subject.RUNS_CHANGED, self._on_changed)
        await self._subscribe(subject.AGENTS_CHANGED, self._aside(self._on_agents_changed))
        await self._subscribe(subject.ACCOUNT, self._aside(self._account))
        await self._subscribe(subject.HEALTH, self._health)
        await self._subscribe(subject.SO_FAR, self._tell_so_far)
        self._broker.on_reconnect.append(self._reconnected)
        self._runs.on_change.append(self._on_change)
        self._loop = asyncio.ensure_future(self._keep())
        going_round = asyncio.ensure_future(self._rounds.keep())
        self._tasks.add(going_round)

    async def _subscribe(self, to: str, handler: Callable[[Message], Awaitable[None]]) -> None:
        self._subscriptions.append(await self._broker.subscribe(to, handler))

    async def close(self) -> None:
        if self._on_change in self._runs.on_change:
            self._runs.on_change.remove(self._on_change)
        if self._reconnected in self._broker.on_reconnect:
            self._broker.on_reconnect.remove(self._reconnected)
        for subscription in self._subscriptions:
            await subscription.close()
        tasks = [*self._tasks, *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _aside(
        self, act: Callable[[Message], Awaitable[None]], turns: asyncio.Semaphore | None = None
    ) -> Callable[[Message], Awaitable[None]]:
        """Several messages of one kind at once, so that one that waits for the disk holds up no other."""

        free = turns or self._turns

        async def begin(message: Message) -> None:
            await free.acquire()
            task = asyncio.ensure_future(self._carry(act, message, free))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return begin

    async def _carry(
        self, act: Callable[[Message], Awaitable[None]], message: Message, turns: asyncio.Semaphore
    ) -> None:
        """What fails here is not taken: the agent says it again."""
        try:
            await act(message)
        except StorageUnavailable as error:
            self._lose_database(error)
            await message.respond(b"")
        except NotNow:
            await message.respond(b"")
        except BadMessage as error:
            _log.warning("%s: %s", message.subject, error)
        except BrokerError as error:
            _log.warning("%s: %s", message.subject, error)
        except Exception:
            _log.exception("an exception with a message on %s", message.subject)
        finally:
            turns.release()

    # -- health

    async def _health(self, message: Message) -> None:
        missing = [self._rounds.missing] if self._rounds.missing else []
        if self._lost:
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

    async def _on_agents_changed(self, _: Message) -> None:
        for agent in await self._agents.list():
            if agent.state == AgentState.REVOKED:
                await self._expel(agent.id)
                continue
            control = Control(draining=agent.state != AgentState.ACTIVE)
            await self._broker.publish(subject.control(agent.id), encode(control))

    async def _expel(self, agent_id: str) -> None:
        """It is told, cut off, and what it had is found at once rather than by its lease."""
        await self._broker.publish(subject.control(agent_id), encode(Control(revoked=True)))
        if self._accounts is not None:
            await self._accounts.revoke(agent_id)
        await self._runs.lose_agent(agent_id)

    def _reconnected(self) -> None:
        """What lay in the queues may be gone, and agents may be on their way back."""
        self._away = self._sweep = True
        self._pools.clear()
        self._queued.clear()
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
                self._lose_database(error)
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

    def _clean_up(self) -> None:
        now = self._clock.now()
        if now - self._cleaned_at >= _HOUSEKEEPING:
            self._cleaned_at = now
            task = asyncio.ensure_future(self._sweep_out())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _sweep_out(self) -> None:
        try:
            freed = await self._evidence.sweep()
            if freed:
                _log.info("%d octets of evidence were removed", freed)
            await self._runs.forget_old_keys()
        except (DomainError, OSError) as error:
            _log.error("evidence was not cleaned up: %s", error)

    def _lose_database(self, error: StorageUnavailable) -> None:
        """Told once, not with everything that waits for it."""
        if not self._lost:
            _log.error("nothing is taken from agents: %s", error.message)
        self._lost = self._away = True

    async def _attend(self) -> None:
        now = self._clock.now()
        if self._looked_at is not None and now - self._looked_at > max(2.0, self.lease / 3):
            self._away = True  # we were stopped, or waited for the database: what agents said lies unread
        self._looked_at = now
        if self._away:
            await self._runs.extend_leases(self.lease + _GRACE)
            if self._lost:
                _log.warning("the database is back")
            self._away = self._lost = False
        changed, self._changed = self._changed, set()
        if not self._sweep and len(changed) <= _FEW:
            for run_id in changed:
                await self._attend_to(run_id)
            await self._offer()
            return
        self._sweep = False
        await self._announce_kill()
        await self._runs.expire_leases(self._was_heard)
        live = await self._runs.live()
        keys = {(run.id, run.attempt) for run in live}
        _keep_only(self._queued, keys)
        _keep_only(self._stops, keys)
        _keep_only(self._owners, keys)
        self._so_far.keep_only({run.session_id for run in live})
        _keep_only(self._heard, keys)
        self._line.keep_only({run.id for run in live})
        for run in live:
            await self._move(run)
        await self._count_rooms()
        await self._offer()
        await self._tell_stops()

    async def _count_rooms(self) -> None:
        """An agent asks for one run at a time; one more lies ready for whoever is first."""
        wall = self._clock.wall()
        agents = Counter(
            agent.pool
            for agent in await self._agents.list()
            if agent.state == AgentState.ACTIVE and agent.alive(wall, self.lease)
        )
        self._rooms = {pool: 1 + number for pool, number in agents.items()}
        pools = await self._agents.pools()
        self._owners_of_pools = {pool.name: pool.project_id for pool in pools if pool.project_id is not None}
        self._limits = dict(await self._runs.running_limits())

    async def _offer(self) -> None:
        """The next runs of each pool lie in its queue, and no others: the rest would be taken out of turn."""
        chosen = self._line.chosen(self._rooms, self._limits, self._owners_of_pools)
        wanted = {(run.id, run.attempt) for run in chosen}
        for key in [key for key in self._queued if key not in wanted]:
            pool, _ = self._queued.pop(key)
            await self._broker.withdraw(pool, str(key[0]))
        for run in chosen:
            await self._enqueue(run)

    async def _attend_to(self, run_id: int) -> None:
        try:
            run = await self._runs.by_id(run_id)
        except NotFound:
            return
        await self._move(run)
        await self._say_phase(run)
        if (run.id, run.attempt) in self._stops:
            await self._tell_stops()

    async def _move(self, run: Run) -> None:
        key = (run.id, run.attempt)
        self._line.see(run)
        if run.finished:
            self._stops.pop(key, None)
            waiting = self._queued.pop(key, None)
            if waiting is not None and run.agent_id is None:
                await self._broker.withdraw(waiting[0], _ticket_name(run))
            return
        if run.phase == Phase.QUEUED:
            return
        self._queued.pop(key, None)
        if run.stop_requested_at is not None and run.agent_id is not None:
            order = StopOrder(run.id, run.attempt, why_stopped(run))
            self._stops[key] = (run.agent_id, order)

    async def _enqueue(self, run: Run) -> None:
        key = (run.id, run.attempt)
        now = self._clock.now()
        _, since = self._queued.get(key, ("", None))
        if since is not None and now - since < _ENQUEUE_AGAIN:
            return
        if run.pool not in self._pools:
            await self._broker.open_queue(run.pool)
            self._pools.add(run.pool)
        ticket = Ticket(run.id, run.session_id, run.attempt)
        await self._broker.enqueue(run.pool, _ticket_name(run), encode(ticket))
        self._queued[key] = (run.pool, now)

    async def _tell_stops(self) -> None:
        """Again with each look and each heartbeat until the agent has obeyed."""
        by_agent: dict[str, list[StopOrder]] = {}
        for agent_id, order in self._stops.values():
            by_agent.setdefault(agent_id, []).append(order)
        for agent_id, orders in by_agent.items():
            control = Control(stop=tuple(orders))
            await self._broker.publish(subject.control(agent_id), encode(control))

    async def _announce_kill(self) -> None:
        switch = await self._runs.kill_switch()
        if switch is not None and switch.engaged_at != self._killed_at:
            await self._broker.publish(subject.KILL, encode(Kill(switch.to_agents)))
        self._killed_at = switch.engaged_at if switch is not None else None

    # -- what agents say

    async def _hear(self, message: Message) -> None:
        """Noted before anything waits: an agent is not silent because the database is slow. One heartbeat of
        an agent at a time; a later one is said again."""
        agent_id, now = subject.sender(message.subject), self._clock.now()
        try:
            beat = decode(Heartbeat, message.data)
        except BadMessage as error:
            _log.warning("%s: %s", message.subject, error)
            return
        for run in beat.runs:
            self._heard[run.run_id, run.attempt] = (agent_id, now)
        if agent_id in self._beating:
            await message.respond(b"")  # we cannot write now, which is an answer
            return
        self._beating.add(agent_id)
        task = asyncio.ensure_future(self._beat(agent_id, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beat(self, agent_id: str, message: Message) -> None:
        try:
            await self._turns.acquire()
            await self._carry(self._answering(Heartbeat, self._heartbeat), message, self._turns)
        finally:
            self._beating.discard(agent_id)

    def _was_heard(self, run: Run) -> bool:
        agent_id, at = self._heard.get((run.id, run.attempt), ("", float("-inf")))
        return agent_id == run.agent_id and self._clock.now() - at < self.lease

    async def _heartbeat(self, agent_id: str, beat: Heartbeat) -> HeartbeatAnswer:
        info = AgentInfo(beat.version, beat.capacity, beat.used, beat.codecs, beat.labels, spool=beat.spool)
        agent = await self._agents.heartbeat(agent_id, info)
        if agent is None or agent.state == AgentState.REVOKED:
            # Its leases are not renewed. It should not be here: its account goes, if it was not heard before.
            await self._expel(agent_id)
            return HeartbeatAnswer(self.lease, revoked=True)
        held = [(run.run_id, run.attempt) for run in beat.runs]
        kept = await self._runs.renew(held, agent_id, self.lease) if held else set()
        orders = [order for owner, order in self._stops.values() if owner == agent_id]
        orders += [
            StopOrder(run.run_id, run.attempt, "Stopped by the platform: the run is no longer this agent's.")
            for run in beat.runs
            if run.run_id not in kept and run.phase == "running"
        ]
        switch = await self._runs.kill_switch()
        return HeartbeatAnswer(
            self.lease,
            tuple(orders),
            agent.state != AgentState.ACTIVE,
            killed=switch.to_agents if switch is not None else "",
            ask_token=self._runs.ask_token(agent_id),
        )

    def _answering(
        self, kind: type[T], answer: Callable[[str, T], Awaitable[msgspec.Struct]]
    ) -> Callable[[Message], Awaitable[None]]:
        async def respond(message: Message) -> None:
            asked = decode(kind, message.data)
            await message.respond(encode(await answer(subject.sender(message.subject), asked)))
            for run in self._intake.take_moved():
                if run.agent_id is not None:
                    self._owners[run.id, run.attempt] = (run.agent_id, run.session_id)
                self._queued.pop((run.id, run.attempt), None)
                self._line.see(run)
                self._look.set()  # for the next in line
                await self._say_phase(run)

        return respond

    async def _progress(self, message: Message) -> None:
        agent_id = subject.sender(message.subject)
        try:
            event = decode(Progress, message.data)
        except BadMessage as error:
            _log.debug("%s: %s", message.subject, error)
            return
        if await self._owner(event) == (agent_id, event.session_id):
            self._so_far.keep(event.session_id, event.kind, message.data)
            await self._broker.publish(subject.live(event.session_id), message.data)

    async def _tell_so_far(self, message: Message) -> None:
        wanted = decode(SoFarRequest, message.data)
        chosen: list[bytes] = []
        room = _MOST_SO_FAR
        for data in reversed(self._so_far.told(wanted.session_id)):
            room -= len(data)
            if room < 0:
                break
            chosen.append(data)
        events = tuple(decode(Progress, data) for data in reversed(chosen))
        await message.respond(encode(SoFarAnswer(events)))

    async def _owner(self, event: Progress) -> tuple[str, str] | None:
        """(agent, session id) of a run that is being carried out."""
        key = (event.run_id, event.attempt)
        if key not in self._owners:
            try:
                run = await self._runs.by_id(event.run_id)
            except DomainError:
                return None
            if run.attempt != event.attempt or run.agent_id is None or run.finished:
                return None
            self._owners[key] = (run.agent_id, run.session_id)
        return self._owners[key]

    async def _say_phase(self, run: Run) -> None:
        """For the pages that watch: the phase, on the same way as what the agent tells."""
        at = max(0.0, self._clock.wall() - (run.started_at or run.created_at))
        data: dict[str, Any] = {
            "phase": run.phase,
            "status": run.status,
            "verdict": run.verdict,
            "reason": run.result_description,
        }
        event = Progress(run.session_id, run.id, run.attempt, round(at, 3), "phase", data)
        await self._broker.publish(subject.live(run.session_id), encode(event))

    # -- accounts

    async def _account(self, message: Message) -> None:
        request = decode(AccountRequest, message.data)
        answer = AccountAnswer(reason=_NOT_OURS)
        try:
            if request.revoke:
                await self._expel(request.agent_id)
                answer = AccountAnswer()
            elif self._accounts is not None:
                answer = await self._accounts.account(request.agent_id, request.pool)
                await self._broker.open_queue(request.pool)
        except (BrokerError, OSError) as error:
            answer = AccountAnswer(reason=str(error))
        await message.respond(encode(answer))


def _ticket_name(run: Run) -> str:
    return str(run.id)


def _keep_only(remembered: dict[K, V], keys: set[K]) -> None:
    for key in [key for key in remembered if key not in keys]:
        del remembered[key]
