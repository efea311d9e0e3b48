"""The search for the knee."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.load.capacity import CapacitySearch


def search_against(knee: float, start: float = 10.0) -> CapacitySearch:
    search = CapacitySearch(start=start)
    while (rate := search.next_rate()) is not None:
        search.tried(rate, rate <= knee)
    return search


@given(st.floats(1.0, 50_000.0))
def test_the_knee_is_found_within_the_precision(knee: float) -> None:
    search = search_against(knee)
    assert search.best is not None
    assert search.best <= knee < search.best * 1.06


def test_the_best_rate_is_tried_again_before_it_is_believed() -> None:
    search = search_against(300.0)
    assert sum(1 for trial in search.trials if trial.rate == search.best and trial.passed) >= 2
    assert "held in" in search.confidence


def test_a_rate_that_does_not_hold_again_is_given_up() -> None:
    search = CapacitySearch(start=10)
    lucky = {80.0: [True, False]}
    while (rate := search.next_rate()) is not None:
        outcomes = lucky.get(rate)
        search.tried(rate, outcomes.pop(0) if outcomes else rate < 80.0)
    assert search.best is not None
    assert search.best < 80.0


def test_a_target_that_bears_nothing_ends_the_search() -> None:
    search = search_against(0.0)
    assert search.best is None
    assert "no rate" in search.confidence


def test_a_generator_at_its_limit_is_not_taken_for_the_targets_knee() -> None:
    search = CapacitySearch(start=100)
    while (rate := search.next_rate()) is not None:
        search.tried(rate, True, valid=rate < 1000)
    assert search.limited
    assert search.best == pytest.approx(1000, rel=0.06)
    assert "may bear more" in search.confidence


def test_a_search_that_ended_before_its_first_trial_claims_nothing_of_rates() -> None:
    assert CapacitySearch().confidence == "no trial was finished"
