"""Rates over time."""

from __future__ import annotations

import math

import pytest

from callwright.load.plan import PlanError, make_plan, parse_ramp, parse_steps


def test_a_ramp_goes_evenly_from_one_rate_to_the_other() -> None:
    plan = make_plan(ramp="10:110:100")
    assert [plan.rate_at(t) for t in (0, 50, 99.9)] == [10, 60, pytest.approx(109.9)]
    assert plan.rate_at(100) == 0
    assert plan.seconds == 100


def test_a_ramp_stays_at_its_last_rate_while_calls_are_left() -> None:
    plan = make_plan(ramp="1:5:10", calls=1000)
    assert plan.rate_at(1e6) == 5
    assert math.isinf(plan.seconds)


def test_steps_keep_each_rate_for_their_time() -> None:
    plan = make_plan(steps="10,50,20:30")
    assert [plan.rate_at(t) for t in (0, 29, 31, 61, 91)] == [10, 10, 50, 20, 0]
    assert plan.stage_at(31) == 1
    assert plan.stage_at(1000) == 3


def test_without_any_word_one_call_is_placed() -> None:
    assert make_plan().calls == 1


def test_concurrent_alone_places_calls_as_fast_as_it_permits() -> None:
    plan = make_plan(concurrent=50)
    assert plan.concurrent == 50
    assert plan.rate_at(3) > 1000


@pytest.mark.parametrize("text", ["", "10", "10:20", "a:b:c", "10:20:0", "10:20:-1", "nan:1:1", "1:2:inf"])
def test_what_is_no_ramp_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(PlanError):
        parse_ramp(text)


@pytest.mark.parametrize("text", ["", "10,20", ":5", "10,,20:5", "0:5", "10:0"])
def test_what_are_no_steps_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(PlanError):
        parse_steps(text)


def test_two_rates_exclude_each_other() -> None:
    with pytest.raises(PlanError, match="exclude"):
        make_plan(rate=5, steps="1:1")
