"""The final response that the caller gets, from those of the contacts that were called (RFC 3261 16.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from callwright.pbx.passage import content_type_of, passing
from callwright.sip.events import CallCanceled, CallFailed, CallRedirected, FailureCause
from callwright.sip.message import Response

__all__ = ["Final", "best_of", "final_from", "final_of"]

_TELLING = (401, 407, 415, 420, 484)  # 16.7 item 6: these help the caller to try again in another way
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Final:
    """A final response of 300 to 699 for the caller. `unreached`: another way may lead to who was called."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""  # octet for octet: a refusal describes no session that would have to be moved
    content_type: str | None = None
    unreached: bool = False


def final_of(event: CallFailed | CallRedirected | CallCanceled) -> Final:
    """What the end of a branch means for the caller; a refusal is passed on as it is."""
    match event:
        case CallRedirected():
            # Here Contact is what the response is about, not where a dialog goes.
            contacts = [("Contact", str(contact)) for contact in event.contacts if contact.uri.is_sip]
            passed = final_from(event.response)
            return replace(passed, headers=(*contacts, *passed.headers))
        case CallFailed(cause=FailureCause.UNAUTHORIZED):
            return Final(502, "Bad Gateway (the phone that was called asks us for credentials)")
        case CallFailed(response=Response() as response):
            return final_from(response)
        case CallFailed(cause=FailureCause.TIMED_OUT):
            return Final(408, "Request Timeout (the phone that was called does not answer)", unreached=True)
        case CallFailed():
            return Final(
                480, "Temporarily Unavailable (the phone that was called cannot be reached)", unreached=True
            )
        case CallCanceled(response=Response() as response):
            return Final(response.status, response.reason)
        case _:
            return Final(408, "Request Timeout (nobody answered)")


def best_of(finals: Sequence[Final]) -> Final:
    """The one that is passed on: a 6xx, else the lowest class, and in it what tells the caller most."""
    if not finals:
        return Final(480, "Temporarily Unavailable")
    return min(finals, key=_rank)


def _rank(final: Final) -> tuple[int, int]:
    kind = final.status // 100
    return (0 if kind == 6 else kind, 0 if final.status in _TELLING else 1)


def final_from(response: Response) -> Final:
    """A refusal as it is passed on."""
    return Final(
        response.status,
        response.reason[:_LONGEST_REASON],
        tuple(passing(response.headers)),
        response.body,
        content_type_of(response.headers),
        500 <= response.status < 600,
    )
