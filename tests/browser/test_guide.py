"""A new user's first hour with their own PBX, here a Kamailio that asks who it is: four steps, then CI."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SIZES, Visits
from tests.browser.looks import faults
from tests.interop.peers import LOOPBACK, Kamailio, kamailio
from tests.interop.test_kamailio import MODULES, ROUTING
from tests.kit.served import Served, environment

_MINUTES = 180.0


@pytest.fixture(scope="module")
def pbx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    with kamailio(tmp_path_factory.mktemp("pbx"), ROUTING, modules=MODULES) as running:
        yield running


def test_from_the_first_page_to_a_passing_call_at_another_pbx_and_a_job_for_ci(
    visits: Visits, platform: Served, pbx: Kamailio, tmp_path: Path
) -> None:
    visit = visits.open()
    page = visit.page
    began = time.monotonic()
    visit.go("/")
    expect(page.get_by_role("link", name="The demo run")).to_be_visible()
    page.get_by_role("link", name="Point a test at your PBX").click()
    expect(page.locator("h1")).to_have_text("Point a test at your PBX")
    visit.shot("guide-begin")

    page.get_by_label("Host").fill("pxb..example")
    page.get_by_label("Test", exact=True).select_option(label="Basic call")
    page.get_by_role("button", name="Find it").click()
    step = page.locator(".path > li")
    page.get_by_label("Host").fill(f"{LOOPBACK}:1")
    page.get_by_role("button", name=re.compile("Find it|Ask again")).click()
    expect(page.locator("#step-1.wrong")).to_be_visible(timeout=30_000)
    expect(page.locator("#step-2.waiting")).to_be_visible()
    page.get_by_label("Host").fill(f"{LOOPBACK}:{pbx.port}")
    page.get_by_role("button", name="Ask again").click()
    expect(step.first).to_contain_text("It answered OPTIONS", timeout=30_000)
    expect(step.first).to_contain_text("Kamailio")

    page.get_by_label("Caller").fill("4101")
    page.locator("#g-password-alice").fill("not the secret")
    page.get_by_label("Callee").fill("4102")
    page.locator("#g-password-bob").fill("secret")
    page.get_by_role("button", name="Register them").click()
    expect(page.locator("#step-2.wrong")).to_contain_text("Refused with 401", timeout=30_000)
    expect(page.locator("#step-2 .found")).to_contain_text("4102 registered")
    expect(page.locator("#g-user-alice")).to_have_value("4101")
    assert faults(page) == []
    visit.shot("guide-wrong")
    page.locator("#g-password-alice").fill("secret")
    page.get_by_role("button", name="Register again").click()
    expect(page.locator("#step-2.done")).to_contain_text("4101 registered", timeout=30_000)

    expect(page.locator("#step-3.done")).to_contain_text("this machine")
    page.get_by_role("button", name="Place the call").click()
    expect(page.locator("h1")).to_contain_text("all four steps passed", timeout=60_000)
    assert time.monotonic() - began < _MINUTES
    expect(page.locator("#step-4")).to_contain_text("Passed.")
    said = page.locator("#step-4 .mini .rows .say").all_inner_texts()
    assert said[0].startswith("INVITE"), said
    assert any("180" in text for text in said), said
    assert not any(hidden in text for text in said for hidden in ("407", "100 Trying", "ACK", "REGISTER")), (
        said
    )
    expect(page.locator("#step-4 .mini")).to_contain_text("MOS")
    assert "secret" not in page.content().replace("extension’s secret", "")
    page.reload()
    expect(page.locator("h1")).to_contain_text("all four steps passed")
    for size in SIZES:
        for scheme in ("light", "dark"):
            other = visits.open(size, scheme)
            other.go("/start")
            assert faults(other.page) == []
            other.shot("guide-done")

    page.get_by_role("link", name="Wire CI").click()
    expect(page.locator("#github")).to_contain_text("callwright tests run")
    page.get_by_role("button", name="Make a key and fill it in").click()
    key = page.locator("#github .key").inner_text()
    page.get_by_role("button", name="GitLab").click()
    expect(page.locator("#gitlab")).to_be_visible()
    expect(page.locator("#github")).to_be_hidden()
    assert page.locator("#gitlab .key").inner_text() == key
    assert faults(page) == []
    visit.shot("ci")
    line = re.search(r"callwright (tests run .*)", page.locator("#gitlab pre").inner_text())
    assert line is not None
    done = subprocess.run(
        [sys.executable, "-m", "callwright", *line[1].split()],
        env=environment(CALLWRIGHT_URL=platform.url, CALLWRIGHT_KEY=key),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "<testsuite" in (tmp_path / "junit.xml").read_text()
    visit.go("/")
    expect(page.locator("#first-hour")).to_have_count(0)
