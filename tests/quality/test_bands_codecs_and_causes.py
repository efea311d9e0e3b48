from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.quality.bands import BANDS, band
from callwright.quality.causes import split
from callwright.quality.codec_table import impairment, names, scale_of
from callwright.quality.e_model import EModelInput, Scale, ideal, path, rate


@pytest.mark.parametrize(
    ("mos", "name"),
    [
        (4.5, "Excellent"),
        (4.3, "Excellent"),
        (4.299, "Good"),
        (4.0, "Good"),
        (3.6, "Fair"),
        (3.59, "Poor"),
        (3.1, "Poor"),
        (3.09, "Bad"),
        (1.0, "Bad"),
    ],
)
def test_a_mos_has_a_band_and_a_sentence(mos: float, name: str) -> None:
    assert band(mos).name == name
    assert band(mos).sentence.endswith(".")


def test_bands_fall_from_best_to_worst() -> None:
    assert [entry.lowest for entry in BANDS] == sorted((entry.lowest for entry in BANDS), reverse=True)


def test_g711_has_what_g113_publishes_with_and_without_concealment() -> None:
    with_plc, without = impairment("PCMU"), impairment("PCMA", concealment=False)
    assert (with_plc.ie, with_plc.bpl, with_plc.provisional(5)) == (0, 25.1, False)
    assert (without.ie, without.bpl, without.provisional(5)) == (0, 4.3, False)


@pytest.mark.parametrize(("codec", "ie", "bpl"), [("G729", 11, 19), ("G723", 15, 16.1), ("GSM-EFR", 5, 10)])
def test_other_published_codecs_are_there(codec: str, ie: float, bpl: float) -> None:
    found = impairment(codec)
    assert (found.ie, found.bpl, found.provisional(1)) == (ie, bpl, False)


@pytest.mark.parametrize("codec", ["opus", "AMR"])
def test_codecs_without_a_published_value_are_provisional(codec: str) -> None:
    assert impairment(codec).provisional()
    assert "no value is published" in impairment(codec).source


def test_g722_is_published_on_the_wideband_scale_only_and_only_without_loss() -> None:
    wideband = impairment("G722", Scale.WIDEBAND)
    assert (wideband.ie, wideband.provisional(0), wideband.provisional(1)) == (13, False, True)
    assert impairment("G722").provisional()


def test_a_codec_is_judged_on_its_own_scale() -> None:
    assert scale_of("PCMU") is Scale.NARROWBAND
    assert scale_of("G729") is Scale.NARROWBAND
    assert scale_of("G722") is scale_of("opus") is Scale.WIDEBAND


def test_an_unknown_codec_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'speex' is known on the nb scale; there is G711, G729A"):
        impairment("speex")
    with pytest.raises(ValueError, match="wb scale"):
        impairment("G729", Scale.WIDEBAND)
    assert "EVS" in names()


def test_each_cause_alone_takes_all_that_is_missing() -> None:
    assert split(path(ie=11, bpl=19)).to_json() == pytest.approx(
        {
            "codec": ideal(EModelInput()).mos - rate(path(ie=11, bpl=19)).mos,
            "delay": 0,
            "loss": 0,
            "discard": 0,
        }
    )
    assert split(path(ie=0, bpl=25.1, ta=300)).worst == "delay"
    assert split(path(ie=0, bpl=25.1, ppl=4)).worst == "loss"
    assert split(path(ie=0, bpl=25.1, ppl=4), discard=4).worst == "discard"
    assert split(path(ie=0, bpl=25.1)).worst is None


def test_equal_loss_and_discard_take_equal_shares() -> None:
    causes = split(path(ie=0, bpl=25.1, ta=100, ppl=6), discard=3)
    assert causes.loss == pytest.approx(causes.discard)


@given(
    ie=st.floats(0, 60),
    ta=st.floats(0, 900),
    ppl=st.floats(0, 100),
    share=st.floats(0, 1),
    burst_r=st.floats(1, 8),
    scale=st.sampled_from([Scale.NARROWBAND, Scale.WIDEBAND]),
)
def test_the_causes_sum_to_the_lost_mos_and_none_is_negative(
    ie: float, ta: float, ppl: float, share: float, burst_r: float, scale: Scale
) -> None:
    inputs = path(ie=ie, bpl=25.1, ta=ta, ppl=ppl, burst_r=burst_r, scale=scale)
    causes = split(inputs, discard=ppl * share)
    assert causes.lost_mos == pytest.approx(max(0.0, ideal(inputs).mos - rate(inputs).mos))
    assert sum(causes.to_json().values()) == pytest.approx(causes.lost_mos, abs=1e-12)
    assert min(causes.to_json().values()) >= 0


def test_more_discards_than_loss_cannot_be() -> None:
    with pytest.raises(ValueError, match="discard is 2 %"):
        split(path(ie=0, bpl=25.1, ppl=1), discard=2)
