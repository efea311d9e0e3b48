"""Test packets of STAMP in unauthenticated mode (RFC 8762 section 4) and their extensions (RFC 8972)."""

from __future__ import annotations

import struct
from typing import NamedTuple

PORT = 862
SIZE = 44
_SENDER = struct.Struct("!IQHH28x")
_REFLECTOR = struct.Struct("!IQHHQIQHxxBxxx")
_TLV = struct.Struct("!BBH")
_UNRECOGNISED, _MALFORMED = 0x80, 0x40
_PADDING = 1
_STATEFUL = 240
"""An experimental type (RFC 8972 section 6.1): a reflector that knows it counts packets by itself."""
_FROM_1900 = 2_208_988_800
_SYNCHRONISED, _PTP = 0x8000, 0x4000


class SenderPacket(NamedTuple):
    """`stamp`: unix seconds at the sender. `ssid`: STAMP session identifier, 0: none."""

    sequence: int
    stamp: float
    synchronised: bool
    ssid: int = 0
    extension: bytes = b""


class ReflectorPacket(NamedTuple):
    """`received` and `stamp`: unix seconds at the reflector, T2 and T3. `stateful`: None: not known."""

    sequence: int
    stamp: float
    synchronised: bool
    ssid: int
    received: float
    sender_sequence: int
    sender_ttl: int
    stateful: bool | None


def ntp(seconds: float) -> int:
    """Unix seconds as a timestamp of 64 bits (RFC 5905 section 6), modulo its era."""
    whole = int(seconds // 1)
    return ((whole + _FROM_1900) & 0xFFFFFFFF) << 32 | int((seconds - whole) * 2**32) & 0xFFFFFFFF


def unix(stamp: int, near: float, *, ptp: bool = False) -> float:
    """The reverse, in the era that is nearest to the unix seconds `near`; `ptp`: seconds and nanoseconds
    since 1970 (IEEE 1588, truncated)."""
    whole, rest = stamp >> 32, stamp & 0xFFFFFFFF
    base = whole if ptp else whole - _FROM_1900
    fraction = rest / 1e9 if ptp else rest / 2**32
    eras = round((near - base) / 2**32)
    return base + eras * 2**32 + fraction


def sender_packet(packet: SenderPacket, octets: int = SIZE) -> bytes:
    """Padded to `octets` by an Extra Padding TLV (RFC 8972 section 4.1)."""
    data = _SENDER.pack(
        packet.sequence & 0xFFFFFFFF, ntp(packet.stamp), _error_estimate(packet.synchronised), packet.ssid
    )
    if octets >= SIZE + 2 * _TLV.size:
        data += _TLV.pack(_UNRECOGNISED, _STATEFUL, 0)
        padding = octets - len(data) - _TLV.size
        data += _TLV.pack(_UNRECOGNISED, _PADDING, padding) + bytes(padding)
    return data


def read_sender(data: bytes, near: float) -> SenderPacket | None:
    """None: too short to be one. Never raises."""
    if len(data) < SIZE:
        return None
    sequence, stamp, estimate, ssid = _SENDER.unpack_from(data)
    at = unix(stamp, near, ptp=bool(estimate & _PTP))
    return SenderPacket(sequence, at, bool(estimate & _SYNCHRONISED), ssid, data[SIZE:])


def reflector_packet(
    data: bytes, *, sequence: int, stamp: float, received: float, synchronised: bool, ttl: int
) -> bytes:
    """What answers the sender's packet `data`, as long as it is (RFC 8762 section 4.3)."""
    sent_sequence, sent_stamp, sent_estimate, ssid = _SENDER.unpack_from(data)
    return _REFLECTOR.pack(
        sequence & 0xFFFFFFFF,
        ntp(stamp),
        _error_estimate(synchronised),
        ssid,
        ntp(received),
        sent_sequence,
        sent_stamp,
        sent_estimate,
        ttl,
    ) + _reflected(data[SIZE:])


def read_reflector(data: bytes, near: float) -> ReflectorPacket | None:
    """None: too short to be one. Never raises."""
    if len(data) < SIZE:
        return None
    sequence, stamp, estimate, ssid, received, sender_sequence, _, _, ttl = _REFLECTOR.unpack_from(data)
    ptp = bool(estimate & _PTP)
    return ReflectorPacket(
        sequence,
        unix(stamp, near, ptp=ptp),
        bool(estimate & _SYNCHRONISED),
        ssid,
        unix(received, near, ptp=ptp),
        sender_sequence,
        ttl,
        _counts_by_itself(data[SIZE:]),
    )


def _error_estimate(synchronised: bool) -> int:
    """RFC 4656 section 4.1.2: a multiplier of 0 is forbidden. Ours says 2^-12 s, 0.24 ms."""
    scale, multiplier = 20, 1
    return (_SYNCHRONISED if synchronised else 0) | scale << 8 | multiplier


def _tlvs(extension: bytes) -> list[tuple[int, int, int]]:
    """(offset, type, length of the value) as far as they can be told."""
    found, at = [], 0
    while at + _TLV.size <= len(extension):
        _, kind, length = _TLV.unpack_from(extension, at)
        found.append((at, kind, length))
        at += _TLV.size + length
    return found


def _reflected(extension: bytes) -> bytes:
    """The extensions with the flags that RFC 8972 section 4 asks of a reflector; what is no TLV comes back as
    it was (RFC 8762 section 4.3: packets are symmetrical)."""
    answer = bytearray(extension)
    for at, kind, length in _tlvs(extension):
        flags = 0 if kind in (_PADDING, _STATEFUL) else _UNRECOGNISED
        if at + _TLV.size + length > len(extension):
            flags |= _MALFORMED
        answer[at] = flags
    return bytes(answer)


def _counts_by_itself(extension: bytes) -> bool | None:
    for at, kind, _ in _tlvs(extension):
        if kind == _STATEFUL:
            return True if not extension[at] & _UNRECOGNISED else None
    return None
