"""JsSIP in Chromium at our PBX, by SIP over WebSocket with TLS (RFC 7118)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from callwright.net.own_certificate import own_certificate
from callwright.net.tap import Packet
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.server import Pbx, PbxConfig, PbxListener
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, CallPlan, PhoneConfig
from callwright.sip.events import CallReceived
from callwright.sip.transport import Transport

pytestmark = [pytest.mark.peer, pytest.mark.timeout(180)]

HOST = "127.0.0.1"
JSSIP = Path(__file__).parent / "jssip" / "jssip.min.js"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--ignore-certificate-errors",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# `told` is what happened, in order; what comes is answered as the number says.
_PAGE = """
async ([url]) => {
    window.told = [];
    window.ua = new JsSIP.UA({
        sockets: [new JsSIP.WebSocketInterface(url)],
        uri: "sip:browser@pbx.test", password: "secret", register: true, session_timers: true,
    });
    ua.on("registered", () => told.push("registered"));
    ua.on("unregistered", () => told.push("unregistered"));
    ua.on("registrationFailed", e => told.push("not registered: " + e.cause));
    ua.on("newMessage", e => { if (e.originator === "remote") told.push("message: " + e.request.body); });
    ua.on("newRTCSession", e => {
        if (e.originator === "remote") {
            told.push("called by " + e.request.from.uri.user);
            e.session.terminate({status_code: 486});
        }
    });
    ua.start();
}
"""
_CALL = """
number => ua.call("sip:" + number + "@pbx.test", {
    mediaConstraints: {audio: true, video: false},
    eventHandlers: {
        progress: () => told.push("ringing"),
        failed: e => told.push("failed: " + e.cause + " " + (e.message ? e.message.status_code : "")),
    },
})
"""


@dataclass
class House:
    pbx: Pbx
    page: Page
    packets: list[Packet]

    async def told(self, what: str) -> None:
        await self.page.wait_for_function("what => told.includes(what)", arg=what, timeout=60_000)


@asynccontextmanager
async def blank_page() -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<!doctype html>"
        )
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}/"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    server, _ = own_certificate(tmp_path, HOST)
    packets: list[Packet] = []
    accounts = [PbxAccount("browser", "secret"), PbxAccount("desk", "secret")]
    listen = (PbxListener(Transport.UDP), PbxListener(Transport.WSS))
    async with (
        blank_page() as site,
        Pbx(PbxConfig("pbx.test", accounts, listen, tls=server), taps=[packets.extend]) as pbx,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        page = await browser.new_page()
        await page.goto(site)  # on loopback, where a browser gives out microphones
        await page.add_script_tag(path=JSSIP)
        await page.evaluate(_PAGE, [f"wss://{pbx.listening[1][1]}/"])
        try:
            yield House(pbx, page, packets)
        finally:
            await browser.close()


async def test_a_browser_registers_is_called_calls_and_writes(house: House) -> None:
    await house.told("registered")
    (binding,) = house.pbx.bindings("browser")
    assert binding.hop.transport is Transport.WSS
    assert binding.contact.host.endswith(".invalid")
    server, account = f"sip:{house.pbx.address}", Account("desk", "secret")
    async with Phone(PhoneConfig(bind=HOST, user="desk")) as desk:
        assert await desk.register(server, account=account).first

        def ring_and_decline(received: CallReceived) -> None:
            received.call.ring(now=received.at)
            received.call.reject(603, now=received.at)

        desk.on_invite = ring_and_decline

        plan = CallPlan(f"sip:browser@{house.pbx.address}", account=account)
        outcome = await desk.call(plan).finished
        assert outcome.sip_code == 486, outcome.reason
        await house.told("called by desk")

        await house.page.evaluate(_CALL, "desk")
        await house.told("ringing")
        await house.told("failed: Rejected 603")

        text = b"Hello, browser"
        sent = desk.request("MESSAGE", f"sip:browser@{house.pbx.address}", account=account, body=text)
        assert (await sent.finished).sip_code == 200
        await house.told("message: Hello, browser")
    await house.page.evaluate("ua.unregister()")
    await house.told("unregistered")
    async with asyncio.timeout(30):
        while house.pbx.bindings("browser"):
            await asyncio.sleep(0.05)
    ours = [p for p in house.packets if p.transport == "WSS" and p.direction == "out"]
    assert any(p.data.startswith(b"INVITE sip:") and b".invalid" in p.data.split(b"\r\n")[0] for p in ours)


async def test_a_browser_that_is_gone_is_registered_no_more(house: House) -> None:
    await house.told("registered")
    await house.page.close()
    async with asyncio.timeout(30):
        while house.pbx.bindings("browser"):
            await asyncio.sleep(0.05)
