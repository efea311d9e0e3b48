from __future__ import annotations

import pytest

from callwright.control.web import editor
from callwright.control.web.visitor import csrf_of, local_path
from callwright.scenario import catalogue
from callwright.scenario.source import DocumentError

TEXT = catalogue.text("basic_call")


def fields(text: str) -> dict[str, editor.Field]:
    groups = editor.read(text).groups
    return {field.address: field for group in groups for field in (*group.often, *group.more)}


def test_the_form_has_every_parameter_and_those_given_in_front() -> None:
    groups = {group.address: group for group in editor.read(TEXT).groups}
    assert [f.address for f in groups["step.1.0"].often] == [
        "step.1.0.party",
        "step.1.0.dial_destination",
        "step.1.0.max_total_calls",
        "step.1.0.max_duration",
        "step.1.0.play",
    ]
    duration = fields(TEXT)["step.1.0.max_duration"]
    assert (duration.text, duration.unit) == ("6", "seconds")
    assert fields(TEXT)["step.1.0.codecs"].placeholder == "PCMU, PCMA, G722, if empty"
    assert {"", "party.alice", "party.bob"} <= set(groups)


def test_a_password_is_never_in_the_form() -> None:
    text = TEXT.replace("  alice:\n", "  alice: {user: 4101, password: hunter22}\n")
    field = fields(text)["party.alice.password"]
    assert field.text == ""
    assert field.secret
    assert field.placeholder == "set, not shown"


def test_actions_know_their_lines() -> None:
    lines = TEXT.split("\n")
    for address, (first, last) in editor.places(TEXT).items():
        assert lines[first - 1].strip().startswith("-") or "register" in lines[first - 1], address
        assert first <= last
    assert editor.places("steps: [") == {}


def test_changed_values_become_overrides_of_the_kept_document() -> None:
    edited = TEXT.replace("max_duration: 6 s", "max_duration: 4 s").replace(
        "  - - call:", "  # shorter\n  - - call:"
    )
    assert editor.overrides_between(TEXT, edited) == {"step.1.0.max_duration": "4"}
    assert editor.overrides_between(TEXT, TEXT) == {}


@pytest.mark.parametrize(
    "edited",
    [
        TEXT.replace("callee.mos >= 3.5", "callee.mos >= 3.9"),
        TEXT + "\n",
        TEXT.replace("regexpire: 3600", "regexpire: 60").replace("- caller.pdd < 3 s", ""),
    ],
)
def test_what_overrides_cannot_say_is_refused_and_blank_lines_are_nothing(edited: str) -> None:
    if edited.strip() == TEXT.strip():
        assert editor.overrides_between(TEXT, edited) == {}
    else:
        with pytest.raises(editor.BeyondParameters):
            editor.overrides_between(TEXT, edited)


def test_a_wrong_document_has_its_problems() -> None:
    reading = editor.read(TEXT.replace("6 s", "6,5 s"))
    assert reading.scenario is None
    assert reading.problems[0].address == "step.1.0.max_duration"
    with pytest.raises(DocumentError):
        editor.overrides_between(TEXT, "steps: [")


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "/logout",
        "/a\r\nb",
    ],
)
def test_signing_in_leads_nowhere_else(path: str) -> None:
    assert local_path(path) == "/"


def test_signing_in_leads_back_to_where_one_was() -> None:
    assert local_path("/tests?q=a%20b") == "/tests?q=a%20b"


def test_the_token_of_a_form_gives_the_session_away_to_nobody() -> None:
    assert csrf_of("one") != csrf_of("two")
    assert "one" not in csrf_of("one")
