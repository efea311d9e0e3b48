from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.quality.burst_loss import bursts_and_gaps, from_counts, loss_pattern, transitions

VECTORS = list(
    csv.DictReader(
        (Path(__file__).parent.parent / "data/quality/burst_gap_vectors.csv").open(encoding="utf-8")
    )
)


def bits(row: dict[str, str]) -> list[int]:
    return [int(bit) for bit in row["pattern"]]


def rfc3611(row: dict[str, str]) -> dict[str, float]:
    """{P:0.1 … BurstDuration:240ms GapDuration:2s}, durations in ms."""
    found = {}
    for key, value, unit in re.findall(r"(\w+):([\d.]+)(ms|s)?", row["rfc3611_metrics(Gmin=16,20ms)"]):
        found[key] = float(value) * (1000 if unit == "s" else 1)
    return found


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["case"])
def test_loss_runs_and_burst_ratio_are_those_of_the_vectors(row: dict[str, str]) -> None:
    found = loss_pattern(bits(row))
    assert (found.packets, found.lost, found.runs) == (
        int(row["packets"]),
        int(row["lost"]),
        int(row["loss_runs"]),
    )
    assert found.ppl == pytest.approx(float(row["ppl_pct"]), abs=5e-5)
    assert found.mean_run == pytest.approx(float(row["mean_run"]), abs=5e-5)
    assert found.burst_r == pytest.approx(float(row["BurstR_mean_run_def"]), abs=5e-5)


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["case"])
def test_bursts_and_gaps_are_those_of_rfc_3611(row: dict[str, str]) -> None:
    found, wanted = bursts_and_gaps(bits(row)), rfc3611(row)
    assert found.burst_density == pytest.approx(wanted["BurstDensity"])
    assert found.gap_density == pytest.approx(wanted["GapDensity"])
    assert found.burst_duration_ms(20) == pytest.approx(wanted["BurstDuration"])
    assert found.gap_duration_ms(20) == pytest.approx(wanted["GapDuration"])


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["case"])
def test_the_markov_chain_of_the_vectors_is_found(row: dict[str, str]) -> None:
    wanted = rfc3611(row)
    assert transitions(bits(row)) == pytest.approx((wanted["P"], wanted["Q"]))


def test_nothing_expected_is_no_loss() -> None:
    assert loss_pattern([]).burst_r == 1
    assert bursts_and_gaps([]).gaps == 0


def test_counters_that_contradict_each_other_are_refused() -> None:
    for counts in ((10, 11, 1), (10, 3, 0), (10, 0, 1), (10, 2, 3), (-1, -1, -1)):
        with pytest.raises(ValueError, match="cannot be"):
            from_counts(*counts)


@given(st.lists(st.integers(0, 1), max_size=400), st.integers(1, 20))
def test_bursts_and_gaps_share_all_packets_and_all_losses_among_them(pattern: list[int], gmin: int) -> None:
    found = bursts_and_gaps(pattern, gmin)
    in_bursts, in_gaps = found.mean_burst * found.bursts, found.mean_gap * found.gaps
    assert in_bursts + in_gaps == pytest.approx(len(pattern))
    assert found.burst_density * in_bursts + found.gap_density * in_gaps == pytest.approx(sum(pattern))
