"""Where an account is registered, as its watchers are told (Event: reg, RFC 3680)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from callwright.pbx.registrar import Binding
from callwright.sip.legible import legible

__all__ = ["REGISTRATION", "REG_TYPE", "reginfo"]

REGISTRATION = "reg"
REG_TYPE = "application/reginfo+xml"
_NAMESPACE = "urn:ietf:params:xml:ns:reginfo"


def reginfo(
    uri: str, version: int, contacts: Sequence[Binding], before: Sequence[Binding], now: float
) -> bytes:
    """The contacts of an account, and why others are gone since the last time (RFC 3680 section 5)."""
    state = "active" if contacts else "terminated" if before else "init"
    parts = [
        '<?xml version="1.0"?>',
        f'<reginfo xmlns="{_NAMESPACE}" version="{version}" state="full">',
        f'<registration aor={quoteattr(uri)} id={quoteattr(uri)} state="{state}">',
    ]
    known, left = {_key(binding) for binding in before}, {_key(binding) for binding in contacts}
    for binding in contacts:
        event = "refreshed" if _key(binding) in known else "registered"
        parts += _contact(binding, "active", event, max(0, round(binding.expires_at - now)))
    for binding in before:
        if _key(binding) not in left:
            event = "expired" if binding.expires_at <= now else "unregistered"
            parts += _contact(binding, "terminated", event, 0)
    parts += ["</registration>", "</reginfo>", ""]
    return legible("\n".join(parts)).encode()


def _key(binding: Binding) -> tuple[str, float]:
    return str(binding.contact), binding.since


def _contact(binding: Binding, state: str, event: str, left: int) -> list[str]:
    name = quoteattr(f"{binding.call_id}-{binding.since:.3f}")
    of = f'callid={quoteattr(binding.call_id)} cseq="{binding.cseq}"'
    return [
        f'<contact id={name} state="{state}" event="{event}" expires="{left}" q="{binding.q:g}" {of}>',
        f"<uri>{escape(str(binding.contact))}</uri>",
        "</contact>",
    ]
