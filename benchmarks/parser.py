"""Microseconds per INVITE of the message parser, on the native scanner and on its pure twin.

python -m benchmarks.parser
"""

from __future__ import annotations

import importlib
import sys
import timeit
from types import ModuleType
from typing import Any

from callwright.sip import message, scan
from callwright.sip.message import parse_datagram

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


def native() -> ModuleType | None:
    """The native scanner, None where it was not built."""
    try:
        return importlib.import_module("callwright.sip._scan")
    except ImportError:
        return None


def measure(twin: ModuleType, rounds: int = 9, number: int = 5000) -> float:
    """The best of some rounds, in microseconds: what is more is the machine's noise."""
    parser: Any = message
    before = parser.scan, parser.read_sound
    parser.scan, parser.read_sound = twin.scan, twin.read_sound
    try:
        return min(timeit.repeat(lambda: parse_datagram(INVITE), number=number, repeat=rounds)) / number * 1e6
    finally:
        parser.scan, parser.read_sound = before


def main() -> int:
    for name, twin in (("pure", scan), ("native", native())):
        if twin is not None:
            print(f"{name}: {measure(twin):.2f} µs per INVITE of 13 headers, {len(INVITE)} octets")
    return 0


if __name__ == "__main__":
    sys.exit(main())
