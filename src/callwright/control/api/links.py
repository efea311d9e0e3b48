"""Absolute URLs of what the platform has, for answers of every chapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from litestar import Request

from callwright.control.api.chapters import TESTING
from callwright.control.api.request import settings_of

PATH = TESTING


@dataclass(frozen=True, slots=True)
class Links:
    """Absolute URLs. `base`: scheme and authority, without a slash at the end."""

    base: str

    def status(self, session_id: str) -> str:
        return f"{self.base}{PATH}/runs/{session_id}/status"

    def report(self, session_id: str, kiosk_token: str | None = None) -> str:
        if kiosk_token:
            return f"{self.base}/kiosk/{kiosk_token}/{session_id}"
        return f"{self.base}/run/details/{session_id}"

    def evidence(self, session_id: str, name: str) -> str:
        return f"{self.base}{PATH}/runs/{session_id}/evidence/{quote(name)}"


def links_of(request: Request[Any, Any, Any]) -> Links:
    """URLs start with the public URL if there is one, else with what the client called us."""
    public = settings_of(request).public_url
    if public:
        return Links(public.rstrip("/"))
    host = request.headers.get("host") or "localhost"
    return Links(f"{request.scope['scheme']}://{host}")
