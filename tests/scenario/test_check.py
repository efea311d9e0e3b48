"""Books of checks: what each level does to the verdict, and what a document may not say."""

from __future__ import annotations

import pytest

from callwright.evidence.junit import render_junit
from callwright.evidence.terminal import render_text
from callwright.outcome.run import CheckOutcome, RunOutcome
from callwright.outcome.terms import Verdict
from callwright.scenario.check import accept
from callwright.scenario.document import check, load
from tests.scenario.stage import Stage

BOOK = """
name: book
parties: {alice: , bob: }
steps:
  - - register: {party: bob}
    - accept: {party: bob, reject: 486, max_total_calls: 1}
  - - call: {from: alice, dial_destination: bob, expect: code = 486}
  - - accept: {party: bob, max_total_calls: 1}
  - - call: {from: alice, dial_destination: bob, max_duration: 2 s}
checks:
  - {check: Busy, level: LEVEL, actions: [step.1.0], conditions: step.1.0.code = CODE}
  - {check: Talk, level: ko, actions: [step.2.0, step.3.0]}
"""


def played(level: str, code: str) -> RunOutcome:
    return Stage(load(BOOK.replace("LEVEL", level).replace("CODE", code))).play()


@pytest.mark.parametrize(
    ("level", "code", "verdict", "result", "score"),
    [
        ("ko", "486", Verdict.PASSED, "accepted", 100),
        ("optional", "404", Verdict.PASSED, "accepted", 75),
        ("important", "404", Verdict.PASSED, "accepted with reservations", 60),
        ("ko", "404", Verdict.FAILED, "rejected", 50),
    ],
)
def test_the_level_of_a_failing_check_decides(
    level: str, code: str, verdict: Verdict, result: str, score: int
) -> None:
    outcome = played(level, code)
    assert outcome.acceptance is not None
    assert (outcome.verdict, outcome.acceptance.result) == (verdict, result), outcome.reason
    assert round(outcome.acceptance.score_pct) == score
    assert outcome.reason.startswith(result.capitalize())
    assert RunOutcome.from_json(outcome.to_json()).checks == outcome.checks
    assert "Busy" in render_text(outcome)
    assert ("<failure" in render_junit(outcome)) == (verdict is Verdict.FAILED)


def test_what_could_not_be_judged_is_neither_accepted_nor_rejected() -> None:
    one = CheckOutcome("A", "ko", None, "The run ended before it.")
    assert accept([one]).result == "undecided"
    assert accept([one, CheckOutcome("B", "ko", False, "no")]).result == "rejected"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{check: A, level: fatal, actions: [step.1.0]}", "not a level of a check"),
        ("{check: A, level: ko}", "needs conditions, or actions"),
        ("{level: ko, actions: [step.1.0]}", "needs a title"),
        ("{check: A, level: ko, actions: [step.9.0]}", "not an action of this test"),
        ("{check: A, level: ko, weight: 3, actions: [step.1.0]}", "not a key of a check"),
        ("{check: Talk, level: ko, actions: [step.1.0]}", "Two checks have the title"),
        ("A", "A check is a block"),
    ],
)
def test_a_check_that_is_wrong_is_a_problem_of_the_document(entry: str, said: str) -> None:
    text = BOOK.replace(
        "{check: Busy, level: LEVEL, actions: [step.1.0], conditions: step.1.0.code = CODE}", entry
    )
    assert any(said in problem.message for problem in check(text))
