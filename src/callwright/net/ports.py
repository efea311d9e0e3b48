"""Pairs of UDP ports for media: RTP on an even port, RTCP on the next (RFC 3550 section 11)."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import threading

from callwright.net.address import bracketed, family_of, from_sockaddr, sockaddr
from callwright.net.entropy import Entropy, system_entropy, uniform
from callwright.net.udp import enable_error_queue
from callwright.sip.transport import Address

DEFAULT_RANGE = (16_384, 32_767)
"""Below the ports that Linux gives to others by itself."""
RECEIVE_BUFFER = 256 * 1024

# socket(7): time of arrival by CLOCK_REALTIME, in nanoseconds.
SO_TIMESTAMPNS = 35


class PortsExhausted(Exception):
    """No pair is free; `reason` is a sentence with the range and how many are in use."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PortPair:
    """Two bound sockets. `local` is the address of RTP; the port of RTCP is one higher."""

    def __init__(self, ports: MediaPorts, rtp: socket.socket, rtcp: socket.socket) -> None:
        self._ports = ports
        self.rtp = rtp
        self.rtcp = rtcp
        self.local = from_sockaddr(rtp.getsockname())
        self.local_rtcp = from_sockaddr(rtcp.getsockname())
        self._closed = False

    def close(self) -> None:
        """Gives both ports back. May be repeated."""
        if not self._closed:
            self._closed = True
            self.rtp.close()
            self.rtcp.close()
            self._ports.returned()


class MediaPorts:
    """A range of ports and what of it is in use. Safe to use from any thread.

    `low` and `high` are the first and the last port that may be used. Raises ValueError when no pair fits.
    `dscp` marks what is sent, 46 (expedited forwarding, RFC 3246) as phones do, since a network that looks at
    it would else be measured worse than it is.
    """

    def __init__(
        self,
        low: int = DEFAULT_RANGE[0],
        high: int = DEFAULT_RANGE[1],
        entropy: Entropy = system_entropy,
        *,
        dscp: int = 46,
    ) -> None:
        first = low + low % 2
        if not 1 <= low <= high <= 65_535 or first + 1 > high:
            raise ValueError(
                f"{low}-{high} holds no pair of ports for RTP (an even port) and RTCP (the next)"
            )
        self.low = low
        self.high = high
        self._first = first
        self.pairs = (high - first + 1) // 2
        self._next = uniform(entropy, self.pairs)
        self._in_use = 0
        self._traffic_class = dscp << 2
        self._lock = threading.Lock()

    @property
    def in_use(self) -> int:
        """Pairs that are open."""
        return self._in_use

    def open(self, host: str) -> PortPair:
        """Opens the next free pair on a local numeric host; one given back is taken again last.

        Raises PortsExhausted, or OSError when the host is not an address of ours.
        """
        with self._lock:
            for _ in range(self.pairs):
                port = self._first + 2 * self._next
                self._next = (self._next + 1) % self.pairs
                pair = self._try(host, port)
                if pair is not None:
                    self._in_use += 1
                    return pair
            raise PortsExhausted(
                f"no free pair of RTP ports is left in {self.low}-{self.high} on {host}: "
                f"{self._in_use} of {self.pairs} pairs are in use by calls"
                + ("" if self._in_use >= self.pairs else ", the others by other programs")
            )

    def returned(self) -> None:
        """A pair was closed."""
        with self._lock:
            self._in_use -= 1

    def _mark(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):  # some systems permit it to few
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, self._traffic_class)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, self._traffic_class)

    def _try(self, host: str, port: int) -> PortPair | None:
        opened: list[socket.socket] = []
        try:
            for number in (port, port + 1):
                sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
                opened.append(sock)
                sock.setblocking(False)
                if sock.family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind(sockaddr(Address(host, number)))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                self._mark(sock)
                if sys.platform == "linux":
                    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                    enable_error_queue(sock)
        except OSError as error:
            for sock in opened:
                sock.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return None
            if error.errno == errno.EADDRNOTAVAIL:
                where = bracketed((host, port))
                raise OSError(
                    error.errno, f"RTP cannot be opened on {where}: not an address of ours"
                ) from error
            raise
        return PortPair(self, *opened)


def free_tcp_port(host: str) -> int:
    """The same of TCP."""
    with socket.socket(family_of(host), socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


def free_udp_port(host: str) -> int:
    """A UDP port of `host` that is free now; open it at once. Raises OSError."""
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])
