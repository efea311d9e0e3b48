from __future__ import annotations

import math
from array import array
from itertools import pairwise

import pytest

from callwright.audio.concealment import Concealer
from callwright.audio.level import level_dbfs
from callwright.audio.tones import tone, tones


def voice(seconds: float, rate: int = 8000, hz: int = 125) -> bytes:
    """Something with a pitch: a dozen harmonics."""
    return tones([hz * n for n in range(1, 13)], seconds, rate, [-26 - n for n in range(12)])


def frames(pcm: bytes, size: int = 320) -> list[bytes]:
    return [pcm[n : n + size] for n in range(0, len(pcm), size)]


def played(pcm: bytes, lost: set[int], rate: int = 8000, ms: int = 20) -> bytes:
    concealer = Concealer(rate)
    return b"".join(
        concealer.lost(ms) if n in lost else concealer.received(frame)
        for n, frame in enumerate(frames(pcm, 2 * rate * ms // 1000))
    )


def rms(values: list[int]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))


def test_without_a_loss_nothing_is_changed() -> None:
    pcm = voice(0.5)
    assert played(pcm, set()) == pcm


@pytest.mark.parametrize(("rate", "ms"), [(8000, 20), (8000, 10), (8000, 30), (16000, 20), (48000, 20)])
def test_a_lost_frame_of_voice_is_filled_with_more_of_the_same(rate: int, ms: int) -> None:
    pcm = voice(0.4, rate)
    heard, wanted = array("h", played(pcm, {6}, rate, ms)), array("h", pcm)
    assert len(heard) == len(wanted)
    first = 6 * rate * ms // 1000
    gap = slice(first, first + rate * 10 // 1000)  # before it fades
    error = rms([a - b for a, b in zip(heard[gap], wanted[gap], strict=True)])
    assert error < 0.1 * rms(list(wanted[gap]))


def test_a_voice_that_returns_is_faded_in_without_a_click() -> None:
    pcm = voice(0.5, hz=130)
    heard, wanted = array("h", played(pcm, {8, 9})), array("h", pcm)
    steps = max(abs(b - a) for a, b in pairwise(wanted))
    assert max(abs(b - a) for a, b in pairwise(heard)) <= 1.3 * steps
    assert heard[-800:] == wanted[-800:]


def test_a_long_gap_fades_and_is_silent_after_60_ms() -> None:
    heard = played(voice(1.0), set(range(10, 50)))
    levels = [level_dbfs(part) for part in frames(heard, 160)[20:30]]
    assert levels[:6] == sorted(levels[:6], reverse=True)
    assert levels[0] > -25
    assert set(heard[2 * (1600 + 480) :]) == {0}


def test_a_loss_before_anything_was_heard_is_silence() -> None:
    concealer = Concealer()
    assert concealer.lost(20) == bytes(320)
    assert concealer.lost(200) == bytes(3200)


def test_the_pitch_is_found_over_the_whole_range_of_voices() -> None:
    for hz in (70, 100, 140, 180, 199):  # 199 Hz is 40.2 samples, and a lag is a whole number of them
        pcm = voice(0.3, hz=hz)
        heard, wanted = array("h", played(pcm, {7})), array("h", pcm)
        gap = slice(7 * 160, 7 * 160 + 80)
        assert rms([a - b for a, b in zip(heard[gap], wanted[gap], strict=True)]) < 0.3 * rms(
            list(wanted[gap])
        ), hz


def test_random_loss_costs_less_than_silence_in_its_place() -> None:
    pcm = voice(2.0) + tone(300, 1.0)
    lost = {n for n in range(10, 150) if n * 7919 % 97 < 10}
    wanted = array("h", pcm)

    def error(heard: bytes) -> float:
        return rms([a - b for a, b in zip(array("h", heard), wanted, strict=True)])

    silent = b"".join(bytes(320) if n in lost else frame for n, frame in enumerate(frames(pcm)))
    assert error(played(pcm, lost)) < 0.6 * error(silent)


def test_frames_that_are_lost_in_parts_are_filled_like_one() -> None:
    pcm = voice(0.3)
    whole, parts = Concealer(), Concealer()
    for frame in frames(pcm):
        whole.received(frame)
        parts.received(frame)
    assert whole.lost(40) == b"".join(parts.lost(10) for _ in range(4))
