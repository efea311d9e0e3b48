from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.net.impairment import GilbertElliott, Impairments
from callwright.outcome.terms import Verdict
from callwright.probe.result import ProbeResult
from callwright.probe.stamp import MOST_IN_SECOND, MOST_SESSIONS, Reflector, StampSender
from callwright.probe.stamp_packet import (
    SIZE,
    SenderPacket,
    ntp,
    read_sender,
    reflector_packet,
    sender_packet,
    unix,
)
from callwright.probe.train import Shape, jitter
from tests.probe.far_end import GOOD, WALL, Journey, travel

HERE = ("192.0.2.7", 40_000)


def reflected(
    there: Impairments = GOOD,
    back: Impairments = GOOD,
    *,
    seed: int = 1,
    took: float = 0.0,
    clock: float = 0.0,
    synchronised: bool = True,
    octets: int = 172,
) -> tuple[ProbeResult, Journey]:
    """`took`: seconds at the reflector; `clock`: by how much its calendar is ahead."""
    train = StampSender(
        Shape(packets=250, spacing=0.02, octets=octets),
        1000.0,
        WALL + 1000.0,
        ssid=77,
        synchronised=synchronised,
    )
    reflector = Reflector(862, synchronised=True)

    def answer(data: bytes, now: float) -> list[bytes]:
        reflector.receive(data, HERE, now, WALL + now + clock, 60)
        return [one.data for one in reflector.transmissions(WALL + now + clock + took)]

    journey = travel(train, answer, there, back, seed=seed)
    return train.result("x", "192.0.2.1", 5.0), journey


