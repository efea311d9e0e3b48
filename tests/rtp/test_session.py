from __future__ import annotations

from itertools import pairwise

import pytest

from callwright.rtp.packet import RtpPacket, serialize
from callwright.rtp.rtcp import (
    Bye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialize_compound,
)
from callwright.rtp.session import (
    ByeReceived,
    DigitReceived,
    FarEndReported,
    RtpTransmission,
    Session,
    SourceLatched,
    StreamStarted,
)
from tests.rtp.pair import A, B, Counting, Pair, Wire, config, entropy


def packet(sequence: int, *, ssrc: int = 7, payload_type: int = 0, timestamp: int | None = None) -> bytes:
    timestamp = 160 * sequence if timestamp is None else timestamp
    return serialize(
        RtpPacket(payload_type, False, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc, bytes(160))
    )


def listening(**changes: object) -> Session:
    session = Session(config(B, **changes), entropy(1))
    session.start(0.0)
    return session


# -- two ends over a wire


def test_over_a_clean_wire_everything_arrives_and_both_ends_agree() -> None:
    pair = Pair()
    pair.run(20.0)
    pair.close()
    for here, there in ((pair.a, pair.b), (pair.b, pair.a)):
        sent, received = here.report(pair.now).sent, there.report(pair.now).received
        assert sent.packets == received.packets == 1000 + 1
        assert (received.lost, received.discarded, received.duplicated, received.reordered) == (0, 0, 0, 0)
        assert received.jitter_ms == pytest.approx(0.0, abs=1e-6)
        assert (sent.lost, sent.loss_pct) == (0, 0.0)
        assert received.codec == "PCMU"


def test_loss_discards_and_duplicates_are_what_the_wire_did() -> None:
    wire = Wire(seed=5, loss=0.05, jitter=0.03, duplicate=0.02)
    pair = Pair(to_b=wire)
    pair.run(60.0)
    pair.close()
    report = pair.b.report(pair.now)
    received = report.received
    assert received.packets == wire.carried - wire.dropped + wire.duplicated
    assert received.duplicated == wire.duplicated
    assert received.lost == wire.dropped
    assert received.reordered > 0
    assert received.jitter_ms is not None
    assert 5.0 < received.jitter_ms < 20.0
    assert received.pattern.bad == received.lost
    primary = received.buffer("fixed_50")
    assert primary.pattern.bad == received.lost + received.discarded
    assert primary.expected == primary.played + primary.discarded + primary.lost
    assert sum(second.packets for second in received.series) == received.packets
    assert sum(second.lost or 0 for second in received.series) == received.lost
    # The far end's own words, by RTCP, about the same stream.
    sent = pair.a.report(pair.now).sent
    assert sent.lost is not None
    assert sent.lost == received.lost - received.duplicated  # RFC 3550 A.3 counts a duplicate as received
    assert sent.loss_pct == pytest.approx(100 * sent.lost / received.expected)


def test_late_packets_are_discards_and_not_losses() -> None:
    late = {100, 101, 250}
    lost = {50, 51, 52, 300}
    session = listening()
    arrivals = [
        (1.0 + 0.02 * n + (0.15 if n in late else 0.0), packet(n)) for n in range(500) if n not in lost
    ]
    for arrival, data in sorted(arrivals):
        session.receive(data, B, arrival)
    received = session.report(12.0).received
    assert (received.expected, received.lost, received.late, received.discarded) == (500, 4, 3, 3)
    assert received.loss_pct == pytest.approx(0.8)
    primary, wide = received.buffer("fixed_50"), received.buffer("fixed_200")
    assert primary.ppl_pct == pytest.approx(1.4)
    assert wide.ppl_pct == pytest.approx(0.8)
    assert received.pattern.runs == (50, 3, 247, 1, 199)
    assert primary.pattern.runs == (50, 3, 47, 2, 148, 1, 49, 1, 199)


def test_round_trip_is_the_delay_there_and_back() -> None:
    pair = Pair(Wire(delay=0.03), Wire(delay=0.05))
    pair.run(30.0)
    report = pair.a.report(pair.now)
    assert report.rtt_ms == pytest.approx(80.0, abs=0.1)
    assert report.max_rtt_ms == pytest.approx(80.0, abs=0.1)


