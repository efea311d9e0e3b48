"""A softphone: one SIP endpoint on one driver, one media engine, any number of calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from callwright.net.address import Unreachable, numeric_host
from callwright.net.clock import Clock, SystemClock
from callwright.net.driver import BindFailed, Driver, log_error
from callwright.net.entropy import Entropy, system_entropy
from callwright.net.media import MediaEngine
from callwright.net.media_choice import media_engine
from callwright.net.ports import MediaPorts
from callwright.net.resolver import NameService, ResolutionFailed
from callwright.net.tap import Tap
from callwright.phone.call import PhoneCall
from callwright.phone.guard import Estate, Guard, Testator
from callwright.phone.inbound import InboundCall
from callwright.phone.intent import Gate, OnIntent
from callwright.phone.outbound import OutboundCall
from callwright.phone.permission import NotPermitted, Permission, Way
from callwright.phone.plan import AnswerPlan, CallPlan, PhoneConfig
from callwright.phone.registration import PhoneRegistration
from callwright.phone.request import PhoneRequest
from callwright.sip import events
from callwright.sip.call import Call
from callwright.sip.config import EndpointConfig
from callwright.sip.digest import Credentials
from callwright.sip.endpoint import Endpoint
from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sip.uri import SipSyntaxError, Uri

AnswerRule = Callable[[events.CallReceived], AnswerPlan | None]
"""What to do with an inbound call; None: refuse it with 480."""


_MAX_UNUSABLE = 8

_LOOK_EVERY = 0.005  # seconds between two looks at whether the last transaction is over

_GO_BACK = "Until then, ACK and BYE go back the way the answer came."

#: Seconds to stay after the end when a loss was seen: a peer repeats itself after T1 (0.5 s), and is heard.
LINGER = 0.7


class UnknownTransport(ResolutionFailed):
    """A URI that asks for a transport which is not spoken here: nothing goes out by another in its place."""


class Phone:
    """Use as an async context manager, on a running loop.

    `taps` see every SIP, RTP and RTCP packet; `permission` says where calls and media may go; `engine` may be
    shared between phones of one process (then its owner closes it); `on_intent` is awaited before an INVITE
    leaves, and may withhold it; `names` stands in for the system's resolver. `guard` keeps what ends the
    calls though this process is killed.
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
        on_warning: Callable[[str], None] = lambda _: None,
        on_error: Callable[[BaseException], None] = log_error,
    ) -> None:
        self.config = config
        self.on_intent, self.gate = on_intent, gate
        self._at_gate: set[asyncio.Task[object]] = set()
        self.clock: Clock = clock or SystemClock()
        self.entropy = entropy
        self.permission: Permission = permission or Permission()
        self.taps = tuple(taps)
        self.on_warning = on_warning
        self.patience = 4.0
        self.calls: list[PhoneCall] = []
        self.accounts: dict[str, Credentials] = {}  # that registered here, by user: for requests inside calls
        self.unusable: list[str] = []  # requests that could not be used, and what they were answered
        self.on_call: AnswerRule | None = None
        self.on_invite: Callable[[events.CallReceived], None] | None = None
        self.on_incoming: Callable[[InboundCall], None] | None = None
        self.listening: list[tuple[Transport, Address]] = []
        self._serial = 0
        self._sessions = int.from_bytes(entropy(4), "big")
        self._requests: dict[object, PhoneRequest] = {}
        self._registrations: dict[object, PhoneRegistration] = {}
        self._owns_engine = engine is None
        self.engine = engine or media_engine(
            ports=MediaPorts(*config.rtp_ports), clock=self.clock, taps=self.taps
        )
        advertise_host, advertise_port = (
            split_host_port(config.advertise) if config.advertise else (None, None)
        )
        self._advertise_host = advertise_host
        self.endpoint = Endpoint(
            EndpointConfig(
                user_agent=config.user_agent,
                advertise_host=advertise_host,
                advertise_port=advertise_port,
                answer_options=config.answer_options,
                accept_calls=True,
                hop_for=self._hop_for,
                keep_wills=guard is not None,
            ),
            entropy,
        )
        self.driver: Driver[events.Event] = Driver(
            self.endpoint,
            handler=self._on_event,
            clock=self.clock,
            taps=self.taps,
            bind=config.bind,
            tls=config.tls,
            entropy=entropy,
            names=names,
            on_warning=on_warning,
            on_error=on_error,
            before_sending=self._bequeath if guard is not None else None,
        )
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

    def call(self, plan: CallPlan) -> OutboundCall:
        """Place a call; `finished` of the result holds its outcome. Raises SipSyntaxError for a bad URI."""
        placed = OutboundCall(self, plan)
        self.calls.append(placed)
        return placed

    def register(self, registrar: str, **plan: object) -> PhoneRegistration:
        """Register at `registrar` (a URI, host or host:port); see PhoneRegistration for the arguments."""
        return PhoneRegistration(self, registrar, **plan)  # type: ignore[arg-type]

    def request(self, method: str, target: str, **plan: object) -> PhoneRequest:
        """A request outside a call (OPTIONS, MESSAGE); see PhoneRequest for the arguments."""
        return PhoneRequest(self, method, target, **plan)  # type: ignore[arg-type]

    async def hang_up_all(self) -> None:
        """End every call and wait for the ends, a few seconds at most."""
        waiting = [call.finished for call in self.calls]
        for call in list(self.calls):
            call.hangup()
        if waiting:
            await asyncio.wait(waiting, timeout=self.patience + 1.0)

    async def close(self, *, linger: float = 0.0) -> None:
        """Close everything. `linger`: wait for what is still owed (the ACK of a refusal), then stay that long
        to answer repetitions when a loss was seen."""
        for task in list(self._at_gate):
            task.cancel()
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
        deadline = self.clock.now() + self.patience
        while self.endpoint.pending().unconfirmed and self.clock.now() < deadline:
            await asyncio.sleep(_LOOK_EVERY)

    def _bequeath(self) -> None:
        """What ends the calls is kept before what makes them is sent."""
        if self._testator is not None:
            self._testator.tell()

    # -- for the calls

    @contextlib.contextmanager
    def at_gate(self) -> Iterator[None]:
        """Around what waits for its turn: it ends with the phone."""
        task = asyncio.current_task()
        assert task is not None
        self._at_gate.add(task)
        try:
            yield
        finally:
            self._at_gate.discard(task)

    def drain(self) -> None:
        self.driver.drain()

    def next_call_id(self) -> str:
        self._serial += 1
        return f"call-{self._serial}"

    def session_id(self) -> int:
        """The id of a new SDP session: RFC 8866 asks for a number that nobody else uses."""
        self._sessions = self._sessions + 1 & 0xFFFFFFFF
        return self._sessions

    def advertised(self, local_host: str) -> str:
        """The address that peers should use for one of ours."""
        return self._advertise_host or local_host

    async def locate(self, uri: Uri, transport: Transport | None = None) -> list[Hop]:
        """The hops to a URI, in order (RFC 3263). Raises ResolutionFailed, with a sentence."""
        wanted = _transport_of(uri)
        if wanted is None and uri.parameter("transport"):
            raise UnknownTransport(str(uri), unknown_transport(uri))
        transport = wanted or transport or self.config.transport
        if not uri.destination:
            raise ResolutionFailed(str(uri), f"{uri} names no host to send to")
        return await self.driver.locate(uri.destination, uri.port, transport, uri.scheme.lower())

    async def way(self, target: Uri, proxy: Uri | None = None, transport: Transport | None = None) -> Way:
        """The permitted way of a request to `target`, by the `proxy` if there is one. Raises NotPermitted,
        ResolutionFailed, BindFailed."""
        return await self.permission.way(target, _Directory(self, transport), proxy)

    async def find_way(self, call: Call) -> str | None:
        """Follow the Contact or route of a new dialog where the policy permits it, a name after DNS.

        Else its requests go back the way the answer came. Returns why it may not be followed, in sentences.
        """
        if call.dialog is None:
            return None
        along = call.dialog.hop
        try:
            next_hop = Uri.parse(call.dialog.way().next_hop)
            if not next_hop.destination:
                return None
            if numeric_host(next_hop.destination) is not None:
                if not along.transport.reliable:
                    self._followed(next_hop, along)  # the endpoint asks `_hop_for` for each request
                return None
            hops = await self.locate(next_hop)
        except (SipSyntaxError, ResolutionFailed, Unreachable, BindFailed):
            return None  # where the dialog came from is the best there is
        except NotPermitted as refused:
            return f"{refused} {_GO_BACK}"
        refusal: str | None = None
        for hop in hops:
            try:
                call.use_hop(self.permission.led(hop, along, next_hop.destination))
            except NotPermitted as refused:
                refusal = refusal or f"{refused} {_GO_BACK}"
            else:
                return None
        return refusal

    def forget(self, call: PhoneCall) -> None:
        if call in self.calls:
            self.calls.remove(call)

    def expect(self, handle: object, request: PhoneRequest) -> None:
        self._requests[handle] = request

    def expect_registration(self, handle: object, registration: PhoneRegistration) -> None:
        self._registrations[handle] = registration

    # -- events

    def _hop_for(self, uri: Uri, along: Hop) -> PermittedHop | None:
        try:
            return self._followed(uri, along)
        except (NotPermitted, Unreachable, BindFailed):
            return None

    def _followed(self, uri: Uri, along: Hop) -> PermittedHop | None:
        """The hop to a numeric Contact or route; None for a name, and where the flow `along` serves.

        Raises NotPermitted, Unreachable, BindFailed.
        """
        host = numeric_host(uri.destination)
        if host is None:
            return None
        transport = _transport_of(uri) or along.transport
        if transport is along.transport and (
            transport.reliable or (host, uri.port or transport.default_port) == along.remote
        ):
            return None  # also where a NAT leaves no other way
        return self.permission.led(self.driver.hop_for(host, uri.port, transport, name=along.name), along)

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.CallReceived):
            self._receive(event)
            return
        call = getattr(event, "call", None)
        if call is not None:
            if isinstance(call.user_data, PhoneCall):
                call.user_data.on_event(event)
            return
        if isinstance(event, events.ResponseDiscarded):
            self._discarded(event)
            return
        handle = getattr(event, "handle", None)
        if handle is not None:
            request = self._requests.pop(handle, None)
            if request is not None:
                request.on_event(event)
            return
        registration = getattr(event, "registration", None)
        if registration is not None and registration in self._registrations:
            self._registrations[registration].on_event(event)
            return
        if isinstance(event, events.MessageDiscarded):
            if event.answered is not None and len(self.unusable) < _MAX_UNUSABLE:
                told = f"{event.hop.remote} sent a request that could not be used: {event.reason}"
                self.unusable.append(f"{told}; it was answered {event.answered}")
            return
        if isinstance(event, events.RequestReceived):
            status = 200 if event.request.method in ("OPTIONS", "MESSAGE") else 405
            self.endpoint.respond(event.transaction, status, now=event.at)

    def _discarded(self, event: events.ResponseDiscarded) -> None:
        """Of a request outside of calls; whoever waits for it goes on waiting."""
        request = self._requests.get(event.handle)
        if request is not None:
            request.on_event(event)
            return
        for registration in self._registrations.values():
            registration.on_event(event)

    def credentials_for(self, user: str | None) -> Credentials | None:
        """Those of the account that was called; of the only one that registered here, where its name tells
        nothing."""
        found = self.accounts.get(user or "")
        if found is None and len(self.accounts) == 1:
            found = next(iter(self.accounts.values()))
        return found

    def _receive(self, event: events.CallReceived) -> None:
        if self.on_invite is not None:
            self.on_invite(event)
            return
        plan = self.on_call(event) if self.on_call else None
        if plan is None:
            event.call.reject(480, now=event.at)
        else:
            self.take(event, plan)

    def take(self, event: events.CallReceived, plan: AnswerPlan) -> InboundCall:
        """Do with an inbound call what the plan says; for users of `on_invite`, who decide by themselves."""
        call = InboundCall(self, plan, event.call, event.request, event.at)
        self.calls.append(call)
        if self.on_incoming:
            self.on_incoming(call)
        if isinstance(event, events.CallTurnedAway):
            call.turned_away(event.status, event.why)
        else:
            call.begin()
        return call


