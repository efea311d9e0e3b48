"""STUN messages (RFC 8489): octets in, values out, and back.

    message = parse(data)                      StunError for what is none
    message.signed_by(key)                     MESSAGE-INTEGRITY fits
    build(REQUEST, BINDING, transaction, attributes, key=key, fingerprint=True)

The work is bounded by the datagram: attributes are walked once, and no more than `MOST_ATTRIBUTES` of them.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Message", "StunError", "build", "is_stun", "parse"]

COOKIE = 0x2112A442
HEADER = 20
LONGEST = 2048
"""Octets of the longest message that is read."""
MOST_ATTRIBUTES = 64

REQUEST, INDICATION, SUCCESS, ERROR = 0, 1, 2, 3
BINDING, ALLOCATE, REFRESH, SEND, DATA, CREATE_PERMISSION, CHANNEL_BIND = 1, 3, 4, 6, 7, 8, 9

USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES = 0x0006, 0x0008, 0x0009, 0x000A
CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS, DATA_ATTRIBUTE = 0x000C, 0x000D, 0x0012, 0x0013
REALM, NONCE, XOR_RELAYED_ADDRESS, REQUESTED_TRANSPORT = 0x0014, 0x0015, 0x0016, 0x0019
XOR_MAPPED_ADDRESS, PRIORITY, USE_CANDIDATE = 0x0020, 0x0024, 0x0025
SOFTWARE, FINGERPRINT, ICE_CONTROLLED, ICE_CONTROLLING = 0x8022, 0x8028, 0x8029, 0x802A
_KNOWN = frozenset(
    {
        *(USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES, CHANNEL_NUMBER, LIFETIME),
        *(XOR_PEER_ADDRESS, DATA_ATTRIBUTE, REALM, NONCE, XOR_RELAYED_ADDRESS, REQUESTED_TRANSPORT),
        *(XOR_MAPPED_ADDRESS, PRIORITY, USE_CANDIDATE),
        0x0001,  # MAPPED-ADDRESS, which some send beside the other
        0x001C,  # MESSAGE-INTEGRITY-SHA256, which nobody needs of us
    }
)
_INTEGRITY = 20
_MASK = 0x5354554E


class StunError(ValueError):
    """Not a STUN message, or one that breaks its grammar; the text says where."""


@dataclass(frozen=True, slots=True)
class Message:
    """`attributes`: (type, value) in order; those behind MESSAGE-INTEGRITY are left out."""

    kind: int
    method: int
    transaction: bytes
    attributes: tuple[tuple[int, bytes], ...]
    octets: bytes = field(repr=False, compare=False, default=b"")
    integrity_at: int | None = field(repr=False, compare=False, default=None)

    def value(self, kind: int) -> bytes | None:
        """The first attribute of a type."""
        return next((value for name, value in self.attributes if name == kind), None)

    def has(self, kind: int) -> bool:
        return any(name == kind for name, _ in self.attributes)

    def number(self, kind: int) -> int | None:
        value = self.value(kind)
        return None if value is None or len(value) not in (4, 8) else int.from_bytes(value, "big")

    def address(self, kind: int) -> tuple[str, int] | None:
        """An XOR address; None where there is none that can be read."""
        value = self.value(kind)
        return None if value is None else _address(value, self.transaction)

    @property
    def error(self) -> tuple[int, str] | None:
        """Code and reason of an error response."""
        value = self.value(ERROR_CODE)
        if value is None or len(value) < 4:
            return None
        code = (value[2] & 0x07) * 100 + value[3]
        return code, value[4:260].decode("utf-8", "replace")

    @property
    def unknown(self) -> tuple[int, ...]:
        """Attributes that whoever reads the message must understand, and we do not."""
        return tuple(sorted({name for name, _ in self.attributes if name < 0x8000 and name not in _KNOWN}))

    def signed_by(self, key: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY is there and made with `key`."""
        at = self.integrity_at
        if at is None:
            return False
        signed = _with_length(self.octets[:at], at - HEADER + 4 + _INTEGRITY)
        return hmac.compare_digest(_hmac(key, signed), self.octets[at + 4 : at + 4 + _INTEGRITY])


def is_stun(data: bytes) -> bool:
    """Whether a datagram of a port that RTP and DTLS share is STUN (RFC 7983)."""
    return len(data) >= HEADER and data[0] < 4 and data[4:8] == b"\x21\x12\xa4\x42"


