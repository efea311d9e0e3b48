"""What the PBX of `serve` shares with its platform: it serves the users and the dial plan of the database,
and its calls leave records there.

The PBX reads the records itself: a broker that is away changes nothing. What the web workers tell it makes
it look at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from callwright.control.accounts.model import TELEPHONY_IDS
from callwright.control.cdrs.legs import Party
from callwright.control.dialplan.parts import with_items
from callwright.control.errors import DomainError
from callwright.control.runs.admission import rules
from callwright.dispatch import subject
from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.dispatch.telling import Teller
from callwright.host.call_journal import CallJournal
from callwright.pbx.accounts import Forwarding, PbxAccount
from callwright.pbx.messages import box_of
from callwright.pbx.plan import PbxPlan

if TYPE_CHECKING:
    from callwright.control.dialplan.model import Item
    from callwright.control.lines.model import Switched
    from callwright.control.services import Services
    from callwright.control.targets.model import TargetRow
    from callwright.dispatch.broker import Broker, Message
    from callwright.dispatch.messages.pbx import PlanTold
    from callwright.pbx.record import CallRecord
    from callwright.pbx.server import Pbx
    from callwright.policy.destination import Rules

__all__ = ["PbxLink", "announcing", "told_of", "with_users"]

_log = logging.getLogger(__name__)
_LOOK_EVERY = 3.0  # seconds
_BROKER_SECONDS = 30.0
_ANSWER_SECONDS = 2.0
_TEXT_SECONDS = 4.0  # that a phone has to answer a text
_ALIVE_EVERY = 5.0  # seconds
_LOOK_FOR_HOLDS = 0.5
_MOST_TOLD = 1_000  # news that wait for the broker
_WRITE_AGAIN = 1.0
_LOOK_FOR_RECORDINGS = 1.0
_MOST_RECORDINGS = 100  # of one look
_MOST_STEPS = 200  # sentences of one answer
_MOST_LIVE = 5_000  # calls, and phones, of one answer
_MOST_WAITING = 50_000  # calls that the database has not taken


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database held when it was last looked at."""

    lines: list[Switched] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    targets: list[TargetRow] = field(default_factory=list)

    @classmethod
    async def read(cls, services: Services) -> Self:
        return cls(
            await services.lines.switched(),
            await services.dialplan.items(),
            list(await services.targets.list()),
        )


