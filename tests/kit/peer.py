"""A peer that is no endpoint: it says what a test writes, and remembers what it is told."""

from __future__ import annotations

from typing import TypeVar

from callwright.sip.config import EndpointConfig
from callwright.sip.endpoint import Endpoint
from callwright.sip.events import Event
from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sip.uri import NameAddr
from tests.kit.clock import Clock
from tests.kit.wire import Sent, seeded_entropy

E = TypeVar("E", bound=Event)
OURS = Address("192.0.2.1", 5060)
THEIRS = Address("192.0.2.99", 5060)
LOCAL = NameAddr.parse("<sip:alice@192.0.2.1>")


class Peer:
    """One endpoint under test, and the raw peer that talks to it."""

    def __init__(
        self,
        config: EndpointConfig | None = None,
        *,
        transport: Transport = Transport.UDP,
        ours: Address = OURS,
        theirs: Address = THEIRS,
    ) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint(config or EndpointConfig(), seeded_entropy(7))
        self.hop = PermittedHop(transport, ours, theirs)
        self.heard: list[Event] = []
        self.told: list[Sent] = []
        self.clock.timed.append(self)

    @property
    def now(self) -> float:
        """The present."""
        return self.clock.now

    def send(self, text: str, *, source: Address | None = None) -> list[Sent]:
        """Say something (lines end in LF here); returns what the endpoint says at once."""
        head, _, body = text.strip("\n").partition("\n\n")
        data = (head.replace("\n", "\r\n") + "\r\n\r\n" + body).encode()
        return self.send_raw(data, source=source)

    def send_raw(self, data: bytes, *, source: Address | None = None) -> list[Sent]:
        """Say exactly these octets."""
        hop = Hop(self.hop.transport, self.hop.local, source or self.hop.remote)
        self.endpoint.receive(data, hop, self.now)
        return self.listen()

    def listen(self) -> list[Sent]:
        """What the endpoint says now."""
        new = [
            Sent(self.now, "endpoint", data, hop, len(self.told) + index)
            for index, (data, hop) in enumerate(self.endpoint.transmissions())
        ]
        self.told += new
        self.heard += self.endpoint.events()
        return new

    def answer(
        self, request: Sent, status: int, *, tag: str = "", extra: str = "", body: str = ""
    ) -> list[Sent]:
        """Answer a request of the endpoint; `extra` are header lines."""
        lines = [f"SIP/2.0 {status} Whatever"]
        lines += [line for line in request.text.split("\r\n") if line.startswith(("Via:", "From:", "CSeq:"))]
        lines.append(f"Call-ID: {request.header('Call-ID')}")
        to = request.header("To")
        lines.append(f"To: {to};tag={tag}" if tag and "tag=" not in to else f"To: {to}")
        lines += [line for line in extra.split("\n") if line]
        lines.append(f"Content-Length: {len(body)}")
        return self.send("\n".join(lines) + "\n\n" + body)

    def one(self, kind: type[E]) -> E:
        """The only event of that kind so far."""
        self.heard += self.endpoint.events()
        found = [event for event in self.heard if isinstance(event, kind)]
        assert len(found) == 1, f"heard {self.kinds()}, not one {kind.__name__}"
        return found[0]

    def kinds(self) -> list[str]:
        """Names of all events so far."""
        self.heard += self.endpoint.events()
        return [type(event).__name__ for event in self.heard]

    def starts(self) -> list[str]:
        """The start of everything the endpoint said so far."""
        self.listen()
        return [sent.start for sent in self.told]

    # -- for the clock

    def next_due(self) -> float | None:
        """When the endpoint wants to be woken."""
        return self.endpoint.next_wake()

    def run(self, now: float) -> None:
        """Wake it."""
        self.endpoint.wake(now)
        self.listen()


def request(
    method: str,
    *,
    uri: str = "sip:alice@192.0.2.1",
    branch: str = "z9hG4bKpeer1",
    to_tag: str = "",
    from_tag: str = "peertag",
    call_id: str = "peer-call",
    cseq: int = 1,
    extra: str = "",
    body: str = "",
    cseq_method: str | None = None,
    rport: bool = True,
) -> str:
    """The text of a request of the peer."""
    via = f"SIP/2.0/UDP 192.0.2.99:5060;branch={branch}" + (";rport" if rport else "")
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: {via}",
        "Max-Forwards: 70",
        f"From: <sip:peer@192.0.2.99>;tag={from_tag}",
        f"To: <{uri}>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {cseq_method or method}",
        "Contact: <sip:peer@192.0.2.99:5060>",
    ]
    lines += [line for line in extra.split("\n") if line]
    if body and "content-type" not in extra.lower():
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body)}")
    return "\n".join(lines) + "\n\n" + body


def tag_of(sent: Sent) -> str:
    """The tag in To of a response, or of From of a request."""
    name = "To" if sent.text.startswith("SIP/2.0") else "From"
    return sent.header(name).partition("tag=")[2].partition(";")[0]
