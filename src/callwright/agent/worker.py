"""Takes runs from the queue of its pool, has them carried out, and sees their results home.

The platform decides, by its database; the worker asks before it acts and repeats itself until it is answered:
a claim before a run, an intent before the first INVITE of it, its result until somebody has it. What it needs
to know after a crash lies in the spool before it matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import callwright.log_context as log_context
from callwright.agent.delivery import Delivery
from callwright.agent.held import HeldJob
from callwright.agent.identity import Identity
from callwright.agent.live import Live
from callwright.agent.monitoring import Monitoring
from callwright.agent.silence import Patience, Standing
from callwright.agent.spool import Entry, Spool
from callwright.agent.tasks import Tasks, canceled
from callwright.agent.together import Together
from callwright.agent.waiting import DEFAULT_LIMIT, Waiting
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError, Message, QueuedTicket
from callwright.dispatch.messages.agents import (
    Ask,
    Control,
    Heartbeat,
    HeartbeatAnswer,
    HeldRun,
    Kill,
    Orders,
    StopOrder,
    Word,
)
from callwright.dispatch.messages.protocol import PROTOCOL, Spoken, mismatch
from callwright.dispatch.messages.runs import Attempt, Claim, ClaimAnswer, Job, Ticket
from callwright.dispatch.messages.wire import BadMessage, NotNow, decode, encode
from callwright.net.clock import Clock, SystemClock
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Verdict
from callwright.probe.plan import CUT_OFF

_log = logging.getLogger(__name__)

_CLAIM_SECONDS = 5.0
_TAKE_SECONDS = 5.0
_CLAIM_TRIES = 3
_LONGEST_BEAT = 100.0  # a third of the longest lease
_BEAT_AGAIN = 1.0  # seconds after which a heartbeat that was not answered is repeated
_AGAIN = 0.2  # seconds before something is tried again that the broker refused
_ASK_EVERY = 2.0  # seconds between two questions over HTTP while the broker brings no answer
_REVOKED = "An administrator revoked this agent"
_PATIENCE = Patience()
_SILENT = {
    Standing.FREE: "it is heard again",
    Standing.HOLD: "no call is placed",
    Standing.END: "calls that are on are ended",
}
LAST_WORDS = 5.0  # seconds that results have to get home when the agent is ended


class Platform(Protocol):
    """The second way to the platform, beside the broker."""

    async def __call__(self, question: Ask) -> Orders:
        """Raises NotNow when the platform says that it cannot write now, BrokerError when nobody answers."""
        ...


class Execution(Protocol):
    """Carries out one job. Never raises for what the job asks: that is an outcome."""

    async def __call__(self, job: Job, folder: Path, live: Live) -> RunOutcome: ...


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the agent says of itself with each heartbeat."""

    version: str = ""
    codecs: tuple[str, ...] = ()


