"""What stands in Via, CSeq and the like, as values (RFC 3261 section 20)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from callwright.sip.grammar import (
    TOKEN_CHARS,
    Parameters,
    SipSyntaxError,
    find_parameter,
    format_host,
    format_parameters,
    is_token,
    parse_host,
    parse_number,
    parse_parameters,
    parse_port,
    replace_parameter,
    shorten,
)

MAGIC_COOKIE = "z9hG4bK"
"""What the branch of an RFC 3261 element begins with; without it the peer speaks RFC 2543."""

MAX_CSEQ = 2**32 - 1

_VIA = re.compile(
    rf"([{TOKEN_CHARS}]++)\s*+/\s*+([{TOKEN_CHARS}]++)\s*+/\s*+([{TOKEN_CHARS}]++)\s++"
    r"(\[[^\]]*+\]|[^\s:;\[\]]++)(?:\s*+:\s*+([^\s;]*+))?\s*+(;.*)?",
    re.DOTALL,
)
_CSEQ = re.compile(rf"([0-9]+)\s+([{TOKEN_CHARS}]+)")


@dataclass(frozen=True, slots=True)
class Via:
    """One hop of the way a response takes back. `transport` is as received ("UDP", "SCTP", …), the host
    without brackets, the port None where none is written. `protocol` is "SIP/2.0" but in messages of another
    version."""

    transport: str
    host: str
    port: int | None = None
    parameters: Parameters = ()
    protocol: str = "SIP/2.0"

    @staticmethod
    def parse(text: str) -> Via:
        """Parse one element of a Via header; raises SipSyntaxError."""
        return _parse_via_cached(text) if len(text) <= 128 else _parse_via(text)

    @property
    def branch(self) -> str | None:
        """The transaction identifier, None for an element of RFC 2543."""
        return find_parameter(self.parameters, "branch")

    @property
    def has_magic_cookie(self) -> bool:
        """True if the branch identifies the transaction (RFC 3261 section 8.1.1.7): the cookie and something
        more."""
        branch = self.branch
        return branch is not None and branch[:7] == MAGIC_COOKIE and len(branch) > 7

    @property
    def received(self) -> str | None:
        """The source address that the next element saw, without brackets."""
        received = find_parameter(self.parameters, "received")
        return received.strip("[]") if received else received

    @property
    def rport(self) -> int | None:
        """The source port that the next element saw (RFC 3581); None when absent or still empty."""
        text = find_parameter(self.parameters, "rport")
        return parse_number(text, 65535) if text else None

    @property
    def wants_rport(self) -> bool:
        """True if the response is to go to the source port (RFC 3581)."""
        return find_parameter(self.parameters, "rport") is not None

    def parameter(self, name: str) -> str | None:
        """Value of a parameter, "" where it has none, None where it is absent."""
        return find_parameter(self.parameters, name)

    def with_parameter(self, name: str, value: str | None = None) -> Via:
        """The same with that parameter set."""
        return replace(self, parameters=replace_parameter(self.parameters, name, value))

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        sent_by = f"{format_host(self.host)}{port}"
        return f"{self.protocol}/{self.transport} {sent_by}{format_parameters(self.parameters)}"


def _parse_via(text: str) -> Via:
    match = _VIA.fullmatch(text.strip(" \t"))
    if match is None:
        raise SipSyntaxError(f"{shorten(text)} is not a Via" if text else "empty element in Via")
    name, version, transport, host, port, tail = match.groups()
    return Via(
        transport,
        parse_host(host, match.start(4)),
        None if port is None else parse_port(port, match.start(5)),
        parse_parameters(tail, match.start(6)) if tail else (),
        f"{name}/{version}",
    )


_parse_via_cached = lru_cache(maxsize=512)(_parse_via)


@dataclass(frozen=True, slots=True)
class CSeq:
    """Number (0 to 2^32 - 1) and method of a CSeq."""

    number: int
    method: str

    @staticmethod
    def parse(text: str) -> CSeq:
        """Parse a CSeq; raises SipSyntaxError, for a number beyond 32 bits too."""
        match = _CSEQ.fullmatch(text.strip(" \t"))
        if match is None:
            raise SipSyntaxError(f"{shorten(text)} is not a number and a method")
        number = parse_number(match[1], MAX_CSEQ)
        if number is None:
            raise SipSyntaxError(f"sequence number {shorten(match[1])} is beyond 32 bits")
        return CSeq(number, match[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True, slots=True)
class RAck:
    """Which reliable provisional response a PRACK acknowledges (RFC 3262 section 7.2): its RSeq and CSeq."""

    number: int
    cseq: CSeq

    @staticmethod
    def parse(text: str) -> RAck:
        """Parse a RAck; raises SipSyntaxError, for a number that is no RSeq too."""
        first, _, rest = text.strip(" \t").partition(" ")
        number = parse_number(first, MAX_CSEQ)
        if not number:
            raise SipSyntaxError(f"{shorten(text)} does not begin with an RSeq")
        return RAck(number, CSeq.parse(rest))

    def __str__(self) -> str:
        return f"{self.number} {self.cseq}"


@dataclass(frozen=True, slots=True)
class MediaType:
    """A Content-Type or an element of Accept: `type` and `subtype` in lower case, parameters as they came."""

    type: str
    subtype: str
    parameters: Parameters = ()

    @staticmethod
    def parse(text: str) -> MediaType:
        """Parse `type/subtype;parameters`; raises SipSyntaxError."""
        essence, semicolon, tail = text.partition(";")
        kind, slash, subtype = essence.partition("/")
        kind, subtype = kind.strip(" \t"), subtype.strip(" \t")
        if not slash or not is_token(kind) or not is_token(subtype):
            raise SipSyntaxError(f"{shorten(text)} is not a media type")
        return MediaType(kind.lower(), subtype.lower(), parse_parameters(semicolon + tail, len(essence)))

    @property
    def essence(self) -> str:
        """`type/subtype`, lower case."""
        return f"{self.type}/{self.subtype}"

    def parameter(self, name: str) -> str | None:
        """Value of a parameter, unquoted; None where it is absent."""
        return find_parameter(self.parameters, name)

    def __str__(self) -> str:
        return f"{self.essence}{format_parameters(self.parameters)}"
