"""Addresses as people write them, and what a URI says of the way to it."""

from __future__ import annotations

from callwright.sip.transport import Transport
from callwright.sip.uri import Uri


def as_uri(text: str) -> str:
    return text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}"


def as_name_addr(text: str) -> str:
    return text if "<" in text or text.lower().startswith(("sip:", "sips:", "tel:")) else f"sip:{text}"


def proxy_of(text: str | None) -> Uri | None:
    """The outbound proxy of a plan. Raises SipSyntaxError."""
    return Uri.parse(as_uri(text)) if text else None


def route_to(proxy: str | None) -> tuple[str, ...]:
    """The Route header of a request by that proxy: one loose route (RFC 3261 section 8.1.2), or none."""
    if not proxy:
        return ()
    uri = Uri.parse(as_uri(proxy))
    return (f"<{uri if uri.parameter('lr') is not None else f'{uri};lr'}>",)


def transport_of(uri: Uri) -> Transport | None:
    """The transport that a URI asks for, if any."""
    return Transport.asked(uri.parameter("transport"), secure=uri.is_secure)


def unknown_transport(uri: Uri) -> str:
    """The sentence about a URI whose transport is not spoken here."""
    name = (uri.parameter("transport") or "").lower()
    return f"{uri} asks for transport={name}, but Callwright speaks udp, tcp, tls, ws and wss"
