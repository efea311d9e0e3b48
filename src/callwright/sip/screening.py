"""What every UAS checks of a request before it looks at what it means (RFC 3261 8.2.1 to 8.2.3)."""

from __future__ import annotations

from typing import NamedTuple

from callwright.sip.config import EndpointConfig
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import Request
from callwright.sip.multipart import demanded
from callwright.sip.status import KNOWN_METHODS

_DIALOG_ONLY = frozenset({"BYE", "INFO", "UPDATE", "PRACK"})


class Refusal(NamedTuple):
    """The status to answer with, the headers that tell the peer what would do, and why in words."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    why: str = ""


def screen(request: Request, config: EndpointConfig) -> Refusal | None:
    """The refusal that a request deserves by its form, or None. Not for ACK and CANCEL."""
    method = request.method
    if method not in config.allow:
        status = 405 if method in KNOWN_METHODS else 501
        return Refusal(status, (("Allow", ", ".join(config.allow)),), f"we do not take {method}")
    if not request.uri[:5].lower().startswith(("sip:", "sips:", "tel:")):
        return Refusal(416, why=f"its Request-URI is {request.uri[:60]!r}")
    index = request.headers.by_key
    if "require" in index:
        unknown = [tag for tag in request.headers.get_all("require") if tag not in config.supported]
        if unknown:
            why = f"it requires {', '.join(unknown)}, which Callwright does not have"
            return Refusal(420, (("Unsupported", ", ".join(unknown)),), why)
    if request.body:
        return _screen_body(request, config)
    return None


def outside_of_dialog(request: Request) -> bool:
    """True when the method may begin something; BYE and the like need a dialog."""
    return request.method not in _DIALOG_ONLY


def _screen_body(request: Request, config: EndpointConfig) -> Refusal | None:
    headers = request.headers
    encodings = headers.get_all("content-encoding")
    if any(encoding.lower() != "identity" for encoding in encodings) and "*" not in config.accept:
        why = f"its body is encoded as {', '.join(encodings)}"
        return Refusal(415, (("Accept-Encoding", "identity"),), why)
    accepted = config.accept
    if request.method not in ("INVITE", "UPDATE", "PRACK"):
        accepted = (*accepted, *config.accept_elsewhere)
    try:
        media_type = headers.content_type
    except SipSyntaxError as error:
        return Refusal(400, why=f"its Content-Type cannot be read: {error.reason}")
    if media_type is None or "*" in accepted:
        return None  # a body without Content-Type is read as what the method usually bears
    accept = (("Accept", ", ".join(accepted)),)
    if media_type.type == "multipart" and "multipart/mixed" in accepted:
        # RFC 5621 section 8: a part whose handling is required and which we cannot process.
        unknown = [kind for kind in demanded(headers, request.body) if kind not in accepted]
        if unknown:
            return Refusal(415, accept, f"it demands that we understand {', '.join(unknown)}")
        return None
    if media_type.essence in accepted:
        return None
    disposition = headers.get("content-disposition") or ""
    if "handling=optional" in disposition.replace(" ", "").lower():
        return None
    return Refusal(415, accept, f"its body is {media_type.essence}")