def parse(data: bytes) -> Message:
    """Read one datagram. Raises StunError."""
    if not is_stun(data):
        raise StunError("no STUN message: its first octets are not those of a header")
    if len(data) > LONGEST:
        raise StunError(f"{len(data)} octets are more than the {LONGEST} that are read")
    size = int.from_bytes(data[2:4], "big")
    if size % 4 or size != len(data) - HEADER:
        raise StunError(f"its length says {size}, and {len(data) - HEADER} octets follow the header")
    word = int.from_bytes(data[:2], "big")
    kind = word >> 4 & 1 | word >> 7 & 2
    method = word & 0x0F | word >> 1 & 0x70 | word >> 2 & 0xF80
    attributes: list[tuple[int, bytes]] = []
    integrity: int | None = None
    at = HEADER
    while at < len(data):
        if len(attributes) >= MOST_ATTRIBUTES:
            raise StunError(f"it has more than {MOST_ATTRIBUTES} attributes")
        if at + 4 > len(data):
            raise StunError("an attribute is cut off")
        name, length = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 4 + length
        if end > len(data):
            raise StunError(f"attribute 0x{name:04x} is longer than the message")
        if name == FINGERPRINT:
            if length != 4 or end != len(data):
                raise StunError("FINGERPRINT is not the last attribute")
            if int.from_bytes(data[at + 4 : end], "big") != zlib.crc32(data[:at]) ^ _MASK:
                raise StunError("FINGERPRINT does not fit")
        elif integrity is None:
            if name == MESSAGE_INTEGRITY:
                if length != _INTEGRITY:
                    raise StunError(f"MESSAGE-INTEGRITY has {length} octets, not {_INTEGRITY}")
                integrity = at
            attributes.append((name, data[at + 4 : end]))
        at = end + -length % 4
    return Message(kind, method, data[8:HEADER], tuple(attributes), data, integrity)


def build(
    kind: int,
    method: int,
    transaction: bytes,
    attributes: Iterable[tuple[int, bytes]] = (),
    *,
    key: bytes | None = None,
    fingerprint: bool = True,
) -> bytes:
    """A message. `key`: signs it with MESSAGE-INTEGRITY."""
    word = method & 0x0F | (method & 0x70) << 1 | (method & 0xF80) << 2 | (kind & 1) << 4 | (kind & 2) << 7
    body = b"".join(_packed(name, value) for name, value in attributes)
    head = word.to_bytes(2, "big") + b"\0\0" + COOKIE.to_bytes(4, "big") + transaction
    out = head + body
    if key is not None:
        out = _with_length(out, len(out) - HEADER + 4 + _INTEGRITY)
        out += _packed(MESSAGE_INTEGRITY, _hmac(key, out))
    if fingerprint:
        out = _with_length(out, len(out) - HEADER + 8)
        out += _packed(FINGERPRINT, (zlib.crc32(out) ^ _MASK).to_bytes(4, "big"))
    return _with_length(out, len(out) - HEADER)


def xor_address(address: tuple[str, int], transaction: bytes) -> bytes:
    """The value of an XOR address (RFC 8489 section 14.2). ValueError for a host that is not numeric."""
    host = ipaddress.ip_address(address[0])
    mask = COOKIE.to_bytes(4, "big") + transaction
    port = (address[1] ^ COOKIE >> 16).to_bytes(2, "big")
    packed = bytes(one ^ other for one, other in zip(host.packed, mask, strict=False))
    return bytes((0, 1 if host.version == 4 else 2)) + port + packed


def error_value(code: int, reason: str) -> bytes:
    """The value of ERROR-CODE."""
    return bytes((0, 0, code // 100, code % 100)) + reason.encode()


def long_term_key(user: str, realm: str, password: str) -> bytes:
    """The key of a TURN user (RFC 8489 section 9.2.2), which is defined with MD5."""
    return hashlib.md5(f"{user}:{realm}:{password}".encode(), usedforsecurity=False).digest()


def _address(value: bytes, transaction: bytes) -> tuple[str, int] | None:
    if len(value) not in (8, 20) or value[1] != (1 if len(value) == 8 else 2):
        return None
    mask = COOKIE.to_bytes(4, "big") + transaction
    packed = bytes(one ^ other for one, other in zip(value[4:], mask, strict=False))
    return str(ipaddress.ip_address(packed)), int.from_bytes(value[2:4], "big") ^ COOKIE >> 16


def _packed(name: int, value: bytes) -> bytes:
    return name.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def _with_length(octets: bytes, size: int) -> bytes:
    return octets[:2] + size.to_bytes(2, "big") + octets[4:]


def _hmac(key: bytes, octets: bytes) -> bytes:
    return hmac.digest(key, octets, "sha1")
