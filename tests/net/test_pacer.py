"""The native pacer by itself."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from callwright.net.clock import SystemClock

_media = pytest.importorskip("callwright.net._media")
CLOCK = SystemClock()


class Bench:
    """A running pacer, a socket to send from and one to send to."""

    def __init__(self) -> None:
        self.alarm, alarm = socket.socketpair()
        self.alarm.settimeout(3.0)
        self._alarm = alarm  # open as long as the pacer runs
        self.pacer = _media.Pacer(alarm.fileno())
        self.thread = threading.Thread(target=self.pacer.run, daemon=True)
        self.thread.start()
        self.near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for sock in (self.near, self.far):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(3.0)
        port = self.far.getsockname()[1]
        self.name = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, b"\x7f\0\0\1")

    def stream(self, patience: float = 0.5) -> _media.PacedStream:  # type: ignore[name-defined]
        return _media.PacedStream(self.pacer, self.near.fileno(), patience)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.pacer.close()
    made.thread.join(3.0)
    assert not made.thread.is_alive()
    for sock in (made.near, made.far, made.alarm, made._alarm):
        sock.close()


def planned(*offsets: float, now: float | None = None) -> list[tuple[float, bytes, None]]:
    now = CLOCK.now() if now is None else now
    return [(now + offset, b"%d" % index, None) for index, offset in enumerate(offsets)]


def test_packets_leave_in_order_not_before_they_are_due_and_are_told(bench: Bench) -> None:
    stream = bench.stream()
    packets = planned(0.01, 0.02, 0.02, 0.05)
    assert stream.plan(packets, bench.name) == 4
    assert [bench.far.recv(100) for _ in packets] == [b"0", b"1", b"2", b"3"]
    times, errors, stalled = stream.withdraw()
    assert (len(times), errors, stalled) == (4, None, False)
    for (due, _, _), at in zip(packets, times, strict=True):
        assert -1e-6 < at - due < 0.3
    assert stream.collect() == ([], None, False)
    stream.close()


def test_a_later_plan_that_is_due_sooner_wakes_the_pacer(bench: Bench) -> None:
    late, soon = bench.stream(), bench.stream()
    late.plan([(CLOCK.now() + 60.0, b"late", None)], bench.name)
    begun = CLOCK.now()
    soon.plan([(begun + 0.01, b"soon", None)], bench.name)
    assert bench.far.recv(100) == b"soon"
    assert CLOCK.now() - begun < 1.0


def test_what_is_withdrawn_never_leaves(bench: Bench) -> None:
    stream = bench.stream()
    chance = random.Random(7)
    told = 0
    for number in range(300):
        now = CLOCK.now()
        packets = [
            (now + chance.random() * 0.002 * step, b"%d.%d" % (number, step), None) for step in range(4)
        ]
        packets.sort(key=lambda packet: packet[0])
        assert stream.plan(packets, bench.name) == 4
        while CLOCK.now() < now + chance.random() * 0.004:
            pass
        times, _, _ = stream.withdraw()
        told += len(times)
        # Read at once: the kernel holds only some hundreds of datagrams for a reader.
        assert [bench.far.recv(100) for _ in times] == [data for _, data, _ in packets[: len(times)]]
    stream.close()
    assert 0 < told < 1200
    bench.far.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        bench.far.recv(100)


def test_a_packet_that_is_too_late_stops_its_stream_until_it_is_withdrawn(bench: Bench) -> None:
    stream, other = bench.stream(patience=0.05), bench.stream()
    stream.plan(planned(-0.2, 0.0), bench.name)
    other.plan(planned(0.001), bench.name)
    assert bench.far.recv(100) == b"0"  # of the other
    assert bench.alarm.recv(100) == b"\0"
    assert (stream.stalled, other.stalled, bench.pacer.stalls) == (True, False, 1)
    assert stream.collect() == ([], None, True)
    assert stream.withdraw() == ([], None, True)
    assert not stream.stalled
    stream.plan([(CLOCK.now(), b"again", None)], bench.name)
    assert bench.far.recv(100) == b"again"


def test_no_more_is_taken_than_there_is_room_for(bench: Bench) -> None:
    stream = bench.stream()
    taken = stream.plan(planned(*[60.0] * 200), bench.name)
    assert 32 <= taken < 200
    assert stream.plan(planned(60.0), bench.name) == 0
    stream.withdraw()
    assert stream.plan(planned(60.0), bench.name) == 1


def test_what_the_kernel_does_not_take_is_told(bench: Bench) -> None:
    stream = bench.stream()
    stream.plan([(CLOCK.now(), bytes(70_000), None), (CLOCK.now(), b"next", None)], bench.name)
    assert bench.far.recv(100) == b"next"
    times, errors, _ = stream.withdraw()
    assert len(times) == 2
    assert len(errors) == 1


def test_many_streams_may_end_while_they_send(bench: Bench) -> None:
    streams = [bench.stream() for _ in range(300)]
    now = CLOCK.now()
    for index, stream in enumerate(streams):
        stream.plan(planned(*[0.001 * (index % 50)] * 3, now=now), bench.name)
    for stream in streams[::2]:
        stream.close()
    del streams[::2]
    told = 0
    while told < 150 * 3 and CLOCK.now() < now + 3.0:
        told += sum(len(stream.collect()[0]) for stream in streams)
    assert told == 150 * 3


def test_wrong_arguments_are_refused(bench: Bench) -> None:
    stream = bench.stream()
    with pytest.raises(ValueError, match="too long"):
        stream.plan(planned(0.0), bytes(100))
    with pytest.raises(TypeError):
        stream.plan([(0.0, "text", None)], bench.name)
    stream.close()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        stream.plan(planned(0.0), bench.name)
