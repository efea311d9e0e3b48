from __future__ import annotations

import pytest

from callwright.rtp.packet import RtpPacket, parse
from callwright.rtp.session import Session
from tests.rtp.pair import Counting, config, entropy


def sent(session: Session) -> list[RtpPacket]:
    return [parse(packet.data) for packet in session.transmissions() if not packet.is_rtcp]


def test_a_packet_goes_out_each_ptime_on_an_absolute_schedule() -> None:
    session = Session(config(), entropy(1), Counting())
    session.start(50.0)
    packets = []
    for _ in range(500):
        due = session.next_wake()
        assert due is not None
        session.wake(due + 0.0013)  # the host is always a little late; nothing adds up
        packets += sent(session)
    first = packets[0]
    assert [(p.sequence - first.sequence) & 0xFFFF for p in packets] == list(range(len(packets)))
    assert [((p.timestamp - first.timestamp) & 0xFFFFFFFF) for p in packets] == [
        160 * index for index in range(len(packets))
    ]
    assert [p.marker for p in packets] == [True] + [False] * (len(packets) - 1)
    last = session.report(70.0).sent.last_packet
    assert last == pytest.approx(50.0 + 0.02 * (len(packets) - 1) + 0.0013)


def test_our_own_lateness_is_recorded() -> None:
    session = Session(config(), entropy(1), Counting())
    session.start(0.0)
    for slot in range(100):
        session.wake(0.02 * slot + (0.005 if slot % 10 == 9 else 0.0002))
    error = session.report(2.0).scheduling_error
    assert error.packets == 100
    assert error.p50_ms == pytest.approx(0.2, abs=0.02)
    assert error.p95_ms == pytest.approx(5.0, abs=0.02)
    assert error.max_ms == pytest.approx(5.0)
    assert error.mean_ms == pytest.approx(0.68)


