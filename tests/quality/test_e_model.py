from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from callwright.quality.e_model import (
    EModelInput,
    Scale,
    ideal,
    ie_eff,
    limits,
    mos_from_r,
    path,
    rate,
)

POINTS = list(
    csv.DictReader((Path(__file__).parent.parent / "data/quality/emodel_points.csv").open(encoding="utf-8"))
)


def number(row: dict[str, str], key: str, default: float = 0.0) -> float:
    return float(row[key]) if row[key] else default


def inputs_of(row: dict[str, str]) -> EModelInput:
    model, ta = row["model"], number(row, "Ta_ms")
    echo = "T=Ta" in model
    varied = {}
    if "variation" in model:
        varied = {
            key.lower(): float(value)
            for key, value in re.findall(r"(\w+)=(-?\d+)", model.split("variation")[1])
        }
    base = EModelInput(
        scale={"WB": Scale.WIDEBAND, "FB": Scale.FULLBAND}.get(model[:2], Scale.NARROWBAND),
        ie=number(row, "Ie"),
        bpl=number(row, "Bpl", 4.3),
        ppl=number(row, "Ppl_pct"),
        burst_r=number(row, "BurstR"),
        ta=ta,
        t=ta if echo else 0.0,
        tr=2 * ta if echo else 0.0,
        delay_counts="Id=0" not in model,
    )
    return replace(base, **varied)  # type: ignore[arg-type]


def test_the_points_are_all_there() -> None:
    assert len(POINTS) == 287


@pytest.mark.parametrize("row", [row for row in POINTS if row["codec_or_case"] != "R->MOS"], ids=str)
def test_every_point_is_met_within_a_ten_thousandth(row: dict[str, str]) -> None:
    result = rate(inputs_of(row))
    assert result.r == pytest.approx(float(row["R"]), abs=1e-4)
    assert result.mos == pytest.approx(max(1.0, float(row["MOS"])), abs=1e-4)


@pytest.mark.parametrize("row", [row for row in POINTS if row["model"] == "G.107 Annex B formula"], ids=str)
def test_the_mos_of_every_given_rating_is_met_but_for_the_dip_below_one(row: dict[str, str]) -> None:
    assert mos_from_r(float(row["R"])) == pytest.approx(max(1.0, float(row["MOS"])), abs=1e-4)


@pytest.mark.parametrize("row", [row for row in POINTS if "table B.1" in row["model"]], ids=str)
def test_the_printed_table_of_annex_b_is_met_as_far_as_it_was_rounded(row: dict[str, str]) -> None:
    # The table prints two decimals, and 4.03 for R = 80 where its own formula gives 4.024.
    assert mos_from_r(float(row["R"])) == pytest.approx(float(row["MOS"]), abs=0.0061)


def test_the_defaults_give_the_rating_that_g107_names() -> None:
    result = rate(EModelInput())
    assert result.ro == pytest.approx(94.769, abs=5e-4)
    assert result.is_ == pytest.approx(1.414, abs=5e-4)
    assert result.r == pytest.approx(93.206, abs=5e-4)
    assert result.mos == pytest.approx(4.409, abs=5e-4)


def test_a_rating_is_the_sum_of_its_terms() -> None:
    result = rate(path(ie=11, bpl=19, ta=250, ppl=3, burst_r=1.5))
    assert result.r == pytest.approx(result.ro - result.is_ - result.id - result.ie_eff + result.a)
    assert result.id == pytest.approx(result.idte + result.idle + result.idd)


def test_the_echo_convention_decides_what_400_ms_cost() -> None:
    assert rate(path(ie=0, bpl=4.3, ta=400)).r == pytest.approx(62.25, abs=0.005)
    assert rate(path(ie=0, bpl=4.3, ta=400, echo=False)).r == pytest.approx(69.14, abs=0.005)


def test_bursts_cost_more_than_random_loss() -> None:
    assert ie_eff(0, 25.1, 3, 2) > ie_eff(0, 25.1, 3, 1)


@pytest.mark.parametrize("scale", list(Scale))
def test_a_mos_never_falls_when_a_rating_rises_and_stays_in_1_to_4_5(scale: Scale) -> None:
    values = [mos_from_r(r / 10, scale) for r in range(-500, 1600)]
    assert values == sorted(values)
    assert (values[0], values[-1]) == (1.0, 4.5)


def test_less_than_a_millisecond_of_echo_is_sidetone() -> None:
    assert rate(EModelInput(t=0.5, telr=10)).idte == 0
    assert rate(EModelInput(t=1.5, telr=10)).idte > 0


def test_unusual_sidetone_changes_the_talker_echo() -> None:
    usual = rate(EModelInput(t=50, tr=100, ta=50, stmr=15))
    assert rate(EModelInput(t=50, tr=100, ta=50, stmr=8)).idte != usual.idte
    assert rate(EModelInput(t=50, tr=100, ta=50, stmr=25)).idte > usual.idte


def test_ideal_leaves_only_the_telephones() -> None:
    assert ideal(path(ie=11, bpl=19, ta=300, ppl=5)).r == rate(EModelInput()).r


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("ppl", -0.1, "0 to 100 %"),
        ("ppl", 100.1, "0 to 100 %"),
        ("ppl", math.nan, "0 to 100 %"),
        ("burst_r", 0.99, "at least 1"),
        ("burst_r", math.inf, "at least 1"),
        ("ta", -1.0, "at least 0 ms"),
        ("ie", 95.1, "0 to 95"),
        ("bpl", 0.0, "more than 0"),
        ("a", 21.0, "0 to 20"),
        ("s_t", 0.0, "more than 0"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(key: str, value: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        EModelInput(**{key: value})  # type: ignore[arg-type]


def test_a_rating_outside_the_confirmed_ranges_says_so() -> None:
    assert limits(path(ie=0, bpl=4.3, ta=100, ppl=1, burst_r=3)) == ()
    assert len(limits(path(ie=0, bpl=4.3, ta=900, ppl=30, burst_r=9))) == 3
    assert "below 2 % loss" in limits(path(ie=0, bpl=4.3, ppl=5, burst_r=3))[0]


def test_total_loss_is_the_worst_there_is() -> None:
    assert rate(path(ie=0, bpl=4.3, ppl=100)).mos < 1.01
