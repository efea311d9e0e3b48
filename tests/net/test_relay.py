"""The native relay: what goes on unseen, what is held, and what is told of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from callwright.net.clock import SystemClock
from callwright.net.forwarder import Forwarder, Passed, Passing
from callwright.net.forwarder_choice import media_forwarder, native_forwarder
from callwright.net.ports import MediaPorts, PortPair
from callwright.net.tap import Packet

Address = tuple[str, int]


def udp(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    made.settimeout(3.0)
    return made


def here(sock: socket.socket) -> Address:
    name = sock.getsockname()
    return name[0], name[1]


class Road:
    """What comes from `source` goes to `target`; all else is asked about, and refused."""

    def __init__(
        self, source: Address, target: Address | None, watched: frozenset[int] = frozenset()
    ) -> None:
        self.revision = 0
        self.rule = Passing(source, target, watched)
        self.asked: list[tuple[bytes, Address]] = []
        self.told: list[tuple[int, bool, list[bytes], bool]] = []
        self.watched = threading.Event()

    def route(self, side: int, is_rtcp: bool, data: bytes, source: Address, now: float) -> Address | None:
        self.asked.append((data, source))
        return None

    def rewrite(self, side: int, data: bytes, now: float) -> bytes:
        return data

    def passing(self, side: int, is_rtcp: bool) -> Passing:
        return self.rule if side == 0 and not is_rtcp else Passing(None, None)

    def passed(self, side: int, is_rtcp: bool, batch: Sequence[Passed], watched: bool) -> None:
        self.told.append((side, is_rtcp, [data for data, _, _ in batch], watched))
        self.times = [arrival for _, _, arrival in batch]
        if watched:
            self.watched.set()


class SlowRoad(Road):
    """Takes its time over the first packet: until `free` is set."""

    def __init__(self, source: Address, target: Address | None) -> None:
        super().__init__(source, target)
        self.reached, self.free = threading.Event(), threading.Event()

    def route(self, side: int, is_rtcp: bool, data: bytes, source: Address, now: float) -> Address | None:
        self.reached.set()
        assert self.free.wait(10.0)
        return super().route(side, is_rtcp, data, source, now)


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def seen() -> list[Packet]:
    return []


@pytest.fixture
def forwarder(seen: list[Packet]) -> Iterator[Forwarder]:
    native = native_forwarder()
    if native is None:
        pytest.skip("callwright.net._relay was not built")
    made = native(ports=MediaPorts(22_300, 22_399), taps=[seen.extend])
    yield made
    made.close()


def opened(forwarder: Forwarder, host: str) -> tuple[PortPair, PortPair]:
    return forwarder.open_ports(host), forwarder.open_ports(host)


def test_only_what_the_crossing_names_goes_on_unseen(
    forwarder: Forwarder, host: str, seen: list[Packet]
) -> None:
    with udp(host) as speaker, udp(host) as stranger, udp(host) as listener:
        road = Road(here(speaker), here(listener))
        pairs = opened(forwarder, host)
        before = SystemClock().now()
        forwarder.start(road, pairs)
        stranger.sendto(b"stray", pairs[0].local)
        for number in range(5):
            speaker.sendto(bytes([0x80, 0, 0, number]), pairs[0].local)
        got = [listener.recvfrom(100) for _ in range(5)]
        assert [data[3] for data, _ in got] == [0, 1, 2, 3, 4]
        assert {name[:2] for _, name in got} == {tuple(pairs[1].local)}, (
            "it leaves by the ports of the other side"
        )
        forwarder.stop(pairs)
        assert road.asked == [(b"stray", here(stranger))]
        assert {(side, rtcp, watched) for side, rtcp, _, watched in road.told} == {(0, False, False)}
        assert sum(len(data) for _, _, data, _ in road.told) == 5
        assert before <= road.times[0] <= road.times[-1] <= SystemClock().now()
        ways = [(one.direction, one.remote) for one in seen]
        assert ways.count(("out", here(listener))) == ways.count(("in", here(speaker))) == 5
        assert ways.count(("in", here(stranger))) == 1
    assert forwarder.ports.in_use == 0


def test_a_new_target_counts_for_all_that_comes_after_it(forwarder: Forwarder) -> None:
    with udp("127.0.0.1") as speaker, udp("127.0.0.1") as first, udp("127.0.0.1") as second:
        road = Road(here(speaker), here(first))
        pairs = opened(forwarder, "127.0.0.1")
        forwarder.start(road, pairs)
        speaker.sendto(b"12", pairs[0].local)
        assert first.recv(100) == b"12"
        road.rule = Passing(here(speaker), here(second))
        forwarder.changed(pairs)
        speaker.sendto(b"34", pairs[0].local)
        assert second.recv(100) == b"34"
        road.rule = Passing(here(speaker), None)
        forwarder.changed(pairs)
        speaker.sendto(b"56", pairs[0].local)
        road.rule = Passing(here(speaker), here(second))
        while not any(b"56" in data for _, _, data, _ in road.told):
            forwarder.catch_up()
        forwarder.changed(pairs)
        speaker.sendto(b"78", pairs[0].local)
        assert second.recv(100) == b"78", "while on hold nothing went on, though it was counted"


def test_payload_types_that_are_watched_are_told_of_at_once(forwarder: Forwarder) -> None:
    with udp("127.0.0.1") as speaker, udp("127.0.0.1") as listener:
        road = Road(here(speaker), here(listener), frozenset({101}))
        pairs = opened(forwarder, "127.0.0.1")
        forwarder.start(road, pairs)
        speaker.sendto(bytes([0x80, 0]), pairs[0].local)
        speaker.sendto(bytes([0x80, 0x80 | 101]), pairs[0].local)
        assert road.watched.wait(3.0)
        forwarder.stop(pairs)
        assert (road.told[-1][2], road.told[-1][3]) == ([b"\x80\xe5"], True)


def test_a_flood_of_strangers_is_held_within_bounds(forwarder: Forwarder) -> None:
    with udp("127.0.0.1") as stranger, udp("127.0.0.1") as speaker, udp("127.0.0.1") as listener:
        road = SlowRoad(here(speaker), here(listener))
        pairs = opened(forwarder, "127.0.0.1")
        forwarder.start(road, pairs)
        stranger.sendto(b"first", pairs[0].local)
        assert road.reached.wait(3.0)
        for _ in range(400):
            stranger.sendto(b"flood", pairs[0].local)
            speaker.sendto(b"voice", pairs[0].local)
            assert listener.recv(100) == b"voice"
        road.free.set()
        forwarder.stop(pairs)
        assert [data for data, _ in road.asked] == [b"first"] + 256 * [b"flood"], "the others were dropped"
        assert sum(len(data) for _, _, data, _ in road.told) == 400


def test_another_clock_than_the_machines_takes_the_pure_twin() -> None:
    class Slow(SystemClock):
        pass

    class Other:
        def now(self) -> float:
            return 1.0

        def wall(self) -> float:
            return 1.0

    assert type(media_forwarder(clock=Other())) is Forwarder
    assert type(media_forwarder(clock=Slow())) is (native_forwarder() or Forwarder)
