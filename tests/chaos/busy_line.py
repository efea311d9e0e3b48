"""A telephone that rings for a moment and is busy then, and writes down who was called how often."""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from typing import Self

RINGS = 0.15  # seconds


class BusyLine:
    """`calls`: number that was dialled -> the Call-IDs it was dialled with; a repeated INVITE is the same
    call. `first`: when it was dialled first, in monotonic seconds."""

    def __init__(self, rings: float = RINGS) -> None:
        self.first: dict[str, float] = {}
        self._rings = rings
        self.calls: dict[str, set[str]] = defaultdict(set)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                data, source = self._socket.recvfrom(65_535)
            except OSError:
                return
            head = data.partition(b"\r\n\r\n")[0].decode("utf-8", "replace").split("\r\n")
            method, uri = head[0].split()[:2]
            if method == "INVITE":
                headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
                number = uri.partition(":")[2].partition("@")[0]
                self.first.setdefault(number, time.monotonic())
                self.calls[number].add(headers["Call-ID"])
                self._answer(head, source, "180 Ringing")
                later = threading.Timer(self._rings, self._answer, (head, source, "486 Busy Here"))
                later.daemon = True
                later.start()
            elif method != "ACK":
                self._answer(head, source, "200 OK")

    def _answer(self, head: list[str], source: tuple[str, int], status: str) -> None:
        copied = [line for line in head[1:] if line.partition(":")[0] in ("Via", "From", "Call-ID", "CSeq")]
        to = next(line for line in head if line.startswith("To:"))
        lines = [f"SIP/2.0 {status}", *copied, to if ";tag=" in to else f"{to};tag=busy", "Content-Length: 0"]
        try:
            self._socket.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), source)
        except OSError:
            return  # it is closed
