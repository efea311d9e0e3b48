"""Keys that a phone tells of by INFO (RFC 6086 leaves the bodies to custom)."""

from __future__ import annotations

import re

from callwright.pbx.passage import content_type_of
from callwright.sip.message import Request

__all__ = ["key_of"]

_SIGNAL = re.compile(rb"^\s*(?:Signal\s*=\s*)?([0-9A-D*#])\s*$", re.MULTILINE | re.IGNORECASE)


def key_of(request: Request) -> str | None:
    """The key of an INFO: application/dtmf-relay, or application/dtmf; None: it tells of none."""
    if request.method != "INFO" or "dtmf" not in (content_type_of(request.headers) or "").lower():
        return None
    match = _SIGNAL.search(request.body[:200])
    return match[1].decode().upper() if match is not None else None
