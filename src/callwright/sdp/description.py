"""Session descriptions as values: text in, checked numbers out, and back again (RFC 8866).

A description read from the wire is judged once, here: every number is inside its range, every size inside a
limit, no line can smuggle another. What this room does not know (attributes, line types) is kept and written
again, so that ``parse(serialize(d)) == d``. On the way in we are liberal: line ends of LF or CR alone, empty
lines, NUL octets, lines of one section in any order, a missing ``s=`` or ``t=``. A line that breaks its
grammar costs no more than itself, an m-line that does no more than that stream; each leaves a remark.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from callwright.sdp.lines import (
    DEFAULT_LIMITS,
    Attribute,
    Bandwidth,
    Connection,
    Limits,
    Origin,
    SdpError,
    SdpLine,
    Timing,
)
from callwright.sdp.media import Media, direction_in, optional
from callwright.sdp.reading import read

__all__ = ["SessionDescription"]


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description. ``parse`` reads it, ``serialize`` writes it in the order of RFC 8866.

    ``remarks``: what was odd on the way in and passed over, "SDP line 7: …".
    """

    origin: Origin
    name: str = "-"
    media: tuple[Media, ...] = ()
    information: str | None = None
    uri: str | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    connection: Connection | None = None
    bandwidths: tuple[Bandwidth, ...] = ()
    timings: tuple[Timing, ...] = field(default=(Timing(),))
    time_zones: str | None = None
    key: str | None = None
    attributes: tuple[Attribute, ...] = ()
    unknown: tuple[SdpLine, ...] = ()
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, data: bytes | str, limits: Limits = DEFAULT_LIMITS) -> SessionDescription:
        """Read a body of ``application/sdp``; raises SdpError with the line number."""
        return cls(**read(data, limits))

    def serialize(self) -> bytes:
        """Octets with CRLF line ends; raises SdpError when a value holds a line end or NUL."""
        text: list[str] = []
        for kind, value in self.lines():
            if "\n" in value or "\r" in value or "\0" in value or len(kind) != 1:
                raise SdpError(f"a line {kind!r} would hold a line end or NUL: {value[:60]!r}", len(text) + 1)
            text.append(f"{kind}={value}\r\n")
        try:
            return "".join(text).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise SdpError("a line holds what is not text (half a surrogate pair)") from None

    def lines(self) -> Iterator[SdpLine]:
        """Every line in the order of RFC 8866 section 5."""
        yield SdpLine("v", "0")
        yield SdpLine("o", str(self.origin))
        yield SdpLine("s", self.name)
        yield from optional("i", self.information)
        yield from optional("u", self.uri)
        yield from (SdpLine("e", value) for value in self.emails)
        yield from (SdpLine("p", value) for value in self.phones)
        yield from optional("c", self.connection)
        yield from (SdpLine("b", str(value)) for value in self.bandwidths)
        for timing in self.timings:
            yield SdpLine("t", f"{timing.start} {timing.stop}")
            yield from (SdpLine("r", value) for value in timing.repeats)
        yield from optional("z", self.time_zones)
        yield from optional("k", self.key)
        yield from (SdpLine("a", str(value)) for value in self.attributes)
        yield from self.unknown
        for media in self.media:
            yield from media.lines()

    def connection_of(self, media: Media) -> Connection | None:
        """The m-line's own connection, else that of the session."""
        return media.connections[0] if media.connections else self.connection

    def direction_of(self, media: Media) -> str:
        """The m-line's own direction, else that of the session, else sendrecv (RFC 8866 section 6.7)."""
        return media.direction or direction_in(self.attributes) or "sendrecv"
