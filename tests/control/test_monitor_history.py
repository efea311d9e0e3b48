"""Tallies of readings: percentiles that merge exactly, and what counts for them."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from callwright.control.monitors.history import merged, percentile, tally
from callwright.control.monitors.model import SlotState, StoredReading


def reading(verdict: str = "passed", state: SlotState = SlotState.DONE, **figures: object) -> StoredReading:
    return StoredReading(1, 60, state, 60.0, "", verdict, figures)


READINGS = st.lists(
    st.builds(
        reading,
        verdict=st.sampled_from(["passed", "failed", "invalid", ""]),
        state=st.sampled_from(list(SlotState)),
        mos=st.one_of(st.none(), st.floats(1, 4.5)),
        rtt_ms=st.one_of(st.none(), st.floats(0, 1e7)),
        lost=st.one_of(st.none(), st.integers(0, 25)),
    ),
    max_size=60,
)


@given(st.lists(READINGS, max_size=6))
def test_the_tally_of_parts_is_the_tally_of_all(parts: list[list[StoredReading]]) -> None:
    assert merged(tally(part) for part in parts) == tally(one for part in parts for one in part)


@given(st.lists(st.floats(0.02, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_is_within_2_percent_of_the_reading_at_its_rank(
    values: list[float], share: float
) -> None:
    found = percentile(tally(reading(rtt_ms=value) for value in values), "rtt_ms", share)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    assert found is not None
    assert abs(found - exact) <= 0.02 * exact


def test_the_median_of_mos_is_exact_to_a_hundredth() -> None:
    found = tally(reading(mos=mos) for mos in (4.41, 3.2, 1.0))
    assert [percentile(found, "mos", share) for share in (0, 0.5, 1)] == [1.0, 3.2, 4.41]


def test_what_was_not_measured_has_no_percentile() -> None:
    assert percentile(tally([reading(state=SlotState.MISSED), reading(mos=None)]), "mos", 0.5) is None
    assert percentile(tally([]), "rtt_ms", 0.5) is None


def test_a_measurement_that_the_agent_spoilt_counts_as_invalid_alone() -> None:
    found = tally([reading("invalid", mos=1.0, lost=20), reading(mos=4.4, lost=1)])
    assert found.slots == {"invalid": 1, "done": 1}
    assert (found.counted, percentile(found, "mos", 0)) == ({"lost": 1}, 4.4)


def test_figures_that_are_no_numbers_are_left_out() -> None:
    found = tally([reading(mos="4", rtt_ms=float("nan"), lost=True, sent=-3, jitter_ms=float("inf"))])
    assert (found.counted, found.spread) == ({}, {})
