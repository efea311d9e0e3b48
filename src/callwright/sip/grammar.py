"""The lexical rules that all headers share (RFC 3261 section 25.1): tokens, quoted strings, lists,
parameters.

Text is `str` decoded from UTF-8 with `surrogateescape`, so octets that are no UTF-8 survive a round trip.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

TOKEN_CHARS = r"A-Za-z0-9\-.!%*_+`'~"
"""The inside of a character class that matches one character of a token."""

Parameters = tuple[tuple[str, "str | None"], ...]
"""Parameters in order, with their spelling; the value is None where no `=` stood, and keeps its quotes."""

_TOKEN = re.compile(rf"[{TOKEN_CHARS}]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_PIECES = re.compile(r'"(?:[^"\\]|\\.)*+"?|<[^>]*>?|[^",<]+|,', re.DOTALL)
_PARAMETER_PIECES = re.compile(r'"(?:[^"\\]|\\.)*+"?|[^";]+|;', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_TO_QUOTE = re.compile(r'(["\\])')
# gen-value = token / host / quoted-string; brackets and colons are for IPv6, also bare (RFC 5118 4.5);
# the rest is what is seen in the wild (URNs in +sip.instance are quoted, but methods="INVITE" is not always).
_GEN_VALUE = re.compile(rf"[{TOKEN_CHARS}\[\]:/@&$()?#{{}}^|]+|[^\x00-\x7f{TOKEN_CHARS}]+")
_HOST_NAME = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.?"
)
_DOTTED_QUAD = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")


class SipSyntaxError(ValueError):
    """A header value or URI breaks the grammar; `position` is the offset in the text that was parsed."""

    def __init__(self, reason: str, position: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position


def is_token(text: str) -> bool:
    """True if the text is a token: a method, a header name, an option tag."""
    return _TOKEN.fullmatch(text) is not None


def quote(text: str) -> str:
    """The text as a quoted string, with quoted-pairs where they are needed."""
    return '"' + _TO_QUOTE.sub(r"\\\1", text) + '"'


def unquote(text: str) -> str:
    """What a quoted string says; text that is not quoted is returned as it is."""
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        inner = text[1:-1]
        return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner
    return text


def split_list(value: str) -> list[str]:
    """The elements of a comma-separated header value; commas in quotes or in `<>` do not split (RFC 3261
    7.3.1).

    Elements are stripped; empty ones are kept, so that a strict reader can refuse them.
    """
    if "," not in value:
        return [value.strip()]
    if '"' not in value and "<" not in value:
        return [element.strip() for element in value.split(",")]
    elements: list[str] = []
    current: list[str] = []
    for piece in _PIECES.findall(value):
        if piece == ",":
            elements.append("".join(current).strip())
            current.clear()
        else:
            current.append(piece)
    elements.append("".join(current).strip())
    return elements


def parse_parameters(text: str, position: int = 0) -> Parameters:
    """Parameters from `;name=value;name`, the first semicolon included; LWS around the separators is dropped.

    Raises SipSyntaxError for an empty parameter, a name that is no token, or a value that is none of token,
    host and quoted string.
    """
    text = text.strip(" \t")
    if not text:
        return ()
    if text[0] != ";":
        raise SipSyntaxError(f"expected ';' before {shorten(text)}", position)
    pieces: list[str] = []
    current: list[str] = []
    if '"' in text:
        for piece in _PARAMETER_PIECES.findall(text[1:]):
            if piece == ";":
                pieces.append("".join(current))
                current.clear()
            else:
                current.append(piece)
        pieces.append("".join(current))
    else:
        pieces = text[1:].split(";")
    return tuple([_parse_parameter(piece, position) for piece in pieces])


def _parse_parameter(piece: str, position: int) -> tuple[str, str | None]:
    name, equals, value = piece.partition("=")
    name = name.strip(" \t")
    if not _TOKEN.fullmatch(name):
        if not name:
            raise SipSyntaxError("empty parameter", position)
        raise SipSyntaxError(f"parameter name {shorten(name)} is not a token", position)
    if not equals:
        return name, None
    value = value.strip(" \t")
    if value[:1] == '"':
        if not _QUOTED.fullmatch(value):
            raise SipSyntaxError(f"quoted string of parameter {shorten(name)} does not end", position)
    elif not _GEN_VALUE.match(value) or any(c in value for c in ' \t"<>,;'):
        raise SipSyntaxError(
            f"value of parameter {shorten(name)} is not a token, host or quoted string", position
        )
    return name, value


def format_parameters(parameters: Parameters) -> str:
    """`;name=value;name`, or nothing."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in parameters])


def find_parameter(parameters: Parameters, name: str) -> str | None:
    """Value of the first parameter of that name, quotes removed; "" where it has none, None where it is
    absent."""
    name = name.lower()
    for candidate, value in parameters:
        if candidate == name or candidate.lower() == name:
            return "" if value is None else unquote(value)
    return None


def replace_parameter(parameters: Parameters, name: str, value: str | None) -> Parameters:
    """The parameters with that one set (in its old place, else at the end); the value is written as given."""
    lowered = name.lower()
    replaced = False
    kept: list[tuple[str, str | None]] = []
    for pair in parameters:
        if pair[0].lower() != lowered:
            kept.append(pair)
        elif not replaced:
            kept.append((pair[0], value))
            replaced = True
    if not replaced:
        kept.append((name, value))
    return tuple(kept)


def parse_host(text: str, position: int = 0) -> str:
    """A host name, an IPv4 address or a bracketed IPv6 reference; the brackets are removed.

    `[2001:db8:::192.0.2.1]` is read as if it had two colons: the grammar of RFC 3261 demands the third by
    mistake (RFC 5118 section 4.10).
    """
    if text[:1] == "[":
        if text[-1] != "]":
            raise SipSyntaxError("IPv6 reference without its closing bracket", position)
        address = text[1:-1].replace(":::", "::", 1)
        try:
            IPv6Address(address)
        except (AddressValueError, ValueError):
            raise SipSyntaxError(f"{shorten(text)} is not an IPv6 reference", position) from None
        if "%" in address:
            raise SipSyntaxError("an IPv6 reference has no zone", position)
        return address
    if not _HOST_NAME.fullmatch(text):
        raise SipSyntaxError(f"{shorten(text)} is not a host" if text else "no host", position)
    if _DOTTED_QUAD.fullmatch(text) and any(int(part[:4]) > 255 for part in text.split(".")):
        raise SipSyntaxError(f"{shorten(text)} is not an IPv4 address", position)
    return text


def format_host(host: str) -> str:
    """The host as it stands in a URI or Via: an IPv6 address gets its brackets."""
    return f"[{host}]" if ":" in host else host


def parse_port(text: str, position: int = 0) -> int:
    """A port, 0 to 65535, in decimal digits."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > 65535:
        raise SipSyntaxError(f"{shorten(text)} is not a port", position)
    return int(text)


def parse_number(text: str, maximum: int) -> int | None:
    """A decimal number from 0 to maximum, leading zeros allowed; None for anything else."""
    if not text.isascii() or not text.isdigit():
        return None
    text = text.lstrip("0") or "0"
    if len(text) > 20:
        return None
    number = int(text)
    return number if number <= maximum else None


def shorten(text: str) -> str:
    text = text if len(text) <= 40 else text[:40] + "…"
    return "'" + "".join([c if c.isprintable() else "?" for c in text]) + "'"
