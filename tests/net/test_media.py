from __future__ import annotations

import itertools
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future

import pytest

from callwright.net.clock import SystemClock
from callwright.net.media import MediaEngine
from callwright.net.media_choice import native_engine
from callwright.net.ports import MediaPorts, PortsExhausted
from callwright.net.tap import Packet

CLOCK = SystemClock()
HOST = "127.0.0.1"
Out = tuple[bytes, tuple[str, int], bool]


class Talker:
    """Sends numbered packets every `ptime` from `start` on, and notes what it hears."""

    def __init__(self, remote: tuple[str, int], *, start: float | None = None, count: int = 5) -> None:
        self.remote = remote
        self.ptime = 0.010
        self.start = CLOCK.now() if start is None else start
        self.count = count
        self.sent = 0
        self.heard: list[tuple[bytes, tuple[str, int], float]] = []
        self.reports: list[bytes] = []
        self.threads: set[threading.Thread] = set()
        self.outgoing: list[Out] = []
        self.news: list[str] = []

    def receive_batch(self, batch: Iterable[tuple[bytes, tuple[str, int], float]]) -> None:
        self.heard += batch
        self.news.append("heard")

    def receive_rtcp(self, data: bytes, source: tuple[str, int], now: float) -> None:
        self.reports.append(data)
        self.news.append("reported")

    def wake(self, now: float) -> None:
        self.threads.add(threading.current_thread())
        self.outgoing.append((b"%d" % self.sent, self.remote, False))
        self.sent += 1

    def next_wake(self) -> float | None:
        return self.start + self.sent * self.ptime if self.sent < self.count else None

    def transmissions(self) -> list[Out]:
        taken, self.outgoing = self.outgoing, []
        return taken

    def events(self) -> list[str]:
        taken, self.news = self.news, []
        return taken


class Until:
    """Waits on the test's side until events on the media thread make a condition true."""

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def tell(self, *_: object) -> None:
        with self._changed:
            self._changed.notify_all()

    def true(self, condition: Callable[[], bool], seconds: float = 3.0) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, seconds)


@pytest.fixture
def until() -> Until:
    return Until()


@pytest.fixture(params=["pure", "native"])
def kind(request: pytest.FixtureRequest) -> type[MediaEngine]:
    """Both twins pass the same tests."""
    found = MediaEngine if request.param == "pure" else native_engine()
    if found is None:
        pytest.skip("the native rooms were not built")
    return found


@pytest.fixture
def engine(kind: type[MediaEngine]) -> Iterator[MediaEngine]:
    made = kind(ports=MediaPorts(20_000, 20_999))
    yield made
    made.close()


