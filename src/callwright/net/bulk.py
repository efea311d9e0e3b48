"""UDP sockets of Linux for traffic in bulk: large buffers, for a reader that takes many datagrams at once."""

from __future__ import annotations

import contextlib
import errno
import socket

from callwright.net.address import family_of, sockaddr
from callwright.net.ports import SO_TIMESTAMPNS
from callwright.net.udp import enable_error_queue
from callwright.sip.transport import Address

__all__ = ["bind_one_of", "open_sockets"]

# linux/socket.h and linux/udp.h; CPython does not export them.
_SO_RXQ_OVFL = 40
_UDP_GRO = 104
_SO_RCVBUFFORCE = 33
_SO_SNDBUFFORCE = 32
_BUFFER = 32 * 1024 * 1024


def open_sockets(
    local: Address, remote: Address | None, *, share_port: bool = False
) -> tuple[socket.socket, ...]:
    """One that is connected to `remote` and one for all others on the same port, or, without it, one.

    A connected socket needs no look at the routing table for each datagram, and gets ICMP errors everywhere.
    `share_port`: other processes may bind it too (SO_REUSEPORT). Raises OSError.
    """
    shared = share_port or remote is not None
    first = _bound(local, shared, connect=remote)
    if remote is None:
        return (first,)
    host, port = first.getsockname()[:2]
    try:
        return first, _bound(Address(host, port), shared)
    except OSError:
        first.close()
        raise


def _bound(local: Address, shared: bool, *, connect: Address | None = None) -> socket.socket:
    sock = socket.socket(family_of(local.host), socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _enlarge(sock)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        enable_error_queue(sock)
        sock.bind(sockaddr(local))
        if connect is not None:
            sock.connect(sockaddr(connect))
    except OSError:
        sock.close()
        raise
    return sock


def bind_one_of(host: str, low: int, high: int) -> socket.socket:
    """The first free even port of a range, for RTP of many streams. Raises OSError.

    The kernel may hand over several packets of one flow in one piece (UDP_GRO, udp(7)), each as long as its
    control message says, with the time of arrival.
    """
    for port in range(low + low % 2, high + 1, 2):
        sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind(sockaddr(Address(host, port)))
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise
        _enlarge(sock)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        with contextlib.suppress(OSError):  # a kernel before 5.0
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        return sock
    raise OSError(errno.EADDRINUSE, f"no RTP port is free in {low}-{high} on {host}")


def _enlarge(sock: socket.socket) -> None:
    """Buffers as large as the kernel permits; larger than its limit where we may."""
    for option, force in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
        for one in (option, force):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, one, _BUFFER)
