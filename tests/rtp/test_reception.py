from __future__ import annotations

import random
from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callwright.rtp.loss_pattern import RECEIVED, Ledger, RunLengths
from callwright.rtp.reception import DUPLICATE, HELD, RESTARTED, ArrivalTiming, SequenceCount, SilenceWatch
from callwright.rtp.report import LossPattern


def counted(numbers: list[int], elapsed: float = 0.02) -> tuple[SequenceCount, LossPattern]:
    ledger = Ledger(0)
    count = SequenceCount(ledger)
    for number in numbers:
        count.receive(number & 0xFFFF, elapsed)
    return count, ledger.patterns()[0]


def test_an_unbroken_run_across_the_wrap_loses_nothing() -> None:
    count, pattern = counted(list(range(65000, 65000 + 3000)))
    assert (count.packets, count.expected, count.lost, count.highest) == (3000, 3000, 0, 67999)
    assert pattern.runs == (3000,)


def test_loss_duplicate_and_reordering_are_told_apart() -> None:
    count, pattern = counted([10, 11, 13, 12, 12, 14, 17, 16, 16, 18])
    assert (count.lost, count.duplicated, count.reordered) == (1, 2, 2)
    assert pattern.bits() == "000001000"


def test_packets_before_the_first_one_widen_the_stream() -> None:
    count, pattern = counted([1, 0, 65535, 2, 4])
    assert (count.expected, count.lost, count.reordered) == (6, 1, 2)
    assert pattern.bits() == "000010"


def test_a_restart_needs_two_packets_in_sequence_and_loses_nothing() -> None:
    count = SequenceCount(Ledger(0))
    for number in range(100, 110):
        count.receive(number, 0.02)
    assert count.receive(40000, 0.02) == HELD
    assert count.receive(40001, 0.02) == RESTARTED
    assert count.receive(40000, 0.02) == 40000
    assert count.receive(40001, 0.02) == 40001
    assert (count.packets, count.expected, count.lost, count.restarts, count.stale) == (12, 12, 0, 1, 0)


def test_a_single_wild_number_is_no_restart() -> None:
    count, _ = counted([5, 6, 40000, 7, 8])
    assert (count.expected, count.lost, count.stale, count.restarts) == (4, 0, 1, 0)


def test_a_long_outage_is_loss_and_no_restart() -> None:
    ledger = Ledger(0)
    count = SequenceCount(ledger)
    for number in range(100):
        count.receive(number, 0.02)
    assert count.receive(100 + 6000, 120.0) == 6100  # two minutes of nothing at 50 a second
    assert (count.lost, count.restarts) == (6000, 0)
    assert ledger.patterns()[0].runs == (100, 6000, 1)


def test_a_packet_ten_seconds_late_is_not_lost() -> None:
    numbers = [number for number in range(2000) if number != 700]
    numbers.insert(numbers.index(1190), 700)
    count, pattern = counted(numbers)
    assert (count.lost, count.reordered) == (0, 1)
    assert pattern.runs == (2000,)


@given(st.integers(0, 65535), st.integers(0, 2**32 - 1), st.floats(0, 0.3), st.integers(1, 5000))
def test_any_loss_pattern_is_told_exactly(first: int, seed: int, loss: float, length: int) -> None:
    chance = random.Random(seed)
    lost = [chance.random() < loss for _ in range(length)]
    lost[0] = lost[-1] = False
    count, pattern = counted([first + index for index in range(length) if not lost[index]])
    assert list(pattern) == lost
    assert (count.expected, count.lost) == (length, sum(lost))
    assert (pattern.good, pattern.bad) == (length - sum(lost), sum(lost))


@example([0, 65520])  # let in before the first: its extended number is negative
@example([0, 65520, 65504, 65488, 1])
@example([0, 65519])  # too early to be let in
@example([0, 65520, 40000, 40001, 65520])
@given(st.lists(st.integers(0, 65535), max_size=300))
def test_any_sequence_of_numbers_keeps_the_sums_right(numbers: list[int]) -> None:
    ledger = Ledger(2)
    count = SequenceCount(ledger)
    for number in numbers:
        result = count.receive(number, 0.02)
        if result not in (DUPLICATE, HELD, RESTARTED):
            assert result & 0xFFFF == number
            assert result <= count.highest
    patterns = ledger.patterns()
    assert all(pattern.packets == count.expected for pattern in patterns)
    assert patterns[0].bad == count.lost
    assert patterns[0].good == count.unique


def test_a_pattern_of_many_runs_stops_growing_and_its_sums_do_not() -> None:
    lengths = RunLengths()
    for _ in range(150_000):
        lengths.add(3, False)
        lengths.add(1, True)
    pattern = lengths.pattern()
    assert pattern.truncated
    assert len(pattern.runs) == 100_000
    assert (pattern.good, pattern.bad, pattern.bad_runs) == (450_000, 150_000, 150_000)


def test_a_discard_is_bad_for_its_buffer_alone() -> None:
    ledger = Ledger(2)
    ledger.begin(0)
    for number in range(4):
        ledger.open_to(number, 500)
        ledger.mark(number, RECEIVED)
    ledger.mark(1, RECEIVED | 2)
    ledger.mark(2, RECEIVED | 2 | 4)
    assert [pattern.bits() for pattern in ledger.patterns()] == ["0000", "0110", "0010"]


def test_jitter_is_that_of_rfc_3550_by_hand() -> None:
    # Transit of packet i is delays[i] ms; D are the differences; J += (|D| - J) / 16.
    delays = [0, 10, 10, 4, 20, 0]
    timing = ArrivalTiming()
    for index, delay in enumerate(delays):
        timing.receive(160 * index, 5.0 + 0.02 * index + delay / 1000, 8000, False, index)
    j1 = 10 / 16
    j2 = j1 - j1 / 16
    j3 = j2 + (6 - j2) / 16
    j4 = j3 + (16 - j3) / 16
    j5 = j4 + (20 - j4) / 16
    assert timing.jitter * 1000 == pytest.approx(j5)
    assert timing.mean_jitter * 1000 == pytest.approx((j1 + j2 + j3 + j4 + j5) / 5)
    assert timing.max_jitter * 1000 == pytest.approx(max(j1, j2, j3, j4, j5))


def test_the_timestamp_wraps_without_jitter() -> None:
    timing = ArrivalTiming()
    for index in range(100):
        timing.receive((0xFFFFFFFF - 4000 + 160 * index) & 0xFFFFFFFF, 0.02 * index, 8000, False, index)
    assert timing.jitter == pytest.approx(0.0, abs=1e-9)
    assert timing.media_time == pytest.approx(99 * 0.02)


def test_a_leap_of_the_timestamp_is_no_jitter_and_media_time_goes_on_by_arrival() -> None:
    timing = ArrivalTiming()
    for index in range(50):
        timing.receive(160 * index + (0 if index < 25 else 0x70000000), 0.02 * index, 8000, False, index)
    assert timing.jumps == 1
    assert timing.jitter == pytest.approx(0.0, abs=1e-9)
    assert timing.media_time == pytest.approx(49 * 0.02)


def test_a_packet_that_is_none_of_the_stream_is_forgotten() -> None:
    watch = SilenceWatch()
    assert [watch.receive(arrival) for arrival in (1.0, 1.5, 3.5)] == [inf, 0.5, 2.0]
    watch.forget(2.0)
    assert (watch.first, watch.last) == (1.0, 1.5)
