"""What a stream's time is made of: audio, gaps, DTX, comfort noise, hold. Both twins, in virtual time."""

from __future__ import annotations

import pytest

from callwright.rtp import incoming, session
from callwright.rtp.report import ReceivedReport, TimelineReport
from callwright.rtp.session import Session
from tests.rtp.pair import B, config, entropy
from tests.rtp.twins import packet


@pytest.fixture(params=["chosen", "pure"], autouse=True)
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure":
        monkeypatch.setattr(session, "IncomingStream", incoming.IncomingStream)


class Line:
    """A sender and a session that listens from 0 s on; `talk` takes its packets' time."""

    def __init__(self, *, due: bool = True) -> None:
        self.session = Session(config(B, receiving=due), entropy(1))
        self.session.start(0.0)
        self.now = 0.0
        self.number, self.timestamp, self.ssrc = 65_530, 0xFFFFFF00, 7
        self.sent: list[bytes] = []

    def packet(self, payload_type: int = 0, *, marker: bool = False, body: bytes = b"x" * 160) -> None:
        data = packet(
            self.number, self.timestamp, ssrc=self.ssrc, payload_type=payload_type, marker=marker, body=body
        )
        self.sent.append(data)
        self.session.receive(data, B, self.now)
        self.number += 1
        self.timestamp += 160
        self.now += 0.02

    def talk(self, seconds: float, *, marker: bool = False) -> None:
        for index in range(round(seconds * 50)):
            self.packet(marker=marker and index == 0)

    def pause(self, seconds: float, *, clock: bool = False, lost: bool = False) -> None:
        self.now += seconds
        if clock or lost:
            self.timestamp += round(8000 * seconds)
        if lost:
            self.number += round(50 * seconds)

    def repeat(self, seconds: float, last: int) -> None:
        """The last packets over and over."""
        for index in range(round(seconds * 50)):
            self.session.receive(self.sent[index % last - last], B, self.now)
            self.now += 0.02

    def received(self) -> ReceivedReport:
        return self.session.report(self.now).received

    def timeline(self) -> TimelineReport:
        return self.received().timeline


def told(timeline: TimelineReport) -> list[tuple[float, float, str]]:
    return [
        (round(gap.start, 2), round(gap.start + gap.duration_s, 2), gap.cause.value) for gap in timeline.gaps
    ]


def test_a_stream_that_never_pauses_has_no_gap() -> None:
    line = Line()
    line.talk(3.0)
    found = line.timeline()
    assert (found.gap_s, found.dtx_s, found.gaps) == (0.0, 0.0, ())
    assert found.due_s == pytest.approx(3.0)


def test_a_stream_that_ends_is_silent_to_the_end() -> None:
    line = Line()
    line.talk(0.5)
    line.pause(5.5)
    found = line.timeline()
    assert told(found) == [(0.48, 6.0, "stopped")]
    assert found.gaps[0].to_end
    assert found.gap_s == pytest.approx(5.52)


def test_a_stream_that_begins_late_is_silent_from_the_answer_on() -> None:
    line = Line()
    line.pause(4.0)
    line.talk(2.0)
    assert told(line.timeline()) == [(0.0, 4.0, "began late")]


def test_a_single_packet_leaves_two_gaps() -> None:
    line = Line()
    line.pause(1.0)
    line.talk(0.02)
    line.pause(2.0)
    assert told(line.timeline()) == [(0.0, 1.0, "began late"), (1.0, 3.02, "stopped")]


def test_no_packet_at_all_is_one_gap() -> None:
    line = Line()
    line.pause(3.0)
    assert told(line.timeline()) == [(0.0, 3.0, "never began")]


def test_half_a_second_is_a_gap_and_less_is_none() -> None:
    for seconds, gaps in ((0.47, 0), (0.48, 1)):  # the packet time before it comes on top
        line = Line()
        line.talk(1.0)
        line.pause(seconds + 0.001)
        line.talk(1.0)
        assert len(line.timeline().gaps) == gaps, seconds


@pytest.mark.parametrize(
    ("clock", "marker", "cause"),
    [(True, True, None), (True, False, "paused"), (False, True, "paused"), (False, False, "paused")],
)
def test_dtx_needs_the_clock_and_the_marker(clock: bool, marker: bool, cause: str | None) -> None:
    line = Line()
    line.talk(1.0)
    line.pause(2.0, clock=clock)
    line.talk(1.0, marker=marker)
    found = line.timeline()
    assert [gap.cause.value for gap in found.gaps] == ([cause] if cause else [])
    assert found.dtx_s == pytest.approx(0.0 if cause else 2.02)


