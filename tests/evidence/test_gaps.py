"""What report and terminal say of audio that was due and did not come."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from callwright.evidence.innocence import suspects
from callwright.evidence.ladder import Ladder
from callwright.evidence.naming import came_short, media_notes
from callwright.evidence.report import render_report
from callwright.evidence.terminal import render_text
from callwright.outcome.call import SilentGap
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Verdict
from tests.evidence.sample import run

GAPS = (SilentGap(0.48, 2.6, "paused"), SilentGap(3.0, 8.0, "stopped"))


def gapped() -> RunOutcome:
    """The sample, in which the first call heard a quarter."""
    outcome = run()
    call = outcome.calls[0]
    received = dataclasses.replace(
        call.received, heard_pct=25.0, gaps=GAPS, missing=300, packets=100, lost=0, loss_pct=75.0, mos=1.2
    )
    remark = "RTP moved from 192.0.2.1:4000 to 192.0.2.1:4002 at 1.0 s, and ours goes there too"
    heard = dataclasses.replace(call, received=received, duration_ms=8000.0, remarks=(remark,))
    calls = (heard, *outcome.calls[1:])
    return dataclasses.replace(outcome, calls=calls, verdict=Verdict.FAILED, blame=Blame.TARGET)


def test_gaps_and_remarks_are_told_in_sentences() -> None:
    call = gapped().calls[0]
    first, second = media_notes("Alice", call)
    assert first == "Alice heard 25 %: silent from 0:01 to 0:03 (paused), 0:03 to the end (stopped)"
    assert second.startswith("Alice: RTP moved from")
    assert came_short(call.received) == 300


def test_the_terminal_tells_them_too() -> None:
    text = " ".join(render_text(gapped(), width=120).split())
    assert "heard 25 %: silent from 0:01 to 0:03 (paused), 0:03 to the end (stopped)" in text
    assert "RTP moved from 192.0.2.1:4000" in text


def test_the_page_tells_them_too(tmp_path: Path) -> None:
    page = render_report(gapped(), Ladder((), (), 0.0), folder=tmp_path)
    assert "silent from 0:01 to 0:03 (paused), 0:03 to the end (stopped)" in page
    assert "300 of 400" in page


def test_the_network_is_not_cleared_where_no_number_tells_of_a_gap() -> None:
    assert {suspect.name: suspect.word for suspect in suspects(gapped())}["Network"] == "not known"
    assert {suspect.name: suspect.word for suspect in suspects(run())}["Network"] == "cleared"
