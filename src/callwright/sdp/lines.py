"""The lines of a description as values, each with its grammar (RFC 8866): text in, checked numbers out.

Every number is inside its range, every size inside a limit, no line can smuggle another.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

_MAX_64 = 2**64 - 1
_DIGITS = re.compile(r"[0-9]{1,20}\Z")
_SESSION_NUMBER = re.compile(r"-?[0-9]{1,40}\Z")
_HOST = re.compile(
    r"(?=.{1,255}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?\Z"
)
_PTIME = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?\Z")
_TOKEN = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]{1,64}\Z")


class SdpError(ValueError):
    """A description that cannot be used: ``reason`` says why, ``line`` counts from 1 (None: the whole)."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"SDP line {line}: {reason}")
        self.reason = reason
        self.line = line


@dataclass(frozen=True, slots=True)
class Limits:
    """What we are willing to read: octets of body and line, lines, m-lines, formats of an m-line, remarks."""

    octets: int = 65_535
    line_octets: int = 8_192
    lines: int = 2_000
    media: int = 64
    formats: int = 1_024
    remarks: int = 8
    """Odd lines that are told of one by one; the rest is a number."""


DEFAULT_LIMITS = Limits()


class Attribute(NamedTuple):
    """``a=name`` (value None) or ``a=name:value``."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"


class Bandwidth(NamedTuple):
    """``b=kind:value``; the unit depends on the kind (AS: kbit/s, TIAS: bit/s)."""

    kind: str
    value: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


class SdpLine(NamedTuple):
    """A line that this room carries without reading it."""

    kind: str
    value: str


class Timing(NamedTuple):
    """``t=start stop`` in NTP seconds (0 = unbounded) with its ``r=`` lines as text."""

    start: int = 0
    stop: int = 0
    repeats: tuple[str, ...] = ()


class Rtpmap(NamedTuple):
    """``a=rtpmap`` (RFC 8866 section 6.6): clock rate in Hz."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1


class RtcpAddress(NamedTuple):
    """``a=rtcp`` (RFC 3605): the port, and the host when it differs from that of the media."""

    port: int
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """``c=``: where media goes. ``ttl`` and ``count`` exist for multicast only."""

    address: str
    address_type: str = "IP4"
    network_type: str = "IN"
    ttl: int | None = None
    count: int | None = None

    @classmethod
    def to(cls, host: str) -> Connection:
        """The connection line for a numeric address of either family, or a name (then IP4)."""
        return cls(host, "IP6" if ":" in host else "IP4")

    @property
    def is_unspecified(self) -> bool:
        """Nowhere: ``0.0.0.0`` or ``::``, the hold of RFC 2543 (RFC 3264 section 8.4)."""
        return _unspecified(self.address)

    @property
    def is_numeric(self) -> bool:
        return _numeric(self.address) is not None

    def __str__(self) -> str:
        tail = "".join(f"/{number}" for number in (self.ttl, self.count) if number is not None)
        return f"{self.network_type} {self.address_type} {self.address}{tail}"


@dataclass(frozen=True, slots=True)
class Origin:
    """``o=``: who made the session, and which version of it this is."""

    username: str
    session_id: int
    version: int
    address: str
    address_type: str = "IP4"
    network_type: str = "IN"

    def __str__(self) -> str:
        return (
            f"{self.username} {self.session_id} {self.version} "
            f"{self.network_type} {self.address_type} {self.address}"
        )


def number(text: str, low: int, high: int, what: str) -> int:
    """A decimal of ASCII digits inside its range, or SdpError; never more work than the range needs."""
    if not _DIGITS.match(text):
        raise SdpError(f"the {what} {_shown(text)} is not a number between {low} and {high}")
    value = int(text)
    if not low <= value <= high:
        raise SdpError(f"the {what} {value} is not between {low} and {high}")
    return value


def token(text: str, what: str) -> str:
    if not _TOKEN.match(text):
        raise SdpError(f"the {what} {_shown(text)} is not a word SDP permits")
    return text


@lru_cache(maxsize=256)  # what follows are the same few lines in every call
def parse_rtpmap(value: str) -> Rtpmap | None:
    """``97 opus/48000/2``; clock rate at most 10 MHz, channels at most 255.

    None without a clock rate: half of RFC 4475's messages say ``31 LPC``. The line is kept, and explains
    nothing.
    """
    parts = value.split()
    if len(parts) != 2:
        raise SdpError(f"a=rtpmap:{_shown(value)} is not of the form 'payload-type name/clock-rate'")
    payload_type = number(parts[0], 0, 127, "payload type")
    name, *rest = parts[1].split("/")
    token(name, "encoding name")
    if not rest:
        return None
    if len(rest) > 2:
        raise SdpError(f"a=rtpmap:{_shown(value)} has more than one encoding parameter")
    channels = 1
    if len(rest) == 2 and rest[1].isdigit():  # for video and text the parameter need not be a number
        channels = number(rest[1], 1, 255, "number of channels")
    return Rtpmap(payload_type, name, number(rest[0], 1, 10_000_000, "clock rate"), channels)


