"""A peer of a few lines, for what no real one would do: it answers requests by a function of the test."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tests.interop.peers import LOOPBACK

Answer = Callable[["ScriptedPeer", str, tuple[str, int]], Sequence[bytes]]


def header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*?)\r?$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def response(request: str, status: str, body: bytes = b"", extra: Sequence[str] = ()) -> bytes:
    """A response to `request` with a To tag, and the SDP `body` if any."""
    vias = re.findall(r"^Via: *(.*?)\r?$", request, re.MULTILINE)
    lines = [f"SIP/2.0 {status}", *(f"Via: {via}" for via in vias)]
    to = header(request, "To")
    lines += [f"From: {header(request, 'From')}", f"To: {to if ';tag=' in to else to + ';tag=peer'}"]
    lines += [f"Call-ID: {header(request, 'Call-ID')}", f"CSeq: {header(request, 'CSeq')}", *extra]
    if body:
        lines.append("Content-Type: application/sdp")
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def sdp(port: int | str, payload_types: str = "0", more: str = "") -> bytes:
    text = f"v=0\r\no=- 1 1 IN IP4 {LOOPBACK}\r\ns=-\r\nc=IN IP4 {LOOPBACK}\r\nt=0 0\r\n"
    return f"{text}m=audio {port} RTP/AVP {payload_types}\r\n{more}".encode()


class ScriptedPeer:
    """Receives SIP on UDP at `port` in a thread; every request goes to `answer`, whose octets go back."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((LOOPBACK, 0))
        self.port: int = self.socket.getsockname()[1]
        self.media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.media.bind((LOOPBACK, 0))
        self.media_port: int = self.media.getsockname()[1]
        self.received: list[str] = []
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def uri(self) -> str:
        return f"sip:sut@{LOOPBACK}:{self.port}"

    def methods(self) -> list[str]:
        return [message.split(" ", 1)[0] for message in self.received]

    def wait_for(self, method: str, seconds: float = 10.0) -> str:
        """The first request of that method, once it has come."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: method in self.methods(), seconds)
            assert arrived, f"no {method} came, only {self.methods()}"
            return self.received[self.methods().index(method)]

    def __enter__(self) -> ScriptedPeer:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.socket.sendto(b"", self.socket.getsockname())
        self._thread.join(5)
        self.socket.close()
        self.media.close()

    def _run(self) -> None:
        while True:
            data, source = self.socket.recvfrom(65_536)
            if not data:
                return
            message = data.decode("utf-8", "replace")
            with self._arrived:
                self.received.append(message)
                self._arrived.notify_all()
            for answer in self._answer(self, message, source):
                self.socket.sendto(answer, source)


def answers(status: str = "200 OK", body: bytes | None = None) -> Answer:
    """Answers INVITE with that (SDP of the peer's own media port by default), and all else with 200."""

    def answer(peer: ScriptedPeer, message: str, source: tuple[str, int]) -> Sequence[bytes]:
        method = message.split(" ", 1)[0]
        contact = [f"Contact: <sip:sut@{LOOPBACK}:{peer.port}>"]
        if method == "ACK" or message.startswith("SIP/"):
            return []
        if method == "INVITE":
            description = (sdp(peer.media_port) if body is None else body) if status[0] in "12" else b""
            return [response(message, status, description, contact)]
        return [response(message, "200 OK")]

    return answer


def rings(peer: ScriptedPeer, message: str, source: tuple[str, int]) -> Sequence[bytes]:
    """Rings, and ends a canceled call as RFC 3261 section 9.2 says."""
    method = message.split(" ", 1)[0]
    if method == "INVITE":
        return [response(message, "180 Ringing", extra=[f"Contact: <sip:sut@{LOOPBACK}:{peer.port}>"])]
    if method == "CANCEL":
        invite = next(text for text in peer.received if text.startswith("INVITE"))
        return [response(message, "200 OK"), response(invite, "487 Request Terminated")]
    return []