def done(future: Future[None]) -> None:
    future.result(3.0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_two_sessions_hear_each_other_in_order(engine: MediaEngine, until: Until, host: str) -> None:
    a_ports, b_ports = engine.open_ports(host), engine.open_ports(host)
    a, b = Talker(b_ports.local), Talker(a_ports.local)
    engine.start(a, a_ports, on_events=until.tell)
    engine.start(b, b_ports, on_events=until.tell)
    until.true(lambda: len(a.heard) == 5 and len(b.heard) == 5)
    assert [data for data, _, _ in a.heard] == [b"0", b"1", b"2", b"3", b"4"]
    assert {source for _, source, _ in a.heard} == {tuple(b_ports.local)}


def test_arrivals_are_monotonic_times_between_sending_and_reading(engine: MediaEngine, until: Until) -> None:
    a_ports, b_ports = engine.open_ports(HOST), engine.open_ports(HOST)
    begun = CLOCK.now()
    a, b = Talker(b_ports.local, start=begun + 0.02), Talker(a_ports.local, count=0)
    engine.start(b, b_ports, on_events=until.tell)
    engine.start(a, a_ports)
    until.true(lambda: len(b.heard) == 5)
    arrivals = [arrival for _, _, arrival in b.heard]
    assert arrivals == sorted(arrivals)
    for number, arrival in enumerate(arrivals):
        assert -0.001 < arrival - (a.start + number * a.ptime) < 0.5


def test_rtcp_has_its_own_port_unless_it_is_multiplexed(engine: MediaEngine, until: Until) -> None:
    far = engine.open_ports(HOST)
    listener = Talker(("127.0.0.1", 9), count=0)
    engine.start(listener, far, on_events=until.tell)
    for mux in (False, True):
        near = engine.open_ports(HOST)
        speaker = Talker(far.local, count=0)
        speaker.outgoing.append((b"report", far.local_rtcp if not mux else far.local, True))
        engine.start(speaker, near, rtcp_mux=mux)
        if mux:
            until.true(lambda: len(listener.heard) == 1)
            assert listener.heard[0][1] == near.local
        else:
            until.true(lambda: listener.reports == [b"report"])


def test_all_sessions_run_on_one_thread_that_starts_with_the_first(engine: MediaEngine, until: Until) -> None:
    assert "media" not in {t.name for t in threading.enumerate()}
    talkers = []
    for _ in range(3):
        ports = engine.open_ports(HOST)
        talkers.append(Talker(ports.local))
        engine.start(talkers[-1], ports, on_events=until.tell)
    until.true(lambda: all(len(t.heard) == 5 for t in talkers))
    (thread,) = set().union(*(t.threads for t in talkers))
    assert thread is not threading.current_thread()
    assert engine.run(threading.current_thread).result(3.0) is thread


def test_what_an_act_makes_the_session_say_is_sent_at_once(engine: MediaEngine, until: Until) -> None:
    ports = engine.open_ports(HOST)
    talker = Talker(ports.local, count=0)
    handle = engine.start(talker, ports, on_events=until.tell)
    done(handle.run(lambda: talker.outgoing.append((b"now", ports.local, False))))
    until.true(lambda: [d for d, _, _ in talker.heard] == [b"now"])
    with pytest.raises(ZeroDivisionError):
        handle.run(lambda: 1 // 0).result(3.0)


@pytest.mark.parametrize("verb", ["wake", "receive_batch", "transmissions", "next_wake", "events"])
def test_a_session_that_raises_is_taken_off_and_the_others_go_on(
    engine: MediaEngine, until: Until, verb: str
) -> None:
    def stumble(*_: object) -> None:
        raise RuntimeError("stumbled")

    broken_ports, sound_ports = engine.open_ports(HOST), engine.open_ports(HOST)
    broken, sound = Talker(broken_ports.local), Talker(sound_ports.local, count=20)
    setattr(broken, verb, stumble)
    told: list[BaseException] = []

    def on_broken(error: BaseException) -> None:
        told.append(error)
        until.tell()

    engine.start(sound, sound_ports, on_events=until.tell)
    engine.start(broken, broken_ports, on_broken=on_broken)
    until.true(lambda: len(told) == 1)
    assert str(told[0]) == "stumbled"
    until.true(lambda: len(sound.heard) == 20)
    assert engine.sessions == 1
    assert engine.ports.in_use == 1


def test_a_callback_that_raises_disturbs_nothing(engine: MediaEngine, until: Until) -> None:
    ports = engine.open_ports(HOST)
    talker = Talker(ports.local)

    def raising(events: Sequence[object]) -> None:
        until.tell()
        raise RuntimeError("a careless callback")

    engine.start(talker, ports, on_events=raising)
    until.true(lambda: len(talker.heard) == 5)


def test_taps_see_both_directions(kind: type[MediaEngine], until: Until) -> None:
    seen: list[Packet] = []
    mine: list[Packet] = []

    def tap(packets: Sequence[Packet]) -> None:
        seen.extend(packets)
        until.tell()

    engine = kind(ports=MediaPorts(20_000, 20_999), taps=[tap])
    ports = engine.open_ports(HOST)
    talker = Talker(ports.local, count=2)
    engine.start(talker, ports, tap=mine.extend)
    until.true(lambda: len(seen) == 4)
    engine.close()
    assert sorted((p.direction, p.data) for p in seen) == [
        ("in", b"0"),
        ("in", b"1"),
        ("out", b"0"),
        ("out", b"1"),
    ]
    assert {(p.kind, p.transport, p.local, p.remote) for p in seen} == {
        ("rtp", "UDP", ports.local, ports.local)
    }
    assert all(abs(p.wall - CLOCK.wall()) < 10 and abs(p.now - CLOCK.now()) < 10 for p in seen)
    assert sorted(mine) == sorted(seen)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the error queue of Linux")
def test_a_closed_media_port_is_told_once_and_the_session_goes_on(engine: MediaEngine, until: Until) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind((HOST, 0))
        dead = closed.getsockname()
    told: list[tuple[tuple[str, int], str]] = []
    ports = engine.open_ports(HOST)
    talker = Talker(dead, count=10)

    def on_refused(remote: tuple[str, int], reason: str) -> None:
        told.append((remote, reason))
        until.tell()

    handle = engine.start(talker, ports, on_refused=on_refused)
    until.true(lambda: talker.sent == 10 or bool(told))
    until.true(lambda: bool(told))
    done(handle.stop())
    assert told == [(dead, f"connection refused: nothing listens on UDP port {dead[1]} of {HOST}")]


def test_a_host_name_from_a_stranger_is_never_asked_of_dns(engine: MediaEngine, until: Until) -> None:
    told: list[str] = []

    def on_refused(remote: tuple[str, int], reason: str) -> None:
        told.append(reason)
        until.tell()

    handle = engine.start(
        Talker(("evil.example", 4000), count=2), engine.open_ports(HOST), on_refused=on_refused
    )
    until.true(lambda: bool(told))
    assert "numeric addresses only" in told[0]
    assert handle.unsent >= 1


def test_a_port_that_no_packet_can_have_is_told_and_counted(engine: MediaEngine, until: Until) -> None:
    ports = engine.open_ports(HOST)
    talker = Talker((HOST, 70_000), count=3)
    handle = engine.start(talker, ports)
    other_ports = engine.open_ports(HOST)
    other = Talker(other_ports.local, count=10)
    engine.start(other, other_ports, on_events=until.tell)
    until.true(lambda: len(other.heard) == 10)
    assert handle.unsent == 3
    assert engine.sessions == 2


def test_stopping_gives_the_ports_back_and_sends_the_last_words(engine: MediaEngine) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind((HOST, 0))
        far.settimeout(3.0)
        ports = engine.open_ports(HOST)
        talker = Talker(far.getsockname(), count=0)
        handle = engine.start(talker, ports)
        engine.run(lambda: None).result(3.0)
        talker.outgoing.append((b"goodbye", far.getsockname(), False))
        done(handle.stop())
        assert far.recv(100) == b"goodbye"
    assert engine.ports.in_use == 0
    done(handle.stop())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(tuple(ports.local))


def test_the_switch_interval_is_short_only_while_there_are_sessions(engine: MediaEngine) -> None:
    before = sys.getswitchinterval()
    one = engine.start(Talker((HOST, 9), count=0), engine.open_ports(HOST))
    two = engine.start(Talker((HOST, 9), count=0), engine.open_ports(HOST))
    done(one.run(lambda: None))
    assert sys.getswitchinterval() == pytest.approx(0.0001)
    done(one.stop())
    assert sys.getswitchinterval() == pytest.approx(0.0001)
    done(two.stop())
    assert sys.getswitchinterval() == before


def test_closing_is_fast_ends_the_thread_and_refuses_what_comes_later(engine: MediaEngine) -> None:
    engine.start(Talker((HOST, 9), count=1000), engine.open_ports(HOST))
    thread = engine.run(threading.current_thread).result(3.0)
    begun = CLOCK.now()
    engine.close()
    assert CLOCK.now() - begun < 0.1
    thread.join(1.0)
    assert not thread.is_alive()
    assert engine.ports.in_use == 0
    with pytest.raises(RuntimeError, match="closed"):
        engine.run(lambda: None).result(1.0)
    with pytest.raises(RuntimeError, match="closed"):
        engine.start(Talker((HOST, 9)), engine.open_ports(HOST))
    engine.close()


def test_phases_of_sessions_are_spread_over_the_ptime(engine: MediaEngine) -> None:
    begun = CLOCK.now()
    phases = sorted(engine.start_time(0.020) - begun for _ in range(20))
    assert phases[-1] - phases[0] < 0.025
    gaps = [b - a for a, b in itertools.pairwise(phases)]
    assert max(gaps) < 0.005


# Ports


def test_a_pair_is_an_even_port_and_the_next() -> None:
    pair = MediaPorts(20_001, 20_011).open(HOST)
    assert pair.local.port % 2 == 0
    assert pair.local_rtcp.port == pair.local.port + 1
    assert 20_002 <= pair.local.port <= 20_010
    pair.close()


def test_a_range_that_runs_out_is_named_with_what_is_in_use() -> None:
    ports = MediaPorts(20_020, 20_025)
    pairs = [ports.open(HOST) for _ in range(3)]
    with pytest.raises(PortsExhausted) as caught:
        ports.open(HOST)
    assert "20020-20025" in caught.value.reason
    assert "3 of 3 pairs are in use" in caught.value.reason
    pairs[1].close()
    pairs[1].close()
    assert ports.in_use == 2
    assert ports.open(HOST).local == pairs[1].local


def test_ports_of_other_programs_are_passed_over_and_said_so() -> None:
    ports = MediaPorts(20_030, 20_033)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, 20_031))
        pair = ports.open(HOST)
        assert pair.local.port == 20_032
        with pytest.raises(
            PortsExhausted, match="1 of 2 pairs are in use by calls, the others by other programs"
        ):
            ports.open(HOST)
        pair.close()


@pytest.mark.parametrize(("low", "high"), [(0, 10), (20_000, 19_000), (20_001, 20_002), (65_000, 70_000)])
def test_a_range_without_a_pair_is_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="no pair of ports"):
        MediaPorts(low, high)