BAD = Impairments(bursts=GilbertElliott.burst(0.1, 3.0), delay=0.03, jitter=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_loss_there_and_loss_back_are_told_apart(seed: int) -> None:
    found, journey = reflected(BAD, Impairments(loss=0.05, delay=0.02), seed=seed)
    assert found.out is not None
    assert found.back is not None
    # What the reflector got after the last answer that came, nobody knows.
    known = [answered_in(data) for data, _ in journey.back]
    last = max(known) + 1
    arrived = [n for n in (sequence_of(data) for data, _ in journey.there) if n < last]
    assert (found.out.sent, found.out.received) == (last, len(set(arrived)))
    assert (found.back.sent, found.back.received) == (len(set(arrived)), len(set(known)))
    assert found.received == len(set(known))


def sequence_of(data: bytes) -> int:
    """Of a sender's packet."""
    return int.from_bytes(data[:4], "big")


def answered_in(data: bytes) -> int:
    """Which packet of the sender a reflector's one answers."""
    return int.from_bytes(data[24:28], "big")


@pytest.mark.parametrize("lost_back", [0.0, 0.2])
def test_loss_that_is_on_the_way_back_alone_is_not_taken_for_the_way_there(lost_back: float) -> None:
    found, _ = reflected(Impairments(delay=0.01), Impairments(loss=lost_back))
    assert found.out is not None
    assert found.back is not None
    assert found.out.lost == 0
    assert (found.back.lost or 0) > 0 if lost_back else found.back.lost == 0


@pytest.mark.parametrize("seed", range(3))
def test_copies_and_reordering_are_told_apart_by_direction(seed: int) -> None:
    there = Impairments(delay=0.02, duplicate=0.1, duplicate_by=0.001)
    back = Impairments(delay=0.02, reorder=0.1, reorder_by=0.05)
    found, journey = reflected(there, back, seed=seed)
    assert found.out is not None
    assert found.back is not None
    assert found.duplicated == found.out.duplicated == len(journey.back) - 250
    assert (found.out.reordered, found.back.duplicated) == (0, 0)
    assert found.back.reordered == found.reordered
    assert (found.reordered or 0) > 5


def test_one_way_delay_is_within_a_millisecond_when_both_clocks_are_kept() -> None:
    found, _ = reflected(Impairments(delay=0.120), Impairments(delay=0.030))
    assert found.one_way_ms is not None
    assert found.one_way_ms.out == pytest.approx(120, abs=1)
    assert found.one_way_ms.back == pytest.approx(30, abs=1)
    assert found.rtt_ms == pytest.approx(150.0, abs=1.0)


def test_one_way_delay_is_not_told_when_a_clock_is_not_kept() -> None:
    found, _ = reflected(Impairments(delay=0.120), clock=3.0, synchronised=False)
    assert found.one_way_ms is None
    assert found.rtt_ms == pytest.approx(120.0, abs=1.0)


def test_the_time_that_the_reflector_took_is_no_round_trip() -> None:
    found, _ = reflected(Impairments(delay=0.05), took=0.004)
    # It answers at once on this wire, and says that it took 4 ms.
    assert found.rtt_ms == pytest.approx(46.0, abs=0.1)


def test_a_reflector_that_claims_to_have_taken_longer_than_the_whole_way_is_not_believed() -> None:
    found, _ = reflected(Impairments(delay=0.05), took=9.0)
    assert found.rtt_ms == pytest.approx(50.0, abs=0.1)


def test_jitter_of_each_direction_is_that_of_the_network() -> None:
    found, journey = reflected(Impairments(delay=0.05, jitter=0.01), Impairments(delay=0.05, jitter=0.002))
    sent = [at for _, at in journey.sent]
    transits = [at - sent[sequence_of(data)] for data, at in journey.there]
    wanted = jitter(transits)
    assert found.out is not None
    assert found.back is not None
    assert wanted is not None
    assert found.out.jitter_ms == pytest.approx(wanted * 1000, abs=0.1)
    assert (found.back.jitter_ms or 0) < (found.out.jitter_ms or 0) / 2


def test_the_mos_is_that_of_the_worse_direction() -> None:
    found, _ = reflected(BAD, Impairments(delay=0.02))
    assert found.out is not None
    assert found.back is not None
    assert found.mos == found.out.mos
    assert (found.back.mos or 0) > 4.2
    assert found.verdict is Verdict.PASSED


def test_a_stateless_reflector_gives_no_directions() -> None:
    train = StampSender(Shape(packets=20, octets=44 + 24), 1000.0, WALL + 1000.0, ssid=0, synchronised=True)

    def answer(data: bytes, now: float) -> list[bytes]:
        base = data[:SIZE]  # of RFC 8762 alone: it knows no extensions, and copies the number
        number = int.from_bytes(data[:4], "big")
        return [
            reflector_packet(
                base, sequence=number, stamp=WALL + now, received=WALL + now, synchronised=True, ttl=64
            )
        ]

    travel(train, answer, Impairments(loss=0.3))
    found = train.result("x", "192.0.2.1", 5.0)
    assert (found.out, found.back) == (None, None)
    assert found.lost


def test_an_answer_is_as_long_as_its_question() -> None:
    _, journey = reflected()
    assert {len(data) for data, _ in journey.sent} == {172}
    assert {len(data) for data, _ in journey.back} == {172}


def test_a_reflector_marks_extensions_that_it_does_not_know() -> None:
    unknown = bytes([0x80, 9, 0, 2, 1, 2])
    broken = bytes([0x80, 1, 0, 200, 0])
    data = sender_packet(SenderPacket(0, WALL, True)) + unknown + broken
    answer = reflector_packet(data, sequence=0, stamp=WALL, received=WALL, synchronised=True, ttl=9)
    assert answer[SIZE] == 0x80
    assert answer[SIZE + 6] == 0x40
    assert answer[SIZE + 2 : SIZE + 6] == unknown[2:]


def test_two_reflectors_do_not_answer_each_other_for_ever() -> None:
    reflector = Reflector(862)
    reflector.receive(sender_packet(SenderPacket(0, WALL, True)), ("192.0.2.7", 862), 1.0, WALL)
    assert reflector.transmissions(WALL) == []
    assert reflector.ignored == 1


def test_a_reflector_answers_a_session_no_faster_than_a_call_needs() -> None:
    reflector = Reflector(862)
    data = sender_packet(SenderPacket(0, WALL, True))
    for _ in range(MOST_IN_SECOND + 50):
        reflector.receive(data, HERE, 10.0, WALL)
    assert len(reflector.transmissions(WALL)) == MOST_IN_SECOND
    reflector.receive(data, HERE, 11.1, WALL)
    assert len(reflector.transmissions(WALL)) == 1


def test_what_strangers_send_does_not_make_a_reflector_grow_without_end() -> None:
    reflector = Reflector(862)
    for number in range(MOST_SESSIONS + 500):
        reflector.receive(sender_packet(SenderPacket(0, WALL, True)), ("192.0.2.7", number + 1000), 1.0, WALL)
    assert reflector.sessions == MOST_SESSIONS


@given(st.binary(max_size=200))
def test_nothing_that_comes_makes_either_end_raise(data: bytes) -> None:
    reflector = Reflector(862)
    reflector.receive(data, HERE, 1.0, WALL, None)
    assert all(len(one.data) == len(data) for one in reflector.transmissions(WALL))
    train = StampSender(Shape(packets=2), 1.0, WALL, ssid=5)
    train.wake(1.0)
    train.receive(data, 1.1, WALL)
    train.receive(read_back(data), 1.2, WALL)
    train.result("x", None, 0.0)


def read_back(data: bytes) -> bytes:
    """Random octets as the answer to a packet that was sent."""
    return data[:24] + bytes(4) + data[28:] if len(data) >= SIZE else data


@given(st.floats(0, 2**33, allow_nan=False))
def test_a_timestamp_survives_its_64_bits(seconds: float) -> None:
    assert unix(ntp(seconds), seconds) == pytest.approx(seconds, abs=2e-6)


def test_timestamps_go_on_after_the_era_of_2036() -> None:
    after = 2_085_978_496 + 100.5
    assert ntp(after) >> 32 == 100
    assert unix(ntp(after), after - 30) == pytest.approx(after)


def test_a_sender_with_timestamps_of_ieee_1588_is_read() -> None:
    data = bytearray(sender_packet(SenderPacket(3, WALL, True)))
    data[4:12] = (int(WALL) << 32 | 500_000_000).to_bytes(8, "big")
    data[12] |= 0x40
    found = read_sender(bytes(data), WALL)
    assert found is not None
    assert found.stamp == WALL + 0.5


def test_medians_are_of_all_packets() -> None:
    found, _ = reflected(Impairments(delay=0.05, jitter=0.02, keep_order=False))
    trips = [trip for trip in found.packets if trip is not None]
    assert found.rtt_ms == pytest.approx(statistics.median(trips))
