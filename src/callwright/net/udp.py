"""UDP sockets for SIP: batches in, datagrams out, and the errors of the network told to whoever sent.

An unconnected UDP socket normally never learns that its datagram was refused. On Linux the kernel keeps the
ICMP errors, with the address each datagram was going to, in the socket's error queue (IP_RECVERR, ip(7)).
Elsewhere we send through sockets that share the port and are connected to one destination each, which do
get the error.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from callwright.net.address import (
    WILDCARDS,
    Unreachable,
    bracketed,
    family_of,
    from_sockaddr,
    sockaddr,
    source_address,
)
from callwright.sip.transport import Address

try:  # the native room, where it was built
    from callwright.net._batch import MOST, receive_from
except ImportError:
    receive_from = None  # type: ignore[assignment]

BATCH = 64
"""Datagrams read in one turn of the loop, so that a flood cannot keep timers and calls waiting."""
LARGEST_DATAGRAM = 65_507
RECEIVE_BUFFER = 4 * 1024 * 1024
WAITING_LIMIT = 1024
PEER_LIMIT = 64

# ip(7), ipv6(7), <linux/errqueue.h>: CPython does not export all of these.
_IP_PKTINFO = 8
_IP_MTU_DISCOVER = 10
_IP_RECVERR = 11
_IPV6_MTU_DISCOVER = 23
_IPV6_RECVERR = 25
_IPV6_RECVPKTINFO = 49
_IPV6_PKTINFO = 50
_PMTUDISC_DONT = 0
_MSG_ERRQUEUE = 0x2000
_ORIGIN_LOCAL = 1
_ORIGIN_ICMP = 2
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_IN_PKTINFO = struct.Struct("=I4s4s")
_IN6_PKTINFO = struct.Struct("=16sI")

ErrorReports = Literal["error-queue", "connected", "none"]


def error_reports_here() -> ErrorReports:
    """How ICMP errors are learned on this platform."""
    return "error-queue" if sys.platform == "linux" else "connected"


class Datagram(NamedTuple):
    data: bytes
    remote: Address
    local: Address


class SendFailed(Exception):
    """A datagram that could not leave; `reason` is a sentence for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refusal(code: int, remote: Address, offender: str | None = None) -> str:
    """What an errno about a UDP destination means, as a sentence."""
    by = f", says {offender}" if offender and offender != remote.host else ""
    match code:
        case errno.ECONNREFUSED:
            return f"connection refused: nothing listens on UDP port {remote.port} of {remote.host}{by}"
        case errno.EHOSTUNREACH | errno.EHOSTDOWN:
            return f"host unreachable: {remote.host} cannot be reached{by}"
        case errno.ENETUNREACH:
            return f"network unreachable: there is no route to {remote.host}{by}"
        case errno.EACCES | errno.EPERM:
            return f"forbidden: sending to {bracketed(remote)} is refused by a firewall{by}"
        case errno.EMSGSIZE:
            return f"too big: the datagram to {bracketed(remote)} does not fit; use TCP"
        case errno.EADDRNOTAVAIL:
            return f"the local address cannot be used to reach {remote.host}"
        case errno.EINVAL:
            return f"the local address has no way to {bracketed(remote)} (loopback reaches loopback only)"
    return f"sending to {bracketed(remote)} failed: {os.strerror(code)}{by}"


def parse_extended_error(levels: list[tuple[int, int, bytes]]) -> tuple[int, int, str | None] | None:
    """(errno, origin, offender) of the control messages of an error-queue read, or None without one."""
    for level, kind, data in levels:
        is_error = (level, kind) in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR))
        if not is_error or len(data) < _EXTENDED_ERROR.size:
            continue
        code, origin, *_ = _EXTENDED_ERROR.unpack_from(data)
        offender: str | None = None
        rest = data[_EXTENDED_ERROR.size :]
        if len(rest) >= 8:
            family = int.from_bytes(rest[:2], sys.byteorder)
            if family == socket.AF_INET:
                offender = str(ipaddress.IPv4Address(rest[4:8]))
            elif family == socket.AF_INET6 and len(rest) >= 24:
                offender = str(ipaddress.IPv6Address(rest[8:24]))
        return code, origin, offender
    return None


