"""SIP over WebSocket through the platform's own port: each connection is passed on to the PBX (RFC 7118).

Phones sign in at the PBX, by SIP's digest. Scripts of other sites may open a connection only from origins
that may use the API of telephony; a client without an Origin is no script.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from callwright.net.passage import Passage
from callwright.sip.transport import Address
from callwright.sip.websocket import MESSAGE_LIMIT, SUBPROTOCOL

__all__ = ["PATH", "SipSockets"]

PATH = "/sip/ws"
_LOOPBACK = "127.0.0.1"
_ALIVE_EVERY = 30.0  # seconds; proxies end connections that are silent for a minute
_ALIVE = "\r\n"  # clients pass over it (RFC 7118 section 6)
_GOING_AWAY, _POLICY, _TOO_BIG, _LATER = 1001, 1008, 1009, 1013

_log = logging.getLogger(__name__)


class SipSockets:
    """An ASGI application around another, for connections at `PATH`; others are refused. ``pbx``: the port on
    loopback and the secret that the PBX knows us by; None without a PBX. ``public_url``: of the platform."""

    def __init__(
        self, app: Any, pbx: tuple[int, str] | None, origins: Sequence[str], public_url: str | None
    ) -> None:
        self._app, self._pbx = app, pbx
        self._origins = frozenset(origins)
        self._own = urlsplit(public_url).netloc.lower() if public_url else ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        await receive()  # websocket.connect
        if self._pbx is None or scope["path"] != PATH or not self._may_come(scope):
            await send({"type": "websocket.close", "code": _POLICY})
            return
        port, trust = self._pbx
        host, client_port = scope.get("client") or (_LOOPBACK, 0)
        try:
            passage = await Passage.open(Address(_LOOPBACK, port), trust, Address(host, int(client_port)))
        except OSError as error:
            _log.warning("no phone reaches the PBX through this port: %s", error)
            await send({"type": "websocket.close", "code": _LATER})
            return
        try:
            await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
            await _pass_on(passage, receive, send)
        finally:
            passage.close()

    def _may_come(self, scope: Any) -> bool:
        if SUBPROTOCOL not in scope.get("subprotocols", ()):
            return False
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get(b"origin")
        if origin is None or origin in self._origins or "*" in self._origins:
            return True
        site = urlsplit(origin).netloc.lower()
        return bool(site) and site in (headers.get(b"host", "").lower(), self._own)


async def _pass_on(passage: Passage, receive: Any, send: Any) -> None:
    """Until either end is done with it."""
    tasks = [
        asyncio.ensure_future(work)
        for work in (_from_client(passage, receive), _to_client(passage, send), _keep_alive(send))
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        codes = [task.result() for task in done if task.exception() is None]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if codes and codes[0] is not None:
        with contextlib.suppress(Exception):  # it is gone meanwhile
            await send({"type": "websocket.close", "code": codes[0]})


async def _from_client(passage: Passage, receive: Any) -> int | None:
    """The code to end with; None: the client is gone."""
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return None
        text = message.get("text")
        data = text.encode() if text is not None else bytes(message.get("bytes") or b"")
        if len(data) > MESSAGE_LIMIT:
            return _TOO_BIG
        await passage.send(data)


async def _to_client(passage: Passage, send: Any) -> int:
    async for message in passage.messages():
        try:
            await send({"type": "websocket.send", "text": message.decode()})
        except UnicodeDecodeError:
            await send({"type": "websocket.send", "bytes": message})
    return _GOING_AWAY


async def _keep_alive(send: Any) -> int:
    while True:
        await asyncio.sleep(_ALIVE_EVERY)
        await send({"type": "websocket.send", "text": _ALIVE})
