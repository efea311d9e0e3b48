"""The editor loses nothing: not to an ended session, not to somebody else's save, not to a quick hand."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PASSWORD, Visit, Visits
from tests.browser.looks import faults
from tests.kit.served import Served

DOCUMENT = """name: {name}
title: Kept
parties: {{alice: , bob: }}
steps:
  - - register: {{party: bob}}
    - accept: {{party: bob, ring: 0.1 s, codecs: [PCMA, PCMU, G722]}}
  - - call:
        from: alice
        dial_destination: bob
        max_duration: 1 s
conditions:
  - callee.mos >= 3.5
"""


@pytest.fixture
def name(platform: Served, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"kept_{request.node.name[5:40]}"
    assert platform.api.post("tests", json={"document": DOCUMENT.format(name=name)}).status_code < 300
    yield name
    platform.api.delete(f"tests/{name}")


def opened(
    visits: Visits, name: str, size: str = "wide", scheme: str = "light"
) -> tuple[Visit, Page, Locator]:
    visit = visits.open(size, scheme)
    visit.go(f"/tests/{name}")
    return visit, visit.page, visit.page.locator("#document")


def stored(platform: Served, name: str) -> str:
    text: str = platform.get(f"tests/{name}")["data"]["document"]
    return text


def signed_in_again(page: Page) -> None:
    expect(page.get_by_role("dialog", name="Sign in again")).to_be_visible()
    page.fill("#signin-pw", PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#signin")).to_be_hidden()


def test_a_session_that_ends_asks_over_the_page_and_the_text_stays(
    visits: Visits, platform: Served, name: str
) -> None:
    visit, page, document = opened(visits, name)
    before = document.input_value()
    visit.context.clear_cookies()
    document.press("Control+End")
    page.keyboard.type("  - caller.mos >= 3.6")
    expect(page.get_by_role("dialog", name="Sign in again")).to_be_visible()
    page.fill("#signin-pw", "not the password")
    page.keyboard.press("Enter")
    expect(page.locator("#signin").get_by_role("alert")).to_contain_text("wrong")
    signed_in_again(page)
    expect(document).to_have_value(before + "  - caller.mos >= 3.6")
    expect(page.locator('[data-condition="conditions.1"] [data-part=value]')).to_have_value("3.6")
    visit.context.clear_cookies()
    page.click("#save")
    signed_in_again(page)
    expect(page.locator(".lead").first).to_contain_text("Version 2")
    assert stored(platform, name) == before + "  - caller.mos >= 3.6"


def test_other_forms_keep_what_was_typed_when_the_session_has_ended(visits: Visits) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/targets")
    page.get_by_text("Permit a target").click()
    page.locator("#f-host").fill("kept.example.com")
    visit.context.clear_cookies()
    page.get_by_role("button", name="Permit the target").click()
    signed_in_again(page)
    expect(page.locator("tbody")).to_contain_text("kept.example.com")


def test_a_draft_survives_a_reload_and_can_be_discarded(visits: Visits, name: str) -> None:
    _, page, document = opened(visits, name)
    before = document.input_value()
    document.fill(before.replace("3.5", "3.8"))
    field = page.locator('[data-address="step.1.0.max_duration"]')
    expect(page.locator('[data-condition="conditions.0"] [data-part=value]')).to_have_value("3.8")
    field.press_sequentially("2")  # still in the field: the document does not have it
    page.reload()
    expect(page.locator("#draft")).to_contain_text("are back")
    expect(document).to_have_value(re.compile("mos >= 3.8"))
    expect(document).to_have_value(re.compile("max_duration: (12|21) s"))
    expect(page.locator("#save")).to_be_enabled()
    page.get_by_role("button", name="Discard them").click()
    expect(document).to_have_value(before)
    page.reload()
    expect(document).to_have_value(before)
    expect(page.locator("#draft")).to_be_hidden()


def test_a_field_that_is_left_by_pressing_save_is_saved(visits: Visits, platform: Served, name: str) -> None:
    _, page, _ = opened(visits, name)
    page.locator('[data-address="step.1.0.max_duration"]').fill("2")
    page.click("#save")
    expect(page.locator(".lead").first).to_contain_text("Version 2")
    assert "max_duration: 2 s" in stored(platform, name)


def test_two_fields_changed_in_haste_are_both_in_the_document(visits: Visits, name: str) -> None:
    _, page, document = opened(visits, name)
    page.evaluate(
        """() => { const both = [["step.1.0.max_duration", "2"], ["step.0.1.ring", "0.4"]];
            for (const [address, value] of both) {
                const input = document.querySelector(`[data-address="${address}"]`);
            input.value = value; input.dispatchEvent(new Event("change", { bubbles: true }));
            } }"""
    )
    expect(document).to_have_value(re.compile(r"ring: 0\.4 s[^\0]*max_duration: 2 s"))


def test_a_list_with_one_wrong_entry_keeps_the_others(visits: Visits, name: str) -> None:
    visit, page, document = opened(visits, name)
    codecs = page.locator('[data-address="step.0.1.codecs"]')
    document.fill(document.input_value().replace("PCMA, PCMU, G722", "PCMA, PCMUU, G722"))
    expect(page.locator('[data-field="step.0.1.codecs"].wrong')).to_contain_text("PCMUU is not a codec")
    expect(codecs).to_have_value("PCMA, PCMUU, G722")
    # The message stands under its line, on top of nothing.
    line, say, after = (
        page.locator(where).first.bounding_box()
        for where in ("#copy .wrongline", "#copy .saywrong", "#copy .saywrong + div")
    )
    assert line is not None
    assert say is not None
    assert after is not None
    assert line["y"] + line["height"] <= say["y"] + 1
    assert say["y"] + say["height"] <= after["y"] + 1
    # A click below it goes to the line that is seen there.
    page.mouse.click(after["x"] + 4, after["y"] + 10)
    page.keyboard.press("End")
    page.keyboard.type(" # here")
    expect(document).to_have_value(re.compile("- - call: # here"))
    visit.shot("editor-wrong")
    page.locator("#problems").get_by_role("button", name="Use PCMU").click()
    expect(codecs).to_have_value("PCMA, PCMU, G722")
    expect(page.locator("#problems")).to_be_hidden()
    codecs.fill("PCMA, PCMUU, G722")
    codecs.press("Tab")
    expect(document).to_have_value(re.compile(r"codecs: \[PCMA, PCMUU, G722\]"))
    codecs.fill("PCMA, opus, G722")
    codecs.press("Tab")
    expect(document).to_have_value(re.compile(r"codecs: \[PCMA, opus, G722\]"))


def test_run_runs_what_is_in_the_editor(visits: Visits, platform: Served, name: str) -> None:
    _, page, document = opened(visits, name)
    document.fill(document.input_value().replace("max_duration: 1 s", "max_duration: 1.2 s"))
    page.locator(".pagehead").get_by_role("button", name="Run with the changes").click()
    page.wait_for_url(re.compile("/run/details/"))
    session_id = page.url.rpartition("/")[2].partition("?")[0]
    changed = platform.get(f"runs/{session_id}")
    assert "1.2" in str(changed)
    # More than a value: it is said, and offered as a new version that runs.
    _, page, document = opened(visits, name)
    document.fill(document.input_value() + "  - caller.mos >= 3.6\n")
    page.locator(".pagehead").get_by_role("button", name="Run with the changes").click()
    expect(page.get_by_role("alert").first).to_contain_text("Nothing was run")
    expect(document).to_have_value(re.compile(r"caller\.mos >= 3\.6"))
    page.get_by_role("button", name="Save version 2 and run it").click()
    page.wait_for_url(re.compile("/run/details/"))
    assert "caller.mos >= 3.6" in stored(platform, name)


def test_two_who_save_lose_neither_change(visits: Visits, platform: Served, name: str) -> None:
    _, page, document = opened(visits, name)
    theirs = stored(platform, name).replace("callee.mos >= 3.5", "callee.mos >= 3.9")
    assert platform.api.patch(f"tests/{name}", json={"document": theirs}).status_code < 300
    document.fill(document.input_value().replace("max_duration: 1 s", "max_duration: 1.5 s"))
    page.click("#save")
    expect(page.locator(".meeting")).to_contain_text("saved version 2 while you edited version 1")
    expect(document).to_have_value(re.compile(r"max_duration: 1\.5 s[^\0]*callee\.mos >= 3\.9"))
    assert stored(platform, name) == theirs
    page.click("#save")
    expect(page.locator(".lead").first).to_contain_text("Version 3")
    assert "1.5 s" in stored(platform, name)
    assert "3.9" in stored(platform, name)


def test_two_changes_of_one_line_are_shown_side_by_side_and_cannot_be_saved_unseen(
    visits: Visits, platform: Served, name: str
) -> None:
    visit, page, document = opened(visits, name)
    theirs = stored(platform, name).replace("callee.mos >= 3.5", "callee.mos >= 3.9")
    document.fill(document.input_value().replace("callee.mos >= 3.5", "callee.mos >= 4.1"))
    expect(page.locator("#save")).to_be_enabled()
    assert platform.api.patch(f"tests/{name}", json={"document": theirs}).status_code < 300
    page.click("#save")
    expect(page.locator(".meets")).to_contain_text("callee.mos >= 4.1")
    expect(page.locator(".meets")).to_contain_text("callee.mos >= 3.9")
    expect(page.locator("#save")).to_be_disabled()
    assert faults(page) == []
    visit.shot("editor-meeting")
    page.reload()  # whoever goes away and comes back finds it as it was
    page.get_by_role("button", name="Take theirs").or_(page.locator("#draft")).first.wait_for()
    visit.go(f"/tests/{name}")
    expect(document).to_have_value(re.compile("4.1"))
    assert stored(platform, name) == theirs


def test_the_document_offers_what_is_permitted_where_the_cursor_is(visits: Visits, name: str) -> None:
    visit, page, document = opened(visits, name)
    expect(page.locator(".sheet .words")).to_have_count(1)  # the words have come
    document.evaluate(
        "d => { const at = d.value.indexOf('G722]'); d.focus(); d.setSelectionRange(at, at + 4); }"
    )
    page.keyboard.type("op")
    option = page.get_by_role("listbox", name="Permitted here").get_by_role("option")
    expect(option).to_have_text(["opus"])
    page.keyboard.press("Tab")
    expect(document).to_have_value(re.compile(r"codecs: \[PCMA, PCMU, opus\]"))
    document.press("Control+End")
    page.keyboard.type("  - callee.jit")
    expect(option.first).to_contain_text("jitter")
    visit.shot("editor-words", whole=False)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type(" ")
    page.keyboard.press("Control+Space")
    expect(option.first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox", name="Permitted here")).to_be_hidden()
    page.keyboard.type("< 30 ms")
    expect(page.locator('[data-condition="conditions.1"] [data-part=value]')).to_have_value("30 ms")


def test_conditions_are_changed_added_and_taken_out_in_the_form(visits: Visits, name: str) -> None:
    _, page, document = opened(visits, name)
    first = page.locator('[data-condition="conditions.0"]')
    first.locator("[data-part=value]").fill("3.9")
    first.locator("[data-part=value]").press("Tab")
    expect(document).to_have_value(re.compile("callee.mos >= 3.9"))
    new = page.locator('[data-condition="conditions.1"]')
    new.locator("[data-part=who]").select_option("caller")
    new.locator("[data-part=metric]").select_option("pdd")
    new.locator("[data-part=operator]").select_option("<")
    new.locator("[data-part=value]").fill("900")
    new.locator("[data-part=value]").press("Tab")
    expect(document).to_have_value(re.compile("  - caller.pdd < 900\n"))
    expect(page.locator('[data-condition="conditions.1"].wrong')).to_contain_text("900 has no unit")
    new.locator("[data-part=value]").fill("900 ms")
    new.locator("[data-part=value]").press("Tab")
    expect(page.locator("#problems")).to_be_hidden()
    page.get_by_role("button", name="Remove the condition callee.mos >= 3.9").click()
    expect(document).to_have_value(re.compile("conditions:\n  - caller.pdd < 900 ms\n"))
    assert faults(page) == []
