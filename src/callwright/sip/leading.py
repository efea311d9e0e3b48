"""The hosts that a message leads its reader to: by Via, Contact, Route, Record-Route, Refer-To and the like,
and by its session description. It reads as generously as the strangest parser might, since a message may be
wrong on purpose: compact forms, folded lines, odd spaces, names in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from callwright.sip.headers import header_key

__all__ = ["hosts_of", "hosts_of_headers"]

_LEADING = frozenset({"via", "contact", "route", "record-route", "refer-to", "path", "service-route"})
_HARMLESS = frozenset(
    [
        *("from", "to", "call-id", "cseq", "subject", "user-agent", "server", "organization", "date"),
        *("warning", "reason", "p-asserted-identity", "p-preferred-identity", "identity", "referred-by"),
        *("authorization", "proxy-authorization", "content-type", "accept", "expires", "max-forwards"),
        *("diversion", "history-info"),
    ]
)
"""Headers whose addresses nobody sends anything to because of them."""
_FOLD = re.compile(r"(?:\r\n|\n|\r)[ \t]+")
_LINE_END = re.compile(r"\r\n|\n|\r")
_NOISE = re.compile(r"[^a-z0-9-]")
_URI = re.compile(
    r"(?:sips?|wss?|https?)\s*:\s*(?:[^\s@<>\"]*@)?(\[[^\]\s]*\]|[^\s:;,>?\"/\[]+)", re.IGNORECASE
)
_SENT_BY = re.compile(r"sip\s*/\s*[\d.]+\s*/\s*[\w.-]+\s+(\[[^\]\s]*\]|[^\s:;,]+)", re.IGNORECASE)
_PLACE = re.compile(r"(?:maddr|received)\s*=\s*\"?(\[[^\]\s]*\]|[^\s:;,>\"]+)", re.IGNORECASE)
_LITERAL = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]{2,45}(?:%\w+)?\])(?![\w.])")
_MEDIA = re.compile(r"IN\s+IP[46]\s+([^\s/]+)", re.IGNORECASE)
_CANDIDATE = re.compile(r"\s*candidate\s*:\s*(?:\S+\s+){4}(\S+)", re.IGNORECASE)
_MOST = 64


def hosts_of_headers(headers: Iterable[tuple[str, str]], body: bytes = b"") -> tuple[str, ...]:
    """Of headers that are added to a message, and of its body; see `hosts_of`."""
    lines = [f"{name}: {value}" for name, value in headers if header_key(name) in _LEADING]
    return hosts_of("\r\n".join(lines), body)


def hosts_of(text: str, body: bytes = b"") -> tuple[str, ...]:
    """`text`: a whole message, or headers; those of no known name count too. IPv6 stands in brackets. Raises
    ValueError where there are more than anybody has a use for."""
    found: dict[str, None] = {}
    for line in _LINE_END.split(_FOLD.sub(" ", text)):
        for host in _of_line(line):
            found[host] = None
    for line in _LINE_END.split(body.decode("utf-8", "replace")):
        for host in _of_description(line):
            found[host] = None
    if len(found) > _MOST:
        raise ValueError(f"it names {len(found)} hosts; at most {_MOST} are looked at")
    return tuple(found)


def _of_line(line: str) -> list[str]:
    line = f"{line} {unquote(line)}" if "%" in line else line  # headers within a URI are escaped
    name, colon, value = line.partition(":")
    if line[1:2] == "=":
        return _of_description(line)
    key = header_key(_NOISE.sub("", name.lower()))
    if not colon or key in _HARMLESS:
        return []
    found = (
        _SENT_BY.findall(value) if key == "via" else _URI.findall(line if "sip" in name.lower() else value)
    )
    return [*found, *_PLACE.findall(value), *_LITERAL.findall(value)]


def _of_description(line: str) -> list[str]:
    """Of an SDP line that media goes to: c=, a=rtcp and candidates."""
    kind, _, value = line.partition("=")
    kind = kind.strip().lower()
    if kind == "c" or (kind == "a" and value.lstrip().lower().startswith("rtcp")):
        return [f"[{host}]" if ":" in host else host for host in _MEDIA.findall(value)]
    if kind == "a" and (match := _CANDIDATE.match(value)) is not None:
        return [f"[{match[1]}]" if ":" in match[1] else match[1]]
    return []
