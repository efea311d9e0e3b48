"""The driver: one sans-IO SIP machine on real sockets, on the running asyncio loop.

Datagrams and chunks go in by batches; after each batch the machine is drained once: what it wants to send
goes out, its events go to the handler, one timer is armed for its next wake.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from callwright.net.address import WILDCARDS, Unreachable, family_of, numeric_host, source_address
from callwright.net.clock import Clock, SystemClock
from callwright.net.entropy import Entropy, system_entropy
from callwright.net.resolver import NameService, ResolutionFailed, SystemNames, interleaved, resolve
from callwright.net.tap import Packet, Tap
from callwright.net.tcp import StreamTransport
from callwright.net.tls import TlsSession, TlsSettings
from callwright.net.udp import Datagram, ErrorReports, SendFailed, UdpSocket, address_in_use
from callwright.sip.transport import Address, Hop, Transport
from callwright.sip.websocket import DEFAULT_PATH

_log = logging.getLogger(__name__)

EventT = TypeVar("EventT")
EventT_co = TypeVar("EventT_co", covariant=True)

ROUNDS = 1000
"""Drains in one turn of the loop; a machine that still has something to say then says it in the next turn."""
FRAGMENT_BYTES = 1300
"""RFC 3261 section 18.1.1: over this, UDP may be fragmented."""


class Outgoing(Protocol):
    """What a machine wants to send; no data at all: the stream of the hop is to be closed."""

    @property
    def data(self) -> bytes: ...
    @property
    def hop(self) -> Hop: ...


class SipMachine(Protocol[EventT_co]):
    """A SIP element without I/O: a user agent, a B2BUA, a load generator. `now` is monotonic seconds."""

    def receive(self, data: bytes, hop: Hop, now: float) -> None:
        """A datagram, a message of a WebSocket, or the next octets of a stream. A hop of UDP names where it
        came from and got to."""
        ...

    def transport_failed(self, hop: Hop, reason: str, now: float) -> None:
        """The network gave something for this hop back, or its flow broke; `reason` is a sentence."""
        ...

    def wake(self, now: float) -> None:
        """The time of `next_wake()` has come."""
        ...

    def next_wake(self) -> float | None: ...

    def transmissions(self) -> Sequence[Outgoing]:
        """Takes what is to be sent, in order."""
        ...

    def events(self) -> Sequence[EventT_co]:
        """Takes what happened, in order."""
        ...


class BindFailed(Exception):
    """A port of ours that cannot be opened; `reason` is a sentence that names it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def log_error(error: BaseException) -> None:
    _log.error("an exception in a handler of SIP events", exc_info=error)


