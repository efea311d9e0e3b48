"""Every published value of a codec, every bound of a parameter, and the split by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import pytest

from callwright.quality.bands import BANDS, band
from callwright.quality.causes import split
from callwright.quality.codec_table import impairment, names, scale_of
from callwright.quality.e_model import (
    EModel,
    EModelInput,
    Scale,
    ideal,
    ie_eff,
    limits,
    mos_from_r,
    path,
    rate,
)

NB, WB, FB = Scale.NARROWBAND, Scale.WIDEBAND, Scale.FULLBAND

#: ITU-T G.113 (appendices I, IV, V) where the third column says so; else what docs call provisional.
CODECS = [
    ("G711", NB, 0, 25.1, "ie bpl"),
    ("G729A", NB, 11, 19, "ie bpl"),
    ("G723", NB, 15, 16.1, "ie bpl"),
    ("GSM-EFR", NB, 5, 10, "ie bpl"),
    ("GSM", NB, 20, 10, "ie"),
    ("G726-32", NB, 7, 4.3, "ie"),
    ("AMR", NB, 5, 10, ""),
    ("iLBC", NB, 11, 19, ""),
    ("G722", NB, 0, 10, ""),
    ("opus", NB, 0, 10, ""),
    ("L16", NB, 0, 4.3, ""),
    ("AMR-WB", NB, 0, 10, ""),
    ("G722", WB, 13, 4.3, "ie"),
    ("AMR-WB", WB, 20, 4.3, "ie bpl"),
    ("AMR-WB/23.05", WB, 8, 4.6, "ie bpl"),
    ("AMR-WB/23.85", WB, 10, 4.9, "ie bpl"),
    ("opus", WB, 7, 4.6, ""),
    ("L16", WB, 0, 4.3, "ie"),
    ("G711", WB, 36, 25.1, "ie"),
    ("EVS", FB, 7.2, 11.4, "ie bpl"),
]


@pytest.mark.parametrize(("codec", "scale", "ie", "bpl", "published"), CODECS)
def test_each_codec_has_its_values(codec: str, scale: Scale, ie: float, bpl: float, published: str) -> None:
    found = impairment(codec, scale)
    assert (found.codec, found.scale, found.ie, found.bpl) == (codec, scale, ie, bpl)
    assert (found.ie_published, found.bpl_published) == ("ie" in published, "bpl" in published)
    assert found.concealment
    assert found.provisional() is not found.ie_published
    assert found.provisional(0.5) is not (found.ie_published and found.bpl_published)


def test_there_are_no_other_codecs() -> None:
    for scale in Scale:
        assert list(names(scale)) == list(dict.fromkeys(c for c, s, *_ in CODECS if s is scale))
    assert set(names()) == {codec for codec, *_ in CODECS}


@pytest.mark.parametrize("scale", [NB, WB])
def test_g711_alone_has_values_without_concealment(scale: Scale) -> None:
    found = impairment(" pcmu ", scale, concealment=False)
    assert (found.bpl, found.concealment) == (4.3, False)
    assert found.ie == impairment("G711", scale).ie
    assert impairment("opus", scale, concealment=False) is impairment("opus", scale)


@pytest.mark.parametrize(
    ("names_", "codec"),
    [
        (("PCMU", "pcma", "G.711", "ulaw", "alaw"), "G711"),
        (("g.722",), "G722"),
        (("G729", "g.729", "G.729A"), "G729A"),
        (("g723.1", "G.723.1"), "G723"),
        (("amr-nb",), "AMR"),
        (("G726",), "G726-32"),
        (("g722.2", "G.722.2"), "AMR-WB"),
    ],
)
def test_codecs_go_by_several_names(names_: tuple[str, ...], codec: str) -> None:
    for name in names_:
        assert impairment(name) is impairment(codec)


def test_a_codec_is_judged_on_the_widest_scale_that_has_values_for_it() -> None:
    wide = {codec for codec in names() if scale_of(codec) is WB}
    assert wide == {"G722", "AMR-WB", "AMR-WB/23.05", "AMR-WB/23.85", "opus", "L16"}
    assert scale_of(" g.722 ") is WB
    assert scale_of("speex") is NB


def test_the_bands_begin_where_the_docs_say() -> None:
    assert [(entry.name, entry.lowest) for entry in BANDS] == [
        ("Excellent", 4.3),
        ("Good", 4.0),
        ("Fair", 3.6),
        ("Poor", 3.1),
        ("Bad", 1.0),
    ]
    assert band(0.5).name == "Bad"


# -- inputs


def test_what_is_not_measured_has_the_default_of_table_3() -> None:
    defaults = EModelInput()
    assert (defaults.slr, defaults.rlr, defaults.stmr, defaults.lstr, defaults.ds) == (8, 2, 15, 18, 3)
    assert (defaults.telr, defaults.wepl, defaults.qdu, defaults.nc, defaults.nfor) == (65, 110, 1, -70, None)
    assert (defaults.ps, defaults.pr, defaults.a, defaults.s_t, defaults.m_t) == (35, 35, 0, 1, 100)
    assert (defaults.ie, defaults.bpl, defaults.ppl, defaults.burst_r) == (0, 4.3, 0, 1)
    assert (defaults.ta, defaults.t, defaults.tr, defaults.delay_counts) == (0, 0, 0, True)
    assert defaults.scale is NB


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("ppl", 0.0, 100.0),
        ("burst_r", 1.0, None),
        ("ta", 0.0, None),
        ("t", 0.0, None),
        ("tr", 0.0, None),
        ("ie", 0.0, 95.0),
        ("a", 0.0, 20.0),
        ("stmr", 0.0, 80.0),
        ("qdu", 1.0, 1000.0),
    ],
)
def test_each_parameter_is_taken_within_its_bounds_and_not_beyond(
    key: str, low: float, high: float | None
) -> None:
    most = 1e6 if high is None else high
    for value in (low, most):
        EModelInput(**{key: value})  # type: ignore[arg-type]
    beyond = [math.nextafter(low, -math.inf), math.nan, math.inf]
    for value in [*beyond, *([math.nextafter(high, math.inf)] if high is not None else [])]:
        with pytest.raises(ValueError, match=f"{low:g}"):
            EModelInput(**{key: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["bpl", "s_t", "m_t"])
def test_what_is_divided_by_is_more_than_nothing(key: str) -> None:
    EModelInput(**{key: 1e-9})  # type: ignore[arg-type]
    EModelInput(**{key: 0.5})  # type: ignore[arg-type]
    for value in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="more than 0"):
            EModelInput(**{key: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("scale", "ceiling"), [(NB, 95.0), (WB, 95.0), (FB, 132.0)])
def test_each_scale_has_its_ceiling_of_equipment(scale: Scale, ceiling: float) -> None:
    assert EModelInput(scale=scale, ie=ceiling).ie == ceiling
    with pytest.raises(ValueError, match=f"0 to {ceiling:g}"):
        EModelInput(scale=scale, ie=ceiling + 0.1)
    lost = rate(EModelInput(scale=scale, ie=0, bpl=10, ppl=10))
    assert lost.ie_eff == pytest.approx(ceiling / 2)


def test_a_path_without_anything_is_the_defaults() -> None:
    assert path(ie=0, bpl=4.3) == EModelInput()
    assert path(ie=1, bpl=2, ta=30, ppl=4, burst_r=5) == EModelInput(
        ie=1, bpl=2, ta=30, t=30, tr=60, ppl=4, burst_r=5
    )
    assert path(ie=1, bpl=2, ta=30, echo=False) == EModelInput(ie=1, bpl=2, ta=30)


# -- terms


@pytest.mark.parametrize(("scale", "top"), [(NB, 100.0), (WB, 129.0), (FB, 148.0)])
def test_a_rating_becomes_a_mos_on_its_own_scale(scale: Scale, top: float) -> None:
    assert mos_from_r(top / 2, scale) == pytest.approx(1 + 0.035 * 50 - 10 * 50 * 50 * 7e-6)
    assert (mos_from_r(top, scale), mos_from_r(top * 2, scale)) == (4.5, 4.5)
    assert (mos_from_r(0, scale), mos_from_r(-50, scale), mos_from_r(top / 50, scale)) == (1, 1, 1)
    assert mos_from_r(top * 0.999, scale) < 4.5


def test_effective_impairment_is_that_of_equation_7_29() -> None:
    assert ie_eff(11, 19, 0) == 11
    assert ie_eff(11, 19, 4) == pytest.approx(11 + 84 * 4 / 23)
    assert ie_eff(11, 19, 4, 2) == pytest.approx(11 + 84 * 4 / 21)
    assert ie_eff(7.2, 11.4, 3, 1, 132) == pytest.approx(7.2 + 124.8 * 3 / 14.4)


@pytest.mark.parametrize(
    ("ta", "ppl", "burst_r", "words"),
    [
        (500, 20, 8, ["burst ratios above 2"]),
        (500.1, 0, 1, ["500.1 ms"]),
        (500.6, 0, 1, ["500.6 ms"]),
        (0, 20.1, 1, ["20.1 %"]),
        (0, 20.6, 1, ["20.6 %"]),
        (0, 0, 8.1, ["8.1"]),
        (0, 0, 8.6, ["8.6"]),
        (0, 2, 2.1, ["burst ratios above 2"]),
        (0, 2, 2.6, ["burst ratios above 2"]),
        (0, 2.5, 2.5, ["burst ratios above 2"]),
        (0, 1.99, 8, []),
        (0, 20, 2, []),
        (0, 5, 9, ["burst ratio of 9"]),
    ],
)
def test_limits_are_told_from_their_first_value_beyond(
    ta: float, ppl: float, burst_r: float, words: list[str]
) -> None:
    notes = limits(EModelInput(ta=ta, ppl=ppl, burst_r=burst_r))
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))


@pytest.mark.parametrize("scale", [WB, FB])
def test_wider_scales_have_their_own_noise_and_echo(scale: Scale) -> None:
    plain = rate(EModelInput(scale=scale))
    assert (plain.is_, plain.ie_eff) == (0, 0)
    assert plain.ro == {WB: 129, FB: 148}[scale]
    quiet = rate(EModelInput(scale=scale, nfor=-96.0, t=80, ta=80, tr=160))
    assert rate(EModelInput(scale=scale, t=80, ta=80, tr=160)).r == quiet.r


@pytest.mark.parametrize(("t", "k"), [(99.0, 0.08 * 99 + 10), (100.0, 18.0), (100.5, 18.0), (300.0, 18.0)])
def test_wideband_echo_loss_grows_until_100_ms(t: float, k: float) -> None:
    """G.107.1 eq. 7-8: TELR counts k dB more, which is what a narrower echo path of as much TELR gives."""
    inputs = EModelInput(scale=WB, t=t, tr=2 * t, telr=40)
    terv = 40 + k - 40 * math.log10((1 + t / 10) / (1 + t / 150)) + 6 * math.exp(-0.3 * t * t)
    noise = _noise(inputs, -96.0)
    distance = (-1.5 * (noise - 2) - (80 + 3 * (terv - 14))) / 2
    assert rate(inputs).idte == pytest.approx((distance + math.hypot(distance, 10) - 1) * (1 - math.exp(-t)))


def _noise(p: EModelInput, nfor: float) -> float:
    """G.107 eqs. 7-3 to 7-7, written again from the recommendation."""
    nos = p.ps - p.slr - p.ds - 100 + 0.004 * (p.ps - (p.slr + p.rlr) - p.ds - 14) ** 2
    pre = p.pr + 10 * math.log10(1 + 10 ** ((10 - p.lstr) / 10))
    nor = p.rlr - 121 + pre + 0.008 * (pre - 35) ** 2
    return 10 * math.log10(sum(10 ** (level / 10) for level in (p.nc, nos, nor, nfor + p.rlr)))


def test_delay_that_does_not_count_leaves_id_out() -> None:
    for scale in (NB, WB, FB):
        result = rate(EModelInput(scale=scale, ta=400, t=400, tr=800, delay_counts=False))
        assert (result.id, result.idte, result.idle, result.idd) == (0, 0, 0, 0)
    full = rate(EModelInput(scale=FB, ta=400, t=400, tr=800))
    assert (full.idte, full.idle) == (0, 0)
    assert full.idd == full.id > 0


@pytest.mark.parametrize(("scale", "factor"), [(NB, 1.0), (WB, 1.29), (FB, 1.48)])
def test_pure_delay_costs_from_100_ms_on_and_more_on_a_wider_scale(scale: Scale, factor: float) -> None:
    def idd(ta: float) -> float:
        return rate(EModelInput(scale=scale, ta=ta)).idd

    assert (idd(99.9), idd(100.0)) == (0, 0)
    for ta in (150.0, 400.0):
        x = math.log2(ta / 100)
        once = 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)
        assert idd(ta) == pytest.approx(factor * once)
    assert idd(100.001) < 1e-6


def test_an_advantage_is_added_and_told() -> None:
    plain, better = rate(EModelInput()), rate(EModelInput(a=10))
    assert better.r == pytest.approx(plain.r + 10)
    assert (plain.a, better.a, better.inputs.a) == (0, 10, 10)


def test_ideal_has_no_burst_either() -> None:
    worst = path(ie=11, bpl=19, ta=300, ppl=5, burst_r=3)
    assert ideal(worst).inputs == replace(worst, ie=0.0, ppl=0.0, burst_r=1.0, ta=0.0, t=0.0, tr=0.0)


# -- causes


def _mos(inputs: EModelInput, present: set[str], discard: float) -> float:
    kept: EModel = rate(
        replace(
            inputs,
            ie=inputs.ie * ("codec" in present),
            ta=inputs.ta * ("delay" in present),
            t=inputs.t * ("delay" in present),
            tr=inputs.tr * ("delay" in present),
            ppl=(inputs.ppl - discard) * ("loss" in present) + discard * ("discard" in present),
        )
    )
    return kept.mos


def _by_hand(inputs: EModelInput, discard: float) -> dict[str, float]:
    """Shapley's value as it is defined: the mean over all orders in which the causes may come."""
    shares = dict.fromkeys(("codec", "delay", "loss", "discard"), 0.0)
    orders = list(permutations(shares))
    for order in orders:
        present: set[str] = set()
        for name in order:
            before = _mos(inputs, present, discard)
            present.add(name)
            shares[name] += (before - _mos(inputs, present, discard)) / len(orders)
    return shares