class Worker:
    """`await worker.run()` until `stop()`. `weigh` says how many calls at once a job may hold; `spool_limit`:
    octets of evidence that may wait for the platform, 0 without limit. `platform`: how it is asked beside the
    broker, None: it is not. `patience`: how long it goes on when nobody answers. `exit_after`: seconds
    without an answer after which it ends altogether, 0: never. `monitoring`: what measures beside the
    runs."""

    def __init__(
        self,
        identity: Identity,
        broker: Broker,
        spool: Spool,
        execute: Execution,
        *,
        weigh: Callable[[Job], int] = lambda _: 1,
        abilities: Abilities = Abilities(),
        clock: Clock | None = None,
        spool_limit: int = DEFAULT_LIMIT,
        platform: Platform | None = None,
        patience: Patience = _PATIENCE,
        exit_after: float = 0.0,
        monitoring: Monitoring | None = None,
    ) -> None:
        self.identity = identity
        self.lease_seconds = identity.lease_seconds
        self.draining = False
        self.revoked = ""  # why it may be an agent no more, a sentence
        self.mismatch = ""  # what is to be upgraded before it can be one, a sentence
        self.forsaken = ""  # that the platform is away for too long, a sentence
        self._broker, self._spool, self._execute = broker, spool, execute
        self._weigh, self._abilities = weigh, abilities
        self._clock: Clock = clock or SystemClock()
        self._held: dict[tuple[int, int], HeldJob] = {}
        self._claiming = asyncio.Lock()  # one at a time, so that places are counted before the next
        self._room = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks = Tasks()
        self._waiting = Waiting(spool_limit)
        self._platform, self._patience, self._exit_after = platform, patience, exit_after
        self._ask_token: str | None = None  # until the platform has answered a heartbeat
        self._heard_at = self._broker_heard_at = self._clock.now()
        self._killed = ""
        self._standing = Standing.FREE
        self._ask_now = asyncio.Event()
        self._delivery = Delivery(broker, identity.agent_id, self._waiting)
        self._monitoring = monitoring

    # -- how things stand

    @property
    def used(self) -> int:
        """Calls at once that the present runs may hold, and those of monitors that are on."""
        calls = self._monitoring.calls if self._monitoring is not None else 0
        return calls + sum(held.weight for held in self._held.values() if held.running)

    @property
    def held(self) -> int:
        """Attempts that the platform has not yet got the end of."""
        return len(self._held)

    # -- its life

    async def run(self) -> None:
        """Returns after `stop()`, when the runs are ended and their results are home, or time is over."""
        agent = self.identity.agent_id
        for entry in self._spool.entries():
            self._recover(entry)
        self._broker.on_reconnect.append(self._beat_now.set)
        self._broker.on_refused.append(self._turned_away)
        subscriptions = [
            await self._broker.subscribe(subject.control(agent), self._on_control),
            await self._broker.subscribe(subject.KILL, self._on_kill),
        ]
        self._heard()
        work = [self._beat(), self._fetch(), self._mind_the_silence()]
        if self._platform is not None:
            work.append(self._keep_asking(self._platform))
        if self._monitoring is not None:
            work.append(self._monitoring.run())
        loops = [asyncio.ensure_future(one) for one in work]
        try:
            await self._stopping.wait()
            await self._end()
        finally:
            await canceled((*loops, *self._tasks))
            for subscription in subscriptions:
                await subscription.close()
            self._broker.on_reconnect.remove(self._beat_now.set)
            self._broker.on_refused.remove(self._turned_away)

    def stop(self) -> None:
        """End: no new runs; the present ones are stopped, and told."""
        self._stopping.set()

    async def _end(self) -> None:
        for held in list(self._held.values()):
            held.live.stop("Stopped by the end of the agent.")
        if self._monitoring is not None:
            await self._monitoring.settle(LAST_WORDS)
        if self.revoked or self.mismatch or self.forsaken:
            await self._hang_up()
            return
        await self._tasks.wait(LAST_WORDS)

    async def _hang_up(self) -> None:
        """Nobody takes a result from this agent: it ends when its calls have."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LAST_WORDS
        while any(held.running for held in self._held.values()) and loop.time() < deadline:
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._room.wait()

    def _turned_away(self, sentence: str) -> None:
        """By a broker that asks the platform, which may just be away: then the platform has the word."""
        if self.identity.callout:
            self._ask_now.set()
        else:
            self._revoke(sentence)

    def _revoke(self, sentence: str) -> None:
        self.revoked = self.revoked or sentence
        self._stopping.set()

    # -- hearing

    async def _on_control(self, message: Message) -> None:
        control = decode(Control, message.data)
        if control.revoked:
            self._revoke(_REVOKED)
            return
        if control.draining is not None:
            self._drain(control.draining)
        self._obey(control.stop)
        if self._monitoring is not None:
            self._monitoring.named(control.plan)
            self._monitoring.ordered(control.probe)
        for offered in control.offer:
            self._tasks.spawn(self._accept(offered))

    async def _on_kill(self, message: Message) -> None:
        self._kill(decode(Kill, message.data).reason)

    def told(self, word: Word) -> None:
        """By the supervisor of this process, which is the platform's."""
        self._heard()
        self._kill(word.killed)

    def _kill(self, reason: str) -> None:
        """Empty: the switch is released. The platform is told at once that all has ended."""
        before, self._killed = self._killed, reason
        if reason:
            for held in list(self._held.values()):
                held.live.stop(f"Stopped {reason}.")
            if self._monitoring is not None:
                self._monitoring.end_all(f"stopped {reason}")
        self._hold_monitors()
        if bool(before) != bool(reason):
            self._speak()
            self._room.set()

    def _speak(self) -> None:
        self._beat_now.set()
        self._ask_now.set()

    def _obey(self, orders: tuple[StopOrder, ...]) -> None:
        for order in orders:
            held = self._held.get((order.run_id, order.attempt))
            if held is not None:
                held.live.stop(order.reason)

    def _hold_monitors(self) -> None:
        if self._monitoring is not None:
            why = f"stopped {self._killed}" if self._killed else "this agent drains" if self.draining else ""
            self._monitoring.hold(self._standing is not Standing.FREE, why)

    def _drain(self, draining: bool) -> None:
        self.draining = draining
        self._hold_monitors()
        self._room.set()

    # -- being heard

    async def _beat(self) -> None:
        """Three in each lease; at once after a reconnection, and when a run was taken or is over."""
        while True:
            self._beat_now.clear()
            longest = _LONGEST_BEAT
            asked = self._monitoring.now() if self._monitoring is not None else 0.0
            try:
                answer = await self._broker.request(
                    subject.of_agent(self.identity.agent_id, subject.HEARTBEAT),
                    encode(self._heartbeat()),
                    max(0.5, self.lease_seconds / 3),
                )
                self._broker_heard_at = self._clock.now()
                self._hear_answer(answer, asked)
            except (BrokerError, NotNow) as error:
                if isinstance(error, NotNow):
                    self._heard()  # "I cannot write now" is an answer
                # A platform that starts is not to wait for us; nor are leases that are counted again.
                longest = _BEAT_AGAIN
                _log.debug("the heartbeat was not answered: %s", error)
            except BadMessage as error:
                _log.warning("the heartbeat's answer cannot be read: %s", error)
            try:
                async with asyncio.timeout(min(longest, self.lease_seconds / 3)):  # as it is known now
                    await self._beat_now.wait()
            except TimeoutError:
                continue

    def _hear_answer(self, data: bytes, asked: float) -> None:
        """`asked`: when, by the clock of the monitors. A platform of another number answers nothing else that
        is understood. Raises BadMessage, NotNow."""
        self.mismatch = mismatch(PROTOCOL, decode(Spoken, data).protocol)
        if self.mismatch:
            self._stopping.set()
            return
        answer = decode(HeartbeatAnswer, data)
        first, self._ask_token = self._ask_token is None, answer.ask_token
        self._heed(answer)
        if self._monitoring is not None:
            self._monitoring.heard(answer.plan, answer.now, asked)
        if first:
            self._room.set()

    def _heed(self, answer: Orders) -> None:
        self._heard()
        self.lease_seconds = max(0.3, answer.lease_seconds)
        if answer.revoked:
            self._revoke(_REVOKED)
            return
        if answer.draining != self.draining:
            self._drain(answer.draining)
        self._obey(answer.stop)
        self._kill(answer.killed)

    async def _keep_asking(self, platform: Platform) -> None:
        """By the second way, while there are calls and the first brings nothing, and when the platform waits
        for a word: NATS or the keeper may be away, and the platform not."""
        while True:
            self._ask_now.clear()
            try:
                async with asyncio.timeout(min(_ASK_EVERY, self.lease_seconds / 3)):
                    await self._ask_now.wait()
            except TimeoutError:
                silent = self._clock.now() - self._broker_heard_at
                busy = any(held.running for held in self._held.values())
                if silent < (min(_ASK_EVERY, self.lease_seconds / 3) if busy else 0.7 * self.lease_seconds):
                    continue
            if self._ask_token is None:
                continue
            running = tuple(HeldRun(*key) for key, held in self._held.items() if held.running)
            try:
                self._heed(await platform(Ask(self.identity.agent_id, self._ask_token, running)))
            except NotNow:
                self._heard()
            except (BrokerError, BadMessage) as error:
                _log.debug("the platform was not reached over HTTP: %s", error)

    # -- the dead-man's switch

    def _heard(self) -> None:
        self._heard_at = self._clock.now()
        if self._standing is not Standing.FREE:
            self._stand(Standing.FREE)

    async def _mind_the_silence(self) -> None:
        while True:
            await asyncio.sleep(max(0.05, min(0.5, self.lease_seconds / 8)))
            silent = self._clock.now() - self._heard_at
            standing = self._patience.standing(silent, self.lease_seconds)
            if standing is not self._standing:
                _log.warning("the platform has not answered for %.0f s: %s", silent, _SILENT[standing])
                self._stand(standing)
            if standing is Standing.END:
                for held in list(self._held.values()):
                    if held.running and held.live.has_calls():
                        held.live.stop(f"Stopped after {silent:.0f} s without an answer from the platform.")
                if self._monitoring is not None:
                    self._monitoring.end_calls(CUT_OFF)
            if self._exit_after and silent >= self._exit_after:
                self.forsaken = f"The platform has not answered for {silent:.0f} s"
                self._stopping.set()

    def _stand(self, standing: Standing) -> None:
        self._standing = standing
        self._hold_monitors()
        for held in list(self._held.values()):
            held.live.hold(self._withheld())
        self._room.set()

    def _withheld(self) -> str | None:
        return None if self._standing is Standing.FREE else "while the platform does not answer"

    @property
    def _may_take(self) -> bool:
        """Nothing before it is known that the platform speaks as we do."""
        known = self._ask_token is not None
        return known and not (self.draining or self._killed) and self._standing is Standing.FREE

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            name=self.identity.name,
            version=self._abilities.version,
            capacity=self.identity.capacity,
            used=self.used,
            codecs=self._abilities.codecs,
            labels=self.identity.labels,
            runs=tuple(
                HeldRun(*key, phase="running" if held.running else "spooled")
                for key, held in self._held.items()
                if not held.released
            ),
            spool=self._waiting.state,
        )

    # -- taking runs

    async def _fetch(self) -> None:
        while True:
            while not self._may_take or self.used >= self.identity.capacity:
                self._room.clear()
                await self._room.wait()
            try:
                ticket = await self._broker.take(self.identity.pool, _TAKE_SECONDS)
            except BrokerError as error:
                _log.debug("%s", error)
                await asyncio.sleep(_AGAIN)
                continue
            if ticket is None:
                continue
            if not self._may_take or self._stopping.is_set():
                await ticket.put_back()
                continue
            async with self._claiming:
                await self._consider(ticket)

    async def _accept(self, offered: Ticket) -> None:
        """A run that this agent was chosen for. Without an answer it is left: it will be offered again."""
        async with self._claiming:
            full = self.used >= self.identity.capacity
            if not self._may_take or self._stopping.is_set() or full or self._has(offered):
                return
            answer = await self._claim(offered)
            if answer is not None:
                self._heed_claim(offered, answer)

    async def _consider(self, ticket: QueuedTicket) -> None:
        try:
            wanted = decode(Ticket, ticket.data)
        except BadMessage as error:
            _log.warning("a ticket cannot be read: %s", error)
            await ticket.settle()
            return
        if self._has(wanted):
            await ticket.settle()
            return
        answer = await self._claim(wanted)
        if answer is None:
            await ticket.put_back()
            await asyncio.sleep(_AGAIN)
            return
        self._heed_claim(wanted, answer)
        await ticket.settle()

    def _has(self, ticket: Ticket) -> bool:
        return (ticket.run_id, ticket.attempt) in self._held

    def _heed_claim(self, wanted: Ticket, answer: ClaimAnswer) -> None:
        if answer.job is not None:
            self.lease_seconds = max(0.3, answer.lease_seconds)
            self._take(answer.job)
        else:
            _log.debug("run %d is not ours: %s", wanted.run_id, answer.reason)

    async def _claim(self, ticket: Ticket) -> ClaimAnswer | None:
        """None: no answer, so nothing is known; whatever the platform noted ends with its lease."""
        claim = encode(Claim(ticket.run_id, ticket.session_id, ticket.attempt))
        for _ in range(_CLAIM_TRIES):
            try:
                data = await self._broker.request(
                    subject.of_agent(self.identity.agent_id, subject.CLAIM), claim, _CLAIM_SECONDS
                )
                return decode(ClaimAnswer, data)
            except (BrokerError, NotNow) as error:
                _log.debug("a claim was not answered: %s", error)
                await asyncio.sleep(_AGAIN)
            except BadMessage as error:
                _log.warning("a job cannot be read: %s", error)
                return None
        return None

    def _take(self, job: Job) -> None:
        attempt = Attempt(job.run_id, job.session_id, job.attempt)
        live = Live(self._broker, self.identity.agent_id, attempt, self._clock, lambda: self.lease_seconds)
        held = HeldJob(attempt, live, weight=max(1, self._weigh(job)))
        if job.servers > 1:
            live.together = Together(
                self._broker, self.identity.agent_id, attempt, job.servers, self._clock, live.stop
            )
        live.hold(self._withheld())
        self._held[held.key] = held
        self._tasks.spawn(self._do(job, held))

    # -- doing them

    async def _do(self, job: Job, held: HeldJob) -> None:
        log_context.run.set(job.run_id)
        try:
            entry = self._spool.open(held.attempt)
        except OSError as error:
            held.running = False
            self._room.set()
            await self._give_back(held, None, f"the agent cannot write to its spool: {error.strerror}")
            return
        held.live.journal = entry
        try:
            outcome = (await self._execute(job, entry.evidence, held.live)).to_json()
            if held.live.together is not None:
                outcome["together"] = held.live.together.to_json()
        except Exception as error:
            _log.exception("run %d ended by an error of the agent", job.run_id)
            outcome = failed_by_us(f"The agent itself failed: {type(error).__name__}: {error}")
        finally:
            held.running = False
            held.live.close()
            self._room.set()
            if self._killed:
                self._speak()
        if held.live.superseded:
            await self._give_back(held, entry, "the platform did not give leave to place the call")
        else:
            await self._conclude(entry, held, outcome)

    async def _conclude(self, entry: Entry, held: HeldJob, outcome: dict[str, Any]) -> None:
        try:
            entry.conclude(outcome)
        except OSError as error:
            # It goes home from memory; only a crash in between would lose it, and that is then told.
            _log.warning("the result of run %d is not on the disk: %s", held.attempt.run_id, error)
        await self._delivery.deliver(entry, outcome)
        self._forget(held, entry)

    async def _give_back(self, held: HeldJob, entry: Entry | None, reason: str) -> None:
        held.released = True
        await self._delivery.release(held.attempt, reason)
        self._forget(held, entry)

    def _forget(self, held: HeldJob, entry: Entry | None) -> None:
        if entry is not None:
            entry.forget()
        self._held.pop(held.key, None)

    # -- after a crash

    def _recover(self, entry: Entry) -> None:
        """What an earlier process left: a result goes home, an intent without one is told as it is, and what
        did nothing is given back."""
        live = Live(self._broker, self.identity.agent_id, entry.attempt, self._clock, lambda: 0.0)
        held = HeldJob(entry.attempt, live, weight=0, running=False)
        self._held[held.key] = held
        outcome = entry.outcome()
        if outcome is None and entry.intents == 0:
            self._tasks.spawn(self._give_back(held, entry, "the agent was ended before it placed a call"))
            return
        if outcome is None:
            outcome = failed_by_us(
                "The agent was ended during the run. A call may have been placed, so it is not tried again."
            )
        self._tasks.spawn(self._conclude(entry, held, outcome))


def failed_by_us(reason: str) -> dict[str, Any]:
    """The outcome of a run that says nothing about its target."""
    return RunOutcome(verdict=Verdict.ERROR, blame=Blame.PLATFORM, reason=reason).to_json()