class Driver(Generic[EventT]):
    """Holds one machine. To be made, used and closed on one running asyncio loop.

    machine         the endpoint; call its verbs freely between turns, then `drain()`
    handler         gets each event in order; may call the machine's verbs (they are drained afterwards)
    taps            see whole batches of packets
    bind            local host to send from instead of the one the routing table picks
    connect_timeout seconds for a TCP connection, and again for the TLS handshake on it
    idle_timeout    seconds after which an unused flow is closed; long, as a NAT may leave no other way back
    on_error        exceptions of handler, taps and machine; they never stop the pump
    on_warning      sentences about things that work but may surprise
    family          4 or 6: addresses of the other IP version are left out; None: both are taken
    websocket_path  what is asked of servers of WebSocket
    websocket_trust the secret of the proxy that tells for whom it connects to our WebSocket; empty: none does
    before_sending  called after each change of the machine, before what it sends leaves

    A large request is not moved to TCP, although RFC 3261 section 18.1.1 has it for over 1,300 octets: a test
    tool sends what its user chose over what its user chose, and many targets listen on UDP alone. It is
    warned of, once for each destination.
    """

    def __init__(
        self,
        machine: SipMachine[EventT],
        *,
        handler: Callable[[EventT], None],
        clock: Clock | None = None,
        taps: Sequence[Tap] = (),
        bind: str | None = None,
        tls: TlsSettings | None = None,
        entropy: Entropy = system_entropy,
        names: NameService | None = None,
        connect_timeout: float = 5.0,
        idle_timeout: float = 3600.0,
        on_error: Callable[[BaseException], None] = log_error,
        on_warning: Callable[[str], None] = _log.warning,
        error_reports: ErrorReports | None = None,
        family: int | None = None,
        websocket_path: str = DEFAULT_PATH,
        websocket_trust: str = "",
        before_sending: Callable[[], None] | None = None,
    ) -> None:
        self.machine = machine
        self._before_sending = before_sending
        self._handler = handler
        self._clock: Clock = clock or SystemClock()
        self._taps = list(taps)
        self._bind = self._checked_bind(bind)
        self._family = family
        self._entropy = entropy
        self._names = names or SystemNames()
        self._on_error = on_error
        self._on_warning = on_warning
        self._error_reports = error_reports
        self._loop = asyncio.get_running_loop()
        self._udp: list[UdpSocket] = []
        self._udp_by_host: dict[str, UdpSocket] = {}
        self._udp_by_local: dict[Address, UdpSocket] = {}
        self._sent: dict[Address, Hop] = {}
        self._warned: set[Address] = set()
        self._streams = StreamTransport(
            tls=tls or TlsSettings(),
            connect_timeout=connect_timeout,
            idle_timeout=idle_timeout,
            websocket_path=websocket_path,
            websocket_trust=websocket_trust,
            on_chunk=self._chunk,
            on_failure=self._failed,
            on_warning=on_warning,
        )
        self._draining = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closed = False

    # Addresses

    async def listen(self, transport: Transport, host: str, port: int = 0) -> Address:
        """Opens a port for others to reach us; port 0 picks a free one. Returns the bound address.

        `host` is numeric; "0.0.0.0" or "::" listens on every address of that family. UDP sent later from this
        host leaves through this port. Raises BindFailed with a sentence, TlsConfigurationError for TLS
        without a usable certificate.
        """
        numeric = numeric_host(host) or host
        try:
            if transport is Transport.UDP:
                return self._open_udp(numeric, port).local
            return self._streams.listen(transport, numeric, port)
        except OSError as error:
            raise BindFailed(address_in_use(error, transport, (numeric, port))) from error

    def hop_for(self, host: str, port: int | None, transport: Transport, *, name: str = "") -> Hop:
        """The hop to a numeric destination: source by route (or `bind`), our port opened when it is not yet.

        `port` None is the transport's default. `name` is what the user typed, for TLS to verify. Raises
        Unreachable when there is no route, BindFailed when our port cannot be opened, ValueError for a name.
        """
        numeric = numeric_host(host)
        if numeric is None:
            raise ValueError(f"{host!r} is not a numeric address: locate() resolves names")
        remote = Address(numeric, port or transport.default_port)
        source = self._source_for(numeric)
        try:
            if transport is Transport.UDP:
                local = Address(source, self._udp_for(source).local.port)
            else:
                local = self._streams.local_address(transport, source)
        except OSError as error:
            raise BindFailed(address_in_use(error, transport, (source, 0))) from error
        return Hop(transport, local, remote, name)

    def tls_session(self, hop: Hop) -> TlsSession | None:
        """What the last TLS handshake with the far end of a hop came to; None without TLS."""
        return self._streams.session(hop)

    async def locate(
        self, host: str, port: int | None = None, transport: Transport | None = None, scheme: str = "sip"
    ) -> list[Hop]:
        """The hops to try for the host of a URI, in order (RFC 3263): never empty.

        Addresses without a route from here (or of another family than `bind`) are left out. Raises
        ResolutionFailed with a sentence when nothing is left.
        """
        found = await resolve(host, port, transport, scheme, entropy=self._entropy, names=self._names)
        found = interleaved(found)
        hops: list[Hop] = []
        reason = ""
        for target in found:
            try:
                hop = self.hop_for(target.address.host, target.address.port, target.transport, name=host)
            except (Unreachable, BindFailed) as error:
                reason = reason or error.reason
            else:
                hops.append(hop)
        if not hops:
            raise ResolutionFailed(host, reason or f"the host {host} has no address")
        return hops

    async def addresses(
        self, host: str, port: int | None = None, transport: Transport | None = None, scheme: str = "sip"
    ) -> list[Address]:
        """What the host of a URI resolves to (RFC 3263), reachable or not. Opens nothing. Raises
        ResolutionFailed."""
        found = await resolve(host, port, transport, scheme, entropy=self._entropy, names=self._names)
        return [target.address for target in found]

    def _checked_bind(self, bind: str | None) -> str | None:
        if bind is None or bind in WILDCARDS:
            return None
        numeric = numeric_host(bind)
        if numeric is None:
            raise ValueError(f"{bind!r} is not a numeric address to bind to")
        return numeric

    def _source_for(self, host: str) -> str:
        if self._family is not None and (":" in host) != (self._family == 6):
            wanted = "--ipv6" if self._family == 6 else "--ipv4"
            kind = "IPv6" if ":" in host else "IPv4"
            raise Unreachable(host, f"{host} is an address of {kind}, and {wanted} leaves those out")
        if self._bind is None:
            return source_address(host)
        if family_of(self._bind) != family_of(host):
            kind = "IPv6" if ":" in self._bind else "IPv4"
            raise Unreachable(host, f"{host} cannot be reached from {self._bind}, which is {kind}")
        return self._bind

    # Sockets

    def adopt(self, descriptor: int) -> Address:
        """A bound UDP socket of another process is ours from now on, with all that waits in it."""
        return self._open_udp("", 0, socket.socket(fileno=descriptor)).local

    def reopen(self, local: Address) -> bool:
        """Whether UDP leaves from this very address and port, which is opened when nobody has it."""
        hosts = (local.host, "::" if ":" in local.host else "0.0.0.0")
        if any(udp.local.port == local.port and udp.local.host in hosts for udp in self._udp):
            return True
        try:
            self._open_udp(local.host, local.port)
        except OSError:
            return False
        return True

    def descriptor_of(self, local: Address) -> int:
        """Of the UDP socket that sends from there."""
        return self._udp_from(local).sock.fileno()

    def _open_udp(self, host: str, port: int, sock: socket.socket | None = None) -> UdpSocket:
        opened = UdpSocket(
            host,
            port,
            on_batch=self._datagrams,
            on_refused=self._refused,
            error_reports=self._error_reports,
            sock=sock,
        )
        self._udp.append(opened)
        # The first port opened on an address is the source of what is sent from it.
        self._udp_by_host.setdefault(opened.local.host, opened)
        return opened

    def _udp_for(self, source: str) -> UdpSocket:
        wildcard = "::" if ":" in source else "0.0.0.0"
        found = self._udp_by_host.get(source) or self._udp_by_host.get(wildcard)
        return found or self._open_udp(source, 0)

    def _udp_from(self, local: Address) -> UdpSocket:
        found = self._udp_by_local.get(local)
        if found is None:
            hosts = (local.host, "::" if ":" in local.host else "0.0.0.0")
            same = (u for u in self._udp if u.local.port == local.port and u.local.host in hosts)
            found = next(same, None) or self._udp_for(local.host)
            if len(self._udp_by_local) > 4096:
                self._udp_by_local.clear()
            self._udp_by_local[local] = found
        return found

    # In

    def _datagrams(self, batch: list[Datagram]) -> None:
        now = self._clock.now()
        if self._taps:
            wall = self._clock.wall()
            self._tap([Packet(wall, now, "in", "sip", "UDP", d.local, d.remote, d.data) for d in batch])
        for datagram in batch:
            hop = Hop(Transport.UDP, datagram.local, datagram.remote)
            try:
                self.machine.receive(datagram.data, hop, now)
            except Exception as error:
                self._on_error(error)
        self.drain()

    def _chunk(self, data: bytes, hop: Hop) -> None:
        now = self._clock.now()
        if self._taps:
            packet = Packet(
                self._clock.wall(), now, "in", "sip", hop.transport.value, hop.local, hop.remote, data
            )
            self._tap([packet])
        try:
            self.machine.receive(data, hop, now)
        except Exception as error:
            self._on_error(error)
        self.drain()

    def _refused(self, remote: Address, reason: str) -> None:
        hop = self._sent.get(remote)
        if hop is not None:
            self._failed(hop, reason)

    def _failed(self, hop: Hop, reason: str) -> None:
        self._tell_failed(hop, reason)
        self.drain()

    def _tell_failed(self, hop: Hop, reason: str) -> None:
        try:
            self.machine.transport_failed(hop, reason, self._clock.now())
        except Exception as error:
            self._on_error(error)

    # Out

    def drain(self) -> None:
        """Sends what the machine has to send, hands its events over, arms the timer.

        To be called after the machine's verbs were used from outside a handler. Never raises, never blocks.
        """
        if self._draining or self._closed:
            return
        self._draining = True
        try:
            for _ in range(ROUNDS):
                if not self._drain_once():
                    break
            else:
                self._loop.call_soon(self.drain)
        finally:
            self._draining = False
        self._arm()

    def _drain_once(self) -> bool:
        try:
            if self._before_sending is not None:
                self._before_sending()
            outgoing = self.machine.transmissions()
            if outgoing:
                self._transmit(outgoing)
            events = self.machine.events()
        except Exception as error:
            self._on_error(error)
            return False
        for event in events:
            try:
                self._handler(event)
            except Exception as error:
                self._on_error(error)
        return bool(outgoing) or bool(events)

    def _transmit(self, outgoing: Sequence[Outgoing]) -> None:
        if self._taps:
            now, wall = self._clock.now(), self._clock.wall()
            self._tap(
                [
                    Packet(wall, now, "out", "sip", o.hop.transport.value, o.hop.local, o.hop.remote, o.data)
                    for o in outgoing
                    if o.data
                ]
            )
        for sent in outgoing:
            hop = sent.hop
            try:
                if hop.transport is Transport.UDP:
                    self._send_datagram(sent.data, hop)
                elif not sent.data:
                    self._streams.drop(hop)
                else:
                    self._streams.send(sent.data, hop)
            except SendFailed as error:
                self._tell_failed(hop, error.reason)
            except OSError as error:
                self._tell_failed(hop, address_in_use(error, hop.transport, hop.local))

    def _send_datagram(self, data: bytes, hop: Hop) -> None:
        if self._sent.get(hop.remote) is not hop:
            if len(self._sent) > 4096:
                self._sent.clear()
            self._sent[hop.remote] = hop
        if len(data) > FRAGMENT_BYTES and hop.remote not in self._warned:
            self._warned.add(hop.remote)
            self._on_warning(
                f"a message of {len(data):,} bytes goes to {hop.remote} over UDP and may be fragmented on "
                "its way; TCP would carry it whole (RFC 3261 section 18.1.1)"
            )
        self._udp_from(hop.local).send(data, hop.remote, hop.local.host)

    def _tap(self, packets: list[Packet]) -> None:
        for tap in self._taps:
            try:
                tap(packets)
            except Exception as error:
                self._on_error(error)

    # Time

    def _arm(self) -> None:
        """One timer for the machine, moved only when it has to ring earlier: a later wake is found out when
        it rings, which is cheaper than to cancel and arm for every packet."""
        if self._closed:
            return
        wake = self.machine.next_wake()
        if wake is None or (self._timer is not None and self._timer_at <= wake):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = wake
        self._timer = self._loop.call_later(max(0.0, wake - self._clock.now()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock.now()
        wake = self.machine.next_wake()
        if wake is not None and wake <= now:
            try:
                self.machine.wake(now)
            except Exception as error:
                self._on_error(error)
            self.drain()
        else:
            self._arm()

    async def close(self) -> None:
        """Sends what the machine still has to send and closes every socket, within about 0.1 s."""
        if self._closed:
            return
        self.drain()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for udp in self._udp:
            udp.close()
        await self._streams.close()

    async def __aenter__(self) -> Driver[EventT]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
