"""The RTP packet (RFC 3550 section 5): octets to fields and back."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

VERSION = 2
HEADER_LENGTH = 12
MARKER = 0x80

HEADER = Struct("!BBHII")  # V P X CC | M PT | sequence number | timestamp | SSRC
_EXTENSION = Struct("!HH")

# Payload types that an RTCP packet type would be read as (RFC 5761 section 4): never audio.
RTCP_CONFUSION = range(64, 96)
RTCP_TYPES = range(192, 224)  # the second octet of what is RTCP on a shared port (the same section)


class RtpError(ValueError):
    """The octets are no RTP packet; `reason` says what is wrong in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RtpPacket(NamedTuple):
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    csrcs: tuple[int, ...] = ()


def payload_bounds(data: bytes) -> tuple[int, int]:
    """Start and end of the payload in `data`, with CSRCs, header extension and padding taken off.

    Raises RtpError for whatever RFC 3550 A.1 would not accept.
    """
    length = len(data)
    if length < HEADER_LENGTH:
        raise RtpError(f"{length} octets are too few for an RTP header")
    first = data[0]
    if first >> 6 != VERSION:
        raise RtpError(f"RTP version {first >> 6}")
    start = HEADER_LENGTH + 4 * (first & 0x0F)
    if first & 0x10:
        if start + 4 > length:
            raise RtpError("the header extension is cut off")
        start += 4 + 4 * _EXTENSION.unpack_from(data, start)[1]
    if start > length:
        raise RtpError("the CSRC list or header extension reaches beyond the packet")
    end = length
    if first & 0x20:
        padding = data[-1]
        if padding == 0 or start + padding > length:
            raise RtpError(f"{padding} octets of padding in a packet that cannot hold them")
        end -= padding
    return start, end


def parse(data: bytes) -> RtpPacket:
    """The packet in `data`; raises RtpError."""
    start, end = payload_bounds(data)
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    csrcs = Struct(f"!{first & 0x0F}I").unpack_from(data, HEADER_LENGTH)
    return RtpPacket(
        payload_type=second & 0x7F,
        marker=bool(second & MARKER),
        sequence=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=data[start:end],
        csrcs=csrcs,
    )


def serialize(packet: RtpPacket) -> bytes:
    """Octets of `packet`, without header extension and padding. Numbers are taken modulo their width."""
    header = HEADER.pack(
        VERSION << 6 | len(packet.csrcs),
        (MARKER if packet.marker else 0) | packet.payload_type & 0x7F,
        packet.sequence & 0xFFFF,
        packet.timestamp & 0xFFFFFFFF,
        packet.ssrc & 0xFFFFFFFF,
    )
    return header + Struct(f"!{len(packet.csrcs)}I").pack(*packet.csrcs) + packet.payload
