from __future__ import annotations

import dataclasses

import pytest

from callwright.evidence.innocence import suspects
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Verdict
from tests.evidence.sample import run

FAILED = dataclasses.replace(run(), verdict=Verdict.FAILED, blame=Blame.TARGET, reason="It was refused.")


def words(outcome: RunOutcome, changes: list[str] | None = None) -> dict[str, str]:
    return {suspect.name: suspect.word for suspect in suspects(outcome, changes)}


def test_a_stopped_run_blames_nobody_and_clears_nobody() -> None:
    stopped = dataclasses.replace(run(), verdict=Verdict.CANCELED, blame=None)
    assert set(words(stopped).values()) == {"not known"}


@pytest.mark.parametrize(
    ("changes", "word"),
    [(None, "not known"), ([], "cleared"), (["step.1.0.play: speech became tone."], "not known")],
)
def test_a_failed_test_is_cleared_only_beside_a_pass_of_the_same_test(
    changes: list[str] | None, word: str
) -> None:
    assert words(FAILED, changes)["Test"] == word


def test_a_changed_parameter_is_the_proof_against_the_test() -> None:
    guilty = dataclasses.replace(FAILED, blame=Blame.TEST)
    found = {suspect.name: suspect for suspect in suspects(guilty, ["step.1.0.play: speech became tone."])}
    assert (found["Test"].word, found["Test"].fact) == ("at fault", "step.1.0.play: speech became tone.")
