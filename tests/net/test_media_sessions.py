"""Real RTP sessions on both media engines."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from callwright.net.clock import ManualClock, SystemClock
from callwright.net.entropy import system_entropy
from callwright.net.media import MediaEngine, MediaHandle
from callwright.net.media_choice import media_engine, native_engine
from callwright.net.ports import MediaPorts, PortPair
from callwright.net.tap import Packet
from callwright.rtp.packet import RtpPacket, parse, serialize
from callwright.rtp.report import MediaReport
from callwright.rtp.session import DigitReceived, PlayedFrame, Session, SessionConfig

CLOCK = SystemClock()
HOST = "127.0.0.1"


class Speech:
    def next_frame(self) -> bytes:
        return bytes(160)


class Echo:
    """Sends back what its session has played."""

    live = True

    def __init__(self) -> None:
        self.waiting: list[bytes] = []

    def next_frame(self) -> bytes | None:
        return self.waiting.pop(0) if self.waiting else None


class Echoing(Session):
    """As the phone wires the echo up."""

    echo: Echo

    def wake(self, now: float) -> None:
        super().wake(now)
        self.echo.waiting += [frame.payload for frame in self.played() if frame.payload is not None]


def config(remote: tuple[str, int]) -> SessionConfig:
    return SessionConfig(
        remote=remote,
        remote_rtcp=(remote[0], remote[1] + 1),
        payload_type=0,
        clock_rate=8000,
        samples_per_packet=160,
        ptime_ms=20,
        receive_payload_types={0: ("PCMU", 8000), 101: ("telephone-event", 8000)},
        cname="tester",
        telephone_event=101,
    )


class Until:
    def __init__(self) -> None:
        self._changed = threading.Condition()

    def tell(self, *_: object) -> None:
        with self._changed:
            self._changed.notify_all()

    def true(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, seconds)


@pytest.fixture
def until() -> Until:
    return Until()


@pytest.fixture(params=["pure", "native"])
def kind(request: pytest.FixtureRequest) -> type[MediaEngine]:
    found = MediaEngine if request.param == "pure" else native_engine()
    if found is None:
        pytest.skip("the native rooms were not built")
    return found


@pytest.fixture
def packets() -> list[Packet]:
    return []


@pytest.fixture
def engine(kind: type[MediaEngine], packets: list[Packet], until: Until) -> Iterator[MediaEngine]:
    def tap(batch: Sequence[Packet]) -> None:
        packets.extend(batch)
        until.tell()

    made = kind(ports=MediaPorts(21_000, 21_999), taps=[tap])
    yield made
    made.close()


class Call:
    """A session on the engine, which begins at once."""

    def __init__(
        self, engine: MediaEngine, ports: PortPair, session: Session, until: Until | None = None
    ) -> None:
        self.ports, self.session = ports, session
        self.events: list[object] = []
        self.refused: list[tuple[tuple[str, int], str]] = []
        self.until = until
        self.handle: MediaHandle = engine.start(
            session, ports, on_events=self._heard, on_refused=self._refused
        )
        self.do(lambda now: session.start(now + 0.005))

    def _heard(self, events: Sequence[object]) -> None:
        self.events.extend(events)
        if self.until is not None:
            self.until.tell()

    def _refused(self, remote: tuple[str, int], reason: str) -> None:
        self.refused.append((remote, reason))
        if self.until is not None:
            self.until.tell()

    def do(self, act: Callable[[float], object]) -> None:
        self.handle.run(lambda: act(CLOCK.now())).result(3.0)

    def report(self) -> MediaReport:
        return self.handle.run(lambda: self.session.report(CLOCK.now())).result(3.0)

    def end(self) -> MediaReport:
        def close() -> MediaReport:
            self.session.close(CLOCK.now())
            return self.session.report(CLOCK.now())

        report = self.handle.run(close).result(3.0)
        self.handle.stop().result(3.0)
        return report


def pair_of_calls(engine: MediaEngine, until: Until) -> tuple[Call, Call]:
    one, two = engine.open_ports(HOST), engine.open_ports(HOST)
    a = Call(engine, one, Session(config(two.local), system_entropy, Speech()), until)
    b = Call(engine, two, Session(config(one.local), system_entropy, Speech()), until)
    return a, b


def sent_by(call: Call, packets: list[Packet]) -> list[Packet]:
    return [p for p in packets if p.direction == "out" and p.kind == "rtp" and p.local == call.ports.local]


def come_to(call: Call, packets: list[Packet]) -> list[Packet]:
    return [p for p in packets if p.direction == "in" and p.kind == "rtp" and p.local == call.ports.local]


def test_every_packet_leaves_on_its_schedule_and_arrives(
    engine: MediaEngine, packets: list[Packet], until: Until
) -> None:
    a, b = pair_of_calls(engine, until)
    until.true(lambda: len(come_to(b, packets)) >= 50)
    a.do(lambda now: a.session.set_direction(now, sending=False, receiving=True))
    sent = a.report().sent.packets
    until.true(lambda: len(come_to(b, packets)) == sent)
    ours, theirs = a.end(), b.end()
    assert ours.sent.packets == theirs.received.packets == len(sent_by(a, packets))
    assert theirs.received.lost == 0
    error = ours.scheduling_error
    assert error.packets == sent
    assert error.p50_ms < 5.0
    first, *_, last = sent_by(a, packets)
    assert last.now - first.now == pytest.approx(0.02 * (sent - 1), abs=0.03)
    assert ours.sent.skipped_frames == 0
    assert sum(second.packets for second in ours.sent.series) == sent


def test_what_is_asked_of_a_session_sees_all_that_has_arrived(engine: MediaEngine) -> None:
    call = Call(engine, engine.open_ports(HOST), Session(config((HOST, 9)), system_entropy, None))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far_end:
        for number in range(1, 61):
            packet = RtpPacket(0, False, number, 160 * number, 7, bytes(160))
            far_end.sendto(serialize(packet), tuple(call.ports.local))
            if number % 20 == 0:
                assert call.report().received.packets == number
    assert call.end().received.lost == 0


def test_a_tap_sees_a_packet_leave_before_it_sees_it_come(
    engine: MediaEngine, packets: list[Packet], until: Until
) -> None:
    a, b = pair_of_calls(engine, until)
    until.true(lambda: len(come_to(b, packets)) >= 10)
    a.end(), b.end()
    left = {parse(p.data).sequence: p for p in sent_by(a, packets)}
    for packet in come_to(b, packets):
        out = left[parse(packet.data).sequence]
        assert out.data == packet.data
        assert -0.001 < packet.now - out.now < 0.1
        assert -0.001 < packet.wall - out.wall < 0.1


def test_on_hold_nothing_leaves_any_more_and_no_number_is_lost(
    engine: MediaEngine, packets: list[Packet], until: Until
) -> None:
    a, b = pair_of_calls(engine, until)
    until.true(lambda: len(come_to(b, packets)) >= 5)
    a.do(lambda now: a.session.set_direction(now, sending=False, receiving=True))
    held = a.report().sent.packets
    until.true(lambda: len(come_to(a, packets)) >= 25)
    assert a.report().sent.packets == held
    a.do(lambda now: a.session.set_direction(now, sending=True, receiving=True))
    until.true(lambda: len(come_to(b, packets)) >= held + 5)
    a.end()
    numbers = [parse(p.data).sequence for p in sent_by(a, packets)]
    assert [(number - numbers[0]) & 0xFFFF for number in numbers] == list(range(len(numbers)))
    assert b.end().received.lost == 0


def test_digits_go_out_with_the_next_packet(engine: MediaEngine, packets: list[Packet], until: Until) -> None:
    a, b = pair_of_calls(engine, until)
    until.true(lambda: len(come_to(b, packets)) >= 5)
    pressed: list[float] = []

    def press(now: float) -> None:
        pressed.append(now)
        a.session.send_digits("5", now)

    a.do(press)
    until.true(lambda: any(isinstance(event, DigitReceived) for event in b.events))
    a.end(), b.end()
    (digit,) = [event for event in b.events if isinstance(event, DigitReceived)]
    assert digit.digit == "5"
    first = next(p for p in sent_by(a, packets) if parse(p.data).payload_type == 101)
    assert first.now - pressed[0] < 0.045


def test_an_echo_comes_back_behind_its_jitter_buffer_at_once(
    engine: MediaEngine, packets: list[Packet], until: Until
) -> None:
    one, two = engine.open_ports(HOST), engine.open_ports(HOST)
    echo = Echo()
    session = Echoing(replace(config(one.local), tap_received=True), system_entropy, echo)
    session.echo = echo
    b = Call(engine, two, session, until)

    class Numbered:
        count = 0

        def next_frame(self) -> bytes:
            self.count += 1
            return self.count.to_bytes(4, "big") * 40

    a = Call(engine, one, Session(config(two.local), system_entropy, Numbered()), until)
    until.true(lambda: len(come_to(a, packets)) >= 20)
    a.end(), b.end()
    left = {parse(p.data).payload: p.now for p in sent_by(a, packets)}
    delays = sorted(p.now - left[parse(p.data).payload] for p in come_to(a, packets))
    assert delays[0] > 0.045
    assert delays[len(delays) // 2] < 0.050 + 0.060


def test_a_far_end_that_speaks_from_elsewhere_is_answered_there(
    engine: MediaEngine, packets: list[Packet], until: Until
) -> None:
    announced, real = engine.open_ports(HOST), engine.open_ports(HOST)
    near = engine.open_ports(HOST)
    a = Call(engine, near, Session(config(announced.local), system_entropy, Speech()), until)
    until.true(lambda: len(sent_by(a, packets)) >= 5)
    b = Call(engine, real, Session(config(near.local), system_entropy, Speech()), until)
    until.true(lambda: len(come_to(b, packets)) >= 5)
    begun = come_to(a, packets)[0].now
    # Five packets prove the source, 80 ms after the first, and are read within 40 ms: before a usual reading.
    strays = [p for p in sent_by(a, packets) if p.remote == announced.local and p.now > begun + 0.2]
    assert strays == []
    a.end(), b.end()
    announced.close()


def test_a_port_that_nobody_listens_on_is_told_once(
    engine: MediaEngine, packets: list[Packet], until: Until
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind((HOST, 0))
        dead: tuple[str, int] = closed.getsockname()
    ports = engine.open_ports(HOST)
    a = Call(engine, ports, Session(config(dead), system_entropy, Speech()), until)
    until.true(lambda: len(sent_by(a, packets)) >= 10 and bool(a.refused))
    a.end()
    assert [reason for remote, reason in a.refused if remote == dead] == [
        f"connection refused: nothing listens on UDP port {dead[1]} of {HOST}"
    ]


def test_a_name_is_never_sent_to(engine: MediaEngine, until: Until) -> None:
    ports = engine.open_ports(HOST)
    a = Call(engine, ports, Session(config(("evil.example", 4000)), system_entropy, Speech()), until)
    until.true(lambda: bool(a.refused))
    assert "numeric addresses only" in a.refused[0][1]
    a.end()
    assert a.handle.unsent >= 1


def test_what_is_withdrawn_by_closing_is_not_sent(
    engine: MediaEngine, packets: list[Packet], until: Until
) -> None:
    a, b = pair_of_calls(engine, until)
    until.true(lambda: len(come_to(b, packets)) >= 5)
    report = a.end()
    later = len(sent_by(b, packets)) + 15
    until.true(lambda: len(sent_by(b, packets)) >= later)
    assert len(sent_by(a, packets)) == report.sent.packets
    assert report.rtcp_sent >= 1
    b.end()


def test_a_long_stall_of_python_skips_frames_rather_than_numbers(
    engine: MediaEngine, packets: list[Packet], until: Until
) -> None:
    a, b = pair_of_calls(engine, until)
    until.true(lambda: len(come_to(b, packets)) >= 5)
    blocked = threading.Event()
    engine.run(lambda: blocked.wait(0.5))  # all sessions are withdrawn, and nobody makes packets
    until.true(lambda: len(come_to(b, packets)) >= 20)
    ours, theirs = a.end(), b.end()
    assert ours.sent.skipped_frames >= 10
    assert theirs.received.lost == 0


@pytest.mark.skipif(native_engine() is None, reason="the native rooms were not built")
def test_a_session_that_begins_late_is_late_no_longer_than_that(packets: list[Packet], until: Until) -> None:
    native = native_engine()
    assert native is not None

    def tap(batch: Sequence[Packet]) -> None:
        packets.extend(batch)
        until.tell()

    engine = native(ports=MediaPorts(21_000, 21_999), taps=[tap])
    one, two = engine.open_ports(HOST), engine.open_ports(HOST)
    session = Session(config(two.local), system_entropy, Speech())
    handle = engine.start(session, one)
    begun: list[float] = []

    def begin() -> None:
        begun.append(CLOCK.now())
        session.start(begun[0] - 0.001)  # the first packet is due already

    handle.run(begin).result(3.0)
    until.true(lambda: len(packets) >= 5)
    handle.stop().result(3.0)
    engine.close()
    two.close()
    sent = [packet.now for packet in packets if packet.direction == "out" and packet.kind == "rtp"]
    assert sent[0] - begun[0] < 0.015
    assert sent[1] - begun[0] < 0.035


@pytest.mark.skipif(native_engine() is None, reason="the native rooms were not built")
def test_a_short_stall_of_python_delays_no_packet(packets: list[Packet], until: Until) -> None:
    native = native_engine()
    assert native is not None
    stall: list[float] = [0.0]

    def tap(batch: Sequence[Packet]) -> None:
        packets.extend(batch)
        until.tell()
        if stall[0]:
            seconds, stall[0] = stall[0], 0.0
            threading.Event().wait(seconds)  # a careless tap holds the media thread up

    engine = native(ports=MediaPorts(21_000, 21_999), taps=[tap])
    a, b = pair_of_calls(engine, until)
    until.true(lambda: len(come_to(b, packets)) >= 10)
    stall[0] = 0.06
    until.true(lambda: len(come_to(b, packets)) >= 40)
    ours = a.end()
    b.end()
    engine.close()
    assert ours.scheduling_error.max_ms < 30.0
    assert ours.sent.skipped_frames == 0


def test_the_native_engine_is_taken_where_it_was_built_and_time_is_real() -> None:
    expected = native_engine() or MediaEngine
    assert type(media_engine()) is expected
    assert type(media_engine(clock=ManualClock())) is MediaEngine


def test_frames_that_were_played_keep_their_order(engine: MediaEngine, until: Until) -> None:
    one, two = engine.open_ports(HOST), engine.open_ports(HOST)
    frames: list[PlayedFrame] = []

    class Listening(Session):
        def wake(self, now: float) -> None:
            super().wake(now)
            frames.extend(self.played())
            until.tell()

    b = Call(engine, two, Listening(replace(config(one.local), tap_received=True), system_entropy), until)
    a = Call(engine, one, Session(config(two.local), system_entropy, Speech()), until)
    until.true(lambda: len(frames) >= 20)
    a.end(), b.end()
    times = [frame.media_time for frame in frames]
    assert times == sorted(times)
    assert all(frame.lost == 0 for frame in frames)
