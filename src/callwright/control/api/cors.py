"""Scripts of other sites at the chapter of telephony: only those of configured origins (Fetch, section 3.2).

Credentials stand in headers that such a script sets itself, never in cookies, so none are allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from callwright.control.api.chapters import TELEPHONY

__all__ = ["Cors"]

_ALLOWED = (
    (b"access-control-allow-methods", b"GET, POST, PATCH, DELETE"),
    (b"access-control-allow-headers", b"content-type, x-auth-token, authorization"),
    (b"access-control-max-age", b"600"),
)
_VARY = (b"vary", b"Origin")


class Cors:
    """An ASGI application around another. ``origins``: such as `https://app.example.com`; `*` is any."""

    def __init__(self, app: Any, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(TELEPHONY):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        may = origin is not None and (origin in self._origins or b"*" in self._origins)
        told = [(b"access-control-allow-origin", origin), _VARY] if may else [_VARY]
        if may and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await send({"type": "http.response.start", "status": 204, "headers": [*told, *_ALLOWED]})
            await send({"type": "http.response.body", "body": b""})
            return

        async def telling(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *told]
            await send(message)

        await self._app(scope, receive, telling)
