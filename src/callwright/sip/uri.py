"""SIP URIs and the name-addr that carries them in From, To, Contact and Route (RFC 3261 sections 19.1 and
20.10)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import unquote as unescape

from callwright.sip.grammar import (
    TOKEN_CHARS,
    Parameters,
    SipSyntaxError,
    find_parameter,
    format_host,
    format_parameters,
    parse_host,
    parse_parameters,
    parse_port,
    quote,
    replace_parameter,
    shorten,
    unquote,
)

__all__ = ["NameAddr", "SipSyntaxError", "Uri"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_ESCAPED = "%[0-9A-Fa-f]{2}"
# `#` is outside the grammar but is what people dial for a service code (sip:*21#@example.com).
_USER = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#]|{_ESCAPED})+")
_PASSWORD = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,]|{_ESCAPED})*")
_TAIL = re.compile(r"(\[[^\]]*\]|[^:;?\[\]]*)(?::([^;?]*))?(;[^?]*)?(\?.*)?", re.DOTALL)
# `=` within a value is outside the grammar, and is what Kamailio writes into Record-Route (;vsf=AAA==).
_URI_PARAMETER = re.compile(
    rf"((?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$]|{_ESCAPED})+)(?:=((?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$=]|{_ESCAPED})*))?"
)
_URI_HEADER = re.compile(
    rf"((?:[A-Za-z0-9\-_.!~*'()\[\]/?:+$]|{_ESCAPED})+)=((?:[A-Za-z0-9\-_.!~*'()\[\]/?:+$@;,]|{_ESCAPED})*)"
)
_OPAQUE = re.compile(r"[^\s<>\"\x00-\x1f\x7f]+")
# Display names: tokens with LWS between; octets beyond ASCII are let through, though they ought to be quoted.
_DISPLAY_TOKENS = re.compile(rf"(?:[{TOKEN_CHARS} \t]|[^\x00-\x7f])*")
_QUOTED_START = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_CACHEABLE = 256


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI, its parts in the spelling in which they came (escapes are left alone: see `unescaped_user`).

    `host` is without brackets, `port` None where none is written. A scheme other than sip, sips and tel has
    only `opaque`, all after the colon; tel has the number in `user` and no host.
    """

    scheme: str
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    parameters: Parameters = ()
    headers: tuple[tuple[str, str], ...] = ()
    opaque: str = ""

    @staticmethod
    def parse(text: str) -> Uri:
        """Parse a URI. Raises SipSyntaxError; white space is an error, since a URI has none."""
        return _parse_cached(text) if len(text) <= _CACHEABLE else _parse(text)

    @property
    def is_sip(self) -> bool:
        """True for sip and sips, the only schemes that say where to send."""
        return self.scheme.lower() in ("sip", "sips")

    @property
    def is_secure(self) -> bool:
        """True for sips."""
        return self.scheme.lower() == "sips"

    @property
    def unescaped_user(self) -> str | None:
        """The user part with its escapes resolved, once (`%2541` is `%41`)."""
        if self.user is None or "%" not in self.user:
            return self.user
        return unescape(self.user, errors="surrogateescape")

    @property
    def destination(self) -> str:
        """The host that a request to this URI is sent to: its maddr, else its host (RFC 3261 section
        19.1.1). A maddr with escapes is none by the grammar, and is read as a proxy on the way would."""
        return (_plain_name(self.parameter("maddr") or "") or self.host) if self.parameters else self.host

    def escaped(self) -> Uri:
        """The same URI with what people type and the grammar does not know escaped: `#` as `%23`."""
        return (
            self
            if self.user is None or "#" not in self.user
            else replace(self, user=self.user.replace("#", "%23"))
        )

    @property
    def dialled(self) -> str:
        """What is dialled, for who judges numbers: the user part, escapes and all, with its phone-context.

        In a tel URI the context is a parameter (RFC 3966), in a SIP URI it stands in the user part (RFC 3261
        section 19.1.6); some write it behind the host, so that counts too. Empty where nothing is dialled.
        """
        if not self.user:
            return ""
        found = [
            f";phone-context={value or ''}"
            for name, value in self.parameters
            if _plain_name(name) == "phone-context"
        ]
        return "".join([self.user, *found])

    def parameter(self, name: str) -> str | None:
        """Value of a URI parameter, "" where it has none (`;lr`), None where it is absent.

        A name that is written with escapes is the same name (RFC 3261 section 19.1.4).
        """
        return find_parameter(_plain_names(self.parameters), name)

    def with_parameter(self, name: str, value: str | None = None) -> Uri:
        """The same URI with that parameter set."""
        return replace(self, parameters=replace_parameter(_plain_names(self.parameters), name, value))

    def without_headers(self) -> Uri:
        """The same URI without `?header=value`, as a Request-URI must be (RFC 3261 section 19.1.1)."""
        return replace(self, headers=()) if self.headers else self

    def equivalent(self, other: Uri) -> bool:
        """Equality by the rules of RFC 3261 section 19.1.4 (which is not transitive)."""
        if self.scheme.lower() != other.scheme.lower() or self.port != other.port:
            return False
        if not self.is_sip:
            return self == replace(other, scheme=self.scheme)
        if _normal(self.user) != _normal(other.user) or _normal(self.password) != _normal(other.password):
            return False
        if self.host.lower() != other.host.lower():
            return False
        return _parameters_agree(self, other) and _header_set(self) == _header_set(other)

    def __str__(self) -> str:
        if self.opaque:
            return f"{self.scheme}:{self.opaque}"
        text = f"{self.scheme}:"
        if self.user is not None:
            text += self.user
            if self.password is not None:
                text += f":{self.password}"
            if self.host:
                text += "@"
        text += format_host(self.host)
        if self.port is not None:
            text += f":{self.port}"
        text += format_parameters(self.parameters)
        if self.headers:
            text += "?" + "&".join([f"{name}={value}" for name, value in self.headers])
        return text


