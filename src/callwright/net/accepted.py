"""Connections that this process has accepted, whoever holds them: seen, and ended, by their descriptors.

The web server of the workers tells nobody of a connection before the head of a request has come.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

__all__ = ["end", "peers"]

_DESCRIPTORS = "/dev/fd"  # of Linux and macOS
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def peers(port: int) -> dict[int, tuple[str, int]]:
    """Descriptor to the (host, port) of the peer, of all connections that came to `port` of this machine."""
    found = {}
    try:
        names = os.listdir(_DESCRIPTORS)
    except OSError:
        return {}
    for name in names:
        with _connection(int(name)) as connection:
            if connection is None or connection.family not in _FAMILIES:
                continue
            with suppress(OSError):  # it listens, or has ended meanwhile
                if connection.getsockname()[1] == port:
                    host, peer_port = connection.getpeername()[:2]
                    found[int(name)] = (host, peer_port)
    return found


def end(descriptors: Mapping[int, tuple[str, int]]) -> None:
    """Ends connections both ways. A descriptor that has another peer by now is left alone."""
    for descriptor, peer in descriptors.items():
        with _connection(descriptor) as connection, suppress(OSError):
            if connection is not None and connection.getpeername()[:2] == peer:
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def _connection(descriptor: int) -> Iterator[socket.socket | None]:
    """A copy of its own of the descriptor, so that it cannot become another one meanwhile."""
    try:
        copy = os.dup(descriptor)
    except OSError:
        yield None
        return
    try:
        connection = socket.socket(fileno=copy)
    except OSError:  # a file, a pipe
        os.close(copy)
        yield None
        return
    with connection:
        yield connection
