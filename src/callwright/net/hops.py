"""Datagrams with a hop limit, and the ICMP errors about them: without privilege where the kernel keeps those
for the socket (Linux, IP_RECVERR)."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
import time
from collections.abc import Callable

from callwright.net.address import family_of, from_sockaddr, sockaddr
from callwright.net.clock import Clock
from callwright.net.exchange import BATCH, arrived_ago, set_hop_limit, tell_arrivals
from callwright.net.udp import SendFailed, enable_error_queue, parse_extended_error, refusal
from callwright.sip.transport import Address

_MSG_ERRQUEUE = 0x2000

OnAnswer = Callable[[int, str, float, bool], None]
"""Port of the datagram, who answered, `now`, and whether the way ends there."""


class NoHops(Exception):
    """This system does not tell a process who answers; the text is a sentence."""


class HopSocket:
    """To one host. Raises NoHops, OSError."""

    def __init__(self, host: str, *, clock: Clock, on_answer: OnAnswer, bind: str | None = None) -> None:
        if sys.platform != "linux":
            raise NoHops("The path can be traced only on Linux.")
        self._host, self._clock, self._on_answer = host, clock, on_answer
        self._loop = asyncio.get_running_loop()
        self._sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
        try:
            self._sock.setblocking(False)
            if bind is not None:
                self._sock.bind(sockaddr(Address(bind, 0)))
            enable_error_queue(self._sock)
            tell_arrivals(self._sock)
        except BaseException:
            self._sock.close()
            raise
        self._loop.add_reader(self._sock.fileno(), self._readable)

    def send(self, data: bytes, port: int, hop_limit: int) -> None:
        """Raises SendFailed."""
        remote = Address(self._host, port)
        set_hop_limit(self._sock, hop_limit)
        for last in (False, True):
            try:
                self._sock.sendto(data, sockaddr(remote))
                return
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # It may be an error about an earlier datagram, which the kernel tells at the next call.
                if last:
                    raise SendFailed(refusal(error.errno or 0, remote)) from None
                self._readable()

    def _readable(self) -> None:
        for _ in range(BATCH):
            try:
                _, control, _, name = self._sock.recvmsg(0, 512, _MSG_ERRQUEUE | socket.MSG_DONTWAIT)
            except OSError:
                break
            parsed = parse_extended_error(control)
            if parsed is None or parsed[2] is None or not name:
                continue
            code, _, offender = parsed
            exceeded = code == errno.EHOSTUNREACH and _time_exceeded(control)
            now = self._clock.now() - arrived_ago(control, time.time())
            self._on_answer(from_sockaddr(name).port, offender or "", now, not exceeded)
        try:
            self._sock.recv(2048)  # somebody listens there after all
        except OSError:
            return

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()


def _time_exceeded(levels: list[tuple[int, int, bytes]]) -> bool:
    """RFC 792 and RFC 4443: types 11 and 3. The sixth octet of an extended error is the type, ip(7)."""
    return any(
        len(data) >= 16 and data[5] == (3 if level == socket.IPPROTO_IPV6 else 11)
        for level, kind, data in levels
        if (level, kind) in ((socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25))
    )
