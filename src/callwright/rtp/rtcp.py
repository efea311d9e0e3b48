"""RTCP (RFC 3550 section 6): compound packets of SR, RR, SDES, BYE; others are tolerated and skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

SR, RR, SDES, BYE, APP = 200, 201, 202, 203, 204
NTP_EPOCH = 2208988800  # seconds from 1900 to 1970
MAX_BLOCKS = 31
CNAME = 1

_HEAD = Struct("!BBH")
_WORD = Struct("!I")
_BLOCK = Struct("!IIIIII")
_SENDER = Struct("!IIIII")


class RtcpError(ValueError):
    """The octets are no compound RTCP packet; `reason` says what is wrong in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """RFC 3550 6.4.1. `delay` is DLSR, in 1/65536 s; `jitter` in timestamp units."""

    ssrc: int
    fraction_lost: int  # 0..255
    cumulative_lost: int  # signed, 24 bits
    highest_sequence: int
    jitter: int
    last_report: int  # LSR
    delay: int  # DLSR


@dataclass(frozen=True, slots=True)
class SenderReport:
    ssrc: int
    ntp: int  # 64 bits, 32.32 fixed point seconds since 1900
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES: the CNAME of each source that has one; other items are skipped."""

    cnames: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Bye:
    ssrcs: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """APP, feedback, extended reports: well framed, not read."""

    packet_type: int


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Bye | Skipped


def ntp_timestamp(unix_seconds: float) -> int:
    """64 bits of NTP time (RFC 3550 section 4) from unix seconds, modulo its 136 years."""
    seconds = int(unix_seconds // 1)
    fraction = int((unix_seconds - seconds) * 4294967296.0)
    return ((seconds + NTP_EPOCH) & 0xFFFFFFFF) << 32 | min(fraction, 0xFFFFFFFF)


def middle_32(ntp: int) -> int:
    """What LSR carries of an NTP timestamp."""
    return ntp >> 16 & 0xFFFFFFFF


def parse_compound(data: bytes) -> list[RtcpPacket]:
    """The packets of a compound packet, checked as RFC 3550 A.2 does; raises RtcpError.

    The work is bounded by the length of `data`: each packet takes at least four octets of it.
    """
    length = len(data)
    if length < 8:
        raise RtcpError(f"{length} octets are too few for RTCP")
    if data[1] not in (SR, RR):
        raise RtcpError(f"a compound packet begins with SR or RR, not with packet type {data[1]}")
    packets: list[RtcpPacket] = []
    offset = 0
    while offset < length:
        if offset + 4 > length:
            raise RtcpError("a packet header is cut off")
        first, packet_type, words = _HEAD.unpack_from(data, offset)
        if first >> 6 != 2:
            raise RtcpError(f"RTCP version {first >> 6}")
        end = offset + 4 * (words + 1)
        if end > length:
            raise RtcpError("a length field reaches beyond the datagram")
        body_end = end
        if first & 0x20:
            if end != length:
                raise RtcpError("padding before the last packet")
            padding = data[end - 1]
            if padding == 0 or padding % 4 or offset + 4 + padding > end:
                raise RtcpError(f"{padding} octets of padding")
            body_end = end - padding
        packets.append(_parse_one(packet_type, first & 0x1F, data[offset + 4 : body_end]))
        offset = end
    return packets


def _parse_one(packet_type: int, count: int, body: bytes) -> RtcpPacket:
    if packet_type == SR:
        if len(body) < 24 + 24 * count:
            raise RtcpError("a sender report is cut off")
        ntp_high, ntp_low, timestamp, packets, octets = _SENDER.unpack_from(body, 4)
        return SenderReport(
            _WORD.unpack_from(body)[0],
            ntp_high << 32 | ntp_low,
            timestamp,
            packets,
            octets,
            _parse_blocks(body, 24, count),
        )
    if packet_type == RR:
        if len(body) < 4 + 24 * count:
            raise RtcpError("a receiver report is cut off")
        return ReceiverReport(_WORD.unpack_from(body)[0], _parse_blocks(body, 4, count))
    if packet_type == SDES:
        return SourceDescription(_parse_chunks(body, count))
    if packet_type == BYE:
        if len(body) < 4 * count:
            raise RtcpError("a BYE is cut off")
        ssrcs = Struct(f"!{count}I").unpack_from(body)
        reason = body[4 * count + 1 : 4 * count + 1 + body[4 * count]] if len(body) > 4 * count else b""
        return Bye(ssrcs, reason.decode("utf-8", "replace"))
    return Skipped(packet_type)


def _parse_blocks(body: bytes, offset: int, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for start in range(offset, offset + 24 * count, 24):
        ssrc, lost, highest, jitter, last_report, delay = _BLOCK.unpack_from(body, start)
        cumulative = lost & 0xFFFFFF
        if cumulative & 0x800000:
            cumulative -= 0x1000000
        blocks.append(ReportBlock(ssrc, lost >> 24, cumulative, highest, jitter, last_report, delay))
    return tuple(blocks)


def _parse_chunks(body: bytes, count: int) -> tuple[tuple[int, str], ...]:
    cnames: list[tuple[int, str]] = []
    offset = 0
    for _ in range(count):
        if offset + 4 > len(body):
            raise RtcpError("an SDES chunk is cut off")
        (ssrc,) = _WORD.unpack_from(body, offset)
        offset += 4
        while offset < len(body) and body[offset] != 0:
            if offset + 2 > len(body) or offset + 2 + body[offset + 1] > len(body):
                raise RtcpError("an SDES item is cut off")
            if body[offset] == CNAME:
                text = body[offset + 2 : offset + 2 + body[offset + 1]]
                cnames.append((ssrc, text.decode("utf-8", "replace")))
            offset += 2 + body[offset + 1]
        offset = (offset // 4 + 1) * 4  # the list ends with one to four null octets
    return tuple(cnames)


def serialize_compound(packets: Sequence[RtcpPacket]) -> bytes:
    """Octets of a compound packet. The first must be SR or RR (ValueError): RFC 3550 6.1."""
    if not packets or not isinstance(packets[0], SenderReport | ReceiverReport):
        raise ValueError("a compound RTCP packet begins with SR or RR")
    return b"".join(_serialize_one(packet) for packet in packets)


def _serialize_one(packet: RtcpPacket) -> bytes:
    if isinstance(packet, SenderReport):
        blocks = packet.blocks[:MAX_BLOCKS]
        sender = _SENDER.pack(
            packet.ntp >> 32 & 0xFFFFFFFF,
            packet.ntp & 0xFFFFFFFF,
            packet.timestamp & 0xFFFFFFFF,
            packet.packets & 0xFFFFFFFF,
            packet.octets & 0xFFFFFFFF,
        )
        return _framed(SR, len(blocks), _WORD.pack(packet.ssrc) + sender + _serialize_blocks(blocks))
    if isinstance(packet, ReceiverReport):
        blocks = packet.blocks[:MAX_BLOCKS]
        return _framed(RR, len(blocks), _WORD.pack(packet.ssrc) + _serialize_blocks(blocks))
    if isinstance(packet, SourceDescription):
        body = b"".join(_serialize_chunk(ssrc, name) for ssrc, name in packet.cnames[:MAX_BLOCKS])
        return _framed(SDES, min(len(packet.cnames), MAX_BLOCKS), body)
    if isinstance(packet, Bye):
        ssrcs = packet.ssrcs[:MAX_BLOCKS]
        reason = packet.reason.encode("utf-8")[:255]
        body = Struct(f"!{len(ssrcs)}I").pack(*ssrcs) + (bytes([len(reason)]) + reason if reason else b"")
        return _framed(BYE, len(ssrcs), body + bytes(-len(body) % 4))
    raise ValueError(f"RTCP packet type {packet.packet_type} is read over, not written")


def _serialize_blocks(blocks: Sequence[ReportBlock]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            (block.fraction_lost & 0xFF) << 24
            | max(-0x800000, min(0x7FFFFF, block.cumulative_lost)) & 0xFFFFFF,
            block.highest_sequence & 0xFFFFFFFF,
            max(0, min(0xFFFFFFFF, block.jitter)),
            block.last_report,
            max(0, min(0xFFFFFFFF, block.delay)),
        )
        for block in blocks
    )


def _serialize_chunk(ssrc: int, name: str) -> bytes:
    text = name.encode("utf-8")[:255]
    chunk = _WORD.pack(ssrc) + bytes([CNAME, len(text)]) + text
    return chunk + bytes(4 - len(chunk) % 4)  # at least one null octet ends the list of items


def _framed(packet_type: int, count: int, body: bytes) -> bytes:
    return _HEAD.pack(2 << 6 | count, packet_type, len(body) // 4) + body
