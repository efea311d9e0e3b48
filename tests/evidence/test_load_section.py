"""A load in the page, on the terminal and in JUnit."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from callwright.evidence.junit import render_junit
from callwright.evidence.ladder import Ladder
from callwright.evidence.load_charts import chart, failure_words, round_top
from callwright.evidence.report import render_report
from callwright.evidence.terminal import render_text
from callwright.outcome.load import LoadOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Verdict

LOAD = LoadOutcome(
    "failed",
    "target",
    "3 of 40 calls failed (503: 3).",
    "step.1.0/load",
    "step.1.0",
    "alice",
    attempted=40,
    answered=37,
    failed=3,
    failures={"503": 3},
    pdd_ms={"count": 37, "min": 1.0, "p50": 2.0, "p95": 3.0, "p99": 4.0, "max": 5.0},
    seconds={
        "at": (1.0, 2.0),
        "span": (1.0, 1.0),
        "target_rate": (20.0, 20.0),
        "rate": (20.0, 20.0),
        "active": (3, 0),
        "failed": (0, 3),
        "limited": ("", "calls were placed up to 300 ms late"),
    },
)
RUN = RunOutcome(Verdict.FAILED, Blame.TARGET, LOAD.reason, name="many", loads=(LOAD,))


def test_the_page_has_its_charts_and_shades_what_is_not_to_be_believed() -> None:
    page = render_report(RUN, Ladder((), (), 0.0))
    assert page.count("<polyline") == 4  # asked and placed, under way, failed
    assert page.count('class="limited"') == 3
    assert "Load of alice" in page


def test_a_name_of_the_peer_cannot_act_on_the_page() -> None:
    nasty = RunOutcome(loads=(LoadOutcome(party="<script>x</script>", failures={"<u>x": 1}),))
    page = render_report(nasty, Ladder((), (), 0.0))
    assert "<script>x" not in page
    assert "<u>x" not in page


def test_the_terminal_has_a_line_of_it_and_its_failures() -> None:
    text = render_text(RUN)
    assert "→ alice" in text
    assert "503: 3" in text


def test_junit_has_a_case_of_it() -> None:
    root = ElementTree.fromstring(render_junit(RUN).partition("\n")[2])
    (case,) = root.iter("testcase")
    assert case.get("name") == "load caller alice: 40 calls"
    assert case.find("failure") is not None


def test_the_axes_of_a_chart_end_at_round_figures_and_lines_keep_below() -> None:
    drawn = chart("Calls per second", [1.0, 2.0], [[17.9, 4.0]], ["placed"], [])
    assert (drawn["axis"], drawn["until"]) == ("20", "2")
    assert drawn["says"] == "Calls per second: placed at most 17.9, in 2 s"
    heights = [float(point.split(",")[1]) for point in drawn["lines"][0]["points"].split()]
    assert min(heights) > 0


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (17.9, 20), (88, 100), (10_330, 15_000), (0.03, 0.03)]
)
def test_an_axis_is_no_longer_than_it_has_to_be(value: float, top: float) -> None:
    assert round_top(value) == pytest.approx(top)


def test_classes_of_failures_have_names() -> None:
    page = render_report(RUN, Ladder((), (), 0.0))
    assert "503 Service Unavailable" in page
    assert failure_words("bye_timeout") == "BYE not answered"
    assert failure_words("999") == "999"
