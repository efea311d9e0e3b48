"""A softphone: one SIP endpoint on one driver, one media engine, any number of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from callwright.net.address import split_host_port
from callwright.net.clock import Clock, SystemClock
from callwright.net.driver import Driver, log_error
from callwright.net.entropy import Entropy, system_entropy
from callwright.net.media import MediaEngine
from callwright.net.media_choice import media_engine
from callwright.net.ports import MediaPorts
from callwright.net.resolver import NameService
from callwright.net.tap import Tap
from callwright.outcome.call import StateReached
from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import CallState
from callwright.phone.audio import Studio
from callwright.phone.call import PhoneCall
from callwright.phone.guard import Estate, Guard, Testator
from callwright.phone.incoming import IncomingCall
from callwright.phone.intent import Gate, OnIntent
from callwright.phone.line import PhoneLine
from callwright.phone.outgoing import OutgoingCall
from callwright.phone.permission import Permission
from callwright.phone.plan import AnswerPlan, CallPlan, PhoneConfig, TransferPlan
from callwright.phone.publication import PhonePublication
from callwright.phone.raw import PhoneRaw
from callwright.phone.referred import Referred, beside
from callwright.phone.registration import PhoneRegistration
from callwright.phone.request import PhoneRequest
from callwright.phone.router import Router
from callwright.phone.subscription import PhoneSubscription
from callwright.phone.transferor import Transferor
from callwright.phone.turns import Turns
from callwright.sip import events
from callwright.sip.config import METHODS, EndpointConfig
from callwright.sip.digest import Credentials
from callwright.sip.endpoint import Endpoint
from callwright.sip.transport import Address, Transport
from callwright.srtp.key_file import KeysAgreed

AnswerRule = Callable[[events.CallReceived], AnswerPlan | None]
"""What to do with an inbound call; None: refuse it with 480."""


_MAX_UNUSABLE = 8
# What is answered to requests outside of calls; others: 405.
_OUTSIDE = {"OPTIONS": 200, "MESSAGE": 200, "SUBSCRIBE": 489, "REFER": 603}

_LOOK_EVERY = 0.005  # seconds between two looks at whether the last transaction is over

#: Seconds to stay after the end when a loss was seen: a peer repeats itself after T1 (0.5 s), and is heard.
LINGER = 0.7


class Phone:
    """Use as an async context manager, on a running loop.

    `taps` see every SIP, RTP and RTCP packet; `permission` says where calls and media may go; `engine` may be
    shared between phones of one process (then its owner closes it); `on_intent` is awaited before an INVITE
    leaves, and may withhold it; `names` stands in for the system's resolver. `guard` keeps what ends the
    calls though this process is killed. `on_further` is told of each call that came of another: a transfer
    that was followed, a call that took another's place, a consultation before a transfer. `on_keys` gets the
    keys of SRTP, which are secrets.
    """

    def __init__(
        self,
        config: PhoneConfig,
        *,
        taps: Sequence[Tap] = (),
        permission: Permission | None = None,
        clock: Clock | None = None,
        entropy: Entropy = system_entropy,
        engine: MediaEngine | None = None,
        on_intent: OnIntent | None = None,
        gate: Gate | None = None,
        guard: Guard | None = None,
        names: NameService | None = None,
        on_keys: Callable[[KeysAgreed], None] | None = None,
        on_warning: Callable[[str], None] = lambda _: None,
        on_error: Callable[[BaseException], None] = log_error,
    ) -> None:
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.permission: Permission = permission or Permission()
        self.calls: list[PhoneCall] = []
        self.unusable: list[str] = []  # requests that could not be used, and what they were answered
        self.on_call: AnswerRule | None = None
        self.on_invite: Callable[[events.CallReceived], None] | None = None
        self.on_incoming: Callable[[IncomingCall], None] | None = None
        self.on_further: Callable[[PhoneCall, PhoneCall], None] = lambda call, further: None
        self.listening: list[tuple[Transport, Address]] = []
        self._on_intent, self._on_warning = on_intent, on_warning
        self._turns = Turns(gate)
        self._credentials: dict[str, Credentials] = {}  # that registered here, by user: for requests in calls
        self._numbers = count(1)
        self._owns_engine = engine is None
        self.engine = engine or media_engine(ports=MediaPorts(*config.rtp_ports), clock=self.clock, taps=taps)
        advertise_host, advertise_port = (
            split_host_port(config.advertise) if config.advertise else (None, None)
        )
        self.endpoint = Endpoint(
            EndpointConfig(
                user_agent=config.user_agent,
                advertise_host=advertise_host,
                advertise_port=advertise_port,
                answer_options=config.answer_options,
                allow=(*METHODS, "REFER", "NOTIFY", "SUBSCRIBE"),
                accept_calls=True,
                supported=("100rel", "timer", "replaces"),
                min_se=config.min_se,
                hop_for=lambda uri, along: self.router.hop_for(uri, along),
                keep_wills=guard is not None,
            ),
            entropy,
        )
        self.driver: Driver[events.Event] = Driver(
            self.endpoint,
            handler=self._on_event,
            clock=self.clock,
            taps=taps,
            bind=config.bind,
            tls=config.tls,
            entropy=entropy,
            names=names,
            on_warning=on_warning,
            on_error=on_error,
            family=config.family,
            websocket_path=config.ws_path,
            before_sending=self._bequeath if guard is not None else None,
        )
        self.router = Router(self.driver, self.permission, config.transport)
        self.line = PhoneLine(
            self.endpoint,
            self.clock,
            self.driver.drain,
            config.user,
            entropy,
            advertise_host,
            tls_session=self.driver.tls_session,
        )
        self._studio = Studio(
            engine=self.engine,
            clock=self.clock,
            entropy=entropy,
            permission=self.permission,
            codecs=config.codecs,
            ptime=config.ptime,
            session_ids=(number & 0xFFFFFFFF for number in count(int.from_bytes(entropy(4), "big"))),
            advertised=self.line.advertised,
            find=self.router.media_host,
            on_keys=on_keys,
        )
        self._referred = Referred(self.line, self.router, self._place_further)
        self._testator = (
            Testator(
                guard,
                estate=lambda: Estate.of(self.config, self.permission),
                wills=self.endpoint.wills,
                descriptor_of=self.driver.descriptor_of,
            )
            if guard is not None
            else None
        )

    async def __aenter__(self) -> Phone:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def listen(self, host: str, port: int, transport: Transport = Transport.UDP) -> Address:
        """Receive calls on `host`:`port` (port 0: a free one). Raises BindFailed with a sentence."""
        bound = await self.driver.listen(transport, host, port)
        self.listening.append((transport, bound))
        return bound

    # -- what a person does with a phone

    def call(self, plan: CallPlan) -> OutgoingCall:
        """Place a call; `finished` of the result holds its outcome. Raises SipSyntaxError for a bad URI."""
        placed = self._place(plan)
        if plan.transfer is not None:
            self._transferor(placed, plan.transfer).start()
        return placed

    def _place(self, plan: CallPlan) -> OutgoingCall:
        placed = OutgoingCall(
            self.line,
            self._studio,
            plan,
            router=self.router,
            turns=self._turns,
            on_intent=self._on_intent,
            **self._told(),
        )
        self.calls.append(placed)
        return placed

    async def transfer(
        self,
        call: PhoneCall,
        to: str,
        *,
        replaces: PhoneCall | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> RequestOutcome:
        """Have the peer of a call go to the URI `to`, or take `replaces` over; ends with its outcome. The
        policy is asked about `to` as if we called it: at our word somebody does."""
        transferor = self._transferor(call, TransferPlan(to))
        return await transferor.refer(replaces, headers)

    def _transferor(self, call: PhoneCall, plan: TransferPlan) -> Transferor:
        return Transferor(call, plan, self.router, lambda further: self._place_further(call, further))

    def _place_further(self, call: PhoneCall, plan: CallPlan) -> PhoneCall:
        """A call that comes of another: of a transfer, or to consult before one."""
        placed = self._place(plan)
        self.on_further(call, placed)
        return placed

    def register(self, registrar: str, **plan: Any) -> PhoneRegistration:
        """Register at `registrar` (a URI, host or host:port); see PhoneRegistration for the arguments."""
        return PhoneRegistration(self.line, self.router, self._turns, self._credentials, registrar, **plan)

    def request(self, method: str, target: str, **plan: Any) -> PhoneRequest:
        """A request outside a call (OPTIONS, MESSAGE); see PhoneRequest for the arguments."""
        return PhoneRequest(self.line, self.router, self._turns, method, target, **plan)

    def subscribe(self, target: str, event: str, **plan: Any) -> PhoneSubscription:
        """Subscribe to an event package (RFC 6665); see PhoneSubscription for the arguments."""
        return PhoneSubscription(self.line, self.router, self._turns, target, event, **plan)

    def publish(
        self, target: str, event: str, body: bytes, content_type: str, *, expires: int, **plan: Any
    ) -> PhonePublication:
        """Publish a state (RFC 3903); see PhonePublication, and PhoneRequest for the other arguments."""
        extra = plan.pop("headers", ())
        return PhonePublication(
            lambda **more: self.request("PUBLISH", target, **plan, **more),
            event,
            body,
            content_type,
            expires=expires,
            headers=extra,
        )

    def raw(self, target: str, octets: bytes, **plan: Any) -> PhoneRaw:
        """Send a message as it is written; see PhoneRaw for the arguments."""
        return PhoneRaw(self.line, self.router, self._turns, target, octets, **plan)

    async def hang_up_all(self) -> None:
        """End every call and wait for the ends, a few seconds at most."""
        waiting = [call.finished for call in self.calls]
        for call in list(self.calls):
            call.hangup()
        if waiting:
            await asyncio.wait(waiting, timeout=self.line.patience + 1.0)

    async def close(self, *, linger: float = 0.0) -> None:
        """Close everything. `linger`: wait for what is still owed (the ACK of a refusal), then stay that long
        to answer repetitions when a loss was seen."""
        self._turns.close()
        if linger:
            await self._settle()
            if self.endpoint.loss_seen:
                await asyncio.sleep(linger)
        await self.driver.close()
        if self._testator is not None:
            self._testator.close()
        if self._owns_engine:
            await asyncio.get_running_loop().run_in_executor(None, self.engine.close)

    async def _settle(self) -> None:
        """Until every refusal and answer of ours has its ACK: as long as a repetition would take, at most."""
        deadline = self.clock.now() + self.line.patience
        while self.endpoint.pending().unconfirmed and self.clock.now() < deadline:
            await asyncio.sleep(_LOOK_EVERY)

    def _bequeath(self) -> None:
        """What ends the calls is kept before what makes them is sent."""
        if self._testator is not None:
            self._testator.tell()

    def drain(self) -> None:
        self.driver.drain()

    # -- events

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.CallReceived):
            self._receive(event)
            return
        call = getattr(event, "call", None)
        if call is not None:
            if isinstance(call.user_data, PhoneCall):
                call.user_data.on_event(event)
            return
        if self.line.dispatch(event):
            return
        if isinstance(event, events.MessageDiscarded):
            if event.answered is not None and len(self.unusable) < _MAX_UNUSABLE:
                told = f"{event.hop.remote} sent a request that could not be used: {event.reason}"
                self.unusable.append(f"{told}; it was answered {event.answered}")
            return
        if isinstance(event, events.SubscriptionRefreshed):
            self._referred.refreshed(event)
        if isinstance(event, events.RequestReceived):
            status = _OUTSIDE.get(event.request.method, 405)
            self.endpoint.respond(event.transaction, status, now=event.at)

    def _receive(self, event: events.CallReceived) -> None:
        replaced = event.call.replaces
        if replaced is not None and isinstance(replaced.user_data, PhoneCall):
            self._take_over(event, replaced.user_data)
            return
        if self.on_invite is not None:
            self.on_invite(event)
            return
        plan = self.on_call(event) if self.on_call else None
        if plan is None:
            event.call.reject(480, now=event.at)
        else:
            self.take(event, plan)

    def _take_over(self, event: events.CallReceived, old: PhoneCall) -> None:
        """An INVITE with Replaces (RFC 3891): answer it at once, then hang up the call that it replaces."""
        plan = AnswerPlan(
            media=replace(old.media, dtmf="", record=beside(old.media.record)),
            ring_after=-1.0,
            talk_for=old.plan.talk_for,
            prack=old.plan.prack,
            session=old.plan.session,
            identifier=old.identifier,
            party=old.party,
        )
        call = self._taken(event, plan)

        def answered(_: PhoneCall, reached: StateReached) -> None:
            if reached.state is CallState.ANSWERED:
                old.hangup()

        call.listeners.append(answered)
        self.on_further(old, call)
        call.begin()

    def take(self, event: events.CallReceived, plan: AnswerPlan) -> IncomingCall:
        """Do with an inbound call what the plan says; for users of `on_invite`, who decide by themselves."""
        call = self._taken(event, plan)
        if self.on_incoming:
            self.on_incoming(call)
        if isinstance(event, events.CallTurnedAway):
            call.turned_away(event.status, event.why)
            return call
        if plan.transfer is not None:
            self._transferor(call, plan.transfer).start()
        call.begin()
        return call

    def _taken(self, event: events.CallReceived, plan: AnswerPlan) -> IncomingCall:
        call = IncomingCall(
            self.line,
            self._studio,
            plan,
            event.call,
            event.request,
            event.at,
            credentials=self._credentials_for(event.call.local.uri.unescaped_user),
            **self._told(),
        )
        self.calls.append(call)
        return call

    def _told(self) -> dict[str, Any]:
        """What every call is given by its phone."""
        return {
            "number": next(self._numbers),
            "on_over": self.calls.remove,
            "on_refer": self._referred.take,
            "on_warning": self._on_warning,
        }

    def _credentials_for(self, user: str | None) -> Credentials | None:
        """Those of the account that was called; of the only one that registered here, where its name tells
        nothing."""
        found = self._credentials.get(user or "")
        if found is None and len(self._credentials) == 1:
            found = next(iter(self._credentials.values()))
        return found