@lru_cache(maxsize=256)
def parse_fmtp(value: str) -> tuple[int, str]:
    """``101 0-16`` to the payload type and its parameters as text."""
    first, _, parameters = value.strip().partition(" ")
    return number(first, 0, 127, "payload type"), parameters.strip()


def parse_ptime(value: str) -> float:
    """Milliseconds; RFC 8866 section 6.4 permits a fraction. 0 is read, and means nothing said."""
    text = value.strip()
    if not _PTIME.match(text):
        raise SdpError(f"the packet time {_shown(value)} is not a number of milliseconds")
    return float(text)


def parse_rtcp(value: str) -> RtcpAddress:
    """``53020`` or ``53020 IN IP4 192.0.2.1`` (RFC 3605 section 2.1)."""
    parts = value.split()
    if len(parts) not in (1, 4):
        raise SdpError(f"a=rtcp:{_shown(value)} is not of the form 'port [IN IP4 address]'")
    port = number(parts[0], 0, 65535, "RTCP port")
    return RtcpAddress(port, check_host(parts[3], parts[2]) if len(parts) == 4 else None)


@lru_cache(maxsize=256)
def parse_connection(value: str) -> Connection:
    """``IN IP4 224.2.1.1/127/3`` (RFC 8866 section 5.7)."""
    parts = value.split()
    if len(parts) != 3:
        raise SdpError(f"c={_shown(value)} is not of the form 'IN IP4 address'")
    network_type, address_type, rest = parts
    token(network_type, "network type")
    token(address_type, "address type")
    address, *numbers = rest.split("/")
    check_host(address, address_type)
    ttl = count = None
    if len(numbers) > (1 if address_type.upper() == "IP6" else 2):
        raise SdpError(f"c={_shown(value)} has too many numbers behind the address")
    if numbers and address_type.upper() == "IP6":
        count = number(numbers[0], 1, 65535, "number of addresses")
    elif numbers:
        ttl = number(numbers[0], 0, 255, "TTL")
        count = number(numbers[1], 1, 65535, "number of addresses") if len(numbers) == 2 else None
    return Connection(address, address_type, network_type, ttl, count)


def parse_origin(value: str) -> Origin:
    """``- 1 1 IN IP4 192.0.2.1``. A user name with blanks is kept: phones put their owner's name there.

    Ids are decimals of any length (RFC 8866 section 5.2 sets none), negative ones of old phones too.
    """
    parts = value.rsplit(None, 5)
    if len(parts) != 6:
        raise SdpError(f"o={_shown(value)} does not have the six fields of an origin")
    username, session_id, version, network_type, address_type, address = parts
    return Origin(
        username=username.strip(),
        session_id=_session_number(session_id, "session id"),
        version=_session_number(version, "session version"),
        network_type=token(network_type, "network type"),
        address_type=token(address_type, "address type"),
        address=address,
    )


def _session_number(text: str, what: str) -> int:
    if not _SESSION_NUMBER.match(text):
        raise SdpError(f"the {what} {_shown(text)} is not a number")
    return int(text)


@lru_cache(maxsize=64)
def parse_timing(value: str) -> tuple[int, int]:
    parts = value.split()
    if len(parts) != 2:
        raise SdpError(f"t={_shown(value)} is not of the form 'start stop'")
    start, stop = (number(part, 0, _MAX_64, "time") for part in parts)
    return start, stop


def parse_bandwidth(value: str) -> Bandwidth:
    kind, colon, amount = value.strip().partition(":")
    if not colon:
        raise SdpError(f"b={_shown(value)} is not of the form 'type:value'")
    return Bandwidth(token(kind, "bandwidth type"), number(amount.strip(), 0, _MAX_64, "bandwidth"))


def parse_attribute(value: str) -> Attribute:
    """Split; an attribute without a name (``a=``) says nothing, and passes."""
    name, colon, rest = value.partition(":")
    return Attribute(name, rest if colon else None)


@lru_cache(maxsize=512)  # one call reads and writes the same few again and again
def _numeric(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@lru_cache(maxsize=512)
def _unspecified(host: str) -> bool:
    address = _numeric(host)
    return address is not None and address.is_unspecified


def check_host(host: str, address_type: str) -> str:
    """A numeric address of the family that is named, or a domain name; other families pass unread."""
    family = address_type.upper()
    if family not in ("IP4", "IP6"):
        return host
    address = _numeric(host)
    if address is None:
        # Only digits and dots, and yet no address: not a name either (RFC 1123 section 2.1).
        if _HOST.match(host) and not re.fullmatch(r"[0-9.]+", host):
            return host
        raise SdpError(f"{_shown(host)} is neither an address nor a name")
    if address.version != int(family[2]):
        raise SdpError(f"{host} is an IPv{address.version} address, but the line says {family}")
    return host


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
