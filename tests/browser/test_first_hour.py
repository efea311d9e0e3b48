"""The first hour of a new user, against the real platform: each test goes on where the one before ended."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import EMAIL, PASSWORD, Visits
from tests.browser.looks import faults
from tests.kit.served import Served


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What one step leaves for the next."""
    return {}


def test_who_is_not_signed_in_gets_the_page_to_do_so_and_no_redirection(
    visits: Visits, platform: Served
) -> None:
    for path in ("/", "/tests", "/runs", "/run/details/nothing", "/keys"):
        visit = visits.open(signed_in=False)
        assert visit.go(path) == 401
        assert visit.page.url == platform.url + path
        expect(visit.page.locator("h1")).to_have_text("Sign in")


def test_a_wrong_password_is_told_in_place(visits: Visits) -> None:
    visit = visits.open("narrow", signed_in=False)
    visit.go("/")
    visit.page.fill("#em", EMAIL)
    visit.page.fill("#pw", "not the password")
    visit.page.click("button")
    expect(visit.page.get_by_role("alert")).to_contain_text("Email or password is wrong")
    expect(visit.page.locator("#em")).to_have_value(EMAIL)
    visit.shot("login-wrong")


def test_signing_in_leads_to_where_one_wanted_to_go(visits: Visits) -> None:
    visit = visits.open(signed_in=False)
    visit.go("/tests?q=basic")
    visit.page.fill("#em", EMAIL)
    visit.page.fill("#pw", PASSWORD)
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("h1")).to_have_text("Tests")
    assert visit.page.url.endswith("/tests?q=basic")
    (cookie,) = visit.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"


def test_the_demo_run_is_there_with_its_verdict_its_ladder_and_its_audio(
    visits: Visits, platform: Served, found: dict[str, Any]
) -> None:
    runs = platform.get("runs")["data"]
    platform.finished(runs[-1]["session_id"])
    visit = visits.open()
    visit.go("/runs")
    visit.page.click("tbody >> text=Basic call")
    page = visit.page
    expect(page.locator("h1")).to_contain_text("Passed.")
    expect(page.locator(".rows summary").first).to_be_visible()
    page.locator(".rows summary", has_text="180 Ringing").first.click()
    expect(page.locator("#inspect")).to_contain_text("SIP/2.0 180")
    chosen = page.locator("#inspect h3").inner_text()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#inspect h3")).not_to_have_text(chosen)
    assert page.evaluate("document.querySelector('audio').play().then(() => true, e => String(e))") is True
    with page.expect_download() as download:
        page.locator("#evidence a", has_text="signalling.pcap").click()
    assert download.value.suggested_filename == "signalling.pcap"
    found["demo"] = page.url


def test_a_test_is_edited_in_its_form_and_the_document_follows(visits: Visits, found: dict[str, Any]) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/tests/basic_call")
    document = page.locator("#document")
    duration = page.locator('[data-address="step.1.0.max_duration"]')
    duration.fill("4")
    duration.press("Tab")
    expect(document).to_have_value(re.compile("max_duration: 4 s"))
    expect(page.locator("#saystate")).to_contain_text("Changes are not saved")
    duration = page.locator('[data-address="step.1.0.max_duration"]')
    expect(duration).to_have_value("4")
    assert "# 1: Alice calls" in document.input_value()


def test_an_error_stands_at_its_line_and_at_its_field(visits: Visits) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/tests/basic_call")
    document = page.locator("#document")
    text = document.input_value()
    document.fill(
        text.replace("max_duration: 6 s", "max_duration: 6,5 s").replace("play: speech}", "play: speach}")
    )
    expect(page.locator("#problems")).to_be_visible()
    expect(page.locator("#problems-list li")).to_have_count(2)
    expect(page.locator("#copy .wrongline")).to_have_count(2)
    expect(page.locator('[data-field="step.1.0.max_duration"].wrong')).to_contain_text("6.5")
    expect(page.locator('[data-address="step.1.0.max_duration"]')).to_have_value("6,5")
    expect(page.locator("#save")).to_be_disabled()
    visit.shot("edit-wrong")
    assert faults(page) == []
    page.locator("#problems-list a").last.click()
    assert page.evaluate("document.activeElement.id") == "document"
    document.fill(text)
    expect(page.locator("#problems")).to_be_hidden()
    expect(page.locator("#saystate")).to_contain_text("Nothing is changed")


def test_saving_makes_a_version_and_undo_reaches_back_beyond_the_form(visits: Visits) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/tests/basic_call")
    document = page.locator("#document")
    before = document.input_value()
    duration = page.locator('[data-address="step.1.0.max_duration"]')
    duration.fill("5")
    duration.press("Enter")
    expect(document).to_have_value(re.compile("max_duration: 5 s"))
    document.focus()
    page.keyboard.press("Control+z")
    expect(document).to_have_value(before)
    document.fill(before.replace("max_duration: 6 s", "max_duration: 5 s"))
    expect(page.locator("#save")).to_be_enabled()
    page.click("#save")
    expect(page.get_by_role("status").filter(has_text="Saved as a new version")).to_be_visible()
    expect(page.locator(".lead").first).to_contain_text("Version 2")
    visit.go("/tests/basic_call/versions?version=1")
    expect(page.locator("pre.code")).to_contain_text("max_duration: 6 s")


