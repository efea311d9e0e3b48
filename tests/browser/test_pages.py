"""Every page at both widths and in both themes: nothing is cut, everything can be read and reached."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visits
from tests.browser.looks import faults, sideways
from tests.kit.served import Served

WIDTHS = (390, 1024, 1440, 2560)
SHOOT = "CALLWRIGHT_SHOTS" in os.environ  # a picture of each page at each width, to be looked at
PAGES = {
    "overview": "/",
    "tests": "/tests",
    "tests-none": "/tests?q=nothing-is-called-so",
    "test-new": "/tests/new",
    "test-from": "/tests/new?from=hold_resume",
    "test": "/tests/media_analysis",
    "versions": "/tests/media_analysis/versions?version=1",
    "runs": "/runs",
    "runs-none": "/runs?status=failed&q=nothing-is-called-so",
    "fleet": "/fleet",
    "board": "/board",
    "calls": "/calls",
    "phones": "/phones",
    "numbers": "/numbers?number=1001",
    "agents": "/agents",
    "targets": "/targets",
    "credentials": "/credentials",
    "keys": "/keys",
    "members": "/members",
    "projects": "/projects",
    "audit": "/audit",
    "start": "/start",
    "ci": "/tests/media_analysis/ci",
    "docs": "/docs",
    "docs-page": "/docs/guide",
    "api": "/api/v2/docs",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_at_every_width(visits: Visits, platform: Served, scheme: str) -> None:
    first = platform.get("runs")["data"][-1]["session_id"]
    platform.finished(first)
    second = platform.run("basic_call")
    platform.finished(second)
    runs = {"run": f"/run/details/{first}", "compare": f"/runs/compare?run={first}&run={second}"}
    wrong = {}
    visit = visits.open(scheme=scheme)
    for name, path in {**PAGES, **runs}.items():
        assert visit.go(path) == 200, path
        if name != "overview":
            visit.page.wait_for_load_state("networkidle")
        for width in WIDTHS:
            visit.page.set_viewport_size({"width": width, "height": 900})
            found = faults(visit.page) if width == WIDTHS[0] else sideways(visit.page)
            if found:
                wrong[f"{name} at {width}"] = found
            if SHOOT:
                visit.shot(name, width=width)
    assert wrong == {}


def test_ladders_of_two_runs_stand_side_by_side_and_a_message_leads_into_its_run(
    visits: Visits, platform: Served
) -> None:
    plain, held = platform.get("runs")["data"][-1]["session_id"], platform.run("hold_resume")
    for run in (plain, held):
        platform.finished(run)
    visit = visits.open()
    page = visit.page
    visit.go(f"/runs/compare?run={held}&run={plain}")
    rows = page.locator(".twin .rows > li")
    expect(rows.filter(has_text="re-INVITE").first).to_have_class("differs")
    same = page.locator(".twin .rows > li:not(.differs)").filter(has_text="BYE").first
    for side in (0, 1):
        expect(same.locator(".lrow").nth(side)).to_contain_text("BYE")
    heights = same.locator(".lrow").evaluate_all("all => all.map(e => e.getBoundingClientRect().top)")
    assert heights[0] == heights[1]
    visit.shot("compare")
    same.locator("a").nth(1).click()
    expect(page).to_have_url(re.compile(rf"/run/details/{held}#message-\d+$"))
    expect(page.locator("#inspect h3")).to_contain_text("BYE")
    narrow = visits.open("narrow", "dark")
    narrow.go(f"/runs/compare?run={held}&run={plain}")
    assert faults(narrow.page) == []
    narrow.shot("compare")


@pytest.mark.parametrize(("size", "scheme"), [("wide", "dark"), ("narrow", "light")])
def test_the_reference_of_the_api_and_a_refusal_can_be_read(visits: Visits, size: str, scheme: str) -> None:
    for path, status in (("/api/v2/docs", 200), ("/nothing-is-here", 404)):
        visit = visits.open(size, scheme)
        assert visit.go(path) == status
        visit.page.wait_for_load_state("networkidle")
        assert faults(visit.page) == [], path
        visit.shot("api" if status == 200 else "not-found", whole=False)
        loaded = visit.page.evaluate("document.fonts.check('14px Inter') && document.fonts.size")
        assert loaded == 2, path


def test_a_wide_screen_is_used_and_an_open_form_has_the_only_blue_button(visits: Visits) -> None:
    visit = visits.open()
    visit.page.set_viewport_size({"width": 2560, "height": 1300})
    visit.go("/keys")
    visit.page.click(".adder > summary")
    visit.page.mouse.move(0, 0)
    used, over, blue = visit.page.evaluate(
        """() => {
            const colour = e => getComputedStyle(e).backgroundColor;
            const all = [...document.querySelectorAll("main .btn.primary")];
            const buttons = all.filter(e => e.checkVisibility());
            return [document.querySelector("main").clientWidth,
                    document.documentElement.scrollWidth - innerWidth,
                    new Set(buttons.map(colour)).size];
        }"""
    )
    assert used > 2000
    assert over == 0
    assert blue == 2  # the summary above the form, and the button of the form, look different


def test_the_keyboard_reaches_everything_in_reading_order(visits: Visits) -> None:
    visit = visits.open()
    visit.go("/tests")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.className") == "skip"
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.closest('main') !== null")
    outline = visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_the_menu_of_a_phone_opens_and_closes(visits: Visits) -> None:
    visit = visits.open("narrow")
    visit.go("/")
    visit.page.get_by_label("Menu").click()
    visit.page.get_by_role("link", name="API keys").click()
    expect(visit.page.locator("h1")).to_have_text("API keys")


def test_searching_narrows_the_list_and_stands_in_the_address(visits: Visits) -> None:
    visit = visits.open()
    visit.go("/tests")
    visit.page.fill("#q", "hold_resume")
    expect(visit.page.locator("#list tbody tr")).to_have_count(1)
    assert visit.page.url.endswith("q=hold_resume")
    visit.page.go_back()
    expect(visit.page.locator("#list tbody tr").nth(5)).to_be_visible()


def test_a_key_is_shown_once_and_works_until_it_is_revoked(visits: Visits, platform: Served) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/keys")
    page.get_by_text("Make a key").click()
    page.get_by_label("Name", exact=True).fill("browser")
    page.get_by_role("button", name="Make the key").click()
    public, secret, _ = page.locator(".secret code").all_inner_texts()
    assert platform.api.get("tests", auth=(public, secret)).status_code == 200
    visit.go("/keys")
    assert secret not in page.content()
    row = page.locator("tr", has_text="browser")
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Revoke the key").locator("visible=true").click()
    expect(page.locator("tr", has_text="browser")).to_contain_text("Revoked")
    assert platform.api.get("tests", auth=(public, secret)).status_code == 401


def test_a_token_to_enrol_an_agent_is_shown_once_with_the_command(visits: Visits) -> None:
    visit = visits.open()
    visit.go("/agents")
    visit.page.get_by_text("Enrol an agent").click()
    visit.page.get_by_role("button", name="Make a token").click()
    token, command = visit.page.locator(".secret code").all_inner_texts()
    assert token.startswith("cwe_")
    assert f"--enrol {token} --pool default" in command
    visit.go("/agents")
    assert token not in visit.page.content()


def test_what_is_set_up_can_be_added_and_removed(visits: Visits) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/credentials")
    page.get_by_text("Add an account").click()
    page.get_by_label("Name", exact=True).fill("office")
    page.locator("#f-user").fill("4101")
    page.locator("#f-password").fill("not-to-be-shown")
    page.get_by_role("button", name="Save the account").click()
    expect(page.locator("tbody")).to_contain_text("office")
    assert "not-to-be-shown" not in page.content()
    page.locator("tr", has_text="office").get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove the account").locator("visible=true").click()
    expect(page.locator("tbody")).not_to_contain_text("office")

    visit.go("/targets")
    page.get_by_text("Permit a target").click()
    page.locator("#f-host").fill("pbx.example.com")
    page.locator("#f-concurrency").fill("many")
    page.get_by_role("button", name="Permit the target").click()
    expect(page.get_by_role("alert")).to_contain_text("many")
    expect(page.locator("#f-host")).to_have_value("pbx.example.com")
    page.locator("#f-concurrency").fill("4")
    page.locator("#f-country").fill("at")
    page.get_by_role("button", name="Permit the target").click()
    expect(page.locator("tbody")).to_contain_text("pbx.example.com")
    expect(page.locator("tbody")).to_contain_text("AT")
    visit.go("/audit?q=target")
    expect(page.locator("tbody")).to_contain_text("target.added")


def test_a_form_from_elsewhere_changes_nothing(visits: Visits, platform: Served) -> None:
    visit = visits.open()
    visit.go("/keys")
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        answer = visit.context.request.post(
            platform.url + "/keys", form={"name": "forged", "_csrf": "x" * 64}, headers=headers
        )
        assert answer.status == 403
    visit.go("/keys")
    assert "forged" not in visit.page.content()


def test_the_kill_switch_is_engaged_and_released_by_its_page(visits: Visits, platform: Served) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/targets")
    page.get_by_role("button", name="Stop everything").first.click()
    page.get_by_label("Reason").fill("a drill")
    page.get_by_role("dialog").get_by_role("button", name="Stop everything").click()
    expect(page.get_by_role("alert")).to_contain_text("a drill")
    assert platform.api.post("tests/run", json={"test.name": "options_ping"}).status_code >= 400
    visit.go("/")
    expect(page.get_by_role("alert")).to_contain_text("nothing is started")
    visit.go("/targets")
    page.get_by_role("button", name="Release the kill switch").click()
    expect(page.get_by_role("button", name="Stop everything").first).to_be_visible()


def test_texts_of_strangers_are_shown_and_never_run(visits: Visits, platform: Served) -> None:
    evil = "<img src=x onerror=alert(1)>"
    answer = platform.api.post(
        "tests",
        json={
            "document": f"name: evil\ntitle: '{evil}'\ntags: ['{evil}']\nparties: {{alice: }}\n"
            "steps: [[options: {party: alice, count: 1}]]\n"
        },
    )
    assert answer.status_code < 300, answer.text
    visit = visits.open()
    for path in (
        "/tests",
        "/tests/evil",
        "/tests/evil/versions?version=1",
        f"/tests?q={evil}",
        f"/runs?q={evil}",
    ):
        visit.go(path)
        assert visit.page.locator("img").count() == 0
    visit.go("/tests/evil")
    visit.page.locator("#document").press("End")
    expect(visit.page.locator("#copy")).to_contain_text(evil)
    platform.api.delete("tests/evil")


def test_the_charts_of_a_load_have_the_width_of_the_page(visits: Visits, platform: Served) -> None:
    session_id = platform.run("load", **{"step.1.0.ramp": "2:10:2 s"})
    assert platform.finished(session_id)["status"] == "passed"
    for size, scheme in (("wide", "light"), ("narrow", "dark")):
        visit = visits.open(size, scheme)
        assert visit.go(f"/run/details/{session_id}") == 200
        assert faults(visit.page) == []
        visit.shot("run-load")
        width = visit.page.evaluate("document.getElementById('ladder').offsetWidth")
        assert visit.page.evaluate("document.getElementById('load').offsetWidth") == width
        expect(visit.page.locator("#load svg").first).to_be_visible()
        expect(visit.page.locator("#load td[data-label=p95]").first).to_be_visible()


SILENT = """name: silent
title: A callee without a sound
parties: {alice: , bob: }
steps:
  - - register: {party: bob}
    - accept: {party: bob, ring: 0.2 s}
  - - call: {from: alice, dial_destination: bob, max_duration: 2 s}
