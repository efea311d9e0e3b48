"""The reference PBX as a machine without sockets: registrar, and a B2BUA between its accounts.

A driver holds it like an endpoint: `receive`, `transport_failed`, `wake`, `next_wake`, `transmissions`, and
`events` that tell what became of registrations and calls. Requests outside of a dialog are authenticated, but
for those of `open_methods`; within one, the tag that only the peer and we know is proof enough. Before it
knows who asks, it answers the same whether there is such an account or not; wrong passwords are slowed and
counted by the `guard`.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from callwright.net.entropy import Entropy, uuid7
from callwright.pbx.accounts import PbxAccount, PbxAccounts
from callwright.pbx.booth import Booth
from callwright.pbx.bridge import Bridge
from callwright.pbx.clicking import Clicked
from callwright.pbx.errand import Errand
from callwright.pbx.guard import Ban, GuessGuard, place_of
from callwright.pbx.messages import Mailboxes
from callwright.pbx.origins import Origins
from callwright.pbx.outside import TrunkLines
from callwright.pbx.passage import (
    caller_address,
    content_type_of,
    escaped,
    hops_left,
    identity_headers,
    onward,
)
from callwright.pbx.path import DirectPaths, MediaPaths
from callwright.pbx.placing import Placing
from callwright.pbx.plan import PbxPlan, RingGroup, Trunk
from callwright.pbx.presence import PRESENCE, Presence, Publications
from callwright.pbx.record import (
    AccessDenied,
    BindingChanged,
    CallConnected,
    CallEvent,
    CallFinished,
    CallPlaced,
    CallRecord,
    MailboxChanged,
    PbxEvent,
    SourceBanned,
    SourceReleased,
)
from callwright.pbx.recording import NoRecordings, Recordist
from callwright.pbx.reginfo import REGISTRATION
from callwright.pbx.registrar import Binding, Change, ChangeKind, Registrar
from callwright.pbx.routing import (
    Refuse,
    Strategy,
)
from callwright.pbx.sight import lines_of, presence_of, service_of
from callwright.pbx.stage import NoStages, Stages
from callwright.pbx.tape import Tape
from callwright.pbx.transfer import Referrer, TakingOver, Transfers
from callwright.pbx.watching import (
    DIALOG,
    MESSAGES,
    SUMMARY_TYPE,
    LineState,
    Watchers,
    summary,
)
from callwright.phone.permission import Permission
from callwright.sip import events as sip
from callwright.sip.call import Call
from callwright.sip.client_request import ClientRequest
from callwright.sip.config import EndpointConfig, HopFor, Limits
from callwright.sip.digest_server import DigestServer, Verdict
from callwright.sip.endpoint import Endpoint, Transmission
from callwright.sip.message import Request
from callwright.sip.timers import Agenda, Timers
from callwright.sip.transaction.server import ServerTransaction
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import NameAddr, Uri

__all__ = ["B2bua", "B2buaConfig"]

_METHODS = (
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "INFO",
    "MESSAGE",
    "UPDATE",
    "PRACK",
    "REFER",
    "SUBSCRIBE",
    "PUBLISH",
    "REGISTER",
)
_PACKAGES = (DIALOG, PRESENCE, MESSAGES, REGISTRATION)
_REMEMBERED_CALLS = 1_000
_LONGEST_HELD = 8.0  # seconds that credentials are not looked at; a phone waits 32 for its answer (Timer F)
_MOST_HELD = 20  # requests of one address
_MOST_HELD_OF_ALL = 1_000
_BANNED = "Forbidden (too many accounts were tried from this address)"
_PUT_OFF = "Service Unavailable (after wrong passwords)"
_UNREACHABLE = Refuse(480, "Temporarily Unavailable")


@dataclass(frozen=True, slots=True)
class B2buaConfig:
    """What is decided once for a PBX. Durations in seconds.

    `permission` is asked before anything is sent to a binding, or along a flow that its Contact contradicts.
    `advertise_host` stands in Via, Contact and, with a relay, SDP, in place of the local address.
    `open_methods` need no password; OPTIONS to the PBX itself never does.
    `algorithms` are challenged with, one header each: MD5 alone by default, since phones of before RFC 7616
    (baresip 1.0) give up at an algorithm they do not know, even where MD5 is offered first. `keep_wills`: see
    sip.EndpointConfig.
    """

    user_agent: str = "Callwright PBX"
    open_methods: frozenset[str] = frozenset()
    strategy: Strategy = Strategy.ALL
    ring_limit: float = 180.0
    duration_limit: float = 4 * 3600.0
    idle_limit: float = 300.0
    max_calls: int = 1_000
    max_calls_per_account: int = 100
    advertise_host: str | None = None
    hop_for: HopFor | None = None
    permission: Permission = field(default_factory=Permission)
    timers: Timers = field(default_factory=Timers)
    algorithms: tuple[str, ...] = ("MD5",)
    keep_wills: bool = False


class B2bua:
    """See above. `registrar.accounts` are the accounts; `calls` the records of calls, oldest first.

    `wall_at`: unix seconds at a moment of `now`. `plan`: by default the accounts of the registrar alone.
    `stages`: the PBX's own audio; `mailboxes`: without them no message is taken; `recordist`: without one
    nothing is recorded.
    """

    def __init__(
        self,
        registrar: Registrar,
        config: B2buaConfig,
        entropy: Entropy,
        wall_at: Callable[[float], float],
        paths: MediaPaths | None = None,
        guard: GuessGuard | None = None,
        plan: PbxPlan | None = None,
        stages: Stages | None = None,
        mailboxes: Mailboxes | None = None,
        recordist: Recordist | None = None,
    ) -> None:
        self.config = config
        self._entropy, self._wall_at = entropy, wall_at
        self.guard = guard or GuessGuard()
        self._held: Counter[str] = Counter()
        self.registrar = registrar
        self.agenda = Agenda()
        self._accounts: PbxAccounts = registrar.accounts
        self.stages: Stages = stages or NoStages()
        self._transfers = Transfers(self)
        self._watchers = Watchers(self)
        self._publications = Publications(self.agenda, entropy, self._published)
        self.origins = Origins()
        self._placing = Placing(
            self,
            registrar,
            paths or DirectPaths(),
            plan or PbxPlan(tuple(registrar.accounts)),
            mailboxes,
        )
        self._is_own: Callable[[Hop], bool] = lambda hop: False
        self._digest = DigestServer(self._accounts.domain, entropy, algorithms=config.algorithms)
        self.endpoint = Endpoint(
            EndpointConfig(
                user_agent=config.user_agent,
                advertise_host=config.advertise_host,
                timers=config.timers,
                limits=Limits(calls=4 * config.max_calls + 100),
                allow=_METHODS,
                accept=("*",),  # what a body is for is between the phones
                answer_options=False,
                answer_stun=True,
                supported=("100rel", "timer", "replaces"),
                ring_limit=config.ring_limit,
                answer_limit=config.ring_limit * 4,
                hop_for=self._followed,
                stands_between=True,
                keep_wills=config.keep_wills,
            ),
            entropy,
        )
        self.trunks = TrunkLines(self.endpoint, self.agenda, config.permission, self._tell)
        self.trunks.adopt(self._placing.plan.trunks, 0.0)
        self._recordist = recordist or NoRecordings()
        self._tapes: dict[str, Tape] = {}
        self._bridges: dict[Bridge | Booth | Clicked, None] = {}
        self._finished: deque[CallRecord] = deque(maxlen=_REMEMBERED_CALLS)
        self._errands: dict[ClientRequest, Errand] = {}
        self._events: list[PbxEvent] = []
        self._serial = 0
        self._now = 0.0  # of what is being done
        self._stirred = False  # something that is watched may be another than before
        self._expiry: float | None = None

    # -- what a driver does

    def receive(self, data: bytes, hop: Hop, now: float) -> None:
        """A datagram, or a chunk of the stream `hop`."""
        self.endpoint.receive(data, hop, now)
        self._work()

    def transport_failed(self, hop: Hop, reason: str, now: float) -> None:
        """Nothing sent to `hop` arrives; a stream is lost, and with it the bindings made over it."""
        self.endpoint.transport_failed(hop, reason, now)
        if hop.transport.reliable:
            self._changed(self.registrar.flow_lost(hop), now)
            for bridge in list(self._bridges):
                bridge.flow_lost(hop, now)
        self._work()

    def wake(self, now: float) -> None:
        """Do what has become due."""
        self._now = now
        self.endpoint.wake(now)
        self.agenda.ring(now)
        if self._expiry is not None and self._expiry <= now:
            self._changed(self.registrar.wake(now), now)
        self.released(self.guard.expire(now), "its time is over", now)
        self._work()

    def next_wake(self) -> float | None:
        """When to call `wake` next (monotonic seconds), or None."""
        moments = (self.endpoint.next_wake(), self.agenda.next(), self._expiry, self.guard.next_wake())
        return min((moment for moment in moments if moment is not None), default=None)

    def transmissions(self) -> list[Transmission]:
        """Take what is to be sent, in order."""
        return self.endpoint.transmissions()

    def events(self) -> list[PbxEvent]:
        """Take what happened, in order."""
        taken, self._events = self._events, []
        return taken

    # -- what its owner does

    @property
    def upcoming(self) -> tuple[PbxEvent, ...]:
        """What `events` will give next: so that it can be kept before anything is sent."""
        return tuple(self._events)

    def restore(self, kept: Sequence[Binding]) -> None:
        """Before the first packet: registrations that an earlier process had."""
        self.registrar.restore(kept)
        self._expiry = self.registrar.next_wake()

    def know_own(self, is_own: Callable[[Hop], bool]) -> None:
        """How to tell a hop that leads back to us: a contact there would make a loop."""
        self._is_own = is_own

    @property
    def plan(self) -> PbxPlan:
        """Accounts and all other numbers, as they are now."""
        return self._placing.plan

    def adopt(self, plan: PbxPlan, now: float) -> None:
        """From now on this plan. Calls go on; accounts that are no longer there lose their contacts."""
        self._accounts.replace(plan.accounts)
        self._placing.plan = plan
        self._now = now
        self.trunks.adopt(plan.trunks, now)
        self._changed(self.registrar.forget_strangers(), now)
        self._publications.forget(
            [user for user in self._publications.users if self._accounts.find(user) is None]
        )
        self._stirred = True  # somebody may wish not to be disturbed
        self._work()

    def locate_trunk(self, name: str, hops: Sequence[Hop], now: float) -> None:
        """What the host of a trunk resolved to, in the order to try them."""
        self._now = now
        self.trunks.locate(name, hops, now)
        self._work()

    @property
    def calls(self) -> list[CallRecord]:
        """Records of the last 1,000 finished calls and of all live ones."""
        live = {bridge.record.id: bridge.record for bridge in self._bridges}
        return [*self._finished, *live.values()]

    @property
    def live(self) -> int:
        """Calls that are not over."""
        return len(self._bridges)

    @property
    def live_calls(self) -> list[tuple[CallRecord, bool]]:
        """The records of calls that are not over, oldest first, each with whether it is on hold."""
        held: dict[str, bool] = {}
        records: dict[str, CallRecord] = {}
        for session in self._bridges:
            records[session.record.id] = session.record
            held[session.record.id] = isinstance(session, Bridge) and session.on_hold
        return [(record, held[name]) for name, record in records.items()]

    def click(self, user: str, number: str, now: float) -> CallRecord | None:
        """Ring the phones of an account, and connect the one that answers to a number; None: it has none."""
        attempt = self._placing.own_phones(user, number, now)
        if attempt is None:
            return None
        record = self._record(user, number, "", now)
        identity = NameAddr(record.caller_name, self.address_of(user).uri)
        Clicked(self, user, number, record, self.config.ring_limit, identity).start([attempt], now)
        self._work()
        return record

    def join_numbers(self, first: str, number: str, asked_by: str, now: float) -> CallRecord | Refuse:
        """Call a number, and connect who answers there to another; both by the rights of an account."""
        account = self._accounts.find(asked_by)
        if account is None:
            return Refuse(404, "Not Found")
        if self.too_many(account):
            return Refuse(503, "Service Unavailable (too many calls)")
        record = self._record(None, number, "", now)
        record.caller_number, record.asked_by = first, asked_by
        attempts = self._placing.attempts_at(first, number, account, record, now)
        if isinstance(attempts, Refuse):
            return attempts
        identity = NameAddr("", self.address_of(first).uri)
        Clicked(self, None, number, record, self.config.ring_limit, identity).start(attempts, now)
        self._work()
        return record

    def send_text(self, user: str, to: str, text: str, done: Callable[[int, str], None], now: float) -> None:
        """See Pbx.send_text."""
        account = self._accounts.find(user)
        bindings = self.registrar.reachable(to, now)
        if account is None or not bindings:
            done(480, "No phone is registered.")
            return
        errand = Errand(self.endpoint, None, len(bindings), on_final=lambda f: done(f.status, f.reason))
        for binding in bindings:
            handle = self.endpoint.request(
                "MESSAGE",
                binding.contact,
                local=NameAddr(account.display_name, self.address_of(user).uri),
                remote=self.address_of(to),
                hop=self.way_to(binding),
                now=now,
                body=text.encode(),
                content_type="text/plain;charset=utf-8",
                route=binding.path,
            )
            self.expect(handle, errand)
        self._work()

    def hang_up(self, call: str, now: float) -> bool:
        """End a call by the id of its record; False: it is over already."""
        found = [session for session in self._bridges if session.record.id == call]
        for session in found:
            session.give_up(480, "ended by a program", now)
        self._work()
        return bool(found)

    def tell_to_answer(self, call: str, user: str | None, now: float) -> bool:
        """Ask a phone that rings for a call, of that account or of any, to answer; False: none of them can be
        asked."""
        told = any(
            session.tell_to_answer(user, now)
            for session in list(self._bridges)
            if session.record.id == call and isinstance(session, Bridge)
        )
        self._work()
        return told

    def transfer(self, call: str, number: str, by: str | None, now: float) -> CallRecord | None:
        """Connect the peer of that account, by default the caller, to a number. The new call's record; None:
        there is no such call, or nobody has answered it."""
        for session in list(self._bridges):
            if session.record.id == call and isinstance(session, Bridge) and session.talks:
                leg = session.leaver(by)
                if leg is not None:
                    record = self._transfers.move(session, leg, number, now)
                    self._work()
                    return record
        return None

    def record(self, call: str, now: float) -> bool:
        """Record a call that is up from now on; False: it cannot be, or there is none. Twice is once."""
        for session in self._bridges:
            if session.record.id == call and isinstance(session, Bridge) and session.talks:
                return self._put_on_tape(session)
        return False

    def stop_recording(self, call: str, now: float) -> bool:
        """Record a call no longer, though it goes on; False: it is not recorded."""
        tape = self._tapes.pop(call, None)
        if tape is None:
            return False
        for session in self._bridges:
            if session.record.id == call and isinstance(session, Bridge):
                session.put_on(None)
        self._recordist.end(tape, now)
        return True

    @property
    def recorded(self) -> frozenset[str]:
        """The calls that are recorded now, by the ids of their records."""
        return frozenset(self._tapes)

    def _put_on_tape(self, bridge: Bridge) -> bool:
        call = bridge.record.id
        if call in self._tapes:
            return True
        tape = self._recordist.tape(call, bridge.record.recordings + 1)
        if tape is None:
            return False
        if not bridge.put_on(tape):
            self._recordist.end(tape, self._now)
            return False
        bridge.record.recordings += 1
        self._tapes[call] = tape
        return True

    def up(self, bridge: Bridge, now: float) -> None:
        """Somebody has answered: where a user wants it so, the call is recorded."""
        accounts = [self._accounts.find(user) for user in bridge.users]
        if any(account is not None and account.record for account in accounts):
            self._put_on_tape(bridge)

    def hang_up_all(self, now: float) -> None:
        """End every call, as before closing."""
        for bridge in list(self._bridges):
            bridge.give_up(480, "the PBX is going down", now)
        self._work()

    # -- for bridges

    @property
    def idle_limit(self) -> float:
        return self.config.idle_limit

    @property
    def duration_limit(self) -> float:
        return self.config.duration_limit

    def media_host(self, hop: Hop) -> str:
        """Our address for media towards the other end of `hop`."""
        return self.config.advertise_host or hop.local.host

    @property
    def permission(self) -> Permission:
        return self.config.permission

    @property
    def strategy(self) -> Strategy:
        return self.config.strategy

    def is_own(self, hop: Hop) -> bool:
        """The hop leads back to us."""
        return self._is_own(hop)

    def address_of(self, user: str) -> NameAddr:
        """To towards an account."""
        return NameAddr("", Uri("sip", escaped(user), None, self._accounts.domain))

    def way_to(self, binding: Binding) -> PermittedHop:
        """Where requests to a binding go: to the host that it registered from, or to the first proxy of its
        path as far as the policy permits that, like a Record-Route."""
        if binding.path and self.config.hop_for is not None:
            found = self.config.hop_for(NameAddr.parse(binding.path[0]).uri, binding.hop)
            if found is not None:
                return found
        return self.config.permission.led(binding.next_hop, binding.hop)

    def _followed(self, uri: Uri, along: Hop) -> PermittedHop | None:
        """Where a Contact or Record-Route leads; a GRUU of ours leads back to the phone that gave it."""
        if self.config.hop_for is None or (uri.parameter("gr") is not None and self._accounts.serves(uri)):
            return None
        return self.config.hop_for(uri, along)

    def released(self, bans: Sequence[Ban], reason: str, now: float) -> None:
        """Tell of bans that have ended."""
        self._events += [SourceReleased(now, ban.source, reason) for ban in bans]

    def expect(self, handle: ClientRequest, errand: Errand) -> None:
        """Have `errand` told what becomes of `handle`."""
        self._errands[handle] = errand

    def tell(self, event: CallEvent) -> None:
        """Something became of a call."""
        self._events.append(event)
        self._stirred = True

    def stir(self) -> None:
        """Another phone rings, or rings no more."""
        self._stirred = True

    def _published(self, now: float) -> None:
        self._now, self._stirred = now, True

    def _tell(self, event: PbxEvent) -> None:
        self._events.append(event)

    def joined(self, session: Bridge | Booth | Clicked) -> None:
        """A call lives from now on, or goes on in this session."""
        self._bridges[session] = None
        self._stirred = True

    def moved_on(self, session: Bridge | Booth | Clicked) -> None:
        """The call goes on in another session."""
        self._bridges.pop(session, None)

    def taken_back(self, booth: Booth) -> None:
        """Its party was with nobody else in the end."""
        self._bridges[booth] = None

    def send_on(self, booth: Booth, to: str | RingGroup, now: float) -> None:
        """See BoothHost."""
        self._placing.send_on(booth, to, self._accounts.find(booth.user or booth.record.asked_by), now)

    def free(self, users: Sequence[str]) -> tuple[str, ...]:
        """Who of them has a phone, wants calls and is in none."""
        busy = {user for session in self._bridges for user in _users_of(session)}
        now = self._now
        return tuple(
            user
            for user in users
            if user not in busy
            and (account := self._accounts.find(user)) is not None
            and not account.do_not_disturb
            and self.registrar.bindings(user, now)
        )

    @property
    def music(self) -> tuple[str, ...]:
        """What is played on hold; empty: phones arrange that among themselves."""
        return self._placing.plan.music

    def referred(self, bridge: Bridge, event: sip.RequestReceived, call: Call) -> None:
        """A phone wants its peer transferred."""
        self._transfers.refer(bridge, event, call)

    def serves(self, uri: Uri) -> bool:
        """The URI is one of ours."""
        return self._accounts.serves(uri)

    def call_of(self, call_id: str, local_tag: str, remote_tag: str) -> Call | None:
        """The call of that dialog, as Replaces names it."""
        return self.endpoint.find(call_id, local_tag, remote_tag)

    def new_record(
        self, like: CallRecord, caller: str | None, callee: str, by: str, now: float
    ) -> CallRecord:
        """The record of a call that a transfer makes."""
        record = self._record(caller, callee, like.call_id, now)
        record.transferred_by = by or None
        return record

    def join(
        self,
        first: Call,
        said: bytes,
        second: Call,
        record: CallRecord,
        user: str,
        now: float,
        done: Callable[[bool, float], None],
    ) -> None:
        """Connect two parties that are up; `done(whether, now)` once."""
        if record.answered_at is None:
            record.answered_at, record.status, record.reason = now, 200, "OK"
            self.tell(CallConnected(now, record))
        self._placing.join(first, said, second, record, user, now, done)

    def rings_at(self, number: str) -> bool:
        """A call rings there."""
        return self._ringing_at(number) is not None

    def pick_up(self, number: str, call: Call, now: float) -> bool:
        """Give the call that rings at that number to `call`; False: none does."""
        bridge = self._ringing_at(number)
        return bridge is not None and bridge.pick_up(call, now, user=number)

    def _ringing_at(self, number: str) -> Bridge | None:
        """The oldest call that rings at an account, or at a member of a group."""
        service = self._placing.plan.service(number)
        account = self._accounts.dialled(number)
        users = service.members if isinstance(service, RingGroup) else ()
        users = users if account is None else (account.user,)
        for session in self._bridges:
            if isinstance(session, Bridge) and any(session.rings(user) for user in users):
                return session
        return None

    def mailbox_changed(self, user: str, now: float) -> None:
        """The messages of an account are others than before."""
        mailboxes = self._placing.reception.mailboxes
        self._stirred = True
        if mailboxes is not None:
            new, old = self.messages(user)
            self._events.append(MailboxChanged(now, user, new, old))
            self._tell_waiting(user, self.registrar.bindings(user, now), now)

    def turned_away(self, record: CallRecord, event: CallFinished) -> None:
        """A call was refused before anything rang."""
        self._finished.append(record)
        self._events.append(event)

    def concluded(self, session: Bridge | Booth | Clicked, now: float) -> None:
        """Take it off the live ones."""
        self._bridges.pop(session, None)
        tape = self._tapes.pop(session.record.id, None)
        if tape is not None:
            self._recordist.end(tape, now)
        self._stirred = True
        self._finished.append(session.record)
        self._events.append(CallFinished(now, session.record))

    def after_audio(self, act: Callable[[float], None], now: float) -> None:
        """Something was heard on a stage: do what comes of it."""
        self._now = now
        act(now)
        self._work()

    # -- events of the endpoint

    def _work(self) -> None:
        while happened := self.endpoint.events():
            for event in happened:
                self._on_event(event)
        if self._stirred:
            self._stirred = False
            self._watchers.look(self._now)

    def _on_event(self, event: sip.Event) -> None:
        self._now = event.at
        match event:
            case sip.CallTurnedAway():
                pass
            case sip.CallReceived(call=call) if self.guard.banned(call.hop.remote.host, event.at):
                call.reject(403, now=event.at, reason=_BANNED)
            case sip.CallReceived():
                self._invited(event)
            case sip.ResponseReceived():
                errand = self._errands.pop(event.handle, None)
                if errand is not None:
                    errand.answered(event)
            case sip.RequestTimedOut() | sip.RequestFailed():
                errand = self._errands.pop(event.handle, None)
                if errand is not None:
                    errand.failed(event)
            case (
                sip.RegistrationSucceeded()
                | sip.RegistrationFailed()
                | sip.RegistrationExpired()
                | sip.RegistrationRemoved()
            ):
                self.trunks.on_event(event)
            case sip.SubscriptionRefreshed():
                self._watchers.tell(event.subscription, event.at)
            case sip.SubscriptionEnded():
                self._watchers.drop(event.subscription)
            case sip.RequestReceived(call=None):
                if self.guard.banned(event.transaction.flow.remote.host, event.at):
                    self.endpoint.respond(event.transaction, 403, now=event.at, reason=_BANNED)
                else:
                    self._request(event)
            case _:
                inside: Call | None = getattr(event, "call", None)
                if inside is not None and isinstance(inside.user_data, Bridge | Booth | Clicked | Referrer):
                    inside.user_data.on_event(event, inside)

    # -- who it is

    def _ask(
        self,
        received: ServerTransaction | Call,
        request: Request,
        hop: Hop,
        now: float,
        then: Callable[[PbxAccount, float], None],
        until: float | None = None,
    ) -> None:
        """Go on with the account that the credentials prove; else challenge.

        Where wrong passwords came before they are looked at later: the answer is late, or, where it would be
        too late, 503.
        """
        source, name = hop.remote.host, "authorization" if _registers(request) else "proxy-authorization"
        claimed = self._digest.claimed(request.headers.get_fields(name))
        wait = 0.0 if claimed is None else self.guard.wait(source, claimed, now)
        if wait <= 0:
            account = self._admit(received, request, hop, now)
            if account is not None:
                then(account, now)
            return
        until = now + _LONGEST_HELD if until is None else until
        place = place_of(source)
        if now + wait > until or self._held[place] >= _MOST_HELD or self._held.total() >= _MOST_HELD_OF_ALL:
            self._put_off(received, wait, now)
            return
        self._held[place] += 1

        def again(moment: float) -> None:
            self._held[place] -= 1
            if not self._held[place]:
                del self._held[place]
            if not _is_answered(received):
                self._ask(received, request, hop, moment, then, until)

        self.agenda.at(now + wait, again)

    def _put_off(self, received: ServerTransaction | Call, wait: float, now: float) -> None:
        headers = [("Retry-After", str(math.ceil(wait)))]
        if isinstance(received, ServerTransaction):
            self.endpoint.respond(received, 503, now=now, reason=_PUT_OFF, headers=headers)
        else:
            received.reject(503, now=now, reason=_PUT_OFF, headers=headers)

    def _admit(
        self, received: ServerTransaction | Call, request: Request, hop: Hop, now: float
    ) -> PbxAccount | None:
        """The account that the credentials prove; None when they do not, and a challenge was sent."""
        proxy = not _registers(request)  # towards the callee we are what a proxy is (RFC 3261 22.3)
        source = hop.remote.host
        peer = place_of(source)
        judged = self.endpoint.verify(
            received, self._digest, self._secret_of, now=now, proxy=proxy, peer=peer
        )
        if judged.verdict is Verdict.ACCEPTED:
            account = self._accounts.find(judged.username)
            if account is not None:
                self.guard.right(source, account.user)
            return account
        if judged.verdict is Verdict.REFUSED:
            denied = AccessDenied(now, request.method, judged.username, str(hop.remote), judged.reason)
            self._events.append(denied)
            if judged.username:
                ban = self.guard.wrong(source, judged.username, now, certain=judged.same_peer)
                if ban is not None:
                    self._events.append(SourceBanned(now, ban.source, ban.accounts, ban.until))
        stale = judged.verdict is Verdict.STALE
        self.endpoint.challenge(received, self._digest, now=now, proxy=proxy, stale=stale, peer=peer)
        return None

    def _secret_of(self, username: str) -> str | None:
        account = self._accounts.find(username)
        return None if account is None else account.secret

    # -- calls

    def _invited(self, event: sip.CallReceived) -> None:
        call, request = event.call, event.request
        trunk = self.trunks.caller(call.hop)
        if call.replaces is not None and (trunk is not None or "INVITE" in self.config.open_methods):
            call.reject(403, now=event.at, reason="Forbidden (Replaces needs an account)")
        elif trunk is not None:
            self._from_trunk(call, request, trunk, event.at)
        elif "INVITE" in self.config.open_methods:
            self._place(call, request, None, event.at)
        else:
            self._ask(
                call, request, call.hop, event.at, lambda who, now: self._place(call, request, who, now)
            )

    def _place(self, call: Call, request: Request, account: PbxAccount | None, now: float) -> None:
        """A call of this account; None: of somebody who needs none."""
        caller = None if account is None else account.user
        record = self._record(caller, request.target.unescaped_user, request.headers.call_id, now)
        record.caller_agent = (request.headers.get("user-agent") or "")[:200]
        if call.replaces is not None:
            booth = Booth(self, call, record, TakingOver(self, call.replaces), caller)
            self.joined(booth)
            self.tell(CallPlaced(now, record))
            booth.answer(now)
            return
        self._placing.place(call, request, account, record, now)

    def _from_trunk(self, call: Call, request: Request, trunk: Trunk, now: float) -> None:
        """A call from outside: to the numbers that its trunk may call, and to nothing else."""
        number = request.target.unescaped_user or ""
        if number == trunk.username:  # our Contact: the number stands in To
            number = request.headers.to.uri.unescaped_user or ""
        line = self._placing.plan.called_by(trunk.name, number)
        record = self._record(None, number, request.headers.call_id, now)
        record.trunk = trunk.name
        claimed = request.headers.from_
        record.caller_number = (claimed.uri.unescaped_user or "")[:64]
        record.caller_name = claimed.display_name[:100]
        self._placing.place(call, request, None, record, now, line.to if line is not None else "")

    def _record(self, caller: str | None, callee: str | None, call_id: str, now: float) -> CallRecord:
        self._serial += 1
        account = self._accounts.find(caller)
        began = self._wall_at(now)
        return CallRecord(
            id=uuid7(self._entropy, began),
            number=self._serial,
            caller=caller,
            callee=callee,
            call_id=call_id,
            started_at=now,
            began=began,
            caller_name="" if account is None else account.display_name,
        )

    def too_many(self, account: PbxAccount | None) -> bool:
        """No further call of that account may begin."""
        if len(self._bridges) >= self.config.max_calls:
            return True
        if account is None:
            return False
        records = [session.record for session in self._bridges]
        mine = sum(account.user in (record.caller, record.asked_by) for record in records)
        return mine >= self.config.max_calls_per_account

    # -- other requests outside of a dialog

    def _request(self, event: sip.RequestReceived) -> None:
        transaction, request, now = event.transaction, event.request, event.at
        method = request.method
        if method == "OPTIONS" and not request.target.user:
            # To the PBX itself: alive, and what it can do (RFC 3261 11.2).
            headers = [("Allow", ", ".join(_METHODS)), ("Accept", "application/sdp")]
            self.endpoint.respond(transaction, 200, now=now, headers=headers)
            return
        own = {"REGISTER": self._register, "SUBSCRIBE": self._subscribe, "PUBLISH": self._publish}
        if method not in own and method in self.config.open_methods:
            self._pass_on(transaction, request, None, now)
        else:
            act = own.get(method, self._pass_on)
            flow = transaction.flow
            self._ask(transaction, request, flow, now, lambda who, at: act(transaction, request, who, at))

    def _register(
        self, transaction: ServerTransaction, request: Request, account: PbxAccount, now: float
    ) -> None:
        done = self.registrar.register(request, transaction.flow, authenticated_as=account.user, now=now)
        self.endpoint.respond(
            transaction, done.status, now=now, reason=done.reason, headers=list(done.headers)
        )
        self._changed(done.changes, now)

    def _subscribe(
        self, transaction: ServerTransaction, request: Request, account: PbxAccount, now: float
    ) -> None:
        event = (request.headers.get("event") or "").strip()
        package, number = event.partition(";")[0].strip().lower(), request.target.unescaped_user or ""
        known = self._accounts.dialled(number)
        service = service_of(self._placing.plan, number) if known is None and package == DIALOG else None
        watched = known.user if known is not None else service.number if service is not None else ""
        respond = self.endpoint.respond
        if package not in _PACKAGES:
            allowed = [("Allow-Events", ", ".join(_PACKAGES))]
            respond(transaction, 489, now=now, reason="Bad Event", headers=allowed)
        elif not self._accounts.serves(request.target) or not watched:
            respond(transaction, 404, now=now)
        elif package == MESSAGES and known is not account:
            respond(transaction, 403, now=now, reason="Forbidden (the mailbox is of another)")
        elif package == REGISTRATION and known is not account:
            respond(transaction, 403, now=now, reason="Forbidden (the registrations are of another)")
        else:
            subscription = self.endpoint.accept_subscription(transaction, event, now=now)
            if subscription is not None:
                entity = known.user if known is not None else number
                self._watchers.add(subscription, package, watched, now, entity=entity, viewer=account.user)

    def _publish(
        self, transaction: ServerTransaction, request: Request, account: PbxAccount, now: float
    ) -> None:
        """What a phone says of its own user (RFC 3903)."""
        known = self._accounts.dialled(request.target.unescaped_user)
        respond = self.endpoint.respond
        if not self._accounts.serves(request.target) or known is None:
            respond(transaction, 404, now=now)
        elif known is not account:
            respond(transaction, 403, now=now, reason="Forbidden (the presence is of another)")
        else:
            done = self._publications.receive(account.user, request, now)
            respond(transaction, done.status, now=now, reason=done.reason, headers=list(done.headers))

    # -- what is watched

    def uri_of(self, number: str) -> str:
        """The SIP URI of a number."""
        return str(self.address_of(number).uri)

    def messages(self, user: str) -> tuple[int, int]:
        """How many messages are new, and how many were heard."""
        mailboxes = self._placing.reception.mailboxes
        if mailboxes is None:
            return 0, 0
        account = self._accounts.find(user)
        return mailboxes.count(account.messages if account is not None else user)

    def contacts(self, user: str) -> tuple[Binding, ...]:
        """Where an account is registered now."""
        return self.registrar.bindings(user, self._now)

    def lines(self, number: str, viewer: str) -> list[LineState]:
        """The calls of a number now, as an account may see them."""
        service = self._accounts.find(number) is None
        return lines_of(self._bridges, number, service=service, viewer=viewer, uri_of=self.uri_of)

    def presence(self, user: str) -> Presence:
        """What is known of an account now."""
        account = self._accounts.find(user)
        return presence_of(
            self._bridges,
            user,
            online=bool(self.registrar.bindings(user, self._now)),
            undisturbed=account is not None and account.do_not_disturb,
            published=self._publications.of(user),
        )

    def _tell_waiting(self, user: str, bindings: Sequence[Binding], now: float) -> None:
        """An unsolicited NOTIFY, for phones that do not subscribe to their mailbox."""
        new, heard = self.messages(user)
        for binding in bindings:
            self.endpoint.request(
                "NOTIFY",
                binding.contact,
                local=self.address_of(user),
                remote=self.address_of(user),
                hop=self.way_to(binding),
                now=now,
                route=binding.path,
                body=summary(self.uri_of(user), new, heard),
                content_type=SUMMARY_TYPE,
                headers=[("Event", MESSAGES), ("Subscription-State", "active")],
            )

    def _changed(self, changes: Sequence[Change], now: float) -> None:
        self._expiry = self.registrar.next_wake()
        self._events += [BindingChanged(now, change) for change in changes]
        self._stirred = self._stirred or bool(changes)
        for change in changes:
            account = self._accounts.find(change.binding.user)
            if change.kind is ChangeKind.ADDED and account is not None and account.mailbox:
                self._tell_waiting(account.user, [change.binding], now)

    def _pass_on(
        self, transaction: ServerTransaction, request: Request, account: PbxAccount | None, now: float
    ) -> None:
        """MESSAGE, OPTIONS to an account: to all its contacts; the first 2xx is the answer."""
        found = self._placing.reached(request, request.target, account, now)
        if isinstance(found, Refuse):
            self.endpoint.respond(transaction, found.status, now=now, reason=found.reason)
            return
        bindings = [binding for group in found.groups for binding in group]
        headers = onward(request.headers, hops_left(request))
        headers += identity_headers(request, account, self._accounts.domain)
        errand = Errand(self.endpoint, transaction, len(bindings))
        for binding in bindings:
            handle = self.endpoint.request(
                request.method,
                binding.contact,
                local=caller_address(request, account, self._accounts.domain),
                remote=self.address_of(binding.user),
                hop=self.way_to(binding),
                now=now,
                body=request.body,
                content_type=content_type_of(request.headers),
                headers=headers,
                route=binding.path,
            )
            self.expect(handle, errand)


def _users_of(session: Bridge | Booth | Clicked) -> set[str]:
    if isinstance(session, Bridge):
        return session.users
    return {session.user} if session.user is not None else set()


def _registers(request: Request) -> bool:
    return request.method == "REGISTER"


def _is_answered(received: ServerTransaction | Call) -> bool:
    return received.answered if isinstance(received, ServerTransaction) else received.over
