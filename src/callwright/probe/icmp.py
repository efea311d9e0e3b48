"""ICMP echo as octets (RFC 792, RFC 4443), without the IP header; and what its errors say."""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct("!BBHHH")
_ECHO = {4: (8, 0), 6: (128, 129)}
_UNREACHABLE, _TIME_EXCEEDED = {4: 3, 6: 1}, {4: 11, 6: 3}
_WHY_4 = {
    0: "its network is unreachable",
    1: "the host is unreachable",
    3: "nothing listens on the port",
    4: "the packet is too big for the way",
    9: "its network is closed by an administrator",
    10: "the host is closed by an administrator",
    13: "a firewall forbids it",
}
_WHY_6 = {
    0: "there is no route to it",
    1: "a firewall forbids it",
    3: "the host is unreachable",
    4: "nothing listens on the port",
    5: "a firewall forbids the source address",
    6: "its network refuses the way",
}


class Echo(NamedTuple):
    """An echo reply."""

    identifier: int
    sequence: int
    payload: bytes


class GivenBack(NamedTuple):
    """An error about an echo request of ours: `reason` ends a sentence that begins with the target."""

    identifier: int
    sequence: int
    reason: str
    time_exceeded: bool


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    words: tuple[int, ...] = struct.unpack(f"!{len(data) // 2}H", data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(version: int, identifier: int, sequence: int, payload: bytes) -> bytes:
    """The kernel adds the checksum of version 6, which covers addresses that only it knows."""
    kind = _ECHO[version][0]
    bare = _HEADER.pack(kind, 0, 0, identifier, sequence & 0xFFFF) + payload
    if version == 6:
        return bare
    return _HEADER.pack(kind, 0, checksum(bare), identifier, sequence & 0xFFFF) + payload


def why(version: int, kind: int, code: int) -> tuple[str, bool] | None:
    """What an ICMP error means, and whether a hop limit caused it; None: it is no error about the way."""
    if kind == _TIME_EXCEEDED[version]:
        return "the way is longer than its hop limit, or a loop", True
    if kind == _UNREACHABLE[version]:
        reasons = _WHY_4 if version == 4 else _WHY_6
        return reasons.get(code, f"it is unreachable (ICMP code {code})"), False
    return None


def read(version: int, data: bytes) -> Echo | GivenBack | None:
    """An ICMP message as it came; None: nothing that answers an echo request. Never raises."""
    if len(data) < _HEADER.size:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(data)
    if kind == _ECHO[version][1]:
        return Echo(identifier, sequence, data[_HEADER.size :])
    reason = why(version, kind, code)
    if reason is None:
        return None
    inner = _inner(version, data[_HEADER.size :])
    if inner is None:
        return None
    return GivenBack(*inner, *reason)


def _inner(version: int, packet: bytes) -> tuple[int, int] | None:
    """Identifier and sequence of the echo request that an error quotes with its IP header."""
    start = 40
    if version == 4:
        if not packet or packet[0] >> 4 != 4:
            return None
        start = (packet[0] & 0x0F) * 4
        if start < 20 or len(packet) < 10 or packet[9] != 1:
            return None
    elif len(packet) < 7 or packet[0] >> 4 != 6 or packet[6] != 58:
        return None
    quoted = packet[start : start + _HEADER.size]
    if len(quoted) < _HEADER.size:
        return None
    kind, _, _, identifier, sequence = _HEADER.unpack(quoted)
    return (identifier, sequence) if kind == _ECHO[version][0] else None
