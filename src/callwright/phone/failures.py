"""What an ending of the SIP endpoint, or a name that does not resolve, means in the words of an outcome."""

from __future__ import annotations

import re

from callwright.net.resolver import ResolutionFailed
from callwright.outcome.terms import Failure
from callwright.sip import events
from callwright.sip.transport import Hop


class UnknownTransport(ResolutionFailed):
    """The URI asks for a transport that is not spoken here; no other is taken in its place."""


def failure_to_locate(error: ResolutionFailed) -> tuple[Failure, str]:
    """Why there is no hop to a URI: (failure, detail)."""
    unknown = isinstance(error, UnknownTransport)
    return (Failure.TRANSPORT if unknown else Failure.UNRESOLVED), error.reason


def failure_of(
    cause: events.FailureCause, status: int | None, reason: str, hop: Hop | None, has_account: bool
) -> tuple[Failure, str | None]:
    """What an ending of the endpoint means in the words of the outcome: (failure, detail)."""
    peer = str(hop.remote) if hop else None
    match cause:
        case events.FailureCause.TIMED_OUT:
            return Failure.TIMEOUT, peer
        case events.FailureCause.TRANSPORT:
            told = _once(reason, hop)
            tls = hop is not None and hop.transport.secure and _about_tls(told)
            return (Failure.TLS if tls else Failure.UNREACHABLE), _TLS_WITH.sub("", told)
        case events.FailureCause.NOT_BOUND:
            return Failure.NOT_BOUND, reason
        case events.FailureCause.UNAUTHORIZED if not has_account:
            return Failure.NO_CREDENTIALS, None
        case _ if status is None:
            return Failure.TIMEOUT, peer
        case _:
            return Failure.REFUSED, None


# How net/tls opens its sentences; that of the outcome names the host already.
_TLS_WITH = re.compile(r"^TLS with .{1,300}? failed: ")


def _once(reason: str, hop: Hop | None) -> str:
    """The reason without "TLS to 192.0.2.1:5061: " before it, however often: the sentence names the hop."""
    if hop is not None:
        opening = f"{hop.transport.value} to {hop.remote}: "
        while reason.startswith(opening):
            reason = reason.removeprefix(opening)
    return reason


def _about_tls(reason: str) -> bool:
    return any(word in reason.lower() for word in ("tls", "certificate", "handshake"))