@pytest.mark.parametrize("scale", [NB, WB])
@pytest.mark.parametrize(
    ("ie", "ta", "ppl", "discard"),
    [
        (11, 250, 6, 2),
        (0.5, 150, 3, 3),
        (11, 0, 0.5, 0),
        (0, 300, 0.4, 0.1),
        (5, 120, 8, 0.7),
        (20, 180, 0, 0),
    ],
)
def test_the_split_is_the_mean_over_all_orders_of_the_causes(
    scale: Scale, ie: float, ta: float, ppl: float, discard: float
) -> None:
    inputs = path(ie=ie, bpl=19, ta=ta, ppl=ppl, scale=scale)
    causes, wanted = split(inputs, discard=discard), _by_hand(inputs, discard)
    total = sum(wanted.values())
    assert causes.lost_mos == pytest.approx(ideal(inputs).mos - rate(inputs).mos)
    for name, share in causes.to_json().items():
        assert share == pytest.approx(max(0.0, wanted[name]) * causes.lost_mos / total, abs=1e-9), name
    assert causes.worst == max(wanted, key=wanted.__getitem__)


def test_nothing_lost_has_no_cause() -> None:
    causes = split(path(ie=0, bpl=19))
    assert (causes.lost_mos, causes.worst) == (0.0, None)
    assert set(causes.to_json().values()) == {0.0}


def test_discards_are_between_nothing_and_all_that_was_lost() -> None:
    inputs = path(ie=0, bpl=19, ppl=2)
    for discard in (0.0, 2.0):
        split(inputs, discard=discard)
    for discard in (-0.1, 2.1):
        with pytest.raises(ValueError, match=f"discard is {discard:g} %"):
            split(inputs, discard=discard)


def test_total_loss_with_discards_is_split_within_100_percent() -> None:
    assert split(path(ie=0, bpl=19, ppl=100), discard=50).loss == pytest.approx(
        split(path(ie=0, bpl=19, ppl=100), discard=50).discard
    )