def test_short_pauses_of_dtx_are_counted_too() -> None:
    line = Line()
    for _ in range(10):
        line.talk(0.5, marker=True)
        line.pause(0.3, clock=True)
    assert line.timeline().dtx_s == pytest.approx(9 * 0.32)
    assert line.timeline().gaps == ()


def test_dtx_is_known_by_its_stream_where_the_packet_with_the_marker_was_lost() -> None:
    line = Line()
    line.talk(1.0)
    line.pause(1.0, clock=True)
    line.talk(1.0, marker=True)
    line.pause(1.0, clock=True)
    line.number += 1
    line.talk(1.0)
    assert line.timeline().gaps == ()
    assert line.received().lost == 1


def test_a_pause_after_comfort_noise_is_no_gap_to_the_end() -> None:
    line = Line()
    line.talk(1.0)
    line.packet(13)
    line.pause(3.0)
    line.talk(1.0)
    line.packet(13)
    line.pause(2.0)
    found = line.timeline()
    assert found.gaps == ()
    assert found.dtx_s == pytest.approx(5.04)


def test_an_outage_is_a_gap_and_its_packets_are_lost() -> None:
    line = Line()
    line.talk(1.0)
    line.pause(1.0, lost=True)
    line.talk(1.0)
    found = line.timeline()
    assert told(found) == [(0.98, 2.0, "lost")]
    assert (found.lost, line.received().lost) == (50, 50)


def test_scattered_loss_is_loss_and_no_gap() -> None:
    line = Line()
    for _ in range(20):
        line.talk(0.2)
        line.pause(0.1, lost=True)
    line.talk(0.2)
    assert line.timeline().gaps == ()
    assert line.received().lost == 100


def test_a_restart_of_the_numbers_without_a_pause_is_no_gap() -> None:
    line = Line()
    line.talk(1.0)
    line.number += 30_000
    line.talk(1.0)
    assert line.received().restarts == 1
    assert line.timeline().gaps == ()


def test_a_leap_of_the_timestamp_without_a_pause_is_no_gap() -> None:
    line = Line()
    line.talk(1.0)
    line.timestamp += 8_000_000
    line.talk(1.0)
    assert line.timeline().gaps == ()
    assert line.received().timestamp_jumps == 1


@pytest.mark.parametrize("what", ["number", "ssrc"])
def test_a_stream_that_another_replaces_after_a_pause_leaves_a_gap(what: str) -> None:
    line = Line()
    line.talk(1.0)
    line.pause(2.0, clock=True)
    setattr(line, what, getattr(line, what) + 30_000)
    line.talk(1.0, marker=True)
    assert told(line.timeline()) == [(0.98, 3.0, "replaced")]


def test_a_stray_number_in_a_gap_does_not_end_it() -> None:
    line = Line()
    line.talk(1.0)
    line.pause(1.0)
    line.session.receive(packet(20_000, 1, ssrc=7), B, line.now)
    line.pause(1.0)
    line.talk(1.0)
    assert told(line.timeline()) == [(0.98, 3.0, "paused")]


def test_packets_of_a_payload_type_that_nobody_agreed_on_are_not_heard() -> None:
    line = Line()
    line.talk(1.0)
    for _ in range(100):
        line.packet(97)
    assert told(line.timeline()) == [(0.98, 3.0, "stopped")]


def test_digits_are_no_gap_and_dtx_may_follow_them() -> None:
    line = Line()
    line.talk(1.0)
    started = line.timestamp
    for index in range(50):
        data = bytes([1, 10]) + (160 * index).to_bytes(2, "big")
        line.session.receive(packet(line.number, started, payload_type=101, body=data), B, line.now)
        line.number += 1
        line.timestamp += 160
        line.now += 0.02
    line.pause(1.0, clock=True)
    line.talk(1.0, marker=True)
    assert line.timeline().gaps == ()


def test_audio_is_not_due_on_hold_and_is_due_from_the_resumption_on() -> None:
    line = Line()
    line.talk(1.0)
    line.session.set_direction(line.now, sending=False, receiving=False)
    line.pause(5.0)
    line.session.set_direction(line.now, sending=True, receiving=True)
    line.pause(0.2)
    line.talk(1.0)
    found = line.timeline()
    assert found.gaps == ()
    assert found.due_s == pytest.approx(2.2)


