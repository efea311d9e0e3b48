"""Histograms, sums and what a second says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.generator.names import BUCKETS, COUNTERS, HISTOGRAMS, MOS_LEAST, bucket_value
from callwright.load.statistics import Histogram, Snapshot, second_of, together


def bucket_of(value: int) -> int:
    if value < 256:
        return value
    shift = value.bit_length() - 8
    return min(BUCKETS - 1, 128 * shift + (value >> shift))


def snapshot(
    counts: dict[str, int] | None = None, codes: dict[int, int] | None = None, **times: list[int]
) -> Snapshot:
    histograms = np.zeros((len(HISTOGRAMS), BUCKETS), dtype=np.uint64)
    for name, values in times.items():
        for value in values:
            histograms[HISTOGRAMS.index(name)][bucket_of(value)] += np.uint64(1)
    counters = [(counts or {}).get(name, 0) for name in COUNTERS]
    return Snapshot.of(counters, codes or {}, histograms.tobytes())


@given(st.integers(0, 2**29))
def test_a_bucket_is_within_a_hundredth_of_what_was_put_into_it(value: int) -> None:
    low, high = bucket_value(bucket_of(value)), bucket_value(bucket_of(value) + 1)
    assert low <= value < high
    assert high - low <= max(1, value / 100)


@given(
    st.lists(st.integers(0, 2**27), min_size=1, max_size=200), st.sampled_from([1, 50, 90, 95, 99, 99.9, 100])
)
def test_percentiles_are_those_of_the_values(values: list[int], percent: float) -> None:
    exact = float(np.percentile(values, percent, method="inverted_cdf"))
    assert snapshot(pdd=values).histogram("pdd").percentile(percent) == pytest.approx(exact, rel=0.008, abs=1)


def test_an_empty_histogram_says_nothing() -> None:
    histogram = Histogram(np.zeros(BUCKETS, dtype=np.uint64))
    assert histogram.percentile(50) is None
    assert histogram.mean is None


def test_two_cores_are_one_set_of_numbers() -> None:
    one = snapshot({"attempted": 5, "answered": 4, "status": 1}, {486: 1}, pdd=[1000])
    two = snapshot({"attempted": 7, "answered": 5, "status": 2}, {486: 1, 503: 1}, pdd=[3000, 3000])
    both = together([one, two])
    assert both["attempted"] == 12
    assert both.failures == {"486": 2, "503": 1}
    assert both.histogram("pdd").total == 3
    assert both.missing == 0


def test_a_second_is_the_difference_of_two_times() -> None:
    before = snapshot({"attempted": 100, "answered": 90, "active": 10})
    after = snapshot({"attempted": 160, "answered": 151, "active": 9})
    second = second_of(after.minus(before), at=2.0, span=1.0, target_rate=60, cpu=0.1, latest_ms=0.4)
    assert (second.attempted, second.answered, second.active, second.limited) == (60, 61, 9, "")


@pytest.mark.parametrize(
    ("counts", "times", "cpu", "why"),
    [
        ({"drops": 3}, [], 0.1, "3 datagrams dropped"),
        ({"send_errors": 2}, [], 0.1, "could not be sent"),
        ({}, [160_000] * 10, 0.1, "late"),
        ({}, [], 0.99, "99 % of its core"),
    ],
)
def test_a_second_in_which_we_were_the_bottleneck_says_why(
    counts: dict[str, int], times: list[int], cpu: float, why: str
) -> None:
    delta = snapshot(counts, lateness=times)
    assert why in second_of(delta, at=1, span=1, target_rate=1, cpu=cpu, latest_ms=60).limited


@pytest.mark.parametrize("mos", [1000, 1428, 1429, 1430, 3499, 3500, 4369, 4399, 4400, 4409, 4500])
def test_a_mos_is_held_against_its_limit_exactly(mos: int) -> None:
    histograms = np.zeros((len(HISTOGRAMS), BUCKETS), dtype=np.uint64)
    histograms[HISTOGRAMS.index("mos")][max(0, mos - MOS_LEAST)] = 1
    found = Snapshot.of([0] * len(COUNTERS), {}, histograms.tobytes())
    assert found.histogram("mos").percentile(0) == (mos if mos > 1429 else 1000)
