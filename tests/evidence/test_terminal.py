from __future__ import annotations

from pathlib import Path

import pytest

from callwright.evidence.ladder import build_ladder
from callwright.evidence.naming import call_names
from callwright.evidence.terminal import render_text
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Verdict
from tests.evidence.sample import STARTED, packets, run


def text(width: int = 100) -> str:
    ladder = build_ladder(packets(), origin=STARTED, call_names=call_names(run()))
    return render_text(run(), ladder, width=width, report=Path("out/report.html"))


def test_it_begins_with_the_verdict_and_ends_with_the_path() -> None:
    lines = text().strip().splitlines()
    assert lines[0].startswith("✘ Failed. Bob stopped hearing Alice")
    assert lines[-1].split() == ["Report", "out/report.html"]


def test_the_ladder_is_drawn_with_arrows_and_times() -> None:
    lines = text().splitlines()
    invite = next(line for line in lines if line.lstrip().startswith("0.043"))
    assert "─ INVITE ─" in invite
    assert "▶│" in invite
    assert any("612 lost" in line and "✗" in line for line in lines)
    assert any("◀" in line and "180 Ringing" in line for line in lines)


def test_both_directions_of_each_call_stand_in_a_table() -> None:
    said = text()
    for row in ("Alice, received", "Alice, sent", "Bob, received", "Bob, sent"):
        assert row in said
    assert "4.31 Excellent" in said


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_lines_keep_to_the_width(width: int) -> None:
    assert max(map(len, text(width).splitlines())) <= width


def test_a_pipe_gets_no_escape_sequence_not_even_one_from_the_wire() -> None:
    said = text() + render_text(RunOutcome(Verdict.FAILED, None, "bad \x1b[31m\x07\ud800 name"))
    assert "\x1b" not in said
    assert "\x07" not in said
    said.encode("utf-8")
