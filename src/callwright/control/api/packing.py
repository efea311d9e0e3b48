"""HTML as gzip, for clients that take it (RFC 9110 section 12.5.3).

A compressed page tells by its length whether a guess that somebody else put into it is right (BREACH). So no
page is compressed that another site asked for, none that answers a form, and none that says `no-transform`,
as pages with a secret do; the token in the forms differs in each answer. Streams and files are left alone.
"""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

_LEAST = 1_000  # octets; below it nothing is gained
_AT_ONCE = 64_000  # octets that are packed on the loop: about a millisecond
_LEVEL = 5


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding names gzip, or everything, without refusing it by `q=0`."""
    found: dict[str, bool] = {}
    for part in accepted.lower().split(","):
        name, _, rest = part.partition(";")
        found[name.strip()] = not _is_zero(rest)
    return found.get("gzip", found.get("x-gzip", found.get("*", False)))


class Packed:
    """An ASGI application around another."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            send = _Answer(send, _may(scope))
        await self._app(scope, receive, send)


class _Answer:
    """Holds the head of an HTML page until its body is there: a body that comes in pieces goes as it is."""

    def __init__(self, send: Any, may: bool) -> None:
        self._send, self._may = send, may
        self._head: dict[str, Any] | None = None

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start" and _is_page(message):
            self._head = {**message, "headers": _varied(message["headers"])}
            return
        head, self._head = self._head, None
        if head is not None:
            body = message.get("body", b"")
            if self._may and not message.get("more_body") and len(body) >= _LEAST and not _sealed(head):
                if len(body) > _AT_ONCE:
                    packed = await asyncio.to_thread(_pack, body)
                else:
                    packed = _pack(body)
                kept = [(name, value) for name, value in head["headers"] if name.lower() != b"content-length"]
                length = str(len(packed)).encode()
                head["headers"] = [*kept, (b"content-encoding", b"gzip"), (b"content-length", length)]
                message = {**message, "body": packed}
            await self._send(head)
        await self._send(message)


def _pack(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)


def _may(scope: Any) -> bool:
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    ours = headers.get(b"sec-fetch-site", "none") in ("same-origin", "none")
    return scope["method"] == "GET" and ours and takes_gzip(headers.get(b"accept-encoding", ""))


def _is_page(message: Any) -> bool:
    """HTML that is made for this request, and no refusal: files have an ETag, and ranges of their own."""
    headers = {name.lower(): value for name, value in message["headers"]}
    html = headers.get(b"content-type", b"").startswith(b"text/html")
    whole = message["status"] < 400 and message["status"] != 206
    return html and whole and not {b"content-encoding", b"etag"} & set(headers)


def _sealed(head: Any) -> bool:
    return any(
        name.lower() == b"cache-control" and b"no-transform" in value for name, value in head["headers"]
    )


def _varied(headers: Any) -> list[tuple[bytes, bytes]]:
    named = [value for name, value in headers if name.lower() == b"vary"]
    kept = [(name, value) for name, value in headers if name.lower() != b"vary"]
    return [*kept, (b"vary", b", ".join([*named, b"Accept-Encoding"]))]


def _is_zero(parameters: str) -> bool:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value) == 0
            except ValueError:
                return True
    return False
