"""An m-line and the lines below it (RFC 8866 section 5.14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from callwright.sdp.lines import (
    Attribute,
    Bandwidth,
    Connection,
    RtcpAddress,
    Rtpmap,
    SdpError,
    SdpLine,
    number,
    parse_fmtp,
    parse_ptime,
    parse_rtcp,
    parse_rtpmap,
)

__all__ = ["DIRECTIONS", "Media", "direction_in", "optional"]

_Read = TypeVar("_Read")

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(frozen=True, slots=True)
class Media:
    """One ``m=`` line and what belongs to it. ``formats`` are as written.

    ``fault``: why the line cannot be used, when it breaks its grammar. It is still answered (with port 0).
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int | None = None
    title: str | None = None
    connections: tuple[Connection, ...] = ()
    bandwidths: tuple[Bandwidth, ...] = ()
    key: str | None = None
    attributes: tuple[Attribute, ...] = ()
    unknown: tuple[SdpLine, ...] = ()
    fault: str | None = field(default=None, compare=False)

    @property
    def is_rtp(self) -> bool:
        return "RTP/" in self.protocol.upper()

    @property
    def payload_types(self) -> tuple[int, ...]:
        """The formats as payload types 0..127, in order of preference, each once; empty when this is not RTP.

        What is no payload type is left out.
        """
        if not self.is_rtp:
            return ()
        read = [_tolerant(_payload_type, text) for text in self.formats]
        return tuple(dict.fromkeys(one for one in read if one is not None))

    @property
    def direction(self) -> str | None:
        """What this m-line says itself; see SessionDescription.direction_of for what it inherits."""
        return direction_in(self.attributes)

    @property
    def rtpmaps(self) -> dict[int, Rtpmap]:
        """Payload type to mapping; the first one counts when a type is mapped twice."""
        found: dict[int, Rtpmap] = {}
        for value in self.values("rtpmap"):
            mapping = _tolerant(parse_rtpmap, value)
            if mapping is not None:
                found.setdefault(mapping.payload_type, mapping)
        return found

    @property
    def fmtps(self) -> dict[int, str]:
        """Payload type to format parameters; only for RTP."""
        found: dict[int, str] = {}
        if self.is_rtp:
            for value in self.values("fmtp"):
                read = _tolerant(parse_fmtp, value)
                if read is not None:
                    found.setdefault(*read)
        return found

    @property
    def ptime(self) -> float | None:
        """Milliseconds of audio in a packet the sender of this description would like to receive."""
        return _first_ptime(self.values("ptime"))

    @property
    def maxptime(self) -> float | None:
        """The most milliseconds of audio in a packet that the sender of this description accepts."""
        return _first_ptime(self.values("maxptime"))

    @property
    def rtcp(self) -> RtcpAddress | None:
        value = self.value("rtcp")
        return None if value is None else _tolerant(parse_rtcp, value)

    def has(self, name: str) -> bool:
        return any(attribute.name == name for attribute in self.attributes)

    def value(self, name: str) -> str | None:
        return next(iter(self.values(name)), None)

    def values(self, name: str) -> list[str]:
        return [a.value for a in self.attributes if a.name == name and a.value is not None]

    def lines(self) -> Iterator[SdpLine]:
        count = "" if self.port_count is None else f"/{self.port_count}"
        yield SdpLine("m", " ".join((self.kind, f"{self.port}{count}", self.protocol, *self.formats)))
        yield from optional("i", self.title)
        yield from (SdpLine("c", str(value)) for value in self.connections)
        yield from (SdpLine("b", str(value)) for value in self.bandwidths)
        yield from optional("k", self.key)
        # Keys are not remembered.
        secret = self.has("crypto") or self.has("ice-pwd")
        write = _attribute_lines.__wrapped__ if secret else _attribute_lines
        yield from write(self.attributes)
        yield from self.unknown


@lru_cache(maxsize=64)  # nearly all calls say the same
def _attribute_lines(attributes: tuple[Attribute, ...]) -> tuple[SdpLine, ...]:
    return tuple(SdpLine("a", str(value)) for value in attributes)


def optional(kind: str, value: object | None) -> Iterator[SdpLine]:
    """The line, where there is something to say."""
    if value is not None:
        yield SdpLine(kind, str(value))


def direction_in(attributes: tuple[Attribute, ...]) -> str | None:
    """The direction among them (RFC 8866 section 6.7)."""
    return next((a.name for a in attributes if a.name in DIRECTIONS and a.value is None), None)


def _first_ptime(values: list[str]) -> float | None:
    return _tolerant(parse_ptime, values[0]) if values else None


def _tolerant(read: Callable[[str], _Read], text: str) -> _Read | None:
    """What the text means; None for one that breaks its grammar, of which the reader has left a remark."""
    try:
        return read(text)
    except SdpError:
        return None


def _payload_type(text: str) -> int:
    return number(text, 0, 127, "payload type")
