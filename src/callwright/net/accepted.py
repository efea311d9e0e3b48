"""Connections that this process has accepted, whoever holds them: seen, and ended, by their descriptors.

The web server of the workers tells nobody of a connection before the head of a request has come.
"""

from __future__ import annotations

import os
import socket
import stat
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
    """A copy of its own of the descriptor, so that it cannot become another one meanwhile.

    Only of a socket: a process that closes any copy of a file's descriptor loses all of its locks on the
    file (POSIX), and a database that two processes write at once is malformed.
    """
    copy = None
    with suppress(OSError):  # it has ended meanwhile
        if _is_socket(descriptor):
            copy = os.dup(descriptor)
    if copy is None or not _is_socket(copy):  # a copy that became a file meanwhile stays open
        yield None
        return
    with socket.socket(fileno=copy) as connection:
        yield connection


def _is_socket(descriptor: int) -> bool:
    return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
