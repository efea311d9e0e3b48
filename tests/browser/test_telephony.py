"""Telephony as an administrator sees it: the history is narrowed and kept as a view, a lost board says so."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visits
from tests.browser.looks import faults

SLOW = 30_000  # milliseconds that a busy machine may take


def test_the_history_is_narrowed_by_a_form_and_kept_as_a_view(visits: Visits) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/calls")
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("What").select_option("mos")
    expect(page.locator("#f-operator option[value=like]")).to_be_hidden(timeout=SLOW)
    page.get_by_label("How").select_option("<")
    page.get_by_label("Value").fill("3.6")
    page.click("text=Add the filter")
    expect(page.locator(".chip.set")).to_have_text(
        [re.compile("type = O"), re.compile("mos < 3.6")], timeout=SLOW
    )
    expect(page).to_have_url(re.compile("filter=.*mos"), timeout=SLOW)
    page.get_by_label("Count by").select_option("disposition")
    expect(page).to_have_url(re.compile("group_by=disposition"), timeout=SLOW)
    page.wait_for_load_state()
    page.click("text=Save this view")
    page.get_by_label("Name", exact=True).fill("Poor ones")
    page.click("text=Save the view")
    expect(page.locator(".tabs [aria-current]")).to_have_text("Poor ones", timeout=SLOW)
    assert faults(page) == []
    page.wait_for_load_state()
    page.click("text=Delete this view")
    page.locator("dialog[open]").get_by_role("button", name="Delete the view").click()
    page.wait_for_selector("[data-toast]")
    expect(page.locator(".tabs")).not_to_contain_text("Poor ones", timeout=SLOW)


def test_a_board_that_is_cut_off_says_so_until_it_hears_again(visits: Visits) -> None:
    visit = visits.open("narrow", "dark")
    page = visit.page
    visit.go("/board")
    expect(page.locator("#asof")).to_contain_text("UTC, live", timeout=SLOW)
    page.route("**/board", lambda route: route.fulfill(status=503, body="away"))
    expect(page.locator("#asof")).to_contain_text("Connection lost, reconnecting.", timeout=SLOW)
    page.unroute("**/board")
    expect(page.locator("#asof")).to_contain_text("UTC, live", timeout=SLOW)
    visit.complaints[:] = [said for said in visit.complaints if "503" not in said]  # which we made ourselves
    assert faults(page) == []


def test_the_way_of_a_number_is_told_by_the_running_pbx(visits: Visits) -> None:
    visit = visits.open()
    visit.go("/numbers")
    visit.page.get_by_label("Number", exact=True).fill("1001")
    visit.page.click("text=Explain the way")
    expect(visit.page.locator(".way li").first).to_contain_text("1001: account 1001", timeout=SLOW)
    assert faults(visit.page) == []
