"""The audio of a capture: the payloads of its UDP packets with their times (pcap, any of its byte orders)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["Capture", "CaptureError", "read_capture"]

_MOST_PACKETS = 200_000
_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
_ETHERNET, _RAW, _COOKED, _LOOPBACK = 1, (12, 101, 228, 229), 113, 0


class CaptureError(ValueError):
    """No capture that can be played; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Capture:
    """Datagrams, each with its seconds from the first."""

    packets: tuple[tuple[float, bytes], ...]


def read_capture(data: bytes) -> Capture:
    """Raises CaptureError."""
    known = _MAGIC.get(data[:4])
    if known is None or len(data) < 24:
        raise CaptureError("It is no pcap file (pcapng is not read: editcap -F pcap makes one of it).")
    order, unit = known
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    at, first = 24, None
    found: list[tuple[float, bytes]] = []
    while at + 16 <= len(data) and len(found) < _MOST_PACKETS:
        seconds, fraction, kept, _ = struct.unpack_from(order + "4I", data, at)
        frame = data[at + 16 : at + 16 + kept]
        at += 16 + kept
        payload = _payload(frame, link)
        if payload is None:
            continue
        moment = seconds + fraction * unit
        first = moment if first is None else first
        found.append((max(0.0, moment - first), payload))
    if not found:
        raise CaptureError("It has no UDP packet over IPv4 or IPv6.")
    return Capture(tuple(found))


def _payload(frame: bytes, link: int) -> bytes | None:
    """Of a UDP packet; None: another one, or a piece."""
    packet = _network(frame, link)
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        begin, protocol = (packet[0] & 15) * 4, packet[9]
        if (struct.unpack_from("!H", packet, 6)[0] & 0x3FFF) != 0:
            return None  # a fragment
    elif packet[0] >> 4 == 6 and len(packet) >= 40:
        begin, protocol = 40, packet[6]
    else:
        return None
    if protocol != 17 or len(packet) < begin + 8:
        return None
    length = struct.unpack_from("!H", packet, begin + 4)[0]
    return packet[begin + 8 : begin + length] if length >= 8 else None


def _network(frame: bytes, link: int) -> bytes:
    if link in _RAW:
        return frame
    if link == _COOKED:
        return frame[16:]
    if link == _LOOPBACK:
        return frame[4:]
    if link != _ETHERNET:
        return b""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):  # VLAN tags
        at += 4
    return frame[at + 2 :]
