from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path

import pytest

from callwright.quality.burst_loss import from_counts

VECTORS = list(
    csv.DictReader(
        (Path(__file__).parent.parent / "data/quality/burst_gap_vectors.csv").open(encoding="utf-8")
    )
)


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["case"])
def test_loss_and_burst_ratio_are_those_of_the_vectors(row: dict[str, str]) -> None:
    pattern = row["pattern"]
    runs = sum(bit == "1" for bit, _ in groupby(pattern))
    found = from_counts(len(pattern), pattern.count("1"), runs)
    assert (found.packets, found.lost, found.runs) == (
        int(row["packets"]),
        int(row["lost"]),
        int(row["loss_runs"]),
    )
    assert found.ppl == pytest.approx(float(row["ppl_pct"]), abs=5e-5)
    assert found.mean_run == pytest.approx(float(row["mean_run"]), abs=5e-5)
    assert found.burst_r == pytest.approx(float(row["BurstR_mean_run_def"]), abs=5e-5)


def test_nothing_expected_is_no_loss() -> None:
    assert from_counts(0, 0, 0).burst_r == 1


def test_counters_that_contradict_each_other_are_refused() -> None:
    for counts in ((10, 11, 1), (10, 3, 0), (10, 0, 1), (10, 2, 3), (-1, -1, -1)):
        with pytest.raises(ValueError, match="cannot be"):
            from_counts(*counts)
