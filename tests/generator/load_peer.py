"""A far end on a loopback port that a test scripts by hand, and the loop that it is tried on."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

from callwright.generator.loop import LoopConfig, compile_message, native_loop, networks_of
from callwright.generator.names import COUNTERS
from callwright.load.messages import Wording, answerer_messages, caller_messages
from callwright.sip.transport import Address

__all__ = ["Peer", "compile_message", "counts", "gathered", "header", "inside", "loop_to", "until"]

SALT = 0x0BADCAFE
SEED = bytes(range(16))


class Peer:
    """Receives what a loop sends, and answers what a test says."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.address = Address(*self.sock.getsockname())
        self.source: Any = None

    def take(self) -> list[bytes]:
        found: list[bytes] = []
        while True:
            try:
                data, self.source = self.sock.recvfrom(65536)
            except BlockingIOError:
                return found
            found.append(data)

    def respond(
        self, request: bytes, status: str, *, tag: str = "far", extra: str = "", body: str = ""
    ) -> None:
        """A response to that request, its headers copied."""
        text = request.decode()
        copied = "".join(
            f"{line}\r\n" for line in re.findall(r"^(?:Via|From|Call-ID|CSeq): .*?(?=\r)", text, re.M)
        )
        to = re.search(r"^To: (.*?)\r", text, re.M)
        assert to is not None
        value = to[1] if ";tag=" in to[1] or not tag else f"{to[1]};tag={tag}"
        self.send(
            f"SIP/2.0 {status}\r\n{copied}To: {value}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def contact(self) -> str:
        return f"Contact: <sip:far@127.0.0.1:{self.address.port}>\r\n"

    def send(self, text: str) -> None:
        self.sock.sendto(text.encode(), self.source)

    def close(self) -> None:
        self.sock.close()


def header(message: bytes, name: str) -> str:
    found = re.search(rf"^{name}: (.*?)\r", message.decode(), re.MULTILINE)
    assert found is not None, f"no {name} in {message!r}"
    return found[1]


def inside(peer: Peer, invite: bytes, method: str, cseq: int, body: str = "") -> str:
    """A request of the far end within the dialog of that INVITE."""
    return (
        f"{method} {header(invite, 'Contact').strip('<>')} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{peer.address.port};branch=z9hG4bKfar{cseq}\r\n"
        f"From: {header(invite, 'To')};tag=far\r\nTo: {header(invite, 'From')}\r\n"
        f"Call-ID: {header(invite, 'Call-ID')}\r\nCSeq: {cseq} {method}\r\n{peer.contact()}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def loop_to(peer: Peer | None, words: Any = None, **more: Any) -> Any:
    """A loop that calls the peer, or that answers when there is none. `words`: of its messages."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    local = f"127.0.0.1:{port}"
    if peer is not None:
        words = Wording(
            local=local,
            salt=SALT,
            target=f"sip:x@127.0.0.1:{peer.address.port}",
            caller=f"sip:me@{local}",
            **words or {},
        )
        messages = caller_messages(words)
    else:
        messages = answerer_messages(Wording(local=local, salt=SALT, **words or {}))
    settings: dict[str, Any] = {
        "local": Address("127.0.0.1", port),
        "remote": peer.address if peer is not None else None,
        "salt": SALT,
        "seed": SEED,
        "messages": messages,
        "caller": peer is not None,
        "answerer": peer is None,
        "networks": networks_of(["127.0.0.0/8"]),
        "quiet": 0.05,
        "rate": 1000.0,
        "calls": 1,
    }
    return native_loop()(LoopConfig(**settings | more))


def gathered(into: list[bytes], more: list[bytes], enough: int) -> bool:
    into.extend(more)
    return len(into) >= enough


def counts(loop: Any) -> dict[str, int]:
    """What is not zero, but what differs from run to run."""
    timing = {"turns", "cpu_ns", "latest_us", "late"}
    return {name: n for name, n in zip(COUNTERS, loop.counters(), strict=True) if n and name not in timing}


def until(loop: Any, condition: Callable[[], Any], seconds: float = 3.0) -> Any:
    """Runs the loop in slices until the condition holds; what it gave."""
    for _ in range(int(seconds / 0.01)):
        done = loop.run(0.01)
        found = condition()
        if found:
            return found
        if done:
            break
    found = condition()
    assert found, f"it never came to that: {counts(loop)}"
    return found
