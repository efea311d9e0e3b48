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


def test_a_list_with_a_wrong_entry_is_shown_whole() -> None:
    text = TEXT.replace("play: speech}", "play: speech, codecs: [PCMA, PCMUU, G722]}").replace("6 s", "6,5 s")
    assert editor.read(text).scenario is None
    shown = editor.stands(text)
    assert shown["step.0.1.codecs"] == "PCMA, PCMUU, G722"
    assert shown["step.1.0.max_duration"] == "6,5"
    assert shown["step.1.0.party"] == "alice"  # written as `from`
    kept = editor.with_problems(editor.read(TEXT).groups, editor.read(text).problems, text)
    wrong = {f.address: f.text for g in kept for f in (*g.often, *g.more) if f.wrong}
    assert wrong["step.0.1.codecs"] == "PCMA, PCMUU, G722"


def test_what_stands_in_a_document_tells_no_password() -> None:
    assert "party.alice.password" not in editor.stands(
        TEXT.replace("alice:", "alice: {password: hunter22}", 1)
    )


def test_a_field_of_a_document_that_is_wrong_elsewhere_is_written_by_its_type() -> None:
    text = TEXT.replace("6 s", "6,5 s").replace("play: speech}", "play: speech, codecs: [PCMA]}")
    assert editor.typed_as(text, "step.0.1.codecs", "PCMA, opus") == ["PCMA", "opus"]
    assert editor.typed_as(text, "step.1.0.max_duration", "6.5") == "6.5 s"


def test_conditions_come_apart_and_together_again() -> None:
    rows = editor.conditions(editor.read(TEXT).scenario)
    assert [row.address for row in rows] == [f"conditions.{n}" for n in range(4)]
    assert (rows[1].who, rows[1].metric, rows[1].operator, rows[1].value) == ("callee", "mos", ">=", "3.5")
    for row in rows:
        assert f"{row.who}.{row.metric} {row.operator} {row.value}" == row.text


def test_markers_of_a_merge_are_a_problem_with_its_line() -> None:
    (problem,) = editor.read(TEXT + "<<<<<<< 1: yours\n=======\n>>>>>>> 1: version 2\n").problems
    assert "Two changes meet here" in problem.message
    assert problem.line == TEXT.count("\n") + 1
