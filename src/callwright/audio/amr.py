"""Payloads of AMR and AMR-WB in RTP (RFC 4867): octet-aligned ones are made, both kinds are read.

A frame is what a file of AMR holds of it: an octet with its type, then its bits, filled up to octets.
"""

from __future__ import annotations

__all__ = ["AMR_BITS", "AMR_WB_BITS", "UnreadablePayload", "frames", "payload"]

AMR_BITS = (95, 103, 118, 134, 148, 159, 204, 244, 39)
"""Bits of a frame by its type (RFC 4867 table 1); the last is comfort noise."""
AMR_WB_BITS = (132, 177, 253, 285, 317, 365, 397, 461, 477, 40)
_NO_DATA = 15
_ANY_MODE = 0xF0  # no request for another mode
_MOST_FRAMES = 12  # 240 ms


class UnreadablePayload(ValueError):
    """Its lengths fit neither kind."""


def payload(frame: bytes) -> bytes:
    """One frame, octet-aligned (section 4.4)."""
    return bytes([_ANY_MODE]) + frame


def frames(data: bytes, bits: tuple[int, ...]) -> list[bytes]:
    """The frames of a payload; the kind shows by its lengths. Raises UnreadablePayload."""
    found = _aligned(data, bits)
    if found is None:
        found = _packed(data, bits)
    if found is None:
        raise UnreadablePayload(f"{len(data)} octets")
    return found


def _bits_of(kind: int, bits: tuple[int, ...]) -> int | None:
    if kind == _NO_DATA:
        return 0
    return bits[kind] if kind < len(bits) else None


def _aligned(data: bytes, bits: tuple[int, ...]) -> list[bytes] | None:
    """Section 4.4.1 to 4.4.3."""
    if len(data) < 2 or data[0] & 0x0F:
        return None
    heads: list[int] = []
    for octet in data[1 : 1 + _MOST_FRAMES]:
        if octet & 0x03:
            return None
        heads.append(octet)
        if not octet & 0x80:
            break
    else:
        return None
    at, found = 1 + len(heads), []
    for head in heads:
        size = _bits_of(head >> 3 & 0x0F, bits)
        if size is None:
            return None
        end = at + (size + 7) // 8
        found.append(bytes([head & 0x7C]) + data[at:end])
        at = end
    return found if at == len(data) else None


def _packed(data: bytes, bits: tuple[int, ...]) -> list[bytes] | None:
    """Bandwidth-efficient, section 4.3."""
    whole, length, at = int.from_bytes(data, "big"), len(data) * 8, 4

    def take(count: int) -> int | None:
        nonlocal at
        at += count
        return None if at > length else whole >> (length - at) & ((1 << count) - 1)

    heads: list[int] = []
    while len(heads) < _MOST_FRAMES:
        head = take(6)
        if head is None:
            return None
        heads.append(head)
        if not head & 0x20:
            break
    else:
        return None
    found = []
    for head in heads:
        size = _bits_of(head >> 1 & 0x0F, bits)
        value = None if size is None else take(size)
        if size is None or value is None:
            return None
        octets = (size + 7) // 8
        found.append(bytes([(head & 0x1F) << 2]) + (value << (octets * 8 - size)).to_bytes(octets, "big"))
    return found if (at + 7) // 8 == len(data) else None
