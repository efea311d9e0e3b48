"""What a peer writes acts on no terminal, in no JSON, on no page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import Markup

from callwright.cli.console import print_json
from callwright.evidence.folder import EvidenceFolder
from callwright.evidence.page import _finalize
from callwright.evidence.shown import shown, shown_json
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Verdict

#: C1 controls, DEL, overrides, embeddings, isolates and marks of direction, separators of lines.
ACTING = [*map(chr, range(0x7F, 0xA0)), *"\u061c\u200e\u200f\u2028\u2029", *map(chr, range(0x202A, 0x202F))]
ACTING += [*map(chr, range(0x2066, 0x206A)), "\ufffe", "\uffff"]
EVIL = "Evil\x9b31m\u202egnp.exe\u2066\x85" + "".join(ACTING)


def acting(text: str) -> list[str]:
    return [character for character in ACTING if character in text]


@pytest.mark.parametrize("character", ACTING)
def test_each_of_them_is_replaced_everywhere(character: str) -> None:
    assert character not in shown(character)
    assert character not in shown_json(json.dumps(f"a{character}", ensure_ascii=False))
    assert character not in str(_finalize(character))
    assert character not in str(_finalize(Markup("<b>{}</b>").format(character)))


def test_json_stays_json_and_ordinary_texts_stay_as_they_are() -> None:
    document = {"name": "Zoë שלום 你好 \U0001f600", "tab": "a\tb\nc\x1b", "list": [1, None]}
    assert json.loads(shown_json(json.dumps(document, ensure_ascii=False))) == document


def test_markup_stays_markup() -> None:
    assert _finalize(Markup("<b>x</b>\n")) == Markup("<b>x</b>\n")
    assert isinstance(_finalize(Markup("<b>")), Markup)


def test_the_json_of_a_command_holds_none(capfd: pytest.CaptureFixture[str]) -> None:
    print_json({"calls": [{"user_agent": EVIL, EVIL: 1}]})
    text = capfd.readouterr().out
    assert acting(text) == []
    assert json.loads(text)["calls"][0]["user_agent"].startswith("Evil")


def test_the_files_of_a_run_hold_none(tmp_path: Path) -> None:
    call = CallOutcome(id="step.0.0/1", user_agent=EVIL, caller_name=EVIL, failure_detail=EVIL)
    outcome = replace(RunOutcome(verdict=Verdict.FAILED, name=EVIL, reason=EVIL), calls=(call,))
    folder = EvidenceFolder.open(tmp_path / "run", capture=False)
    folder.write(outcome)
    assert folder.problems == []
    for file in (tmp_path / "run").iterdir():
        text = file.read_text("utf-8")
        assert acting(text) == [], file.name
        assert not any(f"\\u{ord(character):04x}" in text for character in ACTING), file.name