def _parse(text: str) -> Uri:
    scheme, colon, rest = text.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise SipSyntaxError(f"{shorten(text)} is not a URI: no scheme", 0)
    start = len(scheme) + 1
    kind = scheme.lower()
    if kind == "tel":
        number, semicolon, tail = rest.partition(";")
        if not _USER.fullmatch(number):
            raise SipSyntaxError(f"{shorten(number)} is not a telephone number", start)
        return Uri(scheme, number, parameters=_parse_uri_parameters(semicolon + tail, start + len(number)))
    if kind not in ("sip", "sips"):
        if not _OPAQUE.fullmatch(rest):
            raise SipSyntaxError(f"{shorten(text)} is not a URI", start)
        return Uri(scheme, opaque=rest)
    user: str | None = None
    password: str | None = None
    userinfo, at, tail = rest.partition("@")
    if at:
        user, colon, secret = userinfo.partition(":")
        if not _USER.fullmatch(user):
            raise SipSyntaxError(f"{shorten(user)} is not a user part" if user else "empty user part", start)
        if colon:
            if not _PASSWORD.fullmatch(secret):
                raise SipSyntaxError(
                    "the password has characters that must be escaped", start + len(user) + 1
                )
            password = secret
        start += len(userinfo) + 1
    else:
        tail = rest
    match = _TAIL.fullmatch(tail)
    if match is None:
        raise SipSyntaxError(f"{shorten(tail)} is not a host with port and parameters", start)
    host_text, port_text, parameter_text, header_text = match.groups()
    host = parse_host(host_text, start)
    port = None if port_text is None else parse_port(port_text, match.start(2) + start)
    parameters = _parse_uri_parameters(parameter_text, start + match.start(3)) if parameter_text else ()
    headers = _parse_uri_headers(header_text, start + match.start(4)) if header_text else ()
    return Uri(scheme, user, password, host, port, parameters, headers)


_parse_cached = lru_cache(maxsize=1024)(_parse)


def _parse_uri_parameters(text: str, position: int) -> Parameters:
    if not text:
        return ()
    parameters: list[tuple[str, str | None]] = []
    for piece in text[1:].split(";"):
        match = _URI_PARAMETER.fullmatch(piece)
        if match is None:
            raise SipSyntaxError(
                f"{shorten(piece)} is not a URI parameter" if piece else "empty URI parameter", position
            )
        parameters.append((match[1], match[2]))
    return tuple(parameters)


def _parse_uri_headers(text: str, position: int) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    for piece in text[1:].split("&"):
        match = _URI_HEADER.fullmatch(piece)
        if match is None:
            raise SipSyntaxError(f"{shorten(piece)} is not a URI header", position)
        headers.append((match[1], match[2]))
    return tuple(headers)


