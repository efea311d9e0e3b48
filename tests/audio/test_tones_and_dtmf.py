from __future__ import annotations

import math
from array import array
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.audio import dtmf
from callwright.audio.codecs import PCMA, PCMU
from callwright.audio.dtmf import DIGITS, DtmfDetector
from callwright.audio.level import level_dbfs
from callwright.audio.tones import tone, tones
from tests.kit.examples import examples


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("level", [-6.0, -20.0, -40.0])
def test_a_tone_has_the_level_it_was_asked_for(rate: int, level: float) -> None:
    pcm = tone(440, 1.0, rate, level)
    assert len(pcm) == 2 * rate
    assert level_dbfs(pcm) == pytest.approx(level, abs=0.05)


def test_the_loudest_sine_is_3_db_below_full_scale() -> None:
    assert level_dbfs(tone(1004, 1.0, 8000, -3.01)) == pytest.approx(-3.01, abs=0.01)


def test_a_tone_goes_on_without_a_seam() -> None:
    samples = array("h", tone(1004, 3.0, 8000, -10))
    worst = max(abs(b - a) for a, b in pairwise(samples))
    peak = max(samples)
    assert worst <= 2 * peak * math.sin(math.pi * 1004 / 8000) + 2


def test_two_tones_add_their_power() -> None:
    assert level_dbfs(tones((350, 440), 1.0, 8000, -20)) == pytest.approx(-20 + 10 * math.log10(2), abs=0.05)


def test_a_tone_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="4000 Hz does not fit"):
        tone(4000, sample_rate=8000)
    with pytest.raises(ValueError, match="2 tones have 1 levels"):
        tones((400, 500), level=(-10,))


@pytest.mark.parametrize("rate", [8000, 16000])
def test_every_digit_is_found_once(rate: int) -> None:
    detector = DtmfDetector(rate)
    detector.feed(dtmf.generate(DIGITS + "1155", rate) + bytes(rate // 5))
    assert detector.digits == DIGITS + "1155"


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_digits_survive_g711_at_the_shortest_times_of_q24(codec: object) -> None:
    assert codec in (PCMU, PCMA)
    row = PCMU if codec is PCMU else PCMA
    detector, decoder = DtmfDetector(), row.decoder()
    pcm = dtmf.generate("159D*0#", tone_ms=45, pause_ms=45, level=-25) + bytes(1600)
    found = "".join(detector.feed(decoder.decode(payload)) for payload in row.frames(pcm))
    assert found == "159D*0#"


def test_a_blip_of_20_ms_is_no_digit() -> None:
    detector = DtmfDetector()
    for _ in range(5):
        detector.feed(dtmf.generate("5", tone_ms=20, pause_ms=80))
    assert detector.digits == ""


@pytest.mark.parametrize("frequencies", [(440,), (697,), (697, 770), (1209, 1336), (350, 440), (1004,)])
def test_other_tones_are_no_digits(frequencies: tuple[int, ...]) -> None:
    detector = DtmfDetector()
    detector.feed(tones(frequencies, 1.0, 8000, -10))
    assert detector.digits == ""


def test_twist_beyond_ten_db_is_refused_and_eight_is_taken() -> None:
    for twist, expected in ((8, "1"), (-8, "1"), (16, ""), (-16, "")):
        detector = DtmfDetector()
        detector.feed(tones((697, 1209), 0.1, 8000, (-20, -20 + twist)) + bytes(1600))
        assert detector.digits == expected


def test_what_is_no_digit_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'X' is not a DTMF digit; the digits are 1 2 3 A"):
        dtmf.generate("1X")


@settings(max_examples=examples(15), deadline=None)
@given(st.text(DIGITS, min_size=1, max_size=5), st.integers(1, 500))
def test_the_size_of_the_pieces_does_not_matter(digits: str, size: int) -> None:
    pcm = dtmf.generate(digits, tone_ms=60, pause_ms=60) + bytes(1600)
    detector = DtmfDetector()
    for start in range(0, len(pcm), 2 * size):
        detector.feed(pcm[start : start + 2 * size])
    assert detector.digits == digits