def test_a_run_is_watched_live_and_then_complete(visits: Visits, found: dict[str, Any]) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/tests/basic_call")
    page.locator(".pagehead").get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/run/details/"))
    expect(page.locator("h1")).to_contain_text(re.compile("Queued|Starting|Running"))
    tops = {}
    expect(page.locator(".rows summary").first).to_be_visible()
    for section in ("ladder", "conditions", "time"):
        tops[section] = page.evaluate(f"document.getElementById('{section}').offsetTop")
    expect(page.locator("h1")).to_contain_text("talking")
    expect(page.locator("#time .lane").first).to_be_visible()
    expect(page.locator("#time")).to_contain_text("MOS")
    page.locator(".rows summary", has_text="INVITE").first.click()
    expect(page.locator("#inspect")).to_contain_text("SIP/2.0")
    for section, top in tops.items():
        assert page.evaluate(f"document.getElementById('{section}').offsetTop") == top, section
    visit.shot("run-live")
    assert faults(page) == []
    expect(page.locator("h1")).to_contain_text("Passed.", timeout=30_000)
    expect(page.locator("#changes")).to_contain_text("version 1 became 2")
    found["run"] = page.url


def test_a_run_without_saving_has_the_changed_values_as_overrides(
    visits: Visits, platform: Served, found: dict[str, Any]
) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/tests/basic_call")
    more = page.locator('[data-group="step.0.1"] details summary')
    more.click()
    reject = page.locator('[data-address="step.0.1.reject"]')
    reject.fill("486")
    reject.press("Tab")
    expect(page.locator("#document")).to_have_value(re.compile("reject: 486"))
    page.click("#try")
    page.wait_for_url(re.compile("/run/details/"))
    session_id = page.url.rpartition("/")[2].partition("?")[0]
    assert platform.finished(session_id)["status"] == "failed"
    expect(page.locator("h1")).to_contain_text("Failed.", timeout=30_000)
    expect(page.locator("h1")).to_contain_text("486")
    expect(page.locator(".guilty")).to_contain_text("Test")
    expect(page.locator("#changes")).to_contain_text("with 486 Busy Here, not 200 OK")
    expect(page.locator("#changes .cause").first).to_be_visible()
    assert platform.get("tests/basic_call")["data"]["version"] == 2
    found["failed"] = page.url


def test_the_overview_tells_what_fails(visits: Visits) -> None:
    visit = visits.open()
    visit.go("/")
    expect(visit.page.locator("h1")).to_contain_text(re.compile("One test fails|tests fail"))
    expect(visit.page.locator("section", has_text="Not well now")).to_contain_text("486 Busy Here")
    expect(visit.page.locator(".dated")).to_contain_text("began to fail")


def test_a_shared_run_is_seen_logged_out_until_the_link_is_revoked(
    visits: Visits, found: dict[str, Any]
) -> None:
    visit = visits.open()
    page = visit.page
    page.goto(found["failed"])
    page.get_by_role("button", name="Share").click()
    page.get_by_label("The link ends").select_option("7")
    page.get_by_role("button", name="Make the link").click()
    expect(page.locator(".sharebox")).to_contain_text("until")
    link = page.locator(".sharebox code").inner_text()
    found["kiosk"] = link
    for size, scheme in (("narrow", "dark"), ("wide", "light")):
        stranger = visits.open(size, scheme, signed_in=False)
        stranger.page.goto(link)
        expect(stranger.page.locator("h1")).to_contain_text("486")
        expect(stranger.page.locator("nav.nav")).to_have_count(0)
        expect(stranger.page.locator("form, .account")).to_have_count(0)
        assert EMAIL not in stranger.page.content()
        assert not re.search(r'response="(?!\*)', stranger.page.content())
        stranger.page.locator(".rows summary").first.click()
        assert faults(stranger.page) == []
        stranger.shot("kiosk")
    page.get_by_role("button", name="Revoke", exact=True).click()
    page.get_by_role("button", name="Revoke the link").click()
    expect(page.locator(".sharebox")).to_have_count(0)
    stranger = visits.open(signed_in=False)
    answer = stranger.page.goto(link)
    assert answer is not None
    assert answer.status == 404
    expect(stranger.page.locator("h1")).to_have_text("This link is no longer valid")


def test_a_live_page_that_is_opened_late_shows_what_happened_before_until_the_run_is_stopped(
    visits: Visits, platform: Served
) -> None:
    session_id = platform.run("basic_call", **{"step.1.0.max_duration": 120})
    visit, late = visits.open(), visits.open()
    visit.go(f"/run/details/{session_id}")
    expect(visit.page.locator("h1")).to_contain_text("hear each other", timeout=30_000)
    messages = visit.page.locator(".rows summary")
    expect(messages.filter(has_text="200 OK").last).to_be_visible()
    seen = [label or "" for label in messages.evaluate_all("all => all.map(e => e.ariaLabel)")]
    assert len(seen) > 6, seen
    late.go(f"/run/details/{session_id}")
    expect(late.page.locator("#live h1")).to_contain_text("hear each other")
    expect(late.page.locator(".rows summary").nth(len(seen) - 1)).to_be_visible()
    told = late.page.locator(".rows summary").evaluate_all("all => all.map(e => e.ariaLabel)")
    assert told[: len(seen)] == seen
    expect(late.page.locator("#time .lane").first).to_be_visible()
    expect(late.page.locator("[data-part=sofar] > li").first).to_be_visible()
    visit.page.get_by_role("button", name="Stop the run").first.click()
    visit.page.get_by_role("dialog").get_by_role("button", name="Stop the run").click()
    for one in (visit, late):
        expect(one.page.locator("h1")).to_contain_text("Canceled", timeout=30_000)
