from __future__ import annotations

import random

import pytest

from callwright.rtp.jitter_buffer import (
    LATE,
    OVERFLOW,
    PLAYED,
    RESYNCHRONIZE,
    AdaptiveBuffer,
    FixedBuffer,
    Judges,
    standard_buffers,
)


def test_a_fixed_buffer_plays_up_to_its_delay_and_not_a_millisecond_more() -> None:
    buffer = FixedBuffer("fixed_50", 0.05)
    verdicts = [buffer.judge(transit, False) for transit in (7.0, 7.049, 7.05, 7.051, 7.2, 6.99)]
    assert verdicts == [PLAYED, PLAYED, PLAYED, LATE, LATE, PLAYED]
    assert (buffer.played, buffer.late, buffer.overflow) == (4, 2, 0)


def test_a_packet_too_far_ahead_overflows_and_sets_the_buffer_anew() -> None:
    buffer = FixedBuffer("fixed_50", 0.05)
    verdicts = [buffer.judge(transit, False) for transit in (1.0, 0.96, 0.94, 0.94, 0.98, 1.0)]
    assert verdicts == [PLAYED, PLAYED, OVERFLOW, PLAYED, PLAYED, LATE]


def test_a_longer_path_is_followed_after_a_run_of_late_packets() -> None:
    buffer = FixedBuffer("fixed_50", 0.05)
    for _ in range(10):
        buffer.judge(1.0, False)
    verdicts = [buffer.judge(1.1, False) for _ in range(RESYNCHRONIZE + 10)]
    assert verdicts == [LATE] * RESYNCHRONIZE + [PLAYED] * 10
    assert buffer.resynchronized == 1


def test_a_talkspurt_sets_the_buffer_anew() -> None:
    buffer = FixedBuffer("fixed_50", 0.05)
    assert buffer.judge(1.0, False) == PLAYED
    assert buffer.judge(1.2, True) == PLAYED
    assert buffer.judge(1.24, False) == PLAYED


def test_one_stream_is_judged_under_all_buffers_at_once() -> None:
    judges = Judges(standard_buffers())
    marks = []
    for index in range(40):
        delay = {10: 0.12, 20: 0.45, 30: 0.12}.get(index, 0.0)
        marks.append(judges.judge(5.0 + 0.02 * index + delay, 0.02 * index, False)[0])
    assert {index: mark for index, mark in enumerate(marks) if mark} == {10: 2 | 8, 20: 2 | 4 | 8, 30: 2}
    assert [(b.late, b.overflow) for b in judges.buffers] == [(3, 0), (1, 0), (2, 0)]


def test_the_adaptive_buffer_grows_with_jitter_and_shrinks_without() -> None:
    buffer = AdaptiveBuffer()
    chance = random.Random(5)
    for _ in range(1000):
        buffer.judge(1.0 + chance.random() * 0.2, False)
    jittery = buffer.late
    assert 0 < jittery < 30
    assert 0.15 < buffer.max_delay < 0.25
    for _ in range(2000):
        buffer.judge(1.0, False)
    assert buffer.late == jittery
    assert buffer.hold(1.0) == pytest.approx(0.02, abs=0.005)


def test_the_adaptive_buffer_never_exceeds_its_maximum() -> None:
    buffer = AdaptiveBuffer(maximum=0.3)
    chance = random.Random(6)
    for _ in range(2000):
        buffer.judge(chance.random() * 3.0, False)
    assert buffer.max_delay <= 0.3


@pytest.mark.parametrize("ppm", [-100, 100])
def test_an_hour_of_clock_drift_makes_nothing_late(ppm: int) -> None:
    judges = Judges([FixedBuffer("fixed_50", 0.05)])
    chance = random.Random(7)
    for index in range(3600 * 50):
        media_time = 0.02 * index
        judges.judge(media_time * (1 + ppm / 1e6) + chance.random() * 0.02, media_time, False)
    assert judges.primary.late + judges.primary.overflow == 0


def test_the_play_time_is_the_delay_after_the_time_the_first_packet_set() -> None:
    judges = Judges([FixedBuffer("fixed_50", 0.05)])
    assert judges.judge(10.0, 0.0, False)[1] == pytest.approx(10.05)
    assert judges.judge(10.05, 0.02, False)[1] == pytest.approx(10.07)