"""


def test_silence_is_no_quality_and_what_changed_goes_into_the_report(
    visits: Visits, platform: Served, tmp_path: Path
) -> None:
    assert platform.api.post("tests", json={"document": SILENT}).status_code < 300
    assert platform.finished(platform.run("silent"))["status"] == "passed"
    session_id = platform.run("silent", **{"step.0.1.play": "silence"})
    assert platform.finished(session_id)["status"] == "failed"

    visit = visits.open()
    visit.go("/runs?test=silent")
    failed, passed = visit.page.locator("#list tbody tr").all()
    expect(passed).to_contain_text("both heard each other")
    expect(failed).to_contain_text("heard silence")
    expect(failed.locator("[data-label=MOS]")).to_have_text("no data")

    for size, scheme in (("narrow", "light"), ("wide", "dark")):
        visit = visits.open(size, scheme)
        visit.go(f"/run/details/{session_id}")
        assert faults(visit.page) == []
        visit.shot("run-silent")
    page = visit.page
    expect(page.locator("#calls tr.bad .silence")).to_contain_text("silence")
    expect(page.locator("#calls tr.bad .band")).to_have_count(0)
    expect(page.locator(".say", has_text="silence").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Report with the changes").click()
    report = tmp_path / "report.html"
    download.value.save_as(report)
    page.goto(report.as_uri())
    expect(page.locator("#changes li.cause").last).to_contain_text("heard silence")
    assert faults(page) == []


@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_the_words_of_a_ladder_stay_between_their_lanes(visits: Visits, platform: Served, size: str) -> None:
    first = platform.get("runs")["data"][-1]["session_id"]
    platform.finished(first)
    visit = visits.open(size)
    visit.go(f"/run/details/{first}")
    words = visit.page.locator(".say", has_text="407 Proxy Authentication Required").first
    expect(words).to_be_visible()
    inside = """element => { const words = element.firstElementChild.getBoundingClientRect(),
        row = element.closest(".lrow"), lane = row.querySelector("svg").getBoundingClientRect(),
        clock = row.querySelector("time").getBoundingClientRect();
        return words.left >= clock.right - 1 && words.right <= lane.right + 1
            && words.top >= row.getBoundingClientRect().top - 1
            && element.scrollWidth <= element.clientWidth + 1 }"""
    for each in visit.page.locator(".say").all():
        assert each.evaluate(inside), each.inner_text()
