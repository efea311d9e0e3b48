"""What every request passes before a route is looked for: texts that nobody could store are refused."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

_HOST = re.compile(rb"[A-Za-z0-9._-]{1,255}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_LONGEST_PATH, _LONGEST_QUERY = 4_096, 16_384


class Door:
    """An ASGI application around another. Answers 400 for a path or a query with NUL or with octets that are
    not UTF-8, and for a Host that is none; 414 for a target without end."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            status, message = _judge(scope)
            if status:
                await _answer(send, status, message)
                return
        await self._app(scope, receive, send)


def _judge(scope: Any) -> tuple[int, str]:
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    query: bytes = scope.get("query_string", b"")
    if len(raw) > _LONGEST_PATH or len(query) > _LONGEST_QUERY:
        return 414, "The URL is too long."
    for part, name in ((raw, "path"), (query, "query")):
        decoded = unquote_to_bytes(part) if b"%" in part else part
        if b"\0" in decoded:
            return 400, f"The {name} contains a NUL character."
        try:
            decoded.decode("utf-8")
        except UnicodeDecodeError:
            return 400, f"The {name} is not valid UTF-8."
    for name, value in scope["headers"]:
        if name == b"host" and not _HOST.fullmatch(value):
            return 400, "The Host is not one."
    return 0, ""


async def _answer(send: Any, status: int, message: str) -> None:
    body = msgspec.json.encode({"status": status, "message": message, "errors": []})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
