"""What every request passes before a route is looked for: texts that nobody could store are refused, and HEAD
is answered wherever GET is (RFC 9110 section 9.1)."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from callwright.control.api.chapters import refusal

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
                await _answer(send, scope["path"], status, message)
                return
            if scope["method"] == "HEAD":
                scope["method"] = "GET"
                await _without_body(self._app, scope, receive, send)
                return
            if scope["method"] != "GET":
                send = _naming_head(send)
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


async def _without_body(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """The head of the answer alone. A body that comes piece by piece, and may never end, is left."""
    streams = asyncio.Event()
    ended = False

    async def answered(message: Any) -> None:
        nonlocal ended
        if message["type"] != "http.response.body":
            await send(message)
        elif not ended:
            ended = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if message.get("more_body"):
                streams.set()

    work = asyncio.ensure_future(app(scope, receive, _naming_head(answered)))
    left = asyncio.ensure_future(streams.wait())
    try:
        await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        for task in (work, left):
            task.cancel()
        await asyncio.gather(work, left, return_exceptions=True)


def _naming_head(send: Any) -> Any:
    """Allow names HEAD beside GET."""

    async def named(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                (name, value + b", HEAD" if name == b"allow" and b"GET" in value else value)
                for name, value in message["headers"]
            ]
        await send(message)

    return named


async def _answer(send: Any, path: str, status: int, message: str) -> None:
    status, told = refusal(path, status, message)
    body = msgspec.json.encode(told)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
