"""From octets to the fields of a SessionDescription, line by line, within limits: see its `parse`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

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
from callwright.sdp.media import Media

_Value = TypeVar("_Value")

_LONE_RETURN = re.compile(rb"\r(?=[^\r\n])")
_KEPT_OCTETS = 256  # of the longest attribute that is remembered

_SECRET = (b"a=crypto", b"a=ice-pwd")
_CHECKS: dict[str, Callable[[str], object]] = {
    "rtpmap": parse_rtpmap,
    "ptime": parse_ptime,
    "maxptime": parse_ptime,
    "rtcp": parse_rtcp,
}


def read(data: bytes | str, limits: Limits) -> dict[str, Any]:
    """The fields of the whole description, or SdpError; the work is bounded by the limits, whatever the data.

    Only what leaves no description to speak of is an error: no ``v=0`` at its head, sizes beyond the limits.
    """
    octets = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    if len(octets) > limits.octets:
        raise SdpError(f"the description has {len(octets)} octets, more than the {limits.octets} we read")
    remarks = _Remarks(limits.remarks)
    if b"\0" in octets:
        if octets.rstrip(b"\0\r\n").find(b"\0") >= 0:
            remarks.add("the description holds NUL octets, which were left out")
        octets = octets.replace(b"\0", b"")
    if octets.count(b"\r") != octets.count(b"\r\n") and _LONE_RETURN.search(octets):
        remarks.add("the description holds carriage returns alone, which were taken for line ends")
        octets = _LONE_RETURN.sub(b"\n", octets)
    lines = octets.split(b"\n")
    if len(lines) > limits.lines + 1:
        raise SdpError(f"the description has {len(lines)} lines, more than the {limits.lines} we read")
    session = _Session()
    section: _Session | _Section = session
    medias: list[_Section] = []
    kept = min(_KEPT_OCTETS, limits.line_octets)
    for at, raw in enumerate(lines, 1):
        line = raw.rstrip(b"\r")
        if not line.strip():
            continue
        try:
            if medias and line[:2] == b"a=" and len(line) <= kept:
                # Keys are not remembered.
                read_one = _attribute.__wrapped__ if line.startswith(_SECRET) else _attribute
                attribute, problem = read_one(line, medias[-1].is_rtp)
                medias[-1].attributes.append(attribute)
            else:
                kind, value = _split(line, limits)
                if kind == "m":
                    if len(medias) == limits.media:
                        raise Unreadable(f"the description has more than {limits.media} m-lines")
                    section = _Section(value, limits)
                    medias.append(section)
                    problem = section.problem
                else:
                    problem = section.take(kind, value)
        except Unreadable as error:
            raise SdpError(error.reason, at) from None
        except SdpError as error:
            if session.version is None:
                raise SdpError(error.reason, at) from None
            problem = error.reason
        if problem is not None:
            remarks.add(problem, at)
    return session.finish(tuple(media.finish() for media in medias), remarks)


class Unreadable(SdpError):
    """A fault that leaves no description: raised on, where others become remarks."""


class _Remarks:
    """The first few odd things, and how many there were."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._said: list[str] = []
        self._more = 0

    def add(self, reason: str, line: int | None = None) -> None:
        if len(self._said) < self._most:
            self._said.append(str(SdpError(reason, line)))
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        return (*self._said, f"and {self._more} more odd lines") if self._more else tuple(self._said)


def _split(line: bytes, limits: Limits) -> tuple[str, str]:
    if len(line) > limits.line_octets:
        raise Unreadable(f"the line has {len(line)} octets, more than the {limits.line_octets} we read")
    text = line.decode("utf-8", "surrogateescape")
    if len(text) < 2 or text[1] != "=" or not ("a" <= text[0] <= "z" or "A" <= text[0] <= "Z"):
        raise SdpError(f"{text[:40]!r} is not of the form 'type=value'")
    return text[0], text[2:]


@lru_cache(maxsize=512)  # the same few lines in every call
def _attribute(line: bytes, is_rtp: bool) -> tuple[Attribute, str | None]:
    """Of an m-line, and what is odd about it; judged once."""
    attribute = parse_attribute(_split(line, DEFAULT_LIMITS)[1])
    return attribute, _problem(attribute, is_rtp)


def _problem(attribute: Attribute, is_rtp: bool) -> str | None:
    """What is odd about an attribute whose numbers we use; it stays, and says nothing."""
    if not attribute.name:
        return "an attribute has no name"
    if attribute.value is None:
        return None
    try:
        if attribute.name in _CHECKS:
            _CHECKS[attribute.name](attribute.value)
        elif attribute.name == "fmtp" and is_rtp:
            parse_fmtp(attribute.value)
    except SdpError as error:
        return error.reason
    return None


def _first(old: _Value | None, new: _Value, kind: str) -> _Value:
    if old is not None:
        raise SdpError(f"there is a second {kind}= line")
    return new