def test_even_a_call_of_a_second_exchanges_reports() -> None:
    pair = Pair()
    pair.run(0.7)
    pair.a.close(pair.now)
    pair.b.close(pair.now)
    pair.run(0.1)
    report = pair.a.report(pair.now)
    assert report.rtcp_received == 1
    assert report.far_end_bye is not None
    assert report.sent.lost == 0
    assert report.far_end_cname == "tester@192.0.2.1"
    assert any(isinstance(event, ByeReceived) for event in pair.a.events())


def test_reports_go_out_after_a_second_and_then_every_five_or_so() -> None:
    times = []

    def note(transmission: RtpTransmission) -> bool:
        if transmission.is_rtcp:
            times.append(pair.now)
        return False

    pair = Pair(Wire(drop=note))
    pair.run(120.0)
    assert times[0] == pytest.approx(101.0)
    steps = [after - before for before, after in pairwise(times)]
    assert all(2.05 < step < 6.2 for step in steps)
    assert len({round(step, 2) for step in steps}) > 10


def test_digits_come_through_a_wire_that_loses_one_in_five() -> None:
    pair = Pair(Wire(seed=9, loss=0.2))
    pair.run(1.0)
    pair.a.send_digits("1234#", pair.now)
    dialing = [pair.a.dialing]
    pair.run(3.0)
    dialing.append(pair.a.dialing)
    assert dialing == [True, False]
    report = pair.b.report(pair.now)
    assert report.dtmf == "1234#"
    assert [event.digit for event in pair.b.events() if isinstance(event, DigitReceived)] == list("1234#")


def test_digits_disturb_neither_loss_nor_jitter() -> None:
    pair = Pair()
    pair.run(1.0)
    pair.a.send_digits("123456789", pair.now)
    pair.run(5.0)
    received = pair.b.report(pair.now).received
    assert (received.lost, received.discarded) == (0, 0)
    assert received.max_jitter_ms == pytest.approx(0.0, abs=1e-6)
    assert received.telephone_event_packets == 63
    assert received.packets == received.audio_packets + 63


def test_frames_are_played_in_order_with_gaps_told() -> None:
    lost: set[int] = {10, 11, 30}
    seen = [0]

    def drop(transmission: RtpTransmission) -> bool:
        if transmission.is_rtcp:
            return False
        seen[0] += 1
        return seen[0] - 1 in lost

    pair = Pair(Wire(drop=drop, jitter=0.03), b=config(A, tap_received=True))
    frames = []
    for _ in range(20):
        pair.run(0.1)
        frames += pair.b.played()
    pair.close()
    frames += pair.b.played()
    heard: list[int | None] = []
    for frame in frames:
        if frame.payload is None:
            heard += [None] * frame.lost
        else:
            heard.append(int.from_bytes(frame.payload[:4], "big") - 1)
    assert heard == [None if number in lost else number for number in range(len(heard))]
    assert len(heard) >= 95


# -- who may speak to us


def test_the_first_source_that_talks_is_latched_and_others_are_strays() -> None:
    session = listening()
    moved, stranger = ("198.51.100.7", 6000), ("203.0.113.9", 7000)
    session.receive(b"\x80", stranger, 0.0)
    session.receive(packet(1, payload_type=77), stranger, 0.0)
    for number in range(5):
        session.receive(packet(number), moved, 0.02 * number)
    session.receive(packet(1), stranger, 0.1)
    report = session.report(1.0)
    assert (report.received.source, report.strays, report.received.packets) == (moved, 1, 5)
    assert report.sent.destination == moved
    assert session.events() == [SourceLatched(moved, 0.08), StreamStarted(7, 0, 0.0)]


def test_a_source_that_policy_refuses_is_never_latched() -> None:
    session = listening(permits=lambda address: address[0] == B[0])
    session.receive(packet(1), ("203.0.113.9", 7000), 0.0)
    assert session.report(0.0).received.source is None
    session.receive(packet(1), B, 0.1)
    assert session.latched == B
    assert session.report(1.0).strays == 1


def test_nothing_is_sent_where_policy_forbids_it() -> None:
    allowed = ("198.51.100.7", 6000)
    session = Session(config(B, permits=lambda address: address[0] != B[0]), entropy(1), Counting())
    session.start(0.0)
    assert session.refused
    session.wake(3.0)
    session.close(3.0)
    assert session.transmissions() == []
    session = Session(config(B, permits=lambda address: address[0] != B[0]), entropy(1), Counting())
    session.start(0.0)
    for number in range(5):  # latched, and so the destination
        session.receive(packet(number), allowed, 0.5)
    session.wake(0.5)
    assert [transmission.address for transmission in session.transmissions()] == [allowed]


