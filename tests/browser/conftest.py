"""A platform, Debian's Chromium, and somebody who is signed in. Pictures are kept in tests/browser/shots."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Playwright, sync_playwright

from tests.kit.served import Served, serving

SHOTS = Path(__file__).parent / "shots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EMAIL, PASSWORD = "mara@example.com", "first-hour-of-mara"
SIZES = {"wide": (1600, 1000), "narrow": (390, 844)}
# Nothing is asked of the network but the platform itself.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent and item.get_closest_marker("pure") is None:
            item.add_marker(pytest.mark.peer)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("browser") / "data"
    with serving(folder, "--admin-email", EMAIL, "--admin-password", PASSWORD) as served:
        yield served


class Chromium:
    """A browser that is started again when it does not close a window: Chromium hangs there now and then,
    which says nothing about our pages."""

    CLOSING_SECONDS = 30.0

    def __init__(self, playwright: Playwright) -> None:
        self._playwright = playwright
        self._mark = ""
        self._browser: Browser | None = None

    def new_context(self, **options: Any) -> BrowserContext:
        if self._browser is None or not self._browser.is_connected():
            self._mark = f"--callwright-test={uuid.uuid4()}"
            self._browser = self._playwright.chromium.launch(
                executable_path=CHROMIUM, args=[*_FLAGS, self._mark]
            )
        return self._browser.new_context(**options)

    def close(self, context: BrowserContext) -> None:
        dog = threading.Timer(self.CLOSING_SECONDS, self._kill)
        dog.start()
        try:
            context.close()
        except Error:
            if self._browser is not None and self._browser.is_connected():
                raise
        finally:
            dog.cancel()

    def end(self) -> None:
        if self._browser is not None:
            self._browser.close()

    def _kill(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self._mark.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    """One for all: a second in the same process would run inside the loop of the first."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(driver: Playwright) -> Iterator[Chromium]:
    chromium = Chromium(driver)
    yield chromium
    chromium.end()


class Visit:
    """A browser window on the platform, signed in or not. What its console says against us is a failure."""

    def __init__(self, browser: Chromium, url: str, *, size: str, scheme: str, state: object | None) -> None:
        width, height = SIZES[size]
        small = size == "narrow"
        self.size, self.scheme, self.url = size, scheme, url
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            is_mobile=small,
            has_touch=small,
            storage_state=state,
            reduced_motion="reduce",
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda said: (
                self.complaints.append(said.text)
                if said.type == "error" and "status of 4" not in said.text
                else None
            ),
        )

    def go(self, path: str) -> int:
        answer = self.page.goto(self.url + path)
        assert answer is not None
        return answer.status

    def shot(self, name: str, *, whole: bool = True, width: int | None = None) -> None:
        SHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}-{width or self.size}-{self.scheme}.png", full_page=whole)


class Visits:
    def __init__(self, browser: Chromium, platform: Served) -> None:
        self._browser, self._platform = browser, platform
        self._state: object | None = None
        self._open: list[Visit] = []

    def open(self, size: str = "wide", scheme: str = "light", *, signed_in: bool = True) -> Visit:
        if signed_in and self._state is None:
            self._state = self._sign_in()
        state = self._state if signed_in else None
        visit = Visit(self._browser, self._platform.url, size=size, scheme=scheme, state=state)
        self._open.append(visit)
        return visit

    def _sign_in(self) -> object:
        visit = Visit(self._browser, self._platform.url, size="wide", scheme="light", state=None)
        visit.go("/login")
        visit.page.fill("#em", EMAIL)
        visit.page.fill("#pw", PASSWORD)
        visit.page.click("text=Sign in >> nth=-1")
        visit.page.wait_for_selector("h1")
        state = visit.context.storage_state()
        self._browser.close(visit.context)
        return state

    def close(self) -> list[str]:
        """What the consoles of all windows complained of."""
        complaints = [complaint for visit in self._open for complaint in visit.complaints]
        for visit in self._open:
            self._browser.close(visit.context)
        self._open.clear()
        return complaints


@pytest.fixture(scope="session")
def all_visits(browser: Chromium, platform: Served) -> Visits:
    return Visits(browser, platform)


@pytest.fixture
def visits(all_visits: Visits) -> Iterator[Visits]:
    yield all_visits
    complaints = all_visits.close()
    assert not complaints, complaints
