"""A far end moves and closes its old port: errors about that port hide nothing of what comes."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from collections.abc import Sequence

import pytest

from callwright.net import media
from callwright.net.clock import SystemClock
from callwright.net.entropy import system_entropy
from callwright.net.forwarder import Forwarder, Passed, Passing
from callwright.net.forwarder_choice import native_forwarder
from callwright.net.media import MediaEngine
from callwright.net.media_choice import native_engine
from callwright.net.ports import MediaPorts
from callwright.net.tap import Packet
from callwright.net.udp import enable_error_queue
from callwright.rtp.packet import RtpPacket, serialize
from callwright.rtp.session import Session
from tests.net.test_media import Talker
from tests.net.test_media_sessions import Call, Speech, Until, config, sent_by

HOST = "127.0.0.1"
Address = tuple[str, int]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the error queue of Linux")


class LeapingClock(SystemClock):
    """The machine's clock, but ahead of it by `leap` seconds."""

    __slots__ = ("leap",)

    def __init__(self) -> None:
        self.leap = 0.0

    def now(self) -> float:
        return super().now() + self.leap

    def wall(self) -> float:
        return super().wall() + self.leap


@pytest.fixture
def until() -> Until:
    return Until()


@pytest.fixture(params=["pure", "native"])
def kind(request: pytest.FixtureRequest) -> type[MediaEngine]:
    found = MediaEngine if request.param == "pure" else native_engine()
    if found is None:
        pytest.skip("the native rooms were not built")
    return found


def udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((HOST, 0))
    return made


def closed_port() -> Address:
    with udp() as gone:
        return local(gone)


def local(sock: socket.socket) -> Address:
    host, port = sock.getsockname()
    return str(host), int(port)


def wait_for(sock: socket.socket, wanted: int) -> None:
    """Until the socket has all of these events of poll()."""
    poll = select.poll()
    poll.register(sock, wanted)
    until = SystemClock().now() + 3.0
    while SystemClock().now() < until:
        found = poll.poll(100)
        if found and found[0][1] & wanted == wanted:
            return
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("ssrc", [7, 9], ids=["same SSRC", "another SSRC"])
def test_a_far_end_that_closes_its_old_port_is_heard_from_its_new_one(
    kind: type[MediaEngine], until: Until, ssrc: int
) -> None:
    packets: list[Packet] = []

    def tap(batch: Sequence[Packet]) -> None:
        packets.extend(batch)
        until.tell()

    engine = kind(ports=MediaPorts(22_000, 22_099), taps=[tap])
    with udp() as old, udp() as new:
        ports = engine.open_ports(HOST)
        call = Call(engine, ports, Session(config(local(old)), system_entropy, Speech()), until)

        def speak(sock: socket.socket, ssrc: int, first: int, bursts: int) -> None:
            """Five packets whenever more of ours have left, so that there is always an error before them."""
            for number in range(first, first + 5 * bursts, 5):
                gone = len(sent_by(call, packets))
                until.true(lambda gone=gone: len(sent_by(call, packets)) > gone)  # type: ignore[misc]
                for each in range(number, number + 5):
                    packet = RtpPacket(
                        payload_type=0,
                        marker=False,
                        sequence=each,
                        timestamp=160 * each,
                        ssrc=ssrc,
                        payload=bytes(160),
                    )
                    sock.sendto(serialize(packet), ports.local)

        def come_from(source: Address) -> list[Packet]:
            return [p for p in packets if p.direction == "in" and p.kind == "rtp" and p.remote == source]

        there, here = local(old), local(new)
        speak(old, 7, 0, 2)
        until.true(lambda: len(come_from(there)) == 10)
        old.close()
        speak(new, ssrc, 10, 6)
        until.true(lambda: len(come_from(here)) == 30)
        report = call.end()
    engine.close()
    assert report.received.packets + report.strays == 40
    assert (there, f"connection refused: nothing listens on UDP port {there[1]} of {HOST}") in call.refused


