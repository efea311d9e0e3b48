"""Telephones that write down who was called how often: busy after a moment, or answered and held."""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Self

RINGS = 0.15  # seconds


class BusyLine:
    """`calls`: number that was dialled -> the Call-IDs it was dialled with; a repeated INVITE is the same
    call. `first`: when it was dialled first, `ended`: when CANCEL or BYE came, in monotonic seconds. `up`:
    Call-IDs of those neither refused nor ended, and their numbers; `placed`: when each came, repetitions not
    counted; `over`: when each ended, whoever ended it.

    A number that begins with `answer` is answered and held, one with `ring` rings on; others are busy.
    """

    def __init__(self, rings: float = RINGS) -> None:
        self.first: dict[str, float] = {}
        self.up: dict[str, str] = {}
        self.placed: list[float] = []
        self.over: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._numbers: dict[str, str] = {}  # Call-ID -> what was dialled
        self._invites: dict[str, list[str]] = {}  # Call-ID -> the INVITE's lines
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
                if headers["Call-ID"] not in self.calls[number]:
                    self.placed.append(time.monotonic())
                    self.up[headers["Call-ID"]] = number
                self.calls[number].add(headers["Call-ID"])
                self._numbers[headers["Call-ID"]], self._invites[headers["Call-ID"]] = number, head
                self._answer(head, source, "180 Ringing")
                if number.startswith("answer"):
                    self._answer(head, source, "200 OK", self._session)
                if number.startswith(("answer", "ring")):
                    continue
                later = threading.Timer(self._rings, self._refuse, (head, source, headers["Call-ID"]))
                later.daemon = True
                later.start()
            elif method != "ACK":
                if method in ("BYE", "CANCEL"):
                    call = next(line.partition(": ")[2] for line in head if line.startswith("Call-ID"))
                    self.ended.setdefault(self._numbers[call], time.monotonic())
                    self._end(call)
                self._answer(head, source, "200 OK")
                if method == "CANCEL":
                    self._answer(self._invites[call], source, "487 Request Terminated")

    def _refuse(self, head: list[str], source: tuple[str, int], call: str) -> None:
        self._end(call)
        self._answer(head, source, "486 Busy Here")

    def _end(self, call: str) -> None:
        self.over.setdefault(call, time.monotonic())
        self.up.pop(call, None)

    def left_up(self, calls: Iterable[str], since: float, seconds: float) -> dict[str, str]:
        """Those of these calls that were not over so many seconds after that moment, with their numbers;
        waits until it is known."""
        while (
            left := [call for call in calls if call not in self.over]
        ) and time.monotonic() < since + seconds:
            time.sleep(0.02)
        late = [call for call in calls if self.over.get(call, since) > since + seconds]
        return {call: self._numbers[call] for call in (*left, *late)}

    @property
    def _session(self) -> str:
        """An answer whose audio goes where nobody listens."""
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            "m=audio 40009 RTP/AVP 0\r\n"
        )

    def _answer(self, head: list[str], source: tuple[str, int], status: str, body: str = "") -> None:
        copied = [line for line in head[1:] if line.partition(":")[0] in ("Via", "From", "Call-ID", "CSeq")]
        to = next(line for line in head if line.startswith("To:"))
        lines = [f"SIP/2.0 {status}", *copied, to if ";tag=" in to else f"{to};tag=busy"]
        lines.append(f"Contact: <sip:127.0.0.1:{self.port}>")
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        try:
            self._socket.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), source)
        except OSError:
            return  # it is closed
