"""What the tests of the wire format share: an ordinary INVITE, and the torture set."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

TORTURE = Path(__file__).resolve().parents[1] / "data" / "torture"

INVITE = (
    b"INVITE sip:bob@biloxi.example.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKnashds8;rport\r\n"
    b"Max-Forwards: 70\r\n"
    b"To: Bob <sip:bob@biloxi.example.com>\r\n"
    b'From: "Alice" <sip:alice@atlanta.example.com>;tag=1928301774\r\n'
    b"Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n"
    b"CSeq: 314159 INVITE\r\n"
    b"Contact: <sip:alice@192.0.2.10:5060;transport=udp>\r\n"
    b"Allow: INVITE, ACK, CANCEL, OPTIONS, BYE\r\n"
    b"Supported: replaces, timer\r\n"
    b"User-Agent: Callwright/0.1\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 5\r\n"
    b"\r\n"
    b"v=0\r\n"
)


def changed(old: bytes, new: bytes, message: bytes = INVITE) -> bytes:
    """The message with one piece replaced, which must be there."""
    assert old in message
    return message.replace(old, new, 1)


def without(header: bytes, message: bytes = INVITE) -> bytes:
    """The message without the lines of that header."""
    head, gap, body = message.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(header.lower() + b":")]
    return b"\r\n".join(lines) + gap + body


@dataclass(frozen=True)
class TortureCase:
    """One line of the index, with its message."""

    name: str
    parser_expect: str
    element_expect: str
    data: bytes

    @property
    def must_be_refused(self) -> bool:
        """True where the parser has to refuse ("must not break" is also said of what an element refuses)."""
        if self.name in ("insuf", "multi01"):
            return True
        return self.parser_expect.startswith("reject") or self.parser_expect == "error"

    @property
    def either_is_right(self) -> bool:
        """True where it may be refused or taken."""
        return self.parser_expect.startswith("either")


def torture_cases() -> list[TortureCase]:
    """All 62."""
    with (TORTURE / "index.csv").open(newline="") as index:
        return [
            TortureCase(
                row["name"],
                row["parser_expect"],
                row["element_expect"],
                (TORTURE / row["file"]).read_bytes(),
            )
            for row in csv.DictReader(index)
        ]


def torture(name: str) -> bytes:
    """The octets of one torture message."""
    return next(case.data for case in torture_cases() if case.name == name)