def enable_error_queue(sock: socket.socket) -> None:
    """Makes the Linux kernel keep ICMP errors for `read_error_queue`."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)


def read_error_queue(sock: socket.socket, limit: int = BATCH) -> list[tuple[Address, str]]:
    """(destination, sentence) for each datagram that the network gave back.

    Left out: what sendto has told already (local origin), and what RFC 3261 section 18.4 says to ignore: TTL
    exceeded. A fragment that did not fit is the kernel's to mend, since path MTU discovery is off.
    """
    found: list[tuple[Address, str]] = []
    for _ in range(limit):
        try:
            _, control, _, name = sock.recvmsg(0, 512, _MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:
            break
        parsed = parse_extended_error(control)
        if parsed is None or not name:
            continue
        code, origin, offender = parsed
        time_exceeded = origin != _ORIGIN_LOCAL and _icmp_time_exceeded(control)
        if origin < _ORIGIN_ICMP or code == errno.EMSGSIZE or time_exceeded:
            continue
        remote = from_sockaddr(name)
        found.append((remote, refusal(code, remote, offender)))
    return found


def _icmp_time_exceeded(levels: list[tuple[int, int, bytes]]) -> bool:
    for level, _, data in levels:
        if len(data) >= _EXTENDED_ERROR.size:
            icmp_type = data[5]
            return icmp_type == (3 if level == socket.IPPROTO_IPV6 else 11)
    return False


class UdpSocket:
    """One bound UDP port on the event loop.

    `on_batch` gets the datagrams of one turn, `on_refused(remote, reason)` each destination that the network
    gave back. Raises OSError when the port cannot be bound.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        on_batch: Callable[[list[Datagram]], None],
        on_refused: Callable[[Address, str], None],
        error_reports: ErrorReports | None = None,
        sock: socket.socket | None = None,
    ) -> None:
        """`sock`: a bound one of another process, which is taken over instead of opening one."""
        self._loop = asyncio.get_running_loop()
        self._on_batch = on_batch
        self._on_refused = on_refused
        self._reports = error_reports or error_reports_here()
        self._buffer = bytearray(LARGEST_DATAGRAM + 29)
        self._view = memoryview(self._buffer)
        self._waiting: deque[tuple[bytes, Address, str]] = deque()
        self._peers: dict[Address, socket.socket] = {}
        self._routes: dict[str, str] = {}
        if sock is None and self._reports == "connected" and port:
            # Sharing the port would hide that another process has it: ask without sharing first.
            self._bind(host, port, share=False).close()
        if sock is not None:
            sock.setblocking(False)
        self._sock = sock or self._bind(host, port, share=self._reports == "connected")
        self.local = from_sockaddr(self._sock.getsockname())
        self._wildcard = self.local.host in WILDCARDS
        self._packet_info = self._wildcard and sys.platform == "linux"
        self._configure(self._sock)
        self._loop.add_reader(self._sock.fileno(), self._readable, self._sock)

    def _bind(self, host: str, port: int, *, share: bool) -> socket.socket:
        sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if share:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(sockaddr(Address(host, port)))
        except BaseException:
            sock.close()
            raise
        return sock

    def _configure(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if sys.platform != "linux":
            return
        six = sock.family == socket.AF_INET6
        level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
        # Large requests go out fragmented rather than not at all: the user chose UDP.
        sock.setsockopt(level, _IPV6_MTU_DISCOVER if six else _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        if self._reports == "error-queue":
            enable_error_queue(sock)
        if self._packet_info:
            sock.setsockopt(level, _IPV6_RECVPKTINFO if six else _IP_PKTINFO, 1)

    @property
    def sock(self) -> socket.socket:
        return self._sock

    # Receiving

    def _readable(self, sock: socket.socket) -> None:
        batch: list[Datagram] = []
        refused = False
        for _ in range(BATCH):
            try:
                if receive_from is not None and not self._wildcard:
                    taken = receive_from(sock.fileno())
                    batch += [Datagram(data, Address(*source), self.local) for data, source in taken]
                    if len(taken) < MOST or len(batch) >= BATCH:
                        break
                    continue
                batch.append(self._receive(sock))
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                refused = True
                if sock is not self._sock:
                    self._peer_refused(sock, error)
                    break
        if batch:
            self._on_batch(batch)
        if self._reports == "error-queue" and (refused or not batch):
            self._tell_refused()

    def _receive(self, sock: socket.socket) -> Datagram:
        if self._packet_info:
            size, control, _, name = sock.recvmsg_into([self._view], 128)
            remote = from_sockaddr(name)
            local_host = self._destination(control) or self._route(remote.host)
            local = Address(local_host, self.local.port)
        else:
            size, name = sock.recvfrom_into(self._view)
            remote = from_sockaddr(name)
            local = Address(self._route(remote.host), self.local.port) if self._wildcard else self.local
        return Datagram(bytes(self._view[:size]), remote, local)

    def _destination(self, control: list[tuple[int, int, bytes]]) -> str | None:
        for level, kind, data in control:
            if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= _IN_PKTINFO.size:
                return str(ipaddress.IPv4Address(data[8:12]))
            if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO) and len(data) >= _IN6_PKTINFO.size:
                address = ipaddress.IPv6Address(data[:16])
                if address.is_link_local:
                    return f"{address}%{socket.if_indextoname(int.from_bytes(data[16:20], sys.byteorder))}"
                return str(address)
        return None

    def _route(self, host: str) -> str:
        source = self._routes.get(host)
        if source is None:
            try:
                source = source_address(host)
            except Unreachable:
                source = self.local.host
            if len(self._routes) > 4096:
                self._routes.clear()
            self._routes[host] = source
        return source

    def _tell_refused(self) -> None:
        for remote, reason in read_error_queue(self._sock):
            self._on_refused(remote, reason)

    # Sending

    def send(self, data: bytes, remote: Address, source: str) -> None:
        """Sends one datagram; `source` is the local host it shall come from where the socket has several.

        When the kernel's buffer is full the datagram waits for room. Raises SendFailed with a sentence.
        """
        if len(data) > LARGEST_DATAGRAM:
            raise SendFailed(
                f"too big: a message of {len(data):,} bytes does not fit in a UDP datagram "
                f"(at most {LARGEST_DATAGRAM:,}); use TCP"
            )
        if self._waiting:
            self._wait(data, remote, source)
            return
        try:
            self._send_now(data, remote, source)
        except (BlockingIOError, InterruptedError):
            self._wait(data, remote, source)

    def _send_now(self, data: bytes, remote: Address, source: str) -> None:
        try:
            self._transmit(data, remote, source)
        except (BlockingIOError, InterruptedError):
            raise
        except Unreachable as error:
            raise SendFailed(error.reason) from None
        except OSError:
            # It may be an ICMP error about an earlier datagram, to another place: the kernel reports that at
            # the next call, whichever it is. Asked again, it tells about this one.
            try:
                self._transmit(data, remote, source)
            except (BlockingIOError, InterruptedError):
                raise
            except OSError as error:
                raise SendFailed(refusal(error.errno or 0, remote)) from error

    def _transmit(self, data: bytes, remote: Address, source: str) -> None:
        if self._reports == "connected":
            self._peer(remote).send(data)
        elif self._packet_info and source and source not in WILDCARDS:
            self._sock.sendmsg([data], [self._packet_info_for(source)], 0, sockaddr(remote))
        else:
            self._sock.sendto(data, sockaddr(remote))

    def _packet_info_for(self, source: str) -> tuple[int, int, bytes]:
        bare = source.split("%", 1)[0]
        packed = ipaddress.ip_address(bare).packed
        if len(packed) == 4:
            return socket.IPPROTO_IP, _IP_PKTINFO, _IN_PKTINFO.pack(0, packed, bytes(4))
        return socket.IPPROTO_IPV6, _IPV6_PKTINFO, _IN6_PKTINFO.pack(packed, 0)

    def _wait(self, data: bytes, remote: Address, source: str) -> None:
        if len(self._waiting) >= WAITING_LIMIT:
            raise SendFailed(f"the send buffer is full: {WAITING_LIMIT:,} datagrams wait on this machine")
        if not self._waiting:
            self._loop.add_writer(self._sock.fileno(), self._writable)
        self._waiting.append((data, remote, source))

    def _writable(self) -> None:
        while self._waiting:
            data, remote, source = self._waiting[0]
            try:
                self._send_now(data, remote, source)
            except (BlockingIOError, InterruptedError):
                return
            except SendFailed as error:
                self._waiting.popleft()
                self._on_refused(remote, error.reason)
                continue
            self._waiting.popleft()
        self._loop.remove_writer(self._sock.fileno())

    # Where there is no error queue: one connected socket per destination, on the same port

    def _peer(self, remote: Address) -> socket.socket:
        sock = self._peers.pop(remote, None)
        if sock is None:
            while len(self._peers) >= PEER_LIMIT:
                self._forget_peer(next(iter(self._peers)))
            sock = self._bind(self.local.host, self.local.port, share=True)
            try:
                sock.connect(sockaddr(remote))
                self._configure(sock)
            except BaseException:
                sock.close()
                raise
            self._loop.add_reader(sock.fileno(), self._readable, sock)
        self._peers[remote] = sock  # last used, last dropped
        return sock

    def _peer_refused(self, sock: socket.socket, error: OSError) -> None:
        remote = next((name for name, peer in self._peers.items() if peer is sock), None)
        if remote is not None:
            self._on_refused(remote, refusal(error.errno or 0, remote))

    def _forget_peer(self, remote: Address) -> None:
        sock = self._peers.pop(remote)
        self._loop.remove_reader(sock.fileno())
        sock.close()

    def close(self) -> None:
        """Sends what waits if the kernel takes it at once, and closes."""
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        for data, remote, source in self._waiting:
            try:
                self._send_now(data, remote, source)
            except (BlockingIOError, InterruptedError, SendFailed):
                break
        self._waiting.clear()
        for remote in list(self._peers):
            self._forget_peer(remote)
        self._sock.close()


def address_in_use(error: OSError, transport: str, address: tuple[Any, ...]) -> str:
    """The sentence for a port that could not be opened."""
    where = f"{transport} port {bracketed((str(address[0]), int(address[1])))}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is in use by another program"
        case errno.EADDRNOTAVAIL:
            return f"{where} cannot be opened: {address[0]} is not an address of this machine"
        case errno.EACCES | errno.EPERM:
            return f"{where} cannot be opened: permission denied (ports below 1024 need privileges)"
    return f"{where} cannot be opened: {os.strerror(error.errno or 0)}"
