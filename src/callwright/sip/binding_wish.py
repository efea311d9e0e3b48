"""What a REGISTER asks for beside a binding, and what a registrar said of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callwright.sip.grammar import SipSyntaxError
from callwright.sip.headers import Headers
from callwright.sip.uri import NameAddr, Uri

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NO_TERMS", "PLAIN", "BindingWish", "Terms", "is_urn"]

_MOST_ROUTES = 16
_LONGEST = 2_048
_URN = re.compile(r"urn:[A-Za-z0-9][A-Za-z0-9-]{0,31}:[A-Za-z0-9()+,\-.:=@;$_!*'%/?#]{1,200}", re.IGNORECASE)


def is_urn(text: str) -> bool:
    """Whether it may stand in +sip.instance (RFC 5626 section 4.1, RFC 8141)."""
    return _URN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class BindingWish:
    """`path`: proxies may add themselves (RFC 3327). `instance`: the URN of the device, empty: none;
    `reg_id`: the number of the flow, with which the registrar is to keep it (RFC 5626). `gruu`: an address of
    this very device is wanted (RFC 5627). `keepalive`: most seconds between two keep-alives; 0: as the
    registrar or RFC 5626 has it; None: none are sent, but for flows that the registrar keeps. `also`: further
    contacts, for which the REGISTER speaks too. `sender`: From, where somebody registers for another
    (RFC 3261 section 10.2).
    """

    path: bool = False
    instance: str = ""
    reg_id: int | None = None
    gruu: bool = False
    keepalive: float | None = None
    also: tuple[Uri, ...] = ()
    sender: NameAddr | None = None

    def __post_init__(self) -> None:
        if (self.gruu or self.reg_id is not None) and not self.instance:
            raise ValueError("a flow or a GRUU belongs to a device: an instance is needed")

    def tags(self, supported: str) -> str:
        """The value of Supported, given that of the endpoint; empty: none."""
        tags = [tag for tag in supported.split(", ") if tag]
        tags += ["path"] if self.path else []
        tags += ["outbound"] if self.reg_id is not None else []
        tags += ["gruu"] if self.gruu else []
        return ", ".join(dict.fromkeys(tags))

    def contacts(self, ours: Uri, expires: int) -> str:
        """The value of Contact."""
        values = [f"<{ours}>"]
        if self.instance:
            values[0] += f';+sip.instance="<{self.instance}>"'
        if self.reg_id is not None:
            values[0] += f";reg-id={self.reg_id}"
        values += [f"<{uri}>" for uri in self.also]
        return ", ".join(f"{value};expires={expires}" for value in values)


PLAIN = BindingWish()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a 200 to REGISTER says. `service_route` (RFC 3608) and `path` (RFC 3327) as they stand there;
    `outbound`: the registrar keeps the flow; `flow_timer` in seconds (RFC 5626)."""

    service_route: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    public_gruu: str | None = None
    temporary_gruu: str | None = None
    outbound: bool = False
    flow_timer: int | None = None

    @classmethod
    def of(cls, headers: Headers, ours: NameAddr) -> Terms:
        """`ours`: our contact as the registrar lists it. What cannot be read is not there."""
        return cls(
            _routes(headers.get_all("service-route")),
            _routes(headers.get_all("path")),
            _gruu(ours.parameter("pub-gruu")),
            _gruu(ours.parameter("temp-gruu")),
            headers.has_option("require", "outbound"),
            headers.number("flow-timer", 86_400) or None,
        )


NO_TERMS = Terms()


def _routes(values: Iterable[str]) -> tuple[str, ...]:
    """A whole list or none: half a route leads somewhere else."""
    found = list(values)
    if len(found) > _MOST_ROUTES or sum(map(len, found)) > _LONGEST:
        return ()
    try:
        routes = [NameAddr.parse(value) for value in found]
    except SipSyntaxError:
        return ()
    return tuple(str(route) for route in routes) if all(route.uri.is_sip for route in routes) else ()


def _gruu(text: str | None) -> str | None:
    if not text or len(text) > _LONGEST:
        return None
    try:
        uri = Uri.parse(text)
    except SipSyntaxError:
        return None
    return str(uri) if uri.is_sip and uri.host else None