def test_numbers_that_went_on_during_a_hold_are_not_lost() -> None:
    line = Line()
    line.talk(1.0)
    line.session.set_direction(line.now, sending=False, receiving=False)
    line.pause(5.0, lost=True)
    line.session.set_direction(line.now, sending=True, receiving=True)
    line.talk(1.0)
    received = line.received()
    assert (received.lost, received.packets, received.restarts) == (0, 100, 0)
    assert received.timeline.gaps == ()


def test_a_hold_that_begins_in_a_gap_keeps_the_gap_and_a_dead_resumption_is_one() -> None:
    line = Line()
    line.talk(1.0)
    line.pause(1.0)
    line.session.set_direction(line.now, sending=False, receiving=False)
    line.pause(5.0)
    line.session.set_direction(line.now, sending=True, receiving=True)
    line.pause(2.0)
    assert told(line.timeline()) == [(0.98, 2.0, "stopped"), (7.0, 9.0, "stopped")]


def test_early_media_is_not_due_and_does_not_stand_in_for_audio_after_the_answer() -> None:
    line = Line(due=False)
    line.talk(3.0)
    line.session.set_direction(line.now, sending=True, receiving=True)
    line.pause(2.0)
    found = line.timeline()
    assert told(found) == [(3.0, 5.0, "stopped")]
    assert found.due_s == pytest.approx(2.0)


def test_a_stream_that_was_never_promised_has_no_timeline() -> None:
    line = Line(due=False)
    line.pause(5.0)
    assert line.timeline() == TimelineReport(0.0, 0.0, 0.0, (), 0.0, 0)


def test_sums_stay_exact_where_the_list_of_gaps_is_full() -> None:
    line = Line()
    for _ in range(300):
        line.talk(0.1)
        line.pause(1.0)
    found = line.timeline()
    assert len(found.gaps) == 201
    assert found.gap_s == pytest.approx(300 * 1.02)


@pytest.mark.parametrize("last", [1, 50])
def test_a_sender_that_repeats_its_packets_is_not_heard(last: int) -> None:
    line = Line()
    line.talk(2.0)
    line.repeat(3.0, last)
    found = line.received()
    assert told(found.timeline) == [(1.98, 5.0, "stopped")]
    assert found.duplicated == 150


@pytest.mark.parametrize("last", [1, 50])
def test_repeated_packets_before_a_talkspurt_are_no_dtx(last: int) -> None:
    line = Line()
    line.talk(2.0)
    line.repeat(3.0, last)
    line.timestamp += 24_000 if last == 50 else 0
    line.talk(2.0, marker=True)
    found = line.timeline()
    assert told(found) == [(1.98, 5.0, "paused")]
    assert found.dtx_s == 0.0


def test_packets_that_come_twice_leave_dtx_alone() -> None:
    line = Line()
    for _ in range(3):
        line.talk(1.0, marker=True)
        line.session.receive(line.sent[-1], B, line.now)
        line.pause(1.0, clock=True)
    line.talk(1.0, marker=True)
    assert line.timeline().gaps == ()
    assert line.timeline().dtx_s == pytest.approx(3 * 1.02)


@pytest.mark.parametrize("body", [b"", b"\xd5", b"\xd5" * 39])
def test_a_payload_without_a_whole_frame_is_no_audio(body: bytes) -> None:
    line = Line()
    for _ in range(100):
        line.packet(body=body)
    found = line.received()
    assert told(found.timeline) == [(0.0, 2.0, "never began")]
    assert (found.audio_packets, found.unknown_payload, found.lost, found.packets) == (0, 100, 0, 100)


def test_empty_packets_after_audio_keep_no_stream_alive() -> None:
    line = Line()
    line.talk(1.0)
    for _ in range(100):
        line.packet(body=b"")
    assert told(line.timeline()) == [(0.98, 3.0, "stopped")]


def test_short_pauses_that_nothing_accounts_for_are_not_heard_and_no_gaps() -> None:
    line = Line()
    for _ in range(10):
        line.packet()
        line.pause(0.47, clock=True)
    found = line.timeline()
    assert found.gaps == ()
    assert found.gap_s == pytest.approx(9 * 0.49)


def test_short_pauses_of_lost_or_late_packets_are_judged_as_loss_and_lateness_alone() -> None:
    line = Line()
    line.talk(1.0)
    line.pause(0.3, lost=True)
    line.talk(1.0)
    line.pause(0.3)  # a stall: the packets come late
    line.talk(1.0)
    assert line.timeline().gap_s == 0.0