def test_rtp_is_latched_anew_only_after_another_address_was_agreed() -> None:
    session = listening()
    elsewhere = ("198.51.100.8", 9000)
    session.receive(packet(1), B, 0.0)
    session.relatch(config(B), 0.5)
    session.receive(packet(2), elsewhere, 0.6)
    assert session.latched == B
    session.relatch(config(elsewhere), 1.0)
    assert session.report(1.0).sent.destination == elsewhere
    session.receive(packet(3), elsewhere, 1.1)
    assert session.latched == elsewhere


def test_an_echo_of_our_own_ssrc_is_audio_and_its_reflected_reports_are_not_the_far_ends() -> None:
    session = Session(config(B), entropy(1), Counting())
    session.start(0.0)
    now: float | None = 0.0
    while now is not None and now < 7.0:
        session.wake(now)
        for data, _, is_rtcp in session.transmissions():
            if is_rtcp:
                session.receive_rtcp(data, (B[0], B[1] + 1), now + 0.01)
            else:
                session.receive(data, B, now + 0.01)
        now = session.next_wake()
    report = session.report(7.0)
    assert report.received.packets == report.sent.packets > 300
    assert report.received.lost == 0
    assert report.sent.lost is None
    assert report.rtt_ms is None


def test_another_ssrc_is_another_stream_and_the_counts_go_on() -> None:
    session = listening()
    for n in range(100):
        session.receive(packet(n), B, 0.02 * n)
    for n in range(100):
        session.receive(packet(40000 + n, ssrc=8, timestamp=99 + 160 * n), B, 2.0 + 0.02 * n)
    session.receive(packet(100, ssrc=7), B, 4.0)  # a straggler of the first one
    received = session.report(4.0).received
    assert (received.expected, received.lost, received.ssrc_changes, received.ssrc) == (200, 0, 1, 8)
    assert received.max_jitter_ms == pytest.approx(0.0, abs=1e-6)
    assert received.discarded == 0


def test_a_restart_of_the_sequence_numbers_is_no_loss() -> None:
    session = listening(tap_received=True)
    for n in range(50):
        session.receive(packet(n), B, 0.02 * n)
    for n in range(50):
        session.receive(packet(30000 + n, timestamp=12345 + 160 * n), B, 1.0 + 0.02 * n)
    received = session.report(2.0).received
    assert (received.packets, received.expected, received.lost, received.restarts) == (100, 100, 0, 1)
    session.close(3.0)
    assert sum(frame.payload is not None for frame in session.played()) == 100


def test_comfort_noise_and_unknown_payload_types_are_counted_and_are_no_loss() -> None:
    session = listening()
    for n in range(100):
        kind = 13 if n % 10 == 5 else 96 if n % 10 == 7 else 0
        session.receive(packet(n, payload_type=kind), B, 0.02 * n)
    received = session.report(2.0).received
    assert (received.lost, received.comfort_noise, received.unknown_payload) == (0, 10, 10)
    assert received.audio_packets == 80
    assert received.max_jitter_ms == pytest.approx(0.0, abs=1e-6)


def test_a_silence_is_told_as_a_gap() -> None:
    session = listening()
    for n in [*range(50), *range(200, 250)]:
        session.receive(packet(n), B, 0.02 * n)
    received = session.report(10.0).received
    assert [round(gap.duration_s, 2) for gap in received.timeline.gaps] == [3.02, 5.02]
    assert received.timeline.longest_gap_s == pytest.approx(5.02)


def test_sequence_and_timestamp_wrap_in_the_middle_of_a_call() -> None:
    session = listening()
    for n in range(1000):
        session.receive(packet(65000 + n, timestamp=0xFFFFFFFF - 80_000 + 160 * n), B, 0.02 * n)
    received = session.report(20.0).received
    assert (received.expected, received.lost, received.reordered, received.timestamp_jumps) == (1000, 0, 0, 0)
    assert received.max_jitter_ms == pytest.approx(0.0, abs=1e-6)


