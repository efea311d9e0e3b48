"""The session description of a message: its body, or a part of a multipart (RFC 5621).

A gateway puts ISUP beside SDP, an emergency call its location. Which part is the description says its
Content-Type and disposition; what else there is counts only where its sender demands that it is understood.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from callwright.sip.fields import MediaType
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.headers import Headers

__all__ = ["SDP", "Part", "PartPlace", "demanded", "described", "parts_of", "redescribed", "spot"]

SDP = "application/sdp"
_MOST_PARTS = 32
_MOST_DEPTH = 4
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(rb"([^\s:]+)[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)")
_LENGTH = re.compile(rb"(?im)^(content-length|l)([ \t]*:[ \t]*)[0-9]+")


class Part(NamedTuple):
    """One part: where it stands in the whole body (`begin`, `head_end`, `end`), and what its header says."""

    begin: int
    head_end: int
    end: int
    kind: MediaType | None
    disposition: str
    """The first word of Content-Disposition, lower case; "" without one."""
    handling: str
    """`required`, `optional`, or "" where its sender says nothing."""


class PartPlace(NamedTuple):
    """Where a description stands in a body; `part` is None where it is the body itself."""

    begin: int
    end: int
    part: Part | None = None


def described(headers: Headers, body: bytes) -> bytes:
    """The session description of a message; b"" where there is none."""
    place = spot(headers, body)
    return b"" if place is None else body[place.begin : place.end]


def spot(headers: Headers, body: bytes) -> PartPlace | None:
    """Where the session description is. A body without Content-Type is taken for one."""
    if not body:
        return None
    kind = _kind(headers.get("content-type"))
    if kind is None or kind.essence == SDP:
        return PartPlace(0, len(body))
    if kind.type != "multipart":
        return None
    found = [
        part
        for part in _leaves(kind, body, 0, len(body), 0)
        if part.kind is not None and part.kind.essence == SDP and part.disposition in ("", "session")
    ]
    if not found:
        return None
    # Of alternatives the last that is understood is the best (RFC 2046 section 5.1.4), else the first.
    part = found[-1] if kind.subtype == "alternative" else found[0]
    return PartPlace(part.head_end, part.end, part)


def demanded(headers: Headers, body: bytes) -> list[str]:
    """The media types of parts beside the description whose sender demands that they are understood.

    That is `handling=required`, and a disposition that leaves it open (RFC 3261 section 20.11). A part
    without any Content-Disposition is passed over: gateways that add one for their own kind do not write it.
    """
    kind = _kind(headers.get("content-type"))
    if kind is None or kind.type != "multipart":
        return []
    place = spot(headers, body)
    return [
        "application/octet-stream" if part.kind is None else part.kind.essence
        for part in _leaves(kind, body, 0, len(body), 0)
        if (place is None or part != place.part)
        and (part.handling == "required" or (part.disposition and part.handling != "optional"))
        and (part.kind is None or part.kind.essence != SDP)
    ]


def redescribed(body: bytes, place: PartPlace, description: bytes) -> bytes:
    """The body with another description in that place, every other octet as it was."""
    head = b""
    begin = place.begin
    if place.part is not None:
        begin = place.part.begin
        head = _LENGTH.sub(rb"\g<1>\g<2>%d" % len(description), body[begin : place.begin])
    return body[:begin] + head + description + body[place.end :]


def parts_of(kind: MediaType, body: bytes, begin: int, end: int) -> list[Part]:
    """The parts of a multipart that stands in that range of a body, in order; empty where there are none."""
    boundary = kind.parameter("boundary") or _guessed(body, begin, end)
    if not boundary:
        return []
    mark = re.escape(boundary.encode("utf-8", "surrogateescape"))
    delimiter = re.compile(rb"(?:^|\r?\n)--" + mark + rb"(--)?[ \t]*(?=\r?\n|\Z)(?:\r?\n)?")
    found: list[Part] = []
    at: int | None = None
    for match in delimiter.finditer(body[begin:end]):
        if at is not None:
            found.append(_part(body, at, begin + match.start()))
        at = None if match[1] else begin + match.end()
        if match[1] or len(found) >= _MOST_PARTS:
            break
    if at is not None and len(found) < _MOST_PARTS:
        found.append(_part(body, at, end))  # the closing delimiter is missing
    return found


def _leaves(kind: MediaType, body: bytes, begin: int, end: int, depth: int) -> list[Part]:
    found: list[Part] = []
    for part in parts_of(kind, body, begin, end):
        inner = part.kind
        if inner is not None and inner.type == "multipart" and depth < _MOST_DEPTH:
            found += _leaves(inner, body, part.head_end, part.end, depth + 1)
        else:
            found.append(part)
    return found[:_MOST_PARTS]


def _part(body: bytes, begin: int, end: int) -> Part:
    if body[begin : begin + 1] == b"\n" or body[begin : begin + 2] == b"\r\n":
        empty = 1 if body[begin : begin + 1] == b"\n" else 2
        return Part(begin, min(begin + empty, end), end, None, "", "")
    match = _END_OF_HEAD.search(body, begin, end)
    head_end = end if match is None else match.end()
    head = body[begin : end if match is None else match.start()]
    fields = Headers(
        [
            (name.decode("latin-1"), re.sub(rb"\r?\n[ \t]+", b" ", value).decode("utf-8", "surrogateescape"))
            for name, value in _FIELD.findall(head)
        ]
    )
    disposition = (fields.get("content-disposition") or "").lower()
    word, _, parameters = disposition.partition(";")
    handling = re.search(r'(?:^|;)\s*handling\s*=\s*"?(\w+)', parameters)
    return Part(
        begin,
        head_end,
        end,
        _kind(fields.get("content-type")),
        word.strip(),
        "" if handling is None else handling[1],
    )


def _kind(text: str | None) -> MediaType | None:
    try:
        return MediaType.parse(text) if text else None
    except SipSyntaxError:
        return None


def _guessed(body: bytes, begin: int, end: int) -> str:
    """The boundary of a multipart that does not name it: its first line is one."""
    first = body[begin:end].lstrip(b"\r\n").partition(b"\n")[0].rstrip(b"\r \t")
    return first[2:72].decode("utf-8", "surrogateescape") if first[:2] == b"--" else ""
