"""How a score is made of what was counted."""

from __future__ import annotations

import pytest

from callwright.phone.measure import burst_ratio
from callwright.quality.score import score
from callwright.rtp.report import LossPattern


def test_a_clean_g711_stream_has_the_delay_of_the_buffer_and_one_packet() -> None:
    found = score("PCMU", ppl=0.0, burst_r=1.0, delay_ms=50.0, rtt_ms=None, ptime=20)
    assert found is not None
    assert found.ta_ms == 70.0
    assert found.mos == pytest.approx(4.37, abs=0.01)
    assert (found.ie, found.bpl, found.scale, found.provisional) == (0.0, 25.1, "nb", False)


def test_half_of_the_round_trip_is_delay() -> None:
    near = score("PCMA", ppl=0.0, burst_r=1.0, delay_ms=50.0, rtt_ms=0.0, ptime=20)
    far = score("PCMA", ppl=0.0, burst_r=1.0, delay_ms=50.0, rtt_ms=400.0, ptime=20)
    assert near is not None
    assert far is not None
    assert far.ta_ms - near.ta_ms == 200.0
    assert far.mos < near.mos


def test_bursts_cost_more_than_the_same_loss_spread_out() -> None:
    spread = score("PCMU", ppl=5.0, burst_r=1.0, delay_ms=50.0, rtt_ms=None, ptime=20)
    bursts = score("PCMU", ppl=5.0, burst_r=3.0, delay_ms=50.0, rtt_ms=None, ptime=20)
    assert spread is not None
    assert bursts is not None
    assert bursts.mos < spread.mos


def test_a_burst_ratio_that_nobody_told_makes_a_lossy_score_provisional() -> None:
    told = score("PCMU", ppl=2.0, burst_r=1.0, delay_ms=50.0, rtt_ms=None, ptime=20)
    untold = score("PCMU", ppl=2.0, burst_r=None, delay_ms=50.0, rtt_ms=None, ptime=20)
    clean = score("PCMU", ppl=0.0, burst_r=None, delay_ms=50.0, rtt_ms=None, ptime=20)
    assert told is not None
    assert not told.provisional
    assert untold is not None
    assert untold.provisional
    assert clean is not None
    assert not clean.provisional


def test_a_codec_without_published_values_is_provisional_and_an_unknown_one_has_no_score() -> None:
    opus = score("opus", ppl=0.0, burst_r=1.0, delay_ms=50.0, rtt_ms=None, ptime=20)
    assert opus is not None
    assert opus.provisional
    assert opus.scale == "wb"
    assert score("X-NOBODY", ppl=0.0, burst_r=1.0, delay_ms=50.0, rtt_ms=None, ptime=20) is None


def test_a_burst_ratio_needs_packets() -> None:
    assert burst_ratio(LossPattern((), 0, 0, 0)) is None
    assert burst_ratio(LossPattern((95, 5), 95, 5, 1)) == pytest.approx(5 * 0.95)