@dataclass(frozen=True, slots=True)
class _Directory:
    """What the permission asks of DNS and the routing table, for one request of a phone."""

    phone: Phone
    transport: Transport | None

    async def hops(self, uri: Uri) -> list[Hop]:
        return await self.phone.locate(uri, self.transport)

    async def addresses(self, uri: Uri) -> list[Address]:
        transport = _transport_of(uri) or self.transport or self.phone.config.transport
        try:
            return await self.phone.driver.addresses(uri.host, uri.port, transport, uri.scheme.lower())
        except ResolutionFailed:
            return []


def _transport_of(uri: Uri) -> Transport | None:
    """The transport that a URI asks for, if any."""
    if uri.is_secure:
        return Transport.TLS
    wanted = (uri.parameter("transport") or "").upper()
    return Transport(wanted) if wanted in Transport.__members__ else None


def unknown_transport(uri: Uri) -> str:
    """The sentence about a URI whose transport is not spoken here."""
    name = (uri.parameter("transport") or "").lower()
    what = {"ws": " (WebSocket, RFC 7118)", "wss": " (WebSocket over TLS, RFC 7118)"}.get(name, "")
    return f"{uri} asks for transport={name}{what}, which Callwright does not speak; udp, tcp and tls it does"


def split_host_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]:port` or a bare IPv6 address. ValueError for a bad port."""
    try:
        return str(ip_address(text)), None
    except ValueError:
        pass
    host, colon, port = text.rpartition(":")
    if not colon:
        return text.strip("[]"), None
    if text.endswith("]"):
        return text.strip("[]"), None
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{text!r} has no port between 0 and 65535 after its colon")
    return host.strip("[]"), int(port)
