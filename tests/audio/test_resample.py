from __future__ import annotations

from array import array

import pytest

from callwright.audio.level import level_dbfs
from callwright.audio.resample import Resampler, resample
from callwright.audio.tones import tone


@pytest.mark.parametrize(("source", "target"), [(44100, 8000), (8000, 16000), (48000, 16000), (11025, 48000)])
def test_a_tone_stays_the_tone_it_was(source: int, target: int) -> None:
    heard = resample(tone(440, 1.0, source, -12), source, target)
    wanted = array("h", tone(440, 1.0, target, -12))
    got = array("h", heard)
    assert len(got) == len(wanted) == target
    middle = range(target // 4, target // 2)
    error = sum((got[n] - wanted[n]) ** 2 for n in middle) / len(middle)
    assert error**0.5 < 40  # amplitude is 11,640: more than 46 dB below


def test_what_the_lower_rate_cannot_carry_is_filtered_out() -> None:
    assert level_dbfs(resample(tone(6000, 1.0, 16000, -12), 16000, 8000)[4000:-4000]) < -50


def test_a_stream_in_pieces_is_the_same_as_a_whole() -> None:
    pcm = tone(440, 0.5, 16000)
    resampler = Resampler(16000, 8000)
    pieces = b"".join(resampler.feed(pcm[n : n + 640]) for n in range(0, len(pcm), 640)) + resampler.finish()
    assert pieces[:8000] == resample(pcm, 16000, 8000)[:8000]


def test_the_same_rate_changes_nothing() -> None:
    assert resample(b"abcd", 8000, 8000) == b"abcd"
    assert Resampler(8000, 8000).feed(b"abcd") == b"abcd"
    assert Resampler(8000, 16000).finish() == b""
