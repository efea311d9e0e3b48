"""Sockets that talk to one far end and tell when what comes has come, by the kernel's clock where it can.

A train of packets is timed by them: what the event loop is busy with is no round trip.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from callwright.net.address import Unreachable, family_of, from_sockaddr, sockaddr
from callwright.net.clock import Clock
from callwright.net.tls import TlsSettings, UntrustedPeer, handshake_failure, names_of, speaks_for
from callwright.net.udp import SendFailed, enable_error_queue, parse_extended_error, refusal
from callwright.sip.transport import Address, Transport

BATCH = 64
_SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; also the type of its control message
_TIMESPEC = struct.Struct("@qq")
_IP_TTL, _IP_RECVTTL = 2, 12
_IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT, _IPV6_UNICAST_HOPS = 51, 52, 16
_MSG_ERRQUEUE = 0x2000
_OLDEST = 60.0  # seconds that an arrival may be ago; older: somebody set the calendar
_LINUX = sys.platform == "linux"


class Arrival(NamedTuple):
    """A datagram. `now`: monotonic seconds, `wall`: unix seconds, both of when it came. `ttl`: its hop limit
    as it came, None: not known."""

    data: bytes
    source: Address
    now: float
    wall: float
    ttl: int | None


OnArrival = Callable[[bytes, float, float, int | None], None]
"""Octets, `now`, `wall`, hop limit."""
OnRefused = Callable[[str, str | None], None]
"""A sentence, and who said it, a numeric address; None: not known."""


class Exchange(Protocol):
    """To one far end."""

    @property
    def local(self) -> Address: ...

    def send(self, data: bytes) -> None:
        """Raises SendFailed."""
        ...

    def close(self) -> None: ...


class NoRawSockets(Exception):
    """This process may not send ICMP; the text says how it may."""


def tell_arrivals(sock: socket.socket) -> None:
    """Ask the kernel for the time and the hop limit of each datagram."""
    if not _LINUX:
        return
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)


def receive(sock: socket.socket, clock: Clock) -> Arrival:
    """One datagram of a socket that `tell_arrivals` has prepared. Raises OSError."""
    data, control, _, name = sock.recvmsg(65_535, 256)
    now, wall, ttl = clock.now(), time.time(), None
    for level, kind, value in control:
        if (level, kind) in ((socket.IPPROTO_IP, _IP_TTL), (socket.IPPROTO_IPV6, _IPV6_HOPLIMIT)):
            ttl = int.from_bytes(value[:4], sys.byteorder)
    ago = arrived_ago(control, wall)
    return Arrival(data, from_sockaddr(name) if name else Address("", 0), now - ago, wall - ago, ttl)


def arrived_ago(control: list[tuple[int, int, bytes]], wall: float) -> float:
    """Seconds before `wall` at which a datagram came, by its control messages; 0 where they do not tell."""
    for level, kind, value in control:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(value) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(value)
            ago: float = wall - (seconds + nanoseconds / 1e9)
            return ago if 0.0 <= ago < _OLDEST else 0.0
    return 0.0


def set_hop_limit(sock: socket.socket, hops: int) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_UNICAST_HOPS, hops)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)


class _Connected:
    """A datagram socket that is connected to the far end, so that nobody else is heard."""

    def __init__(
        self,
        sock: socket.socket,
        remote: Address,
        *,
        clock: Clock,
        on_arrival: OnArrival,
        on_refused: OnRefused,
        bind: str | None,
    ) -> None:
        self._sock, self._remote, self._clock = sock, remote, clock
        self._on_arrival, self._on_refused = on_arrival, on_refused
        self._loop = asyncio.get_running_loop()
        try:
            sock.setblocking(False)
            if bind is not None:
                sock.bind(sockaddr(Address(bind, 0)))
            tell_arrivals(sock)
            if _LINUX:
                enable_error_queue(sock)
            sock.connect(sockaddr(remote))
        except BaseException:
            sock.close()
            raise
        self._loop.add_reader(sock.fileno(), self._readable)

    @property
    def local(self) -> Address:
        return from_sockaddr(self._sock.getsockname())

    def send(self, data: bytes) -> None:
        """Raises SendFailed."""
        for last in (False, True):
            try:
                self._sock.send(data)
                return
            except (BlockingIOError, InterruptedError):
                raise SendFailed("the send buffer of this machine is full") from None
            except OSError as error:
                # It may be an error about an earlier packet, which the kernel tells at the next call.
                if last:
                    raise SendFailed(refusal(error.errno or 0, self._remote)) from None
                self._read_errors(error)

    def _readable(self) -> None:
        for _ in range(BATCH):
            try:
                arrival = receive(self._sock, self._clock)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                self._read_errors(error)
                break
            self._on_arrival(self._bare(arrival.data), arrival.now, arrival.wall, arrival.ttl)
        else:
            return
        self._read_errors(None)

    def _bare(self, data: bytes) -> bytes:
        return data

    def _read_errors(self, error: OSError | None) -> None:
        told = False
        for _ in range(BATCH if _LINUX else 0):
            try:
                _, control, _, _ = self._sock.recvmsg(0, 512, _MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            except OSError:
                break
            parsed = parse_extended_error(control)
            if parsed is not None and parsed[0] != errno.EMSGSIZE:
                told = True
                self._on_refused(_sentence(refusal(parsed[0], self._remote, parsed[2])), parsed[2])
        if error is not None and not told:
            self._on_refused(_sentence(refusal(error.errno or 0, self._remote)), None)

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


class DatagramExchange(_Connected):
    """UDP. `bind`: a local address; `hop_limit`: of what is sent. Raises OSError, Unreachable."""

    def __init__(
        self,
        remote: Address,
        *,
        clock: Clock,
        on_arrival: OnArrival,
        on_refused: OnRefused,
        bind: str | None = None,
        hop_limit: int | None = None,
    ) -> None:
        sock = socket.socket(family_of(remote.host), socket.SOCK_DGRAM)
        if hop_limit is not None:
            set_hop_limit(sock, hop_limit)
        super().__init__(sock, remote, clock=clock, on_arrival=on_arrival, on_refused=on_refused, bind=bind)


class EchoExchange(_Connected):
    """ICMP, by a socket that needs no privilege where the system gives one, else by a raw one. Raises
    NoRawSockets, OSError, Unreachable."""

    def __init__(
        self,
        host: str,
        *,
        clock: Clock,
        on_arrival: OnArrival,
        on_refused: OnRefused,
        bind: str | None = None,
    ) -> None:
        sock = icmp_socket(family_of(host))
        # A raw IPv4 socket gives the IP header too, and so does macOS on the other kind.
        self._with_header = sock.family == socket.AF_INET and (sock.type == socket.SOCK_RAW or not _LINUX)
        super().__init__(
            sock,
            Address(host, 0),
            clock=clock,
            on_arrival=on_arrival,
            on_refused=on_refused,
            bind=bind,
        )

    def _bare(self, data: bytes) -> bytes:
        return data[(data[0] & 0x0F) * 4 :] if self._with_header and data else data


def icmp_socket(family: socket.AddressFamily) -> socket.socket:
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(family, kind, protocol)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT):
                raise
    raise NoRawSockets(
        "This process may not send ICMP. As root, either permit it to everybody: "
        "sysctl -w net.ipv4.ping_group_range='0 2147483647', or give CAP_NET_RAW to the process "
        "(systemd: AmbientCapabilities=CAP_NET_RAW; Docker: --cap-add NET_RAW)."
    )


class StreamExchange(asyncio.Protocol):
    """TCP or TLS; made by `connect`. `certificate`: what a TLS server showed, DER."""

    def __init__(self, clock: Clock, on_arrival: OnArrival, on_broken: Callable[[str], None]) -> None:
        self._clock, self._on_arrival, self._on_broken = clock, on_arrival, on_broken
        self._transport: Any = None
        self._closed = False
        self.certificate: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._on_arrival(data, self._clock.now(), self._clock.wall(), None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._closed:
            how = f"broke: {error}" if error is not None else "was closed by the far end"
            self._on_broken(f"The connection {how}.")

    @property
    def local(self) -> Address:
        return from_sockaddr(self._transport.get_extra_info("sockname"))

    def send(self, data: bytes) -> None:
        """Raises SendFailed."""
        if self._transport.is_closing():
            raise SendFailed("the connection is closed")
        self._transport.write(data)

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.abort()


class ConnectFailed(Exception):
    """`reason` is a sentence; `untrusted`: the far end's certificate is not to be believed, `certificate` is
    it, DER."""

    def __init__(self, reason: str, *, untrusted: bool = False, certificate: bytes | None = None) -> None:
        super().__init__(reason)
        self.reason, self.untrusted, self.certificate = _sentence(reason), untrusted, certificate


async def connect(
    remote: Address,
    transport: Transport,
    *,
    name: str,
    clock: Clock,
    on_arrival: OnArrival,
    on_broken: Callable[[str], None],
    tls: TlsSettings,
    bind: str | None = None,
    timeout: float = 5.0,
) -> StreamExchange:
    """`name`: what was typed, which a certificate has to bear. Raises ConnectFailed,
    TlsConfigurationError."""
    made = StreamExchange(clock, on_arrival, on_broken)
    wanted = tls.name_for(name, remote)
    secure = transport is Transport.TLS
    try:
        async with asyncio.timeout(timeout):
            found, _ = await asyncio.get_running_loop().create_connection(
                lambda: made,
                remote.host,
                remote.port,
                ssl=tls.client_context() if secure else None,
                server_hostname=wanted if secure else None,
                local_addr=(bind, 0) if bind else None,
            )
        if secure:
            made.certificate = found.get_extra_info("ssl_object").getpeercert(True)
            shown = found.get_extra_info("peercert") or {}
            if not tls.insecure and not speaks_for(shown, wanted):
                raise UntrustedPeer(
                    f"its certificate is for {names_of(shown)}, not for {wanted} (name mismatch)"
                )
    except TimeoutError:
        raise ConnectFailed(f"connecting to {remote} timed out: no answer within {timeout:g} s") from None
    except UntrustedPeer as error:
        made.close()
        raise ConnectFailed(str(error), untrusted=True, certificate=made.certificate) from None
    except ssl.SSLError as error:
        reason = handshake_failure(error, remote, wanted)
        raise ConnectFailed(reason, untrusted=isinstance(error, ssl.SSLCertVerificationError)) from None
    except OSError as error:
        made.close()
        raise ConnectFailed(_not_connected(error, remote)) from None
    return made


def _not_connected(error: OSError, remote: Address) -> str:
    if error.errno == errno.ECONNREFUSED:
        return f"connection refused: nothing listens on TCP port {remote.port} of {remote.host}"
    return f"connecting to {remote} failed: {os.strerror(error.errno) if error.errno else error}"


class ReflectingSocket:
    """A UDP port that tells arrivals with times and hop limits, and answers. Raises OSError."""

    def __init__(
        self, host: str, port: int, *, clock: Clock, on_batch: Callable[[list[Arrival]], None]
    ) -> None:
        self._clock, self._on_batch = clock, on_batch
        self._loop = asyncio.get_running_loop()
        self._sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
        try:
            self._sock.setblocking(False)
            if self._sock.family == socket.AF_INET6:
                self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._sock.bind(sockaddr(Address(host, port)))
            tell_arrivals(self._sock)
            set_hop_limit(self._sock, 255)  # RFC 8762 section 4.3
        except BaseException:
            self._sock.close()
            raise
        self.local = from_sockaddr(self._sock.getsockname())
        self._loop.add_reader(self._sock.fileno(), self._readable)

    def _readable(self) -> None:
        batch: list[Arrival] = []
        for _ in range(BATCH):
            try:
                batch.append(receive(self._sock, self._clock))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # an ICMP error about an answer of ours
        if batch:
            self._on_batch(batch)

    def send(self, data: bytes, remote: Address) -> None:
        """Best effort, as UDP is."""
        try:
            self._sock.sendto(data, sockaddr(remote))
        except (OSError, Unreachable):
            return

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
