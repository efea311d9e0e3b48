"""The fleet as an administrator sees it: a pool is made and fills, a server is drained, the page says why."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visits
from tests.browser.looks import faults
from tests.kit.served import Served


def test_a_pool_is_made_fills_and_explains_a_server_that_was_drained(
    visits: Visits, platform: Served
) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/fleet")
    page.click("text=Add pool")
    page.get_by_label("Name", exact=True).fill("watched")
    page.locator("#f-new-minimum").fill("1")
    page.locator("#f-new-maximum").fill("2")
    page.locator("#f-new-capacity").fill("3")
    page.click("text=Make the pool")
    section = page.locator("section.pool", has=page.locator("#pool-watched"))
    expect(section.locator("#pool-watched")).to_contain_text("watched: 1 server", timeout=20_000)
    expect(section.locator("#pool-watched")).to_contain_text("1 server runs", timeout=40_000)
    expect(section).to_contain_text("Started 1: 0 servers, minimum 1.")
    assert faults(page) == []
    first = section.locator("tbody th .mono").inner_text()
    section.get_by_role("button", name=re.compile("^Drain")).click()
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text("It has no call now.")
    dialog.get_by_role("button", name="Drain the server").click()
    page.wait_for_selector("[data-toast]")
    # The minimum is filled again, by another one.
    expect(section.locator("tbody")).not_to_contain_text(first, timeout=40_000)
    expect(section.locator("#pool-watched")).to_contain_text("1 server runs", timeout=40_000)
    expect(section.locator("ul.timed li")).to_have_count(2)
    visit.shot("fleet")
    page.locator("button", has_text="Remove watched").click()
    page.locator("dialog[open]").get_by_role("button", name="Remove the pool").click()
    page.wait_for_selector("[data-toast]")
    expect(section).to_have_count(0, timeout=40_000)
    assert "watched" not in {pool["name"] for pool in platform.get("agentpools")["data"]}


def test_a_form_that_is_open_is_not_swept_away_by_the_page_that_renews_itself(visits: Visits) -> None:
    visit = visits.open("narrow", "dark")
    visit.go("/fleet")
    visit.page.click("text=Add pool")
    visit.page.get_by_label("Name", exact=True).fill("half-typed")
    with visit.page.expect_response(lambda answer: answer.url.endswith("/fleet")) as answered:
        pass
    answered.value.finished()
    expect(visit.page.get_by_label("Name", exact=True)).to_have_value("half-typed")
    assert faults(visit.page) == []
    visit.shot("fleet")