def _number(text: str) -> int:
    """A port, or a number of them; 0 for what is none."""
    try:
        return number(text, 0, 65535, "port")
    except SdpError:
        return 0


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
        self.unknown: list[SdpLine] = []

    def take(self, kind: str, value: str) -> str | None:
        """Returns what is odd about the line, which then goes along unread."""
        if self.version is None:
            if kind != "v":
                raise Unreadable("a description begins with v=0")
            if value.strip() != "0":
                raise Unreadable(f"version {value[:20]!r} of SDP is unknown; there is only 0")
            self.version = value
            return None
        try:
            self._read(kind, value)
        except SdpError as error:
            self.unknown.append(SdpLine(kind, value))
            return error.reason
        return _problem(self.attributes[-1], False) if kind == "a" else None

    def _read(self, kind: str, value: str) -> None:
        match kind:
            case "v":
                raise SdpError("there is a second v= line")
            case "o":
                self.origin = _first(self.origin, parse_origin(value), kind)
            case "s":
                self.name = _first(self.name, value, kind)
            case "i" | "u" | "z" | "k":
                self.texts[kind] = _first(self.texts.get(kind), value, kind)
            case "e":
                self.emails.append(value)
            case "p":
                self.phones.append(value)
            case "c":
                self.connection = _first(self.connection, parse_connection(value), kind)
            case "b":
                self.bandwidths.append(parse_bandwidth(value))
            case "t":
                self.timings.append(Timing(*parse_timing(value)))
            case "r":
                last = self.timings.pop() if self.timings else Timing()
                self.timings.append(Timing(last.start, last.stop, (*last.repeats, value)))
            case "a":
                self.attributes.append(parse_attribute(value))
            case _:
                self.unknown.append(SdpLine(kind, value))

    def finish(self, media: tuple[Media, ...], remarks: _Remarks) -> dict[str, Any]:
        if self.version is None:
            raise SdpError("the description is empty")
        if self.origin is None:
            if all(line.kind != "o" for line in self.unknown):
                remarks.add("the description has no o= line")
            self.origin = Origin("-", 0, 0, "0.0.0.0")
        return {
            "origin": self.origin,
            "name": "-" if self.name is None else self.name,
            "media": media,
            "information": self.texts.get("i"),
            "uri": self.texts.get("u"),
            "emails": tuple(self.emails),
            "phones": tuple(self.phones),
            "connection": self.connection,
            "bandwidths": tuple(self.bandwidths),
            "timings": tuple(self.timings) or (Timing(),),
            "time_zones": self.texts.get("z"),
            "key": self.texts.get("k"),
            "attributes": tuple(self.attributes),
            "unknown": tuple(self.unknown),
            "remarks": remarks.all(),
        }


@lru_cache(maxsize=128)
def _judged(kind: str, ports: str, protocol: str, formats: tuple[str, ...]) -> tuple[str | None, str | None]:
    """An m-line: why it cannot be used, and what is odd in it otherwise."""
    try:
        token(kind, "kind of media")
        port, slash, count = ports.partition("/")
        number(port, 0, 65535, "port")
        if slash:
            number(count, 1, 65535, "number of ports")
        for part in protocol.split("/"):
            token(part, "protocol")
    except SdpError as error:
        return error.reason, error.reason
    if not formats:
        reason = f"m={' '.join((kind, ports, protocol))[:40]!r} names no format"
        return reason, reason
    try:
        for text in formats if "RTP/" in protocol.upper() else ():
            number(text, 0, 127, "payload type")
    except SdpError as error:
        return None, error.reason
    return None, None


class _Section:
    """Collects one m-line and the lines below it."""

    def __init__(self, value: str, limits: Limits) -> None:
        parts = value.split()
        if len(parts) - 3 > limits.formats:
            raise Unreadable(
                f"the m-line has {len(parts) - 3} formats, more than the {limits.formats} we read"
            )
        self.fault: str | None = None
        self.problem: str | None = None
        if len(parts) < 3:
            self.fault = f"m={value[:40]!r} is not of the form 'media port protocol formats'"
            self.problem = self.fault
            parts = [*(parts[:1] or ["unknown"]), "0", "RTP/AVP"]  # enough to be answered
        else:
            self.fault, self.problem = _judged(*parts[:3], tuple(parts[3:]))
        self.kind, ports, self.protocol, *formats = parts
        self.formats = tuple(formats)
        port, _, count = ports.partition("/")
        self.port, self.port_count = _number(port), _number(count) or None
        self.is_rtp = "RTP/" in self.protocol.upper()
        self.title: str | None = None
        self.key: str | None = None
        self.connections: list[Connection] = []
        self.bandwidths: list[Bandwidth] = []
        self.attributes: list[Attribute] = []
        self.unknown: list[SdpLine] = []

    def take(self, kind: str, value: str) -> str | None:
        """Returns what is odd about the line, which then goes along unread."""
        try:
            self._read(kind, value)
        except SdpError as error:
            self.unknown.append(SdpLine(kind, value))
            if kind == "c" and not self.connections:
                self.fault = self.fault or error.reason  # sending to the session's c= would be a guess
            return error.reason
        return _problem(self.attributes[-1], self.is_rtp) if kind == "a" else None

    def _read(self, kind: str, value: str) -> None:
        match kind:
            case "i":
                self.title = _first(self.title, value, kind)
            case "c":
                self.connections.append(parse_connection(value))
            case "b":
                self.bandwidths.append(parse_bandwidth(value))
            case "k":
                self.key = _first(self.key, value, kind)
            case "a":
                self.attributes.append(parse_attribute(value))
            case "v" | "o" | "s":
                raise SdpError(f"a {kind}= line belongs above the first m-line")
            case _:
                self.unknown.append(SdpLine(kind, value))

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
            fault=self.fault,
        )