class PbxLink:
    """`base`: the accounts and numbers that come from files. Opened before the PBX, closed after it."""

    def __init__(self, services: Services, broker: Broker, base: PbxPlan) -> None:
        self._services, self._broker, self._base = services, broker, base
        self._known = _Known()
        self._told: list[str] = []
        self.socket_trust = ""  # by which the PBX knows the platform's WebSockets
        self._pbx: Pbx | None = None
        self._recordings: Path | None = None
        self._looking = asyncio.Lock()
        self._tasks: list[asyncio.Task[Any]] = []
        self._answering: set[asyncio.Task[None]] = set()
        self._waiting: deque[CallNews] = deque(maxlen=_MOST_WAITING)
        self._arrived = asyncio.Event()
        self._up: set[str] = set()
        self._held: set[str] = set()
        self._teller = Teller(broker, subject.PBX_CALLS, _MOST_TOLD)
        self._journal: CallJournal | None = None

    @classmethod
    async def open(cls, path: Path, base: PbxPlan) -> Self:
        """``path``: the settings that the platform wrote. Raises DomainError, BrokerError."""
        from callwright.control.services import PBX_RECORDINGS, Services
        from callwright.dispatch.nats import NatsBroker
        from callwright.host.web_worker import read_settings
        from callwright.net.clock import SystemClock
        from callwright.net.entropy import system_entropy

        settings = read_settings(str(path))
        serve, nats = settings.serve, settings.nats
        broker = await NatsBroker.connect(
            nats.url,
            user=nats.user,
            password=nats.password,
            ca=nats.ca,
            name="callwright-pbx",
            wait=_BROKER_SECONDS,
        )
        try:
            services = await Services.open(
                serve.data,
                clock=SystemClock(),
                entropy=system_entropy,
                database=serve.database,
                evidence=serve.evidence_location,
                new_secret_key=False,
                connections=2,
                broker=broker,
                site=serve.public_url,
            )
        except BaseException:
            await broker.close()
            raise
        link = cls(services, broker, base)
        link.socket_trust = settings.sip_socket[1] if settings.sip_socket is not None else ""
        link._known = await _Known.read(services)
        link._recordings = serve.data / PBX_RECORDINGS
        link._journal = journal = CallJournal(serve.data / "pbx" / "calls")
        if left := journal.left():
            await services.cdrs.note(left, link._parties)
            journal.clear()
        cut = await services.cdrs.close_left(link._parties)
        if cut:
            _log.warning("calls that were up when the last PBX ended: %d; their records are closed", cut)
        return link

    @property
    def plan(self) -> PbxPlan:
        """The files' accounts and numbers, and the users and the dial plan of the database."""
        known = self._known
        exts = {TELEPHONY_IDS + line.user_id: line.ext for line in known.lines}
        plan, passed_over = with_items(
            with_users(self._base, known.lines), known.items, exts, self._services.dialplan.secret
        )
        for sentence in passed_over:
            if sentence not in self._told:
                _log.warning("not served: %s", sentence)
        self._told = passed_over
        return plan

    @property
    def rules(self) -> Rules:
        """Where trunks may be: what is near, and the destinations that an administrator permits."""
        return rules(self._known.targets, embedded=True)

    def rebase(self, base: PbxPlan) -> PbxPlan:
        """The files were read anew."""
        self._base = base
        return self.plan

    async def follow(self, pbx: Pbx) -> None:
        """From now on the PBX serves what the database holds. Raises BrokerError."""
        self._pbx = pbx
        await self._broker.subscribe(subject.PBX_LINES, self._changed)
        await self._broker.subscribe(subject.PBX_LIVE, self._live)
        await self._broker.subscribe(subject.PBX_PLACE, self._place)
        await self._broker.subscribe(subject.PBX_END, self._end)
        await self._broker.subscribe(subject.PBX_MOVE, self._move)
        await self._broker.subscribe(subject.PBX_PLAN, self._plan_asked)
        await self._broker.subscribe(subject.PBX_ANSWER, self._answer)
        await self._broker.subscribe(subject.PBX_RECORD, self._record)
        await self._broker.subscribe(subject.PBX_JOIN, self._join)
        await self._broker.subscribe(subject.PBX_TEXT, self._text)
        await self._broker.subscribe(subject.PBX_MAILBOX, self._mailbox)
        self._tasks.append(asyncio.ensure_future(self._keep_looking()))
        self._tasks.append(asyncio.ensure_future(self._keep_writing()))
        self._tasks.append(asyncio.ensure_future(self._watch_holds()))
        self._tasks.append(asyncio.ensure_future(self._keep_recordings()))

    def tell(self, news: CallNews) -> None:
        """As NewsOfCalls: a call that ended becomes records of the database."""
        if news.step is CallStep.ENDED:
            self._up.discard(news.call)
            self._held.discard(news.call)
        else:
            self._up.add(news.call)
        if len(self._waiting) == _MOST_WAITING:
            _log.error("the record of a call is lost: %d wait for the database", _MOST_WAITING)
        self._waiting.append(news)
        if self._journal is not None:
            self._journal.note(news)
        self._teller.tell(news)
        self._arrived.set()

    async def close(self) -> None:
        """Writes what waits, as far as the database takes it."""
        tasks = [*self._tasks, *self._answering]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._write()
        if self._journal is not None:
            self._journal.close()
        await self._broker.close()
        await self._services.close()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self._look()
            except DomainError as error:
                _log.warning("the users of the PBX were not read: %s", error)

    async def _watch_holds(self) -> None:
        """Hold is a matter of descriptions, of which the PBX tells nothing by itself."""
        while True:
            await asyncio.sleep(_LOOK_FOR_HOLDS)
            if self._up and self._pbx is not None:
                self.note_holds(self._pbx.live_calls)

    def note_holds(self, calls: Sequence[tuple[CallRecord, bool]]) -> None:
        """Tells of those that were put on hold or taken back since the last time."""
        from callwright.pbx.news import standing

        for record, held in calls:
            if held != (record.id in self._held) and record.answered_at is not None and not record.over:
                (self._held.add if held else self._held.discard)(record.id)
                now = self._services.clock.wall()
                self.tell(msgspec.structs.replace(standing(record), on_hold=held, hold_changed_at=now))

    async def _keep_writing(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ALIVE_EVERY):
                    await self._arrived.wait()
            self._arrived.clear()
            if self._waiting:
                if not await self._write():
                    await asyncio.sleep(_WRITE_AGAIN)
                    self._arrived.set()
            elif self._up:
                with contextlib.suppress(DomainError):
                    await self._services.cdrs.note_alive()

    async def _write(self) -> bool:
        """All that waits, in one transaction."""
        batch = list(self._waiting)
        try:
            if batch:
                await self._services.cdrs.note(batch, self._parties)
        except DomainError as error:
            _log.warning("records of %d calls wait for the database: %s", len(batch), error)
            return False
        for _ in batch:
            self._waiting.popleft()
        if self._journal is not None and not self._waiting:
            self._journal.clear()
        return True

    @property
    def _parties(self) -> dict[str, Party]:
        return {
            line.ext: Party(TELEPHONY_IDS + line.user_id, line.display_name) for line in self._known.lines
        }

    async def _look(self) -> None:
        async with self._looking:
            known = await _Known.read(self._services)
            if known != self._known and self._pbx is not None:
                self._known = known
                self._pbx.adopt(self.plan, self.rules)

    async def _changed(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import LinesTaken
        from callwright.dispatch.messages.wire import encode

        try:
            await self._look()
        except DomainError as error:
            _log.warning("the users of the PBX were not read: %s", error)
        else:
            await message.respond(encode(LinesTaken(len(self.plan.accounts))))

    async def _keep_recordings(self) -> None:
        """Whole files of the folder go to the evidence store; one that cannot go is tried again."""
        folder = self._recordings
        while folder is not None:
            await asyncio.sleep(_LOOK_FOR_RECORDINGS)
            await self._take_recordings(folder)

    async def _take_recordings(self, folder: Path) -> None:
        for file in await asyncio.to_thread(lambda: sorted(folder.glob("*.mp3"))[:_MOST_RECORDINGS]):
            try:
                if await self._services.recordings.take(file.stem, file):
                    await asyncio.to_thread(file.unlink)
            except (DomainError, OSError) as error:
                _log.warning("the recording %s waits: %s", file.name, error)

    # -- live calls

    async def _live(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import CallNow, Live, PhoneNow
        from callwright.dispatch.messages.wire import encode
        from callwright.pbx.news import standing

        if self._pbx is None:
            return
        clock = self._services.clock
        now, wall = clock.now(), clock.wall()
        phones = [
            PhoneNow(
                one.user,
                str(one.contact),
                one.hop.transport.value.lower(),
                str(one.hop.remote),
                wall + one.since - now,
                wall + seconds,
                one.behind_nat,
                one.user_agent or "",
            )
            for one, seconds in self._pbx.registered
        ]
        recorded = self._pbx.recorded
        calls = [
            CallNow(standing(record), held, record.id in recorded) for record, held in self._pbx.live_calls
        ]
        await message.respond(encode(Live(tuple(calls[:_MOST_LIVE]), tuple(phones[:_MOST_LIVE]))))

    async def _place(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import CallMade, CallWish
        from callwright.dispatch.messages.wire import decode, encode

        if self._pbx is not None:
            wish = decode(CallWish, message.data)
            record = self._pbx.click(wish.user, wish.number)
            await message.respond(encode(CallMade(None if record is None else record.id)))

    async def _join(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import JoinMade, JoinWish
        from callwright.dispatch.messages.wire import decode, encode
        from callwright.pbx.routing import Refuse

        if self._pbx is not None:
            wish = decode(JoinWish, message.data)
            made = self._pbx.join_numbers(wish.first, wish.number, wish.user)
            if isinstance(made, Refuse):
                answer = JoinMade(None, made.status, made.reason)
            else:
                answer = JoinMade(made.id)
            await message.respond(encode(answer))

    async def _text(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import TextSent, TextWish
        from callwright.dispatch.messages.wire import decode, encode

        if self._pbx is None:
            return
        wish = decode(TextWish, message.data)
        waiting: asyncio.Future[TextSent] = asyncio.get_running_loop().create_future()

        def done(status: int, reason: str) -> None:
            if not waiting.done():
                waiting.set_result(TextSent(status, reason))

        self._pbx.send_text(wish.user, wish.to, wish.text, done)

        async def answer() -> None:
            try:
                sent = await asyncio.wait_for(waiting, _TEXT_SECONDS)
            except TimeoutError:
                sent = TextSent(0)
            await message.respond(encode(sent))

        task = asyncio.ensure_future(answer())  # other messages do not wait for a phone
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _mailbox(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import CallDone, MailboxTouched
        from callwright.dispatch.messages.wire import decode, encode

        if self._pbx is not None:
            self._pbx.mailbox_changed(decode(MailboxTouched, message.data).user)
            await message.respond(encode(CallDone(True)))

    async def _move(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import CallMade, CallMove
        from callwright.dispatch.messages.wire import decode, encode

        if self._pbx is not None:
            wish = decode(CallMove, message.data)
            record = self._pbx.transfer(wish.call, wish.number, wish.user)
            await message.respond(encode(CallMade(None if record is None else record.id)))

    async def _plan_asked(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import PlanAsked
        from callwright.dispatch.messages.wire import decode, encode

        if self._pbx is not None:
            asked = decode(PlanAsked, message.data)
            await message.respond(encode(told_of(self._pbx.plan, asked.number, asked.user)))

    async def _answer(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import CallAnswering, CallDone
        from callwright.dispatch.messages.wire import decode, encode

        if self._pbx is not None:
            wish = decode(CallAnswering, message.data)
            told = self._pbx.tell_to_answer(wish.call, wish.user)
            await message.respond(encode(CallDone(told)))

    async def _record(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import CallDone, CallRecording
        from callwright.dispatch.messages.wire import decode, encode

        if self._pbx is not None:
            wish = decode(CallRecording, message.data)
            if wish.on:
                done = self._pbx.record(wish.call)
            else:
                self._pbx.stop_recording(wish.call)
                done = True
            await message.respond(encode(CallDone(done)))

    async def _end(self, message: Message) -> None:
        from callwright.dispatch.messages.pbx import CallDone, CallEnding
        from callwright.dispatch.messages.wire import decode, encode

        if self._pbx is not None:
            found = self._pbx.hang_up(decode(CallEnding, message.data).call)
            await message.respond(encode(CallDone(found)))


def told_of(plan: PbxPlan, number: str = "", user: str = "") -> PlanTold:
    """What others may know of a plan, and the way of a number through it."""
    from callwright.dispatch.messages.pbx import InboundTold, NumberTold, PlanTold, RouteTold, TrunkTold
    from callwright.pbx.explain import explain
    from callwright.pbx.plan import kind_of

    numbers = [NumberTold(one.number, kind_of(one), getattr(one, "name", "")) for one in plan.services]
    return PlanTold(
        tuple(numbers[:_MOST_LIVE]),
        tuple(TrunkTold(one.name, _place(one.uri), one.register, one.sources) for one in plan.trunks),
        tuple(
            RouteTold(**{name: getattr(way, name) for name in RouteTold.__struct_fields__})
            for way in plan.outbound
        ),
        tuple(InboundTold(one.number, one.to, one.trunk) for one in plan.inbound[:_MOST_LIVE]),
        tuple(explain(plan, number, user)[:_MOST_STEPS]) if number else (),
        tuple(plan.problems()[:_MOST_STEPS]),
    )


def _place(uri: str) -> str:
    """Of a SIP URI without the user, since a password may follow that."""
    return uri.partition("@")[2] or uri.partition(":")[2]


def with_users(base: PbxPlan, lines: list[Switched]) -> PbxPlan:
    """The plan with the users as accounts. Numbers of the files go before extensions of users."""
    taken = {number for one in base.accounts for number in (one.user, one.extension)}
    taken |= {service.number for service in base.services}
    passed_over = [line.ext for line in lines if line.ext in taken]
    if passed_over:
        _log.warning("extensions of users that files use too are not served: %s", ", ".join(passed_over))
    accounts = [_account(line) for line in lines if line.ext not in taken]
    return replace(base, accounts=(*base.accounts, *accounts))


def _account(line: Switched) -> PbxAccount:
    forwards = {name.removeprefix("forward_"): number for name, number in line.forwards.items()}
    return PbxAccount(
        line.ext,
        line.password,
        line.display_name,
        do_not_disturb=line.dnd,
        record=line.record,
        mailbox=line.voicemail,
        box=box_of(line.user_id),
        forwarding=Forwarding(**forwards, after=float(line.forward_after)),
    )


def announcing(broker: Broker) -> Callable[[], Awaitable[None]]:
    """Tells the PBX of changed users, and waits a moment until it has taken them; without an answer it finds
    them by itself."""

    async def announce() -> None:
        from callwright.dispatch.broker import BrokerError
        from callwright.dispatch.messages.pbx import LinesChanged
        from callwright.dispatch.messages.wire import encode

        try:
            await broker.request(subject.PBX_LINES, encode(LinesChanged()), _ANSWER_SECONDS)
        except BrokerError as error:
            _log.info("the PBX was not told of changed users: %s", error)

    return announce
