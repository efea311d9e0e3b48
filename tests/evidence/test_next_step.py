from __future__ import annotations

import dataclasses

import pytest

from callwright.evidence.ladder import build_ladder
from callwright.evidence.naming import call_names
from callwright.evidence.next_step import next_step
from callwright.evidence.page import Divider, divided
from callwright.outcome.call import CallOutcome
from callwright.outcome.request import RegistrationOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Failure, Verdict
from tests.evidence.sample import STARTED, packets, run

FAILED = RunOutcome(Verdict.FAILED, Blame.TARGET, "It failed.", description="What the test does.")
CALL = CallOutcome(Verdict.FAILED, Blame.TARGET, "It failed.", failure=Failure.REFUSED)


def test_a_run_that_failed_says_what_to_do_and_not_what_the_test_is() -> None:
    assert next_step(dataclasses.replace(FAILED, verdict=Verdict.PASSED)) == "What the test does."
    for code in (401, 403, 404, 486, 488, 503, 699):
        told = next_step(dataclasses.replace(FAILED, calls=(dataclasses.replace(CALL, sip_code=code),)))
        assert told
        assert "What the test does" not in told


def test_what_was_changed_comes_first() -> None:
    told = next_step(FAILED, ["step.1.0.play: speech became tone."])
    assert told.startswith("Changed since the last pass: step.1.0.play: speech became tone. Run it without")


@pytest.mark.parametrize("failure", [failure for failure in Failure if failure is not Failure.STOPPED])
def test_every_failure_has_a_sentence(failure: Failure) -> None:
    registration = RegistrationOutcome(Verdict.FAILED, Blame.TARGET, "It failed.", failure=failure)
    assert next_step(dataclasses.replace(FAILED, registrations=(registration,))).endswith(".")


def test_the_ladder_is_divided_where_another_call_id_begins() -> None:
    outcome = run()
    ladder = build_ladder(packets(), origin=STARTED, call_names=call_names(outcome))
    rows = divided(ladder.rows, outcome)
    dividers = [row for row in rows if isinstance(row, Divider)]
    assert [row for row in rows if not isinstance(row, Divider)] == list(ladder.rows)
    ids = list(dict.fromkeys(message.call_id for message in ladder.messages))
    assert [divider.call_id for divider in dividers] == (ids if len(ids) > 1 else [])
