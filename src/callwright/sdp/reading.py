"""From octets to a SessionDescription, line by line, within limits. Used through SessionDescription.parse."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from callwright.sdp.description import (
    DEFAULT_LIMITS,
    Attribute,
    Bandwidth,
    Connection,
    Limits,
    Line,
    Media,
    Origin,
    SdpError,
    SessionDescription,
    Timing,
    number,
    parse_attribute,
    parse_bandwidth,
    parse_connection,
    parse_fmtp,
    parse_origin,
    parse_ptime,
    parse_rtcp,
    parse_rtpmap,
    parse_timing,
    token,
)

_Value = TypeVar("_Value")

_KEPT_OCTETS = 256  # of the longest attribute that is remembered

_CHECKS: dict[str, Callable[[str], object]] = {
    "rtpmap": parse_rtpmap,
    "ptime": parse_ptime,
    "maxptime": parse_ptime,
    "rtcp": parse_rtcp,
}


def read(data: bytes | str, limits: Limits) -> SessionDescription:
    """The whole description or SdpError; the work is bounded by the limits, whatever the data."""
    octets = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    if len(octets) > limits.octets:
        raise SdpError(f"the description has {len(octets)} octets, more than the {limits.octets} we read")
    lines = octets.split(b"\n")
    if len(lines) > limits.lines + 1:
        raise SdpError(f"the description has {len(lines)} lines, more than the {limits.lines} we read")
    session = _Session()
    section: _Session | _Section = session
    medias: list[_Section] = []
    kept = min(_KEPT_OCTETS, limits.line_octets)
    for at, raw in enumerate(lines, 1):
        line = raw.removesuffix(b"\r")
        if not line.strip():
            continue
        try:
            if medias and line[:2] == b"a=" and len(line) <= kept:
                medias[-1].attributes.append(_attribute(line, medias[-1].is_rtp))
                continue
            kind, value = _split(line, limits)
            if kind == "m":
                if len(medias) == limits.media:
                    raise SdpError(f"the description has more than {limits.media} m-lines")
                section = _Section(value, limits)
                medias.append(section)
            else:
                section.take(kind, value)
        except SdpError as error:
            raise SdpError(error.reason, at) from None
    return session.finish(tuple(media.finish() for media in medias))


def _split(line: bytes, limits: Limits) -> tuple[str, str]:
    if len(line) > limits.line_octets:
        raise SdpError(f"the line has {len(line)} octets, more than the {limits.line_octets} we read")
    if b"\0" in line or b"\r" in line:
        raise SdpError("the line holds a NUL or a stray carriage return")
    text = line.decode("utf-8", "surrogateescape")
    if len(text) < 2 or text[1] != "=" or not ("a" <= text[0] <= "z" or "A" <= text[0] <= "Z"):
        raise SdpError(f"{text[:40]!r} is not of the form 'type=value'")
    return text[0], text[2:]


@lru_cache(maxsize=512)  # the same few lines in every call
def _attribute(line: bytes, is_rtp: bool) -> Attribute:
    """Of an m-line; judged once."""
    attribute = parse_attribute(_split(line, DEFAULT_LIMITS)[1])
    _check(attribute, is_rtp)
    return attribute


def _check(attribute: Attribute, is_rtp: bool) -> None:
    if attribute.value is None:
        return
    if attribute.name in _CHECKS:
        _CHECKS[attribute.name](attribute.value)
    elif attribute.name == "fmtp" and is_rtp:
        parse_fmtp(attribute.value)


def _once(old: _Value | None, new: _Value, kind: str) -> _Value:
    if old is not None:
        raise SdpError(f"there is a second {kind}= line")
    return new


class _Session:
    """Collects the lines above the first m-line."""

    def __init__(self) -> None:
        self.version: str | None = None
        self.origin: Origin | None = None
        self.name: str | None = None
        self.texts: dict[str, str] = {}
        self.emails: list[str] = []
        self.phones: list[str] = []
        self.connection: Connection | None = None
        self.bandwidths: list[Bandwidth] = []
        self.timings: list[Timing] = []
        self.attributes: list[Attribute] = []
        self.unknown: list[Line] = []

    def take(self, kind: str, value: str) -> None:
        if self.version is None and kind != "v":
            raise SdpError("a description begins with v=0")
        match kind:
            case "v":
                self.version = _once(self.version, value, kind)
                if value.strip() != "0":
                    raise SdpError(f"version {value[:20]!r} of SDP is unknown; there is only 0")
            case "o":
                self.origin = _once(self.origin, parse_origin(value), kind)
            case "s":
                self.name = _once(self.name, value, kind)
            case "i" | "u" | "z" | "k":
                self.texts[kind] = _once(self.texts.get(kind), value, kind)
            case "e":
                self.emails.append(value)
            case "p":
                self.phones.append(value)
            case "c":
                self.connection = _once(self.connection, parse_connection(value), kind)
            case "b":
                self.bandwidths.append(parse_bandwidth(value))
            case "t":
                self.timings.append(Timing(*parse_timing(value)))
            case "r" if self.timings:
                last = self.timings[-1]
                self.timings[-1] = Timing(last.start, last.stop, (*last.repeats, value))
            case "a":
                self.attributes.append(parse_attribute(value))
            case _:
                self.unknown.append(Line(kind, value))

    def finish(self, media: tuple[Media, ...]) -> SessionDescription:
        if self.version is None:
            raise SdpError("the description is empty")
        if self.origin is None:
            raise SdpError("the description has no o= line")
        return SessionDescription(
            origin=self.origin,
            name="-" if self.name is None else self.name,
            media=media,
            information=self.texts.get("i"),
            uri=self.texts.get("u"),
            emails=tuple(self.emails),
            phones=tuple(self.phones),
            connection=self.connection,
            bandwidths=tuple(self.bandwidths),
            timings=tuple(self.timings) or (Timing(),),
            time_zones=self.texts.get("z"),
            key=self.texts.get("k"),
            attributes=tuple(self.attributes),
            unknown=tuple(self.unknown),
        )


@lru_cache(maxsize=128)
def _is_rtp(kind: str, protocol: str, formats: tuple[str, ...]) -> bool:
    """Judges an m-line but for its port."""
    token(kind, "kind of media")
    for part in protocol.split("/"):
        token(part, "protocol")
    if "RTP/" not in protocol.upper():
        return False
    for text in formats:
        number(text, 0, 127, "payload type")
    return True


class _Section:
    """Collects one m-line and the lines below it."""

    def __init__(self, value: str, limits: Limits) -> None:
        parts = value.split()
        if len(parts) < 4:
            raise SdpError(f"m={value[:40]!r} is not of the form 'media port protocol formats'")
        kind, ports, protocol, *formats = parts
        if len(formats) > limits.formats:
            raise SdpError(f"the m-line has {len(formats)} formats, more than the {limits.formats} we read")
        port, slash, count = ports.partition("/")
        self.formats = tuple(formats)
        self.port = number(port, 0, 65535, "port")
        self.port_count = number(count, 1, 65535, "number of ports") if slash else None
        self.kind, self.protocol = kind, protocol
        self.is_rtp = _is_rtp(kind, protocol, self.formats)
        self.title: str | None = None
        self.key: str | None = None
        self.connections: list[Connection] = []
        self.bandwidths: list[Bandwidth] = []
        self.attributes: list[Attribute] = []
        self.unknown: list[Line] = []

    def take(self, kind: str, value: str) -> None:
        match kind:
            case "i":
                self.title = _once(self.title, value, kind)
            case "c":
                self.connections.append(parse_connection(value))
            case "b":
                self.bandwidths.append(parse_bandwidth(value))
            case "k":
                self.key = _once(self.key, value, kind)
            case "a":
                attribute = parse_attribute(value)
                _check(attribute, self.is_rtp)
                self.attributes.append(attribute)
            case "v" | "o" | "s":
                raise SdpError(f"a {kind}= line belongs above the first m-line")
            case _:
                self.unknown.append(Line(kind, value))

    def finish(self) -> Media:
        return Media(
            kind=self.kind,
            port=self.port,
            protocol=self.protocol,
            formats=self.formats,
            port_count=self.port_count,
            title=self.title,
            connections=tuple(self.connections),
            bandwidths=tuple(self.bandwidths),
            key=self.key,
            attributes=tuple(self.attributes),
            unknown=tuple(self.unknown),
        )
