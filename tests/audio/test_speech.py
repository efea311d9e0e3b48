from __future__ import annotations

import math
from array import array
from itertools import pairwise

import numpy as np
import pytest

from callwright.audio.activity import Activity, Sound
from callwright.audio.concealment import Concealer
from callwright.audio.dtmf import DtmfDetector
from callwright.audio.speech import TEXTS, speech
from callwright.audio.synthesis import MAN, RATE, WOMAN, render, to_pcm


def heard(pcm: bytes, rate: int) -> Sound:
    activity = Activity(rate)
    for start in range(0, len(pcm), rate // 25):
        activity.add_pcm(pcm[start : start + rate // 25])
    return activity.sound()


def power_near(samples: array[int], hz: float, rate: int) -> float:
    step = 2 * math.pi * hz / rate
    real = sum(s * math.cos(step * n) for n, s in enumerate(samples))
    imaginary = sum(s * math.sin(step * n) for n, s in enumerate(samples))
    return real * real + imaginary * imaginary


@pytest.mark.parametrize("voice", list(TEXTS))
@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_packaged_speech_is_some_ten_seconds_at_a_telephone_level_with_pauses(
    voice: str, rate: int
) -> None:
    clip = speech(voice, rate)
    sound = heard(clip.pcm, rate)
    assert (clip.sample_rate, clip.channels) == (rate, 1)
    assert 8 < clip.duration < 12
    assert sound.active_dbfs == pytest.approx(-20, abs=1.5)
    assert sound.silence_pct is not None
    assert 20 < sound.silence_pct < 50
    assert sound.clipping_pct == 0
    assert abs(sound.dc_pct or 0) < 1


def test_another_rate_is_served_from_the_widest_and_another_voice_is_refused() -> None:
    assert speech("man", 48000).sample_rate == 16000
    with pytest.raises(KeyError, match="there are woman, man"):
        speech("child")


def test_what_is_rendered_is_the_same_every_time() -> None:
    assert render("HH AX L OW1 .", WOMAN) == render("HH AX L OW1 .", WOMAN)


@pytest.mark.parametrize(
    ("sound", "strong", "weak"), [("AA1", 700, 350), ("IY1", 300, 1000), ("UW1", 330, 2300)]
)
def test_a_vowel_is_loud_at_its_formants(sound: str, strong: float, weak: float) -> None:
    pcm = array("h", to_pcm(render(f"{sound} {sound} {sound}", MAN), -20))
    middle = pcm[len(pcm) // 3 : 2 * len(pcm) // 3]

    def around(hz: float) -> float:
        return sum(power_near(middle, hz + offset, RATE) for offset in range(-60, 61, 15))

    assert around(strong) > 4 * around(weak)


def test_an_s_is_noise_above_the_voice_and_a_pause_is_silence() -> None:
    hiss = array("h", to_pcm(render("S S", MAN), -20))
    crossings = sum((a < 0) != (b < 0) for a, b in pairwise(hiss))
    assert crossings / len(hiss) > 2 * 3000 / RATE
    assert max(map(abs, render(". .", MAN)[4000:])) < 1e-6


def test_what_is_no_sound_is_named() -> None:
    with pytest.raises(ValueError, match="'XX' is no sound"):
        render("AA1 XX", MAN)


@pytest.mark.parametrize("voice", list(TEXTS))
@pytest.mark.parametrize("rate", [8000, 16000])
def test_nobody_dials_while_speaking(voice: str, rate: int) -> None:
    detector = DtmfDetector(rate)
    detector.feed(speech(voice, rate).pcm)
    assert detector.digits == ""


@pytest.mark.parametrize("voice", list(TEXTS))
def test_speech_with_lost_frames_is_much_nearer_to_itself_than_with_holes(voice: str) -> None:
    pcm = speech(voice, 8000).pcm
    frames = [pcm[n : n + 320] for n in range(0, len(pcm) - 319, 320)]
    lost = {n for n in range(len(frames)) if n * 7919 % 101 < 5}
    concealer = Concealer(8000)
    played = [concealer.lost(20) if n in lost else concealer.received(f) for n, f in enumerate(frames)]

    def spectrum_off_by(heard: list[bytes]) -> float:
        """Mean difference of the spectra in dB, in bands of 200 Hz, where something was lost."""

        def bands(frame: bytes) -> list[float]:
            power = np.abs(np.fft.rfft(np.frombuffer(frame, "<i2") * np.hanning(160))) ** 2
            return [10 * math.log10(float(power[n : n + 4].sum()) + 1e4) for n in range(0, 80, 4)]

        off = [abs(a - b) for n in lost for a, b in zip(bands(heard[n]), bands(frames[n]), strict=True)]
        return sum(off) / len(off)

    holes = [bytes(320) if n in lost else frame for n, frame in enumerate(frames)]
    assert spectrum_off_by(played) < 6
    assert spectrum_off_by(played) < 0.4 * spectrum_off_by(holes)
