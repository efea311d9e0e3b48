"""SIP over WebSocket through the platform's port: who may come, and for whom the PBX takes them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callwright.control.api.bounds import Bounds
from callwright.control.api.places import Places
from callwright.control.api.sip_socket import PATH, SipSockets
from callwright.net.clock import SystemClock
from callwright.net.tap import Packet
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.server import Pbx, PbxConfig, PbxListener
from callwright.sip.transport import Address, Transport
from callwright.sip.websocket import MESSAGE_LIMIT

CLIENT = ("203.0.113.9", "4711")  # Granian tells ports as text
REGISTER = (
    "REGISTER sip:pbx.test SIP/2.0\r\n"
    "Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK1\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:1001@pbx.test>;tag=1\r\nTo: <sip:1001@pbx.test>\r\n"
    "Call-ID: 1\r\nCSeq: 1 REGISTER\r\nContact: <sip:x@df7jal23ls0d.invalid;transport=ws>\r\n\r\n"
)


class Browser:
    """The ASGI side of one connection."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.waiting.put_nowait({"type": "websocket.connect"})

    async def visit(self, app: Any, *, path: str = PATH, protocol: str = "sip", **headers: str) -> None:
        await app(
            {
                "type": "websocket",
                "path": path,
                "subprotocols": [protocol],
                "client": CLIENT,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            },
            self.waiting.get,
            self.said.put,
        )


def pbx(**more: Any) -> Pbx:
    listen = (PbxListener(Transport.WS),)
    return Pbx(
        PbxConfig("pbx.test", [PbxAccount("1001", "secret")], listen, websocket_trust="shared"), **more
    )


def door(running: Pbx | None, trust: str = "shared") -> SipSockets:
    place = None if running is None else (running.address.port, trust)
    return SipSockets(None, place, ("https://app.example.com",), "https://callwright.example.com")


async def test_a_message_of_a_browser_reaches_the_pbx_as_its_own() -> None:
    packets: list[Packet] = []
    async with pbx(taps=[packets.extend]) as running:
        browser = Browser()
        visit = asyncio.create_task(browser.visit(door(running), origin="https://app.example.com"))
        assert await browser.said.get() == {"type": "websocket.accept", "subprotocol": "sip"}
        await browser.waiting.put({"type": "websocket.receive", "text": REGISTER})
        answer = (await browser.said.get())["text"]
        assert answer.startswith("SIP/2.0 401 ")
        assert "received=203.0.113.9" in answer
        assert {packet.remote for packet in packets} == {Address("203.0.113.9", 4711)}
        await browser.waiting.put({"type": "websocket.receive", "text": "x" * (MESSAGE_LIMIT + 1)})
        assert await browser.said.get() == {"type": "websocket.close", "code": 1009}
        await visit


async def test_the_browser_is_told_when_the_pbx_goes() -> None:
    browser = Browser()
    async with pbx() as running:
        visit = asyncio.create_task(browser.visit(door(running)))
        await browser.said.get()
    assert await browser.said.get() == {"type": "websocket.close", "code": 1001}
    await visit


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        (None, True),
        ("https://app.example.com", True),
        ("https://callwright.example.com", True),  # our own pages, by the public URL
        ("http://10.0.0.7:8000", True),  # or by the address that the browser called
        ("https://evil.example", False),
        ("https://app.example.com.evil.example", False),
        ("null", False),
    ],
)
async def test_pages_of_other_sites_may_not_come(origin: str | None, may: bool) -> None:
    async with pbx() as running:
        browser = Browser()
        headers = {"host": "10.0.0.7:8000"} | ({} if origin is None else {"origin": origin})
        visit = asyncio.create_task(browser.visit(door(running), **headers))
        said = await browser.said.get()
        assert said["type"] == ("websocket.accept" if may else "websocket.close")
        browser.waiting.put_nowait({"type": "websocket.disconnect"})
        await visit


async def test_other_paths_and_protocols_and_a_platform_without_pbx_are_refused() -> None:
    async with pbx() as running:
        for app, more in (
            (door(running), {"path": "/ws"}),
            (door(running), {"protocol": "chat"}),
            (door(running, "guessed"), {}),
            (door(None), {}),
        ):
            browser = Browser()
            await browser.visit(app, **more)
            assert (await browser.said.get())["type"] == "websocket.close"


async def test_an_address_has_so_many_at_once() -> None:
    async with pbx() as running:
        places = Places(door(running), Bounds(streams_of_address=1), SystemClock())
        first, second = Browser(), Browser()
        visit = asyncio.create_task(first.visit(places))
        assert (await first.said.get())["type"] == "websocket.accept"
        await second.visit(places)
        assert await second.said.get() == {"type": "websocket.close", "code": 1013}
        first.waiting.put_nowait({"type": "websocket.disconnect"})
        await visit
        third = Browser()
        visit = asyncio.create_task(third.visit(places))
        assert (await third.said.get())["type"] == "websocket.accept"
        third.waiting.put_nowait({"type": "websocket.disconnect"})
        await visit