def test_after_a_hold_frozen_timestamps_are_no_jitter() -> None:
    session = listening()
    for n in range(50):
        session.receive(packet(n), B, 0.02 * n)
    session.set_direction(1.0, sending=False, receiving=False)
    session.set_direction(4.0, sending=True, receiving=True)
    for n in range(50, 100):
        session.receive(packet(n), B, 3.0 + 0.02 * n)
    received = session.report(5.0).received
    assert received.max_jitter_ms == pytest.approx(0.0, abs=1e-6)
    assert received.discarded == 0


def test_a_beginning_that_was_held_up_costs_two_discards_and_not_half_a_second() -> None:
    session = listening()
    for n in range(200):
        session.receive(packet(n), B, max(0.15, 0.02 * n))
    primary = session.report(4.0).received.buffer("fixed_50")
    assert (primary.late, primary.overflow) == (0, 2)


def test_a_talkspurt_after_silence_suppression_is_neither_lost_nor_late() -> None:
    session = listening()
    for n in range(50):
        session.receive(packet(n), B, 0.02 * n)
    for n in range(50, 100):  # two seconds of silence; the new path is 80 ms longer
        data = serialize(RtpPacket(0, n == 50, n, 160 * (n + 100), 7, bytes(160)))
        session.receive(data, B, 2.0 + 0.02 * n + 0.08)
    received = session.report(5.0).received
    assert (received.lost, received.discarded) == (0, 0)


def test_silence_suppression_leaves_its_place_in_what_is_played() -> None:
    session = listening(tap_received=True)
    for n, slot in enumerate([0, 1, 2, 52, 53]):
        session.receive(packet(n, timestamp=160 * slot), B, 0.02 * slot)
    session.close(2.0)
    assert [round(frame.media_time, 3) for frame in session.played()] == [0.0, 0.02, 0.04, 1.04, 1.06]


# -- RTCP


def reports_of(session: Session) -> list[object]:
    return [p for t in session.transmissions() if t.is_rtcp for p in parse_compound(t.data)]


def test_our_report_says_what_we_saw() -> None:
    session = listening()
    session.receive_rtcp(
        serialize_compound([SenderReport(7, 0x0102030405060708, 0, 1, 160)]), (B[0], B[1] + 1), 0.4
    )
    for n in range(100):
        if n % 4 != 2:
            session.receive(packet(65500 + n), B, 0.005 * n)
    session.wake(1.0)
    report, description = reports_of(session)
    assert isinstance(report, ReceiverReport)
    (block,) = report.blocks
    assert (block.ssrc, block.cumulative_lost, block.fraction_lost) == (7, 25, 64)
    assert block.highest_sequence == 65500 + 99
    assert (block.last_report, block.delay) == (0x03040506, int(0.6 * 65536))
    assert description == SourceDescription(((session.ssrc, "tester@192.0.2.1"),))


def test_a_sender_says_how_much_it_sent_and_bye_ends_it() -> None:
    session = Session(config(B), entropy(1), Counting())
    session.start(0.0)
    for slot in range(50):
        session.wake(0.02 * slot + 1e-9)
    session.transmissions()
    session.close(1.0)
    report, _, bye = reports_of(session)
    assert isinstance(report, SenderReport)
    assert (report.packets, report.octets) == (50, 8000)
    assert report.ntp >> 32 == 1_700_000_001 + 2208988800
    assert bye == Bye((session.ssrc,))
    session.wake(5.0)
    assert session.transmissions() == []
    assert session.next_wake() is None


def test_rtcp_goes_to_its_own_address_and_with_mux_to_that_of_rtp() -> None:
    for mux, address in ((False, (B[0], B[1] + 1)), (True, B)):
        session = Session(config(B, rtcp_mux=mux), entropy(1), Counting())
        session.start(0.0)
        session.close(1.0)
        assert [t.address for t in session.transmissions()] == [address]


def talk(session: Session, source: tuple[str, int], first: int = 1) -> None:
    """Enough packets to be believed."""
    for number in range(first, first + 10):
        session.receive(packet(number), source, number * 0.02)


def reports_to(session: Session) -> tuple[str, int]:
    session.close(9.0)
    return next(address for _, address, is_rtcp in session.transmissions() if is_rtcp)


@pytest.mark.parametrize(
    ("source", "rtcp"),
    [
        (B, (B[0], B[1] + 1)),
        ((B[0], 40_000), (B[0], B[1] + 1)),
        (("198.51.100.7", B[1]), ("198.51.100.7", B[1] + 1)),
        (("198.51.100.7", 40_000), ("198.51.100.7", 40_001)),
        (("198.51.100.7", 65_535), ("198.51.100.7", 65_535)),
    ],
)
def test_rtcp_goes_beside_the_rtp_of_a_far_end_behind_a_nat(
    source: tuple[str, int], rtcp: tuple[str, int]
) -> None:
    session = listening()
    talk(session, source)
    assert reports_to(session) == rtcp


