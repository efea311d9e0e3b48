"""Candidates: addresses where a side may be reached (RFC 8445 section 5.1), and their SDP form (RFC 8839)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

__all__ = ["Candidate", "CandidateError", "parse_candidate", "priority"]

HOST, SRFLX, PRFLX, RELAY = "host", "srflx", "prflx", "relay"
PREFERENCE = {HOST: 126, PRFLX: 110, SRFLX: 100, RELAY: 0}
"""RFC 8445 section 5.1.2.2."""
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/]{1,32}\Z")
_DIGITS = re.compile(r"[0-9]{1,10}\Z")
LONGEST = 1024


class CandidateError(ValueError):
    """A candidate that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """`host` is numeric. `related`: the address behind it, where there is one."""

    foundation: str
    component: int
    priority: int
    host: str
    port: int
    kind: str
    related: tuple[str, int] | None = None

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    def __str__(self) -> str:
        """What follows `a=candidate:`."""
        text = (
            f"{self.foundation} {self.component} udp {self.priority} {self.host} {self.port} typ {self.kind}"
        )
        return text if self.related is None else f"{text} raddr {self.related[0]} rport {self.related[1]}"


def priority(kind: str, local: int = 65535, component: int = 1) -> int:
    """RFC 8445 section 5.1.2.1."""
    return PREFERENCE[kind] << 24 | local << 8 | 256 - component


def parse_candidate(value: str) -> Candidate:
    """What follows `a=candidate:`. Raises CandidateError for what breaks its grammar, and for what we cannot
    use: TCP, names (mDNS among them), link-local addresses without a zone."""
    if len(value) > LONGEST:
        raise CandidateError(f"a candidate has {len(value)} octets")
    parts = value.split()
    if len(parts) < 8 or parts[6].lower() != "typ" or not _ICE_CHARS.match(parts[0]):
        raise CandidateError(f"{value[:60]!r} is no candidate")
    foundation, component, transport, rank, host, port, _, kind = parts[:8]
    if not all(_DIGITS.match(text) for text in (component, rank, port)):
        raise CandidateError(f"{value[:60]!r} is no candidate")
    if transport.lower() != "udp":
        raise CandidateError(f"the candidate {host[:40]} is for {transport[:10]}; only UDP is done")
    if not 1 <= int(component) <= 256 or not 1 <= int(rank) <= 2**31 - 1 or not 1 <= int(port) <= 65535:
        raise CandidateError(f"the candidate {host[:40]} has a number that is out of range")
    try:
        numeric = str(ipaddress.ip_address(host))
    except ValueError:
        what = "an mDNS name" if host.lower().endswith(".local") else "a name"
        raise CandidateError(f"the candidate {host[:60]} has {what} for an address") from None
    kind = kind.lower()
    if kind not in PREFERENCE:
        raise CandidateError(f"the candidate {host} is of the unknown type {kind[:20]!r}")
    return Candidate(foundation, int(component), int(rank), numeric, int(port), kind, _related(parts[8:]))


def _related(parts: list[str]) -> tuple[str, int] | None:
    said = dict(zip(parts[::2], parts[1::2], strict=False))
    host, port = said.get("raddr", ""), said.get("rport", "")
    if not _DIGITS.match(port) or int(port) > 65535:
        return None
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        return None