def test_the_datagrams_behind_an_error_are_read_at_once_with_their_own_arrival_times() -> None:
    reader_of = pytest.importorskip("callwright.net._batch").Reader
    dead, clock = closed_port(), SystemClock()
    with udp() as near, udp() as far:
        enable_error_queue(near)
        reader = reader_of()
        reader.add(near.fileno(), "near", False)
        for turn in range(1, 51):
            with contextlib.suppress(ConnectionRefusedError):
                near.sendto(b"to nobody", dead)
            wait_for(near, select.POLLERR)
            begun = clock.now()
            far.sendto(b"one", local(near)), far.sendto(b"two", local(near))
            wait_for(near, select.POLLIN)
            # A reading that says it is later than it is: what would get its time by the reading shows.
            batches, errors = reader.read(begun + 10.0 * turn, clock.wall() - clock.now(), 16)
            assert errors == [("near", False)]
            (batch,) = batches
            assert [data for data, _, _ in batch[2]] == [b"one", b"two"]
            if turn == 1:
                assert all(abs(arrival - begun) < 5.0 for _, _, arrival in batch[2])
        reader.close()


def test_sockets_that_only_have_errors_do_not_hide_the_one_that_has_a_packet() -> None:
    reader_of = pytest.importorskip("callwright.net._batch").Reader
    dead = closed_port()
    with contextlib.ExitStack() as opened:
        reader = reader_of()
        sockets = [opened.enter_context(udp()) for _ in range(300)]
        for number, sock in enumerate(sockets):
            enable_error_queue(sock)
            reader.add(sock.fileno(), number, False)
        for sock in sockets[:-1]:
            sock.sendto(b"to nobody", dead)
            wait_for(sock, select.POLLERR)
            sock.getsockopt(
                socket.SOL_SOCKET, socket.SO_ERROR
            )  # told, as to who sends again: unfetched still
        sockets[0].sendto(b"here", local(sockets[-1]))
        wait_for(sockets[-1], select.POLLIN)
        batches, errors = reader.read(1.0, 0.0, 16)
        reader.close()
    assert [(owner, [data for data, _, _ in batch]) for owner, _, batch in batches] == [(299, [b"here"])]
    assert sorted(errors) == [(number, False) for number in range(299)]


def test_what_one_reading_leaves_behind_keeps_its_arrival_time(
    kind: type[MediaEngine], until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "READ_ROUNDS", 1)
    if kind is not MediaEngine:
        monkeypatch.setattr(f"{kind.__module__}.READ_ROUNDS", 1)
    clock = LeapingClock()
    engine = kind(ports=MediaPorts(22_100, 22_199), clock=clock)
    ports = engine.open_ports(HOST)
    with udp() as far:
        for number in range(40):
            far.sendto(b"%d" % number, ports.local)
    sent = clock.now()
    clock.leap = 10.0
    talker = Talker((HOST, 9), count=0)
    engine.start(talker, ports, on_events=until.tell)
    until.true(lambda: len(talker.heard) == 40)
    engine.close()
    assert max(arrival for _, _, arrival in talker.heard) < sent + 5.0


class Alternating:
    """To a dead port and to a live one in turn."""

    revision = 0

    def __init__(self, targets: Sequence[Address]) -> None:
        self.targets = targets
        self.routed = 0

    def route(self, side: int, is_rtcp: bool, data: bytes, source: Address, now: float) -> Address:
        self.routed += 1
        return self.targets[self.routed % 2]

    def rewrite(self, side: int, data: bytes, now: float) -> bytes:
        return data

    def passing(self, side: int, is_rtcp: bool) -> Passing:
        return Passing(None, None)

    def passed(self, side: int, is_rtcp: bool, batch: Sequence[Passed], watched: bool) -> None:
        raise AssertionError("nothing passes unseen")


@pytest.mark.parametrize("made", [Forwarder, native_forwarder()])
def test_an_error_about_one_listener_costs_another_no_packet(made: type[Forwarder] | None) -> None:
    if made is None:
        pytest.skip("callwright.net._relay was not built")
    forwarder = made(ports=MediaPorts(22_200, 22_299))
    pairs = forwarder.open_ports(HOST), forwarder.open_ports(HOST)
    with udp() as speaker, udp() as listener:
        listener.settimeout(3.0)
        for number in range(20):  # before it begins: so they cross in one go
            speaker.sendto(b"%d" % number, pairs[0].local)
        forwarder.start(Alternating([local(listener), closed_port()]), pairs)
        got = [listener.recv(100) for _ in range(10)]
        forwarder.close()
    assert got == [b"%d" % number for number in range(1, 20, 2)]
