"""A collector elsewhere that is sent datagrams, and answers none."""

from __future__ import annotations

import socket
from collections.abc import Callable

from callwright.net.address import Unreachable

__all__ = ["Collector"]


class Collector:
    """Looks its name up and opens a socket at once; raises Unreachable. What cannot be sent is dropped, and
    told once to `on_loss` as a sentence."""

    def __init__(self, host: str, port: int, *, on_loss: Callable[[str], None]) -> None:
        self._on_loss: Callable[[str], None] | None = on_loss
        self._name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind)
            self._socket.setblocking(False)
            self._socket.connect(address)
        except (OSError, UnicodeError) as error:
            raise Unreachable(host, f"{self._name} cannot be sent to: {error}.") from None

    def send(self, datagram: bytes) -> None:
        try:
            self._socket.send(datagram)
        except OSError as error:
            if self._on_loss is not None:
                self._on_loss(f"{self._name} does not take what is sent to it: {error.strerror or error}.")
                self._on_loss = None

    def close(self) -> None:
        self._socket.close()