def test_rtcp_that_comes_says_where_rtcp_goes_whatever_rtp_says() -> None:
    nat = "198.51.100.7"
    session = listening()
    talk(session, (nat, 40_000))
    report = serialize_compound([ReceiverReport(7, ()), SourceDescription(((7, "x"),))])
    session.receive_rtcp(report, (nat, 50_123), 0.2)
    assert reports_to(session) == (nat, 50_123)
    session = listening()
    session.receive_rtcp(report, (B[0], 50_123), 0.1)
    talk(session, (nat, 40_000))
    assert reports_to(session) == (B[0], 50_123)


def test_rtcp_moves_with_the_rtp_of_a_far_end_that_moves() -> None:
    session = listening()
    talk(session, B)
    report = serialize_compound([ReceiverReport(7, ()), SourceDescription(((7, "x"),))])
    session.receive_rtcp(report, (B[0], 50_123), 0.2)
    talk(session, ("198.51.100.7", 40_000), first=11)  # the same stream goes on there
    assert session.latched == ("198.51.100.7", 40_000)
    session.receive_rtcp(report, ("198.51.100.7", 50_777), 0.9)
    assert reports_to(session) == ("198.51.100.7", 50_777)


def test_rtcp_goes_to_no_port_that_policy_refuses() -> None:
    session = listening(remote_rtcp=(B[0], 53), permits=lambda address: address[1] >= 1024)
    session.receive(packet(1), B, 0.1)
    session.wake(8.0)
    session.close(9.0)
    assert [item for item in session.transmissions() if item.is_rtcp] == []


def test_what_the_far_end_reports_is_the_quality_of_what_we_sent() -> None:
    session = Session(config(B), entropy(1), Counting())
    session.start(0.0)
    for slot in range(100):
        session.wake(0.02 * slot + 1e-9)
    first = next(t for t in session.transmissions() if not t.is_rtcp)
    sequence = int.from_bytes(first.data[2:4], "big")
    block = ReportBlock(session.ssrc, 25, 10, sequence + 99, 80, 0, 0)
    session.receive_rtcp(serialize_compound([ReceiverReport(7, (block,))]), (B[0], B[1] + 1), 2.0)
    sent = session.report(2.0).sent
    assert (sent.lost, sent.loss_pct, sent.jitter_ms) == (10, 10.0, 10.0)
    assert sent.series[-1].lost == 10
    assert FarEndReported(25 / 256, 10, 10.0, None, 2.0) in session.events()


def test_a_round_trip_is_believed_only_for_a_report_that_we_sent() -> None:
    session = Session(config(B), entropy(1), Counting())
    session.start(0.0)
    session.wake(0.0)
    block = ReportBlock(session.ssrc, 0, 0, 1, 0, 0x12345678, 0)
    session.receive_rtcp(serialize_compound([ReceiverReport(7, (block,))]), (B[0], B[1] + 1), 1.0)
    assert session.report(1.0).rtt_ms is None


def test_rtcp_of_strangers_and_malformed_rtcp_are_counted_apart() -> None:
    session = listening()
    good = serialize_compound([ReceiverReport(7)])
    session.receive_rtcp(good, ("203.0.113.9", 5001), 0.1)
    session.receive_rtcp(b"\x80\xc9", (B[0], 5001), 0.2)
    session.receive_rtcp(good, (B[0], 5001), 0.3)
    session.receive_rtcp(good, (B[0], 5999), 0.4)
    report = session.report(1.0)
    assert (report.rtcp_received, report.rtcp_malformed, report.rtcp_strays) == (1, 1, 2)
    assert session.report(1.0).malformed == 0


def test_nothing_is_known_of_a_call_without_packets() -> None:
    report = listening().report(5.0)
    received, sent = report.received, report.sent
    assert (received.packets, received.lost, received.loss_pct) == (0, 0, 0.0)
    assert (received.ssrc, received.codec, received.jitter_ms, received.first_packet) == (None,) * 4
    assert (sent.lost, sent.jitter_ms, report.rtt_ms) == (None, None, None)
    assert report.dtmf == ""
