"""A browser on the telephone: JsSIP in Chromium over WSS, with ICE, DTLS-SRTP and Opus. Both ends say what
they heard."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Playwright

from callwright.net.own_certificate import own_certificate
from tests.browser.conftest import CHROMIUM
from tests.interop.peers import LOOPBACK, free_port, start_callwright

VENDOR = Path(__file__).parent / "vendor" / "jssip-3.13.8.js"
PHONE = Path(__file__).parent / "phone.js"
# Chromium leaves the loopback out of ICE, and takes no unknown certificate, unless it is told to.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--ignore-certificate-errors",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
SECURE = ("--srtp", "dtls", "--ice", "on", "--codec", "opus")
ENOUGH = 100  # packets: two seconds


@pytest.fixture(scope="module")
def phone(driver: Playwright, empty_page: str) -> Iterator[Callable[[], Page]]:
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    pages: list[Page] = []

    def open_page() -> Page:
        page = browser.new_context(ignore_https_errors=True, permissions=["microphone"]).new_page()
        page.goto(empty_page)
        page.add_script_tag(path=str(VENDOR))
        page.add_script_tag(path=str(PHONE))
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    browser.close()


class _Empty(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><body>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def empty_page() -> Iterator[str]:
    """Microphones are for pages of the loopback or of HTTPS, and the loopback for pages that came from it."""
    with ThreadingHTTPServer((LOOPBACK, 0), _Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{LOOPBACK}:{server.server_port}/"
        server.shutdown()


def talked(page: Page) -> dict[str, Any]:
    """What the browser counts once both directions have flowed for a while."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        found: dict[str, Any] = page.evaluate("counted()") or {}
        both = min(found.get("received", 0), found.get("sent", 0)) > ENOUGH
        if both and "reportedLost" in found:  # by our RTCP, which shares the port
            return found
        page.wait_for_timeout(200)
    raise AssertionError(f"no audio both ways: {found}")


def judged(browser: dict[str, Any], ours: dict[str, Any]) -> None:
    assert browser["energy"] > 0.01, "speech was heard in the browser"
    assert browser["dtls"] == "connected"
    assert browser["codec"] == "audio/opus"
    assert ours["failure"] is None, ours["failure_detail"]
    assert ours["codec"] == "opus"
    assert ours["received"]["packets"] > ENOUGH
    assert ours["received"]["level_dbfs"] > -60, "the beeps of its microphone"
    assert ours["dtls"]["fingerprint"].startswith("sha-256 ")
    assert ours["srtp"]["auth_failures"] == 0
    assert ours["ice"]["remote_type"] in ("host", "prflx")


def test_a_browser_calls_our_phone(tmp_path: Path, phone: Callable[[], Page]) -> None:
    listening, _ = own_certificate(tmp_path, LOOPBACK)
    port = free_port()
    answering = start_callwright(
        tmp_path,
        "answer",
        *("--listen", f"{LOOPBACK}:{port}", "--transport", "wss", "--cert", str(listening.cert)),
        *(*SECURE, "--calls", "1", "--json", "--min-mos", "1", "--min-heard", "0"),
        wait_for="listening on",
    )
    with answering:
        page = phone()
        page.evaluate(f"start('wss://{LOOPBACK}:{port}/ws', 'browser', '')")
        page.evaluate(f"call('sip:x@{LOOPBACK}:{port};transport=ws')")
        try:
            browser = talked(page)
        except Exception as error:
            raise AssertionError(f"{page.evaluate('seen.log')} {answering.log}") from error
        page.evaluate("seen.session.terminate()")
        answering.wait()
        (ours,) = json.loads(answering.output)["calls"]
    judged(browser, ours)


def test_our_phone_calls_a_browser_that_has_registered_with_the_pbx(
    tmp_path: Path, phone: Callable[[], Page]
) -> None:
    listening, _ = own_certificate(tmp_path, LOOPBACK)
    udp, wss = free_port(), free_port()
    pbx = start_callwright(
        tmp_path,
        "pbx",
        *("--listen", f"{LOOPBACK}:{udp}", "--wss", f"{LOOPBACK}:{wss}", "--cert", str(listening.cert)),
        *("--account", "1001:secret1", "--account", "1002:secret2", "--direct"),
        wait_for="listening on",
    )
    with pbx:
        page = phone()
        page.evaluate(f"start('wss://{LOOPBACK}:{wss}/ws', '1002', 'secret2')")
        try:
            page.wait_for_function("seen.registered", timeout=20_000)
            calling = start_callwright(
                tmp_path,
                "call",
                f"sip:1002@{LOOPBACK}:{udp}",
                *("--user", "1001", "--password", "secret1", *SECURE, "--for", "20", "--json"),
                *("--min-mos", "1", "--min-heard", "0"),
            )
            with calling:
                browser = talked(page)
                page.evaluate("seen.session.terminate()")
                calling.wait()
                ours = json.loads(calling.output)
        except Exception as error:
            raise AssertionError(f"{page.evaluate('seen.log')} {pbx.log}") from error
    judged(browser, ours)
