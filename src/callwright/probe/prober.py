"""Runs the machines of this room on sockets: one measurement for each call, after the policy was asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from callwright.net.address import Unreachable, numeric_host, source_address
from callwright.net.certificate import read_certificate
from callwright.net.clock import Clock, SystemClock, synchronised
from callwright.net.entropy import Entropy, system_entropy
from callwright.net.exchange import (
    ConnectFailed,
    DatagramExchange,
    EchoExchange,
    Exchange,
    NoRawSockets,
    connect,
)
from callwright.net.hops import HopSocket, NoHops
from callwright.net.resolver import HopTarget, NameService, ResolutionFailed, SystemNames, resolve
from callwright.net.tap import Packet, Tap
from callwright.net.tls import TlsConfigurationError, TlsSettings
from callwright.net.udp import SendFailed
from callwright.outcome.terms import Blame, Verdict
from callwright.phone.addressing import transport_of
from callwright.phone.permission import NotPermitted, Permission
from callwright.probe.options import Asked, OptionsTrain
from callwright.probe.path import PathTrace, Steps
from callwright.probe.ping import Ping
from callwright.probe.result import CertificateResult, ProbeResult, State
from callwright.probe.stamp import StampSender
from callwright.probe.stamp_packet import PORT as STAMP_PORT
from callwright.probe.train import Shape, Train
from callwright.sip.transport import Address, Hop, Transport
from callwright.sip.uri import Uri

_LOOK = 0.1
"""Seconds after which a train looks whether it is over or stopped, though nothing is due."""

OnProgress = Callable[[Train], None]


@dataclass(frozen=True, slots=True)
class Prober:
    """`bind`: the local address to send from; None: by the route. `stop`: ends a train early. `taps` see the
    SIP messages."""

    permission: Permission
    bind: str | None = None
    tls: TlsSettings = field(default_factory=TlsSettings)
    user_agent: str = "Callwright"
    clock: Clock = field(default_factory=SystemClock)
    entropy: Entropy = system_entropy
    names: NameService = field(default_factory=SystemNames)
    stop: asyncio.Event | None = None
    on_progress: OnProgress | None = None
    taps: Sequence[Tap] = ()

    async def ping(self, host: str, shape: Shape, version: int | None = None) -> ProbeResult:
        """ICMP echo. `version` 4 or 6: of IP; None: as the name has it first."""
        begun = ProbeResult(kind="ping", target=host, started_at=self.clock.wall())
        try:
            address = await self._address(host, None, version)
            machine = Ping(shape, 6 if ":" in address else 4, self.clock.now(), self.entropy)
            exchange = EchoExchange(
                address,
                clock=self.clock,
                on_arrival=machine.receive,
                on_refused=machine.refused,
                bind=self.bind,
            )
        except Exception as error:
            return _not_begun(begun, error)
        return await self._run(machine, exchange, begun, address)

    async def udp(self, host: str, port: int | None, shape: Shape, version: int | None = None) -> ProbeResult:
        """A STAMP train to a session reflector."""
        port = port or STAMP_PORT
        begun = ProbeResult(kind="udp", target=host, started_at=self.clock.wall())
        try:
            address = await self._address(host, port, version)
            machine = StampSender(
                shape,
                self.clock.now(),
                self.clock.wall(),
                ssid=int.from_bytes(self.entropy(2), "big") | 1,
                synchronised=synchronised(),
                same_clock=address == "::1" or address.startswith("127."),
            )
            exchange = DatagramExchange(
                Address(address, port),
                clock=self.clock,
                on_arrival=machine.receive,
                on_refused=machine.refused,
                bind=self.bind,
                hop_limit=255,  # RFC 8762 section 4.3 counts hops by it
            )
        except Exception as error:
            return _not_begun(begun, error)
        return await self._run(machine, exchange, begun, address)

    async def options(self, uri: str, shape: Shape, transport: Transport | None = None) -> ProbeResult:
        """OPTIONS to the first place that RFC 3263 names for a SIP URI. Raises SipSyntaxError."""
        target = Uri.parse(uri)
        begun = ProbeResult(kind="sip", target=uri, started_at=self.clock.wall())
        try:
            way = await self.permission.way(target, _Directory(self, transport))
            first = way.hops[0]
            if first.transport.over_websocket:
                raise ResolutionFailed(uri, "OPTIONS are measured over UDP, TCP and TLS, not over WebSocket")
            machine: list[OptionsTrain] = []
            if first.transport.reliable:
                return await self._options_by_stream(target, first.remote, first.transport, shape, begun)
            exchange = DatagramExchange(
                first.remote,
                clock=self.clock,
                on_arrival=lambda *arrival: self._hear(machine, first, *arrival),
                on_refused=lambda *why: machine[0].refused(*why),
                bind=self.bind,
            )
        except Exception as error:
            return _not_begun(begun, error)
        machine.append(self._train(target, exchange.local, first.transport, shape))
        return await self._run(machine[0], self._tapped(exchange, first), begun, first.remote.host)

    def _hear(
        self, machine: list[OptionsTrain], hop: Hop, data: bytes, now: float, wall: float, ttl: int | None
    ) -> None:
        if self.taps:
            _tap(self.taps, Packet(wall, now, "in", "sip", hop.transport.value, hop.local, hop.remote, data))
        if machine:
            machine[0].receive(data, now, wall, ttl)

    def _tapped(self, exchange: Exchange, hop: Hop) -> Exchange:
        return _Tapped(exchange, hop, self.clock, self.taps) if self.taps else exchange

    async def _options_by_stream(
        self, target: Uri, remote: Address, transport: Transport, shape: Shape, begun: ProbeResult
    ) -> ProbeResult:
        """Raises TlsConfigurationError."""
        machine: list[OptionsTrain] = []
        hop = Hop(transport, Address(self.bind or "", 0), remote)
        started = self.clock.now()
        begun = replace(begun, address=remote.host)
        try:
            exchange = await connect(
                remote,
                transport,
                name=target.destination,
                clock=self.clock,
                on_arrival=lambda *arrival: self._hear(machine, hop, *arrival),
                on_broken=lambda reason: machine[0].broken(reason) if machine else None,
                tls=self.tls,
                bind=self.bind,
            )
        except ConnectFailed as error:
            shown = error.certificate
            if error.untrusted and shown is None:
                shown = await self._shown(remote, target)
            return replace(
                begun,
                verdict=Verdict.FAILED,
                blame=Blame.TARGET if error.untrusted else Blame.NETWORK,
                reason=error.reason,
                certificate=self._certificate(shown, error.reason) if shown else None,
                failure="tls" if error.untrusted else "unreachable",
            )
        begun = replace(begun, setup_ms=(self.clock.now() - started) * 1000)
        if exchange.certificate is not None:
            problem = "It was not checked." if self.tls.insecure else None
            begun = replace(begun, certificate=self._certificate(exchange.certificate, problem))
        machine.append(self._train(target, exchange.local, transport, shape))
        return await self._run(machine[0], self._tapped(exchange, hop), begun, remote.host)

    async def path(
        self, host: str, steps: Steps, version: int | None = None, *, address: str | None = None
    ) -> ProbeResult:
        """The hops of the way to a host, with delay and loss of each; `address`: to which it has resolved."""
        begun = ProbeResult(kind="path", target=host, started_at=self.clock.wall())
        try:
            if address is None:
                address = await self._address(host, None, version)
            else:
                self.permission.place(host, address)
            machine = PathTrace(steps, self.clock.now())
            sock = HopSocket(
                address,
                clock=self.clock,
                on_answer=lambda port, who, now, ends: machine.answered(port, who, now, reached=ends),
                bind=self.bind,
            )
        except Exception as error:
            return _not_begun(begun, error)
        try:
            await self._trace(machine, sock)
        finally:
            sock.close()
        return machine.result(host, address, begun.started_at or 0.0)

    async def _trace(self, machine: PathTrace, sock: HopSocket) -> None:
        stop = self.stop or asyncio.Event()
        while not stop.is_set():
            machine.wake(self.clock.now())
            for packet in machine.transmissions():
                try:
                    sock.send(packet.data, packet.port, packet.ttl)
                except SendFailed as error:
                    machine.refused(f"{error.reason[:1].upper()}{error.reason[1:]}.")
            due = machine.next_wake()
            if due is None:
                return
            await asyncio.sleep(min(max(0.0, due - self.clock.now()), _LOOK))

    def _train(self, target: Uri, local: Address, transport: Transport, shape: Shape) -> OptionsTrain:
        asked = Asked(target, local, transport, self.user_agent)
        return OptionsTrain(shape, asked, self.clock.now(), self.entropy)

    async def _shown(self, remote: Address, target: Uri) -> bytes | None:
        """The certificate of a server that is not trusted: it is looked at, and nothing is sent."""
        try:
            found = await connect(
                remote,
                Transport.TLS,
                name=target.destination,
                clock=self.clock,
                on_arrival=lambda *_: None,
                on_broken=lambda _: None,
                tls=replace(self.tls, insecure=True),
                bind=self.bind,
            )
        except ConnectFailed:
            return None
        found.close()
        return found.certificate

    def _certificate(self, der: bytes, problem: str | None) -> CertificateResult | None:
        found = read_certificate(der)
        if found is None:
            return None
        left = found.days_left(self.clock.wall())
        return CertificateResult(found.subject, found.issuer, found.until, left, problem)

    async def _address(self, host: str, port: int | None, version: int | None) -> str:
        """Raises ResolutionFailed, NotPermitted."""
        numeric = numeric_host(host)
        found = [numeric] if numeric is not None else await self.names.addresses(host)
        for address in found:
            self.permission.place(host, address, port)
        usable = [address for address in found if version in (None, 6 if ":" in address else 4)]
        if not usable:
            raise ResolutionFailed(host, f"the host {host} has no IPv{version} address")
        return usable[0]

    async def _run(self, machine: Train, exchange: Exchange, begun: ProbeResult, address: str) -> ProbeResult:
        try:
            await self._drive(machine, exchange)
        finally:
            exchange.close()
        found = machine.result(begun.target, address, begun.started_at or 0.0)
        return replace(found, setup_ms=begun.setup_ms, certificate=begun.certificate)

    async def _drive(self, machine: Train, exchange: Exchange) -> None:
        """Until it is over, or stopped."""
        stop = self.stop or asyncio.Event()
        while not stop.is_set():
            machine.wake(self.clock.now())
            for data in machine.transmissions():
                try:
                    exchange.send(data)
                except SendFailed as error:
                    machine.refused(f"{error.reason[:1].upper()}{error.reason[1:]}.")
            if self.on_progress is not None:
                self.on_progress(machine)
            due = machine.next_wake()
            if due is None:
                return
            await asyncio.sleep(min(max(0.0, due - self.clock.now()), _LOOK))


@dataclass(frozen=True, slots=True)
class _Tapped:
    """An exchange whose messages are seen as they leave."""

    exchange: Exchange
    hop: Hop
    clock: Clock
    taps: Sequence[Tap]

    @property
    def local(self) -> Address:
        return self.exchange.local

    def send(self, data: bytes) -> None:
        """Raises SendFailed."""
        hop = self.hop
        packet = Packet(
            self.clock.wall(),
            self.clock.now(),
            "out",
            "sip",
            hop.transport.value,
            self.local,
            hop.remote,
            data,
        )
        _tap(self.taps, packet)
        self.exchange.send(data)

    def close(self) -> None:
        self.exchange.close()


def _tap(taps: Sequence[Tap], packet: Packet) -> None:
    for tap in taps:
        tap([packet])


@dataclass(frozen=True, slots=True)
class _Directory:
    """What the permission asks of DNS and the routing table."""

    prober: Prober
    transport: Transport | None

    async def hops(self, uri: Uri) -> list[Hop]:
        """Raises ResolutionFailed, Unreachable."""
        hops = []
        for found in await self._found(uri):
            local = self.prober.bind or source_address(found.address.host)
            hops.append(Hop(found.transport, Address(local, 0), found.address, uri.destination))
        return hops

    async def addresses(self, uri: Uri) -> list[Address]:
        try:
            return [found.address for found in await self._found(uri)]
        except ResolutionFailed:
            return []

    async def _found(self, uri: Uri) -> list[HopTarget]:
        return await resolve(
            uri.destination,
            uri.port,
            self.transport or transport_of(uri),
            uri.scheme,
            entropy=self.prober.entropy,
            names=self.prober.names,
        )


def _not_begun(begun: ProbeResult, error: Exception) -> ProbeResult:
    """Nothing was sent. Raises `error` again where it is none that is expected."""
    match error:
        case NotPermitted():
            return replace(begun, blame=Blame.TEST, reason=str(error), failure="policy")
        case ResolutionFailed():
            return replace(
                begun,
                verdict=Verdict.FAILED,
                blame=Blame.TARGET,
                reason=f"{error.reason[:1].upper()}{error.reason[1:]}.",
                failure="unresolved",
                state=State.FAILED,
            )
        case Unreachable():
            reason = f"{error.reason[:1].upper()}{error.reason[1:]}."
            return replace(begun, verdict=Verdict.FAILED, blame=Blame.NETWORK, reason=reason)
        case NoRawSockets() | NoHops() | TlsConfigurationError():
            return replace(begun, reason=str(error))
        case OSError():
            said = os.strerror(error.errno) if error.errno else str(error)
            return replace(begun, reason=f"A socket for {begun.target} cannot be opened: {said}.")
    raise error