def _normal(text: str | None) -> str | None:
    return unescape(text, errors="surrogateescape") if text and "%" in text else text


def _plain_name(name: str) -> str:
    """In lower case, without escapes, nor escaped ones: who gets the URI may resolve them more than once."""
    for _ in range(4):
        if "%" not in name:
            break
        name = unescape(name, errors="surrogateescape")
    return name.strip().lower()


def _plain_names(parameters: Parameters) -> Parameters:
    """Names with an escape in plain spelling, the others as they are."""
    if not any("%" in name for name, _ in parameters):
        return parameters
    return tuple((_plain_name(name) if "%" in name else name, value) for name, value in parameters)


def _parameters_agree(first: Uri, second: Uri) -> bool:
    ours = {_plain_name(name): (value or "").lower() for name, value in first.parameters}
    theirs = {_plain_name(name): (value or "").lower() for name, value in second.parameters}
    for name in ours.keys() | theirs.keys():
        if name in ours and name in theirs:
            if _normal(ours[name]) != _normal(theirs[name]):
                return False
        elif name in ("user", "ttl", "method", "maddr", "transport"):
            return False
    return True


def _header_set(uri: Uri) -> list[tuple[str, str | None]]:
    return sorted([(name.lower(), _normal(value)) for name, value in uri.headers], key=str)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A URI with a display name and header parameters, as in From, To, Contact, Route.

    `display_name` is what it says, without quotes ("" for none); `str()` writes it quoted, the URI in `<>`.
    """

    display_name: str
    uri: Uri
    parameters: Parameters = ()

    @staticmethod
    def parse(text: str) -> NameAddr:
        """Parse `"Name" <uri>;parameters` or `uri;parameters`. Raises SipSyntaxError.

        Without `<>` all after the first semicolon belongs to the header, and the URI may have no `?` and no
        comma (RFC 3261 section 20.10).
        """
        return _parse_name_addr_cached(text) if len(text) <= _CACHEABLE else _parse_name_addr(text)

    @property
    def tag(self) -> str | None:
        """The tag parameter, None where there is none."""
        return find_parameter(self.parameters, "tag")

    def with_tag(self, tag: str) -> NameAddr:
        """The same with that tag."""
        return replace(self, parameters=replace_parameter(self.parameters, "tag", tag))

    def parameter(self, name: str) -> str | None:
        """Value of a header parameter, unquoted; "" where it has none, None where it is absent."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None = None) -> NameAddr:
        """The same with that header parameter set; the value is written as given (quote it where needed)."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_parameters(self.parameters)}"


def _parse_name_addr(text: str) -> NameAddr:
    stripped = text.strip(" \t")
    display = ""
    if stripped[:1] == '"':
        match = _QUOTED_START.match(stripped)
        if match is None:
            raise SipSyntaxError("the quoted display name does not end", 0)
        display = unquote(match[0])
        rest = stripped[match.end() :].lstrip(" \t")
        if rest[:1] != "<":
            raise SipSyntaxError("no <URI> after the display name", match.end())
    else:
        before, bracket, after = stripped.partition("<")
        if not bracket:
            return _parse_addr_spec(stripped)
        if not _DISPLAY_TOKENS.fullmatch(before):
            raise SipSyntaxError(f"display name {shorten(before.strip())} must be quoted", 0)
        display = " ".join(before.split())
        rest = bracket + after
    uri_text, bracket, tail = rest[1:].partition(">")
    position = len(stripped) - len(rest) + 1
    if not bracket:
        raise SipSyntaxError("the '<' around the URI is not closed", position)
    return NameAddr(display, Uri.parse(uri_text), parse_parameters(tail, position + len(uri_text) + 1))


def _parse_addr_spec(text: str) -> NameAddr:
    uri_text, semicolon, tail = text.partition(";")
    uri_text = uri_text.rstrip(" \t")
    if "?" in uri_text or "," in uri_text:
        raise SipSyntaxError("a URI with '?' or ',' must be in <>", 0)
    return NameAddr("", Uri.parse(uri_text), parse_parameters(semicolon + tail, len(uri_text)))


_parse_name_addr_cached = lru_cache(maxsize=1024)(_parse_name_addr)