def test_after_a_stall_a_few_packets_catch_up_and_the_others_are_skipped() -> None:
    session = Session(config(), entropy(1), Counting())
    session.start(0.0)
    session.wake(0.0)
    (before,) = sent(session)
    session.wake(1.0)  # slots 1 to 50 are due
    after = sent(session)
    assert len(after) == 3
    assert [(p.sequence - before.sequence) & 0xFFFF for p in after] == [1, 2, 3]
    assert [((p.timestamp - before.timestamp) & 0xFFFFFFFF) // 160 for p in after] == [48, 49, 50]
    assert after[0].marker
    report = session.report(1.0)
    assert report.sent.skipped_frames == 47
    assert report.scheduling_error.max_ms == pytest.approx(980.0)


def test_a_suspended_host_costs_no_more_work_than_a_short_stall() -> None:
    source = Counting()
    session = Session(config(), entropy(1), source)
    session.start(0.0)
    session.wake(86_400.0 * 30)
    assert source.count == 3


@pytest.mark.parametrize(("ptime", "samples"), [(10, 80), (20, 160), (30, 240), (40, 320), (60, 480)])
def test_every_ptime_from_10_to_60_ms(ptime: int, samples: int) -> None:
    session = Session(config(ptime_ms=ptime, samples_per_packet=samples), entropy(1), Counting())
    session.start(0.0)
    packets = []
    now: float | None = 0.0
    while now is not None and now < 3.0 - 1e-6:
        session.wake(now)
        packets += sent(session)
        now = session.next_wake()
    assert len(packets) == 3000 // ptime
    assert (packets[-1].timestamp - packets[0].timestamp) & 0xFFFFFFFF == samples * (len(packets) - 1)


@pytest.mark.parametrize(("ptime", "samples"), [(5, 40), (80, 640), (20, 0)])
def test_what_cannot_be_sent_is_refused(ptime: int, samples: int) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        Session(config(ptime_ms=ptime, samples_per_packet=samples), entropy(1))


def on_hold(session: Session, seconds: float, now: float) -> float:
    end = now + seconds
    while True:
        due = session.next_wake()
        if due is None or due > end:
            return end
        session.wake(due)


def test_hold_sends_nothing_but_rtcp_and_resume_goes_on_in_time() -> None:
    source = Counting()
    session = Session(config(), entropy(1), source)
    session.start(0.0)
    on_hold(session, 0.99, 0.0)
    first = sent(session)[0]
    session.set_direction(1.0, sending=False, receiving=True)
    on_hold(session, 9.0, 1.0)
    held = session.transmissions()
    assert held
    assert all(transmission.is_rtcp for transmission in held)
    session.set_direction(10.005, sending=True, receiving=True)
    on_hold(session, 0.1, 10.005)
    packets = sent(session)
    assert packets[0].marker
    assert ((packets[0].timestamp - first.timestamp) & 0xFFFFFFFF) == 8000 * 10 + 160
    assert (packets[0].sequence - first.sequence) & 0xFFFF == 50
    assert session.report(11.0).sent.skipped_frames == 0
    assert session.report(11.0).scheduling_error.max_ms < 0.001


def test_a_source_that_pauses_begins_again_with_a_marker() -> None:
    class Pausing:
        def __init__(self) -> None:
            self.frames = [b"a", b"b", None, None, b"c"]

        def next_frame(self) -> bytes | None:
            return self.frames.pop(0) if self.frames else None

    session = Session(config(), entropy(1), Pausing())
    session.start(0.0)
    for slot in range(8):
        session.wake(0.02 * slot + 1e-9)
    packets = sent(session)
    assert [(p.payload, p.marker) for p in packets] == [(b"a", True), (b"b", False), (b"c", True)]
    assert (packets[2].timestamp - packets[0].timestamp) & 0xFFFFFFFF == 4 * 160
    assert (packets[2].sequence - packets[0].sequence) & 0xFFFF == 2


def test_a_session_without_a_source_sends_rtcp_alone_until_it_has_one() -> None:
    session = Session(config(), entropy(1))
    session.start(0.0)
    assert session.next_wake() == pytest.approx(1.0)
    session.wake(1.0)
    assert [transmission.is_rtcp for transmission in session.transmissions()] == [True]
    session.set_source(Counting(), 3.011)
    assert session.next_wake() == pytest.approx(3.02)
    session.wake(3.02)
    assert sent(session)[0].marker


def test_another_codec_after_a_new_answer_goes_on_without_a_leap() -> None:
    session = Session(config(), entropy(1), Counting())
    session.start(0.0)
    on_hold(session, 0.195, 0.0)
    before = sent(session)[-1]
    session.relatch(config(payload_type=8, ptime_ms=30, samples_per_packet=240), 0.199)
    on_hold(session, 0.1, 0.199)
    after = sent(session)
    assert {packet.payload_type for packet in after} == {8}
    assert (after[0].timestamp - before.timestamp) & 0xFFFFFFFF == 160
    assert (after[1].timestamp - after[0].timestamp) & 0xFFFFFFFF == 240


def test_digits_take_the_place_of_audio_and_audio_keeps_its_time_line() -> None:
    session = Session(config(tap_sent=True), entropy(1), Counting())
    session.start(0.0)
    session.wake(0.0)
    session.send_digits("1", 0.01)
    on_hold(session, 0.2, 0.01)
    packets = sent(session)
    assert [packet.payload_type for packet in packets] == [0] + [101] * 7 + [0] * 3
    assert [packet.marker for packet in packets[:3]] == [True, True, False]
    assert (packets[8].timestamp - packets[0].timestamp) & 0xFFFFFFFF == 8 * 160
    assert [round(frame.media_time, 6) for frame in session.sent_frames()] == [0.0, 0.16, 0.18, 0.2]
    assert session.report(1.0).sent.telephone_event_packets == 7


def test_digits_without_telephone_event_are_refused() -> None:
    session = Session(config(telephone_event=None), entropy(1), Counting())
    session.start(0.0)
    with pytest.raises(ValueError, match="telephone-event"):
        session.send_digits("1", 0.0)
