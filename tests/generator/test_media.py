"""RTP of the load loop: what it judges of a stream, what it reads of an SDP, and what is on the wire."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.generator import _loop
from callwright.generator._loop import audio, judged, promised
from callwright.generator.loop import MediaConfig, networks_of
from callwright.generator.names import HISTOGRAMS, bucket_value, mos_value
from callwright.load.messages import Wording, answerer_messages, caller_messages
from callwright.quality.e_model import ie_eff, mos_from_r
from callwright.sip.transport import Address
from tests.generator.load_peer import SALT, Peer, counts, inside, loop_to, until
from tests.generator.oracle import BOTH, NOTHING, SENDS, Packets, check_sdp, check_stream

SOMEWHERE = (20_000, 29_999)
PAYLOAD = bytes(range(160)) + bytes(160)
THEIRS = 0x11223344
UNHEARD = 100_000
"""Taken off the MOS of a stream of which too much was in gaps."""


def media(
    mode: str = "ports", low: int = SOMEWHERE[0], high: int = SOMEWHERE[1], min_heard: float = 0.0
) -> MediaConfig:
    return MediaConfig(mode=mode, host="127.0.0.1", low=low, high=high, payload=PAYLOAD, min_heard=min_heard)


MEDIA = media()


@pytest.fixture(params=["ports", "shared"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Ear:
    """The RTP port of the far end."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]

    def take(self, ssrc: int) -> list[bytes]:
        """What came of that stream: a port may get what was meant for who had it before."""
        found: list[bytes] = []
        while True:
            try:
                data = self.sock.recv(2048)
            except BlockingIOError:
                return found
            if data[8:12] == ssrc.to_bytes(4, "big"):
                found.append(data)

    def sdp(self, ssrc: int | None = THEIRS) -> str:
        said = "" if ssrc is None else f"a=ssrc:{ssrc} cname:x\r\n"
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self.port} RTP/AVP 0\r\n{said}"
        )


@pytest.fixture
def ear() -> Iterator[Ear]:
    made = Ear()
    yield made
    made.sock.close()


def packet(sequence: int, *, timestamp: int | None = None, ssrc: int = THEIRS) -> bytes:
    stamp = sequence * 160 if timestamp is None else timestamp
    return struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, stamp & 0xFFFFFFFF, ssrc) + bytes(160)


def calling(peer: Peer, mode: str, **more: Any) -> Any:
    local = "127.0.0.1:5060"
    words = Wording(local=local, salt=SALT, target="sip:x@127.0.0.1", caller=f"sip:me@{local}", media=True)
    settings = {"media": media(mode), "messages": caller_messages(words), "hold": 30.0}
    return loop_to(peer, **settings | more)


def offered(message: bytes) -> tuple[int, int]:
    """Port and SSRC of an SDP of ours."""
    port = re.search(rb"^m=audio (\d+) ", message, re.M)
    ssrc = re.search(rb"^a=ssrc:(\d+) ", message, re.M)
    assert port is not None
    assert ssrc is not None
    return int(port[1]), int(ssrc[1])


def recorded(loop: Any, name: str) -> list[float]:
    """The values of a histogram, each as often as it was recorded."""
    found = struct.unpack("=3072Q", loop.histogram(HISTOGRAMS.index(name)))
    value_of = mos_value if name == "mos" else bucket_value
    return [value_of(index) for index, times in enumerate(found) for _ in range(times)]


LINES = (
    b"v=0",
    b"c=IN IP4 127.0.0.9",
    b"c=IN IP4 10.0.0.1/127/2",
    b"c=IN IP6 ::1",
    b"c=IN IP6 ::ffff:10.0.0.1",
    b"c=IN IP4 10.0.0.1\0x",
    b"c=IN IP4 10.0.0.1\x0c",
    b"c=IN23128",
    b"c=IN IP4 name",
    b"c=IN IP4 ",
    b"c=IN IP4\t 10.1.1.1",
    b"c=",
    b"m=audio 20004 RTP/AVP 0",
    b"m=audio 70000 RTP/AVP 0",
    b"m=audio 0 RTP/AVP 0",
    b"m=audio x",
    b"m=audio ",
    b"m=video 5000 RTP/AVP 9",
    b"a=ssrc:4294967295 cname:x",
    b"a=ssrc:4294967296 x",
    b"a=ssrc:7",
    b"a=ssrc:x",
    b" a=ssrc:9",
    b"a=sendonly",
    b"a=sendrecv",
    b"a=inactive ",
    b"a=",
    b"a=sendonly2",
    b"m=audio 20006 RTP/AVP",
    b"m=application 9 TCP/MRCPv2",
    b"--d",
    b"Content-Type: application/isup",
    b"m=audio 20004/2 RTP/AVP 0",
    b"",
    b"\0",
    b"\xff=\xff",
)
DIRECTIONS = (
    b"a=sendrecv",
    b"a=recvonly",
    b"a=inactive",
    b"c=IN IP4 0.0.0.0",
    b"m=audio 5000 RTP/AVP 0",
    b"m=audio 5000 RTP/AVP 0",
)


# -- what is judged


@dataclass(frozen=True)
class Due:
    """When audio is due, in ns of the arrivals, and whether the far end ended the call."""

    since: int | None = None
    until: int | None = None
    hung_up: bool = False


def judge(packets: Packets, due: Due | None = None) -> tuple[int, dict[str, int]]:
    """MOS in thousandths, and what was counted."""
    due = due or Due()
    loop = loop_to(None, media=media(min_heard=90.0))
    mos = judged(loop, packets, due.since, due.until, due.hung_up)
    found = counts(loop)
    found.pop("streams_peak")
    loop.close()
    return mos, found


def paced(sequences: list[int], late: dict[int, float] | None = None) -> Packets:
    """Packets that arrive when they are due, some of them later (seconds)."""
    return [
        (10**18 + n * 20_000_000 + int((late or {}).get(n, 0.0) * 1e9), packet(sequence))
        for n, sequence in enumerate(sequences)
    ]


def test_a_clean_stream_gets_the_best_mos_of_its_codec() -> None:
    mos, found = judge(paced(list(range(100))))
    assert mos == 4409  # R 93.2
    assert found == {"rtp_received": 100, "streams_ended": 1}


def test_loss_is_counted_over_the_wrap_of_sequence_numbers() -> None:
    mos, found = judge(paced([n & 0xFFFF for n in range(65_500, 65_600) if n % 10]))
    assert found["rtp_lost"] == 9  # the first of the hundred is not known to be missing
    assert mos < 3000


def test_duplicates_and_reordered_packets_are_no_loss() -> None:
    _, found = judge(paced([1, 2, 4, 3, 3, 5, 6]))
    assert found == {"rtp_received": 7, "rtp_reordered": 1, "rtp_duplicated": 1, "streams_ended": 1}


def test_what_comes_after_its_time_is_discarded_and_costs_mos() -> None:
    mos, found = judge(paced(list(range(50)), late=dict.fromkeys(range(10, 20), 0.08)))
    assert found["rtp_discarded"] == 10
    assert mos < 3500


@given(st.data())
def test_any_stream_is_counted_as_the_phone_counts_it(data: st.DataObject) -> None:
    first = top = data.draw(st.integers(0, 65_535)) + 65_536
    arrival, packets = 10**18, [(10**18, packet(first, timestamp=first * 160))]
    steps = st.sampled_from([1, 1, 1, 1, 2, 3, 9, 63, 64, 65, 2999, 40_000])
    for step in data.draw(st.lists(steps | st.integers(-60, 0), max_size=60)):
        number = top + step if step > 0 else max(first, top + step)
        numbers = [number, number + 1] if step == 40_000 else [number]  # two in order begin another run
        top = max(top, *numbers)
        first = number if step == 40_000 else first
        for one in numbers:
            arrival += data.draw(st.integers(0, 60_000_000))
            packets.append((arrival, packet(one, timestamp=one * 160)))
    loop = loop_to(None, media=media())
    check_stream(loop, packets)
    loop.close()


@given(st.data())
def test_gaps_and_pauses_are_part_of_the_time_in_which_audio_was_due(data: st.DataObject) -> None:
    arrival, sequence, timestamp, packets = 10**18, 65_000, 2**32 - 3000, []
    since = arrival - data.draw(st.integers(0, 2_000_000_000))
    for _ in range(data.draw(st.integers(0, 30))):
        pause = data.draw(st.sampled_from([0, 0, 190, 210, 490, 510, 3000]))
        arrival += 20_000_000 + 1_000_000 * pause
        sequence += data.draw(st.sampled_from([1, 1, 1, 2, 40, 4000, -600, -1, 0]))
        timestamp += 160 + data.draw(st.sampled_from([0, 8 * pause, 8 * pause, 80_000]))
        kind = data.draw(st.sampled_from([0, 0, 0, 13, 77])) | data.draw(st.sampled_from([0, 128]))
        data_ = bytearray(packet(sequence, timestamp=timestamp))
        data_[1] = kind
        packets.append((arrival, bytes(data_)))
    until = arrival + data.draw(st.integers(0, 2_000_000_000))
    hung_up = data.draw(st.booleans())
    mos, found = judge(packets, Due(since, until, hung_up))
    due = found.get("rtp_due_ms", 0)
    assert due <= (until - since) // 1_000_000
    assert hung_up or due == (until - since) // 1_000_000
    assert found.get("rtp_gap_ms", 0) + found.get("rtp_dtx_ms", 0) <= due
    assert found.get("rtp_gap_ms", 0) >= 500 * found.get("rtp_gaps", 0)
    assert mos in (-1, *range(1000, 4501), *range(1000 - UNHEARD, 4501 - UNHEARD))


@given(st.lists(st.sampled_from([1, 1, 1, 2, 4]), min_size=1, max_size=60))
def test_the_mos_is_that_of_the_e_model(steps: list[int]) -> None:
    numbers = [100, *(100 + sum(steps[: n + 1]) for n in range(len(steps)))]
    mos, _ = judge([(10**18 + number * 20_000_000, packet(number)) for number in numbers])
    expected, gaps = numbers[-1] - 99, sum(step > 1 for step in steps)
    lost = expected - len(numbers)
    burst = max(1.0, lost / gaps * (1 - lost / expected)) if gaps else 1.0
    r = MEDIA.r_best - ie_eff(MEDIA.ie, MEDIA.bpl, 100 * lost / expected, burst)
    assert mos == pytest.approx(1000 * max(1.0, mos_from_r(r)), abs=1)


NOW = 10**18
SECOND = 10**9


def timed(*spans: tuple[float, float], until: float, **how: Any) -> tuple[int, dict[str, int]]:
    """A stream that is due from 0 to `until` and sends in these spans, in seconds."""
    hung_up, clock, marker = (how.get(name, False) for name in ("hung_up", "clock", "marker"))
    packets, number = [], 0
    for since, end in spans:
        for index in range(round((end - since) * 50)):
            at = since + 0.02 * index
            stamp = round(8000 * at) if clock else 160 * number
            data = bytearray(packet(number, timestamp=stamp))
            data[1] = how.get("kind", 0) | (0x80 if marker and index == 0 else 0)
            packets.append((NOW + round(at * SECOND), bytes(data)))
            number += 1
    return judge(packets, Due(NOW, NOW + round(until * SECOND), hung_up))


def test_a_stream_that_stops_is_mostly_unheard() -> None:
    mos, found = timed((0.0, 0.5), until=6.0)
    assert mos + UNHEARD in range(1000, 1050)
    assert (found["rtp_gaps"], found["rtp_due_ms"], found["rtp_gap_ms"]) == (1, 6000, 5520)


def test_a_stream_that_begins_late_and_one_that_pauses_are_unheard_too() -> None:
    assert timed((4.0, 6.0), until=6.0)[0] < 0
    assert timed((0.0, 2.0), (4.0, 6.0), until=6.0)[0] < 0
    mos, found = timed((0.6, 10.0), until=10.0)
    assert mos > 4000
    assert found["rtp_gaps"] == 1


def test_dtx_and_comfort_noise_are_no_gaps() -> None:
    mos, found = timed((0.0, 2.0), (4.0, 6.0), until=6.0, clock=True, marker=True)
    assert mos == 4409
    assert (found.get("rtp_gaps"), found["rtp_dtx_ms"]) == (None, 2020)
    mos, found = timed((0.0, 2.0), (4.0, 6.0), until=6.0, kind=13)
    assert (found.get("rtp_gaps"), found["rtp_dtx_ms"]) == (None, 2020)
    assert timed((0.0, 2.0), (4.0, 6.0), until=6.0, clock=True)[1]["rtp_gaps"] == 1  # no marker


def numbered(count: int, step: float, number_of: Any, kind: int = 0, octets: int = 160) -> Packets:
    """`count` packets, `step` seconds apart by the clock of the sender too."""
    found = []
    for index in range(count):
        data = bytearray(packet(number_of(index), timestamp=round(8000 * step) * number_of(index)))
        data[1] = kind
        found.append((NOW + round(step * index * SECOND), bytes(data[: 12 + octets])))
    return found


@pytest.mark.parametrize(
    ("number_of", "unheard_ms"),
    [(lambda n: min(n, 99), 8020), (lambda n: n % 50, 9020), (lambda n: n, 0)],
    ids=["stuck after 2 s", "loops its first second", "goes on"],
)
def test_only_packets_with_a_new_number_are_heard(number_of: Any, unheard_ms: int) -> None:
    mos, found = judge(numbered(500, 0.02, number_of), Due(NOW, NOW + 10 * SECOND))
    assert found.get("rtp_gap_ms", 0) == unheard_ms
    assert (mos < 0) == (unheard_ms > 0)


@pytest.mark.parametrize(("kind", "octets"), [(77, 160), (101, 4), (0, 0), (0, 1)])
def test_packets_without_audio_of_the_agreed_type_are_discarded_and_not_heard(kind: int, octets: int) -> None:
    mos, found = judge(numbered(500, 0.02, lambda n: n, kind, octets), Due(NOW, NOW + 10 * SECOND))
    assert (found["rtp_discarded"], found["rtp_gap_ms"]) == (500, 10_000)
    assert mos == -1
    assert "streams_ended" not in found


def test_comfort_noise_alone_gets_no_mos() -> None:
    mos, found = judge(numbered(500, 0.02, lambda n: n, 13, 1), Due(NOW, NOW + 10 * SECOND))
    assert mos == -1
    assert "streams_ended" not in found


def test_discarded_packets_of_another_type_among_audio_are_not_lost_as_well() -> None:
    packets = numbered(500, 0.02, lambda n: n)
    packets[100:110] = numbered(500, 0.02, lambda n: n, 101, 4)[100:110]
    _, found = judge(packets, Due(NOW, NOW + 10 * SECOND))
    assert found["rtp_discarded"] == 10
    assert not found.get("rtp_lost")


def test_packets_that_are_missing_without_a_number_are_unheard_however_short_the_pause() -> None:
    mos, found = judge(numbered(20, 0.49, lambda n: n), Due(NOW, NOW + 10 * SECOND))
    assert found["rtp_gap_ms"] > 9000
    assert mos < 0


def test_a_stall_whose_packets_come_late_is_no_pause() -> None:
    on_time = numbered(500, 0.02, lambda n: n)
    late = [(at + max(0, 15 - n % 100) * 20_000_000, data) for n, (at, data) in enumerate(on_time)]
    _, found = judge(late, Due(NOW, NOW + 10 * SECOND))
    assert "rtp_gap_ms" not in found


def test_silence_just_before_the_far_ends_bye_is_the_hanging_up() -> None:
    assert "rtp_gaps" not in timed((0.0, 5.0), until=5.9, hung_up=True)[1]
    assert timed((0.0, 5.0), until=5.9)[1]["rtp_gaps"] == 1
    assert timed((0.0, 5.0), until=6.5, hung_up=True)[1]["rtp_gaps"] == 1


def test_a_stream_that_begins_anew_goes_on() -> None:
    """Another run of numbers, other timestamps, a clock that stood still: none of it is late for ever."""
    paced_ = [(NOW + 20_000_000 * n, n) for n in range(300)]
    restarted = [(at, packet(n if n < 100 else n + 20_000, timestamp=160 * n)) for at, n in paced_]
    assert judge(restarted)[0] > 4300
    jumped = [(at, packet(n, timestamp=160 * n + (0 if n < 100 else 2**31))) for at, n in paced_]
    assert judge(jumped)[0] > 4300
    back = [(at, packet(n, timestamp=160 * n + (2**31 if n < 100 else 0))) for at, n in paced_]
    assert judge(back)[0] > 4300
    stood = [(at + (0 if n < 100 else 2 * SECOND), packet(n, timestamp=160 * n)) for at, n in paced_]
    assert judge(stood)[1].get("rtp_discarded") is None


# -- where it comes from

HERE, MOVED, OTHER = ("127.0.0.1", 21_000), ("127.0.0.1", 22_000), ("127.0.0.1", 23_000)
SAID = b"v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 21000 RTP/AVP 0\r\n"
Coming = list[tuple[int, tuple[str, int], bytes]]


def admitted(packets: Coming, said: bytes = SAID) -> list[tuple[bool, int]]:
    """Whether each is heard, and the port that ours goes to after it."""
    loop = loop_to(None, media=media())
    found = _loop.admitted(loop, said, packets)
    loop.close()
    return found


def coming(source: tuple[str, int], numbers: range, start: float, ssrc: int = 7) -> Coming:
    return [
        (NOW + round(start * SECOND) + 20_000_000 * index, source, packet(number, ssrc=ssrc))
        for index, number in enumerate(numbers)
    ]


def test_the_address_of_the_sdp_is_heard_whatever_came_before() -> None:
    stray = coming(OTHER, range(3), 0.0, ssrc=9)
    assert admitted(stray + coming(HERE, range(3), 0.1)) == [(False, 21_000)] * 3 + [(True, 21_000)] * 3


def test_a_stream_is_followed_to_another_port_and_a_stranger_is_not() -> None:
    packets = coming(HERE, range(50), 0.0) + coming(MOVED, range(50, 100), 1.0)
    found = admitted(packets)
    assert all(taken for taken, _ in found)
    assert [port for _, port in found[50:]] == [21_000] + [22_000] * 49
    beside = sorted(coming(HERE, range(100), 0.0) + coming(OTHER, range(100), 0.001, ssrc=9))
    assert sum(taken for taken, _ in admitted(beside)) == 100


def test_another_stream_needs_several_packets_and_silence() -> None:
    packets = coming(HERE, range(50), 0.0) + coming(OTHER, range(40), 1.0, ssrc=9)
    found = admitted(packets)
    assert not any(taken for taken, _ in found[50:74])
    assert all(taken for taken, _ in found[80:])
    behind_nat = admitted(coming(MOVED, range(10), 0.0))
    assert [taken for taken, _ in behind_nat] == [False] * 4 + [True] * 6


def test_another_ssrc_from_the_right_address_is_its_stream_from_the_second_packet_on() -> None:
    packets = coming(HERE, range(50), 0.0) + coming(HERE, range(9000, 9010), 1.0, ssrc=9)
    assert [taken for taken, _ in admitted(packets)][50:] == [False] + [True] * 9


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(-2, 4), st.integers(0, 600))))
def test_ours_goes_to_the_address_of_the_sdp_or_of_a_heard_packet(
    steps: list[tuple[int, int, int, int]],
) -> None:
    now, numbers, packets = 0.0, [100, 200, 300], []
    for place, ssrc, step, pause in steps:
        now += 0.02 + (pause / 1000 if pause > 400 else 0.0)
        numbers[ssrc] += step
        packets += coming((HERE, MOVED, OTHER)[place], range(numbers[ssrc], numbers[ssrc] + 1), now, ssrc)
    heard = {HERE[1]}
    for (_, source, _), (taken, port) in zip(packets, admitted(packets), strict=True):
        heard |= {source[1]} if taken else set()
        assert port in heard


@pytest.mark.parametrize(
    ("lines", "promise"),
    [
        ("c=IN IP4 127.0.0.1|m=audio 5000 RTP/AVP 0", BOTH),
        ("c=IN IP4 127.0.0.1|m=audio 5000 RTP/AVP 0|a=sendonly", SENDS),
        ("c=IN IP4 127.0.0.1|a=inactive|m=audio 5000 RTP/AVP 0", NOTHING),
        ("c=IN IP4 127.0.0.1|a=inactive|m=audio 5000 RTP/AVP 0|a=sendrecv", BOTH),
        ("c=IN IP4 127.0.0.1|m=audio 5000 RTP/AVP 0|a=recvonly", NOTHING),
        ("c=IN IP4 0.0.0.0|m=audio 5000 RTP/AVP 0", NOTHING),
        ("c=IN IP4 127.0.0.1|m=audio 0 RTP/AVP 0", NOTHING),
        ("c=IN IP4 127.0.0.1|m=audio 0 RTP/AVP 0|m=audio 5000 RTP/AVP 0", BOTH),
        ("c=IN IP4 127.0.0.1|m=video 5000 RTP/AVP 9|a=sendonly|m=audio 5000 RTP/AVP 0", BOTH),
        ("", NOTHING),
    ],
)
def test_what_an_sdp_promises(lines: str, promise: int) -> None:
    assert promised("\r\n".join(lines.split("|")).encode()) == promise


@pytest.fixture(scope="module")
def anywhere() -> Iterator[Any]:
    """A loop whose RTP may go anywhere."""
    loop = loop_to(None, media=media(), networks=networks_of(["0.0.0.0/0"]))
    yield loop
    loop.close()


@given(st.lists(st.sampled_from(LINES + DIRECTIONS), max_size=9), st.sampled_from([b"\r\n", b"\n"]))
def test_an_sdp_means_what_the_phone_reads(anywhere: Any, lines: list[bytes], end: bytes) -> None:
    body = end.join(lines) + end
    check_sdp(anywhere, body)
    check_sdp(anywhere, b"v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n" + body)


def described(*lines: str) -> tuple[str, int, int] | None:
    """Host, port and direction."""
    loop = loop_to(None, media=media(), networks=networks_of(["0.0.0.0/0"]))
    found = audio(loop, "\r\n".join(["v=0", "c=IN IP4 127.0.0.1", *lines]).encode())
    loop.close()
    return None if found is None else (found[0], found[1], found[3])


def test_the_audio_in_use_is_found_behind_what_is_refused_odd_or_of_another_part() -> None:
    assert described("m=audio 0 RTP/AVP", "m=audio 20004 RTP/AVP 0") == ("127.0.0.1", 20_004, 0)
    for lines in (
        ("m=video 9 RTP/AVP 9", "c=IN IP4 10.0.0.9", "m=audio 20004 RTP/AVP 0"),
        ("a=", "m=audio 20004 RTP/AVP 0", "a=", "m=application 9 TCP/MRCPv2"),
        ("m=audio 20004 RTP/AVP 0", "--d", "Content-Type: application/isup", "--d--"),
    ):
        assert described(*lines) == ("127.0.0.1", 20_004, 0)


@pytest.mark.parametrize(
    ("lines", "direction"),
    [
        (["m=audio 4000 RTP/AVP 0"], 0),
        (["a=sendonly", "m=audio 4000 RTP/AVP 0"], 1),
        (["a=sendonly", "m=audio 4000 RTP/AVP 0", "a=inactive"], 3),
        (["m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 9", "a=inactive"], 0),
    ],
)
def test_the_audio_has_its_own_direction_before_that_of_the_session(lines: list[str], direction: int) -> None:
    assert described(*lines) == ("127.0.0.1", 4000, direction)


@pytest.mark.parametrize("line", ["c=IN IP4 0.0.0.0", "c=IN IP6 ::"])
def test_nothing_is_sent_to_a_hold_as_it_was_before_offer_and_answer(line: str) -> None:
    assert described("m=audio 4000 RTP/AVP 0", line) is None


# -- on the wire


def test_a_stream_is_sent_as_its_sdp_says(mode: str, peer: Peer, ear: Ear) -> None:
    loop = calling(peer, mode)
    (invite,) = until(loop, peer.take)
    port, ssrc = offered(invite)
    assert port in range(SOMEWHERE[0], SOMEWHERE[1], 2)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=ear.sdp())
    heard: list[bytes] = []

    def enough() -> bool:
        heard.extend(ear.take(ssrc))
        return len(heard) >= 8

    until(loop, enough, seconds=10)
    heads = [struct.unpack_from("!BBHII", data) for data in heard]
    assert {head[:2] for head in heads} == {(0x80, 0)}
    assert [(head[2] - heads[0][2]) & 0xFFFF for head in heads] == list(range(len(heads)))
    assert [(head[3] - heads[0][3]) & 0xFFFFFFFF for head in heads] == [160 * n for n in range(len(heads))]
    assert {heard[0][12:], heard[1][12:]} == {PAYLOAD[:160], PAYLOAD[160:]}  # one frame after the other
    loop.close()


def test_a_multipart_answer_with_odd_lines_is_an_answer(mode: str, peer: Peer, ear: Ear) -> None:
    loop = calling(peer, mode)
    (invite,) = until(loop, peer.take)
    _, ssrc = offered(invite)
    isup = "--d\r\nContent-Type: application/isup\r\n\r\n\t\x01\r\n"
    odd = "a=\r\nm=video 0 RTP/AVP\r\nm=application 9 TCP/MRCPv2\r\n\0"
    refused = ear.sdp().replace("m=audio", "m=audio 0 RTP/AVP\r\nm=audio")
    body = f"{isup}--d\r\nContent-Type: application/sdp\r\n\r\n{refused}{odd}\r\n--d--\r\n"
    kind = "Content-Type: multipart/mixed;boundary=d\r\n"
    peer.respond(invite, "200 OK", extra=peer.contact() + kind, body=body)
    assert until(loop, lambda: ear.take(ssrc), seconds=10)
    loop.close()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("hold", ["a=sendonly", "a=inactive", "c=IN IP4 0.0.0.0"])
def test_a_call_that_is_held_sends_nothing_until_it_is_resumed(
    mode: str, peer: Peer, ear: Ear, method: str, hold: str
) -> None:
    loop = calling(peer, mode)
    (invite,) = until(loop, peer.take)
    _, ssrc = offered(invite)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=ear.sdp())
    until(loop, lambda: ear.take(ssrc), seconds=10)
    answers = []
    for cseq, line in ((10, f"{hold}\r\n"), (11, ""), (12, f"{hold}\r\n")):
        peer.take()
        peer.send(inside(peer, invite, method, cseq, ear.sdp() + line))
        (answer,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"SIP/2.0 200")])
        answers.append(answer)
        ear.take(ssrc)
        sent = counts(loop)["rtp_sent"]
        if line:
            loop.run(0.1)
            assert counts(loop)["rtp_sent"] == sent
        else:
            until(loop, lambda: ear.take(ssrc), seconds=10)
    ours = b"inactive" if "inactive" in hold else b"recvonly"
    said = [re.findall(rb"a=(sendrecv|sendonly|recvonly|inactive)", answer) for answer in answers]
    assert said == [[ours], [b"sendrecv"], [ours]]
    versions = [int(found) for m in (invite, *answers) for found in re.findall(rb"o=- 1 (\d+) ", m)]
    assert versions == [versions[0] + n for n in range(4)], "by one each time (RFC 3264 section 8)"
    loop.close()


def test_a_caller_that_holds_from_the_start_is_heard_and_not_sent_to(mode: str, peer: Peer, ear: Ear) -> None:
    words = Wording(local="127.0.0.1:5060", salt=SALT, media=True)
    loop = loop_to(None, media=media(mode), messages=answerer_messages(words))
    peer.source = loop.local
    body = ear.sdp() + "a=sendonly\r\n"
    via = f"SIP/2.0/UDP 127.0.0.1:{peer.address.port};branch=z9hG4bKa"
    peer.send(
        f"\0INVITE sip:x@127.0.0.1 SIP/2.0\r\nVia: {via}\r\n"
        f"From: <sip:a@b>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n"
        f"Contact: <sip:a@127.0.0.1:{peer.address.port}>\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    (ok,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"SIP/2.0 200")])
    assert b"a=recvonly\r\n" in ok
    loop.run(0.1)
    assert "rtp_sent" not in counts(loop)
    ear.sock.sendto(packet(1), ("127.0.0.1", offered(ok)[0]))
    until(loop, lambda: counts(loop).get("rtp_received") == 1, seconds=10)
    loop.close()


@pytest.mark.parametrize(("line", "outcome"), [("a=inactive", "answered"), ("a=sendonly", "no_media")])
def test_silence_counts_only_where_audio_was_promised(
    mode: str, peer: Peer, ear: Ear, line: str, outcome: str
) -> None:
    loop = calling(peer, mode, hold=0.3)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=f"{ear.sdp()}{line}\r\n")
    (bye,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"BYE")])
    peer.respond(bye, "200 OK")
    assert loop.run(2)
    assert counts(loop)[outcome] == 1
    loop.close()


def test_what_is_received_is_counted_and_judged(mode: str, peer: Peer, ear: Ear) -> None:
    loop = calling(peer, mode)
    (invite,) = until(loop, peer.take)
    port, _ = offered(invite)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=ear.sdp())
    until(loop, peer.take)
    for sequence in (1, 2, 3, 5, 6, 6, 7):
        ear.sock.sendto(packet(sequence, timestamp=0), ("127.0.0.1", port))  # all of one moment
    ear.sock.sendto(b"\x80\xc9" + bytes(30), ("127.0.0.1", port))  # RTCP
    ear.sock.sendto(packet(9, ssrc=77), ("127.0.0.1", port))  # somebody else's
    until(loop, lambda: counts(loop).get("rtp_received") == 7, seconds=10)
    loop.stop(2, 5)
    (bye,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"BYE")])
    peer.respond(bye, "200 OK")
    assert loop.run(5)
    found = counts(loop)
    assert {
        "answered": 1, "rtp_received": 7, "rtp_lost": 1, "rtp_duplicated": 1, "rtp_unmatched": 1,
        "streams_ended": 1, "streams_peak": 1,
    }.items() <= found.items()  # fmt: skip
    assert "streams" not in found
    assert recorded(loop, "loss") == pytest.approx([1428], rel=0.01)
    assert len(recorded(loop, "mos")) == len(recorded(loop, "jitter")) == 1
    assert 1000 <= recorded(loop, "mos")[0] < 3500
    loop.close()


def test_packets_that_were_sent_in_one_piece_are_told_apart(mode: str, peer: Peer, ear: Ear) -> None:
    """A sender that leaves the cutting to the kernel (UDP_SEGMENT, udp(7)); the last piece may be shorter."""
    loop = calling(peer, mode)
    (invite,) = until(loop, peer.take)
    port, _ = offered(invite)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=ear.sdp())
    until(loop, peer.take)
    pieces = [packet(sequence, timestamp=0) for sequence in (1, 2, 4, 5)] + [packet(6, timestamp=0)[:100]]
    segment = [(socket.IPPROTO_UDP, 103, struct.pack("=H", 172))]
    try:
        ear.sock.sendmsg([b"".join(pieces)], segment, 0, ("127.0.0.1", port))
    except OSError as error:
        pytest.skip(f"this kernel does not cut datagrams: {error}")
    ear.sock.sendmsg(
        [b"\x80\xc8" + bytes(170) + bytes(60)], segment, 0, ("127.0.0.1", port)
    )  # nothing of ours
    ear.sock.sendto(packet(7, timestamp=0), ("127.0.0.1", port))
    until(loop, lambda: counts(loop).get("rtp_received") == 6, seconds=10)
    found = counts(loop)
    assert "rtp_unmatched" not in found
    assert "rtp_duplicated" not in found
    loop.close()


def test_a_stream_without_ssrc_in_sdp_is_known_by_its_first_packet(mode: str, peer: Peer, ear: Ear) -> None:
    loop = calling(peer, mode)
    (invite,) = until(loop, peer.take)
    port, _ = offered(invite)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=ear.sdp(None))
    until(loop, peer.take)
    for ssrc in (5, 5, 6):
        ear.sock.sendto(packet(1, ssrc=ssrc), ("127.0.0.1", port))
    until(loop, lambda: counts(loop).get("rtp_unmatched") == 1, seconds=10)
    assert counts(loop)["rtp_received"] == 2
    loop.close()


def test_an_answer_without_a_packet_is_a_call_without_media(mode: str, peer: Peer, ear: Ear) -> None:
    loop = calling(peer, mode, hold=0.3)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=ear.sdp())
    (bye,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"BYE")])
    peer.respond(bye, "200 OK")
    assert loop.run(5)
    assert {"no_media": 1, "streams_silent": 1, "streams_ended": 1}.items() <= counts(loop).items()
    loop.close()


def test_an_answer_whose_audio_stops_is_a_call_with_gaps(mode: str, peer: Peer, ear: Ear) -> None:
    """Of 1.5 s at least 1 s is silent, however busy the machine is."""
    loop = calling(peer, mode, hold=1.5, media=media(mode, min_heard=90.0))
    (invite,) = until(loop, peer.take)
    port, _ = offered(invite)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=ear.sdp())
    for sequence in range(5):
        ear.sock.sendto(packet(sequence), ("127.0.0.1", port))
    (bye,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"BYE")], seconds=10)
    peer.respond(bye, "200 OK")
    assert loop.run(5)
    found = counts(loop)
    assert {"media_gaps": 1, "streams_ended": 1, "rtp_received": 5}.items() <= found.items()
    assert found["rtp_gap_ms"] > 900
    assert recorded(loop, "mos")[0] < 2500
    loop.close()


def test_what_was_never_promised_is_no_gap_and_neither_is_a_hold(mode: str, peer: Peer, ear: Ear) -> None:
    loop = calling(peer, mode, hold=1.5, media=media(mode, min_heard=90.0))
    (invite,) = until(loop, peer.take)
    port, _ = offered(invite)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=f"{ear.sdp()}a=inactive\r\n")
    (ack,) = until(loop, peer.take)
    assert ack.startswith(b"ACK")
    ear.sock.sendto(packet(1), ("127.0.0.1", port))
    (bye,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"BYE")], seconds=10)
    peer.respond(bye, "200 OK")
    assert loop.run(5)
    assert counts(loop)["answered"] == 1
    assert "rtp_due_ms" not in counts(loop)
    loop.close()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_the_sdp_of_a_later_offer_is_in_force(mode: str, peer: Peer, ear: Ear, method: str) -> None:
    """The far end moves its audio: ours goes there, and stragglers of the old port are not heard."""
    loop = calling(peer, mode)
    (invite,) = until(loop, peer.take)
    port, ssrc = offered(invite)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=ear.sdp(None))
    until(loop, peer.take)
    ear.sock.sendto(packet(1), ("127.0.0.1", port))
    until(loop, lambda: counts(loop).get("rtp_received") == 1)
    moved = Ear()
    text = invite.decode()
    headers = {name: re.search(rf"^{name}: (.*?)\r", text, re.M)[1] for name in ("From", "To", "Call-ID")}  # type: ignore[index]
    body = moved.sdp(None)
    peer.send(
        f"{method} sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{peer.address.port};branch=z9hG4bKmove\r\n"
        f"From: {headers['To']};tag=far\r\nTo: {headers['From']}\r\nCall-ID: {headers['Call-ID']}\r\n"
        f"CSeq: 1 {method}\r\nMax-Forwards: 70\r\n{peer.contact()}Content-Type: application/sdp\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    until(loop, lambda: [m for m in peer.take() if m.startswith(b"SIP/2.0 200")])
    assert until(loop, lambda: moved.take(ssrc), seconds=10)
    for sequence in (2, 3):
        ear.sock.sendto(packet(sequence), ("127.0.0.1", port))
    for sequence in (9000, 9001):
        moved.sock.sendto(packet(sequence, ssrc=5), ("127.0.0.1", port))
    until(loop, lambda: counts(loop).get("rtp_received", 0) == 3, seconds=10)
    assert counts(loop)["rtp_unmatched"] == 2
    moved.sock.close()
    loop.close()


def test_rtp_does_not_go_where_nobody_permitted_it(mode: str, peer: Peer, ear: Ear) -> None:
    loop = calling(peer, mode, hold=0.3)
    (invite,) = until(loop, peer.take)
    sdp = ear.sdp().replace("c=IN IP4 127.0.0.1", "c=IN IP4 192.0.2.1")
    peer.respond(invite, "200 OK", extra=peer.contact(), body=sdp)
    (bye,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"BYE")])
    peer.respond(bye, "200 OK")
    assert loop.run(5)
    assert "rtp_sent" not in counts(loop)
    loop.close()


def test_a_range_that_is_exhausted_fails_the_call_by_name(peer: Peer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        for port in range(SOMEWHERE[1] - 1, SOMEWHERE[0], -2):
            with contextlib.suppress(OSError):
                taken.bind(("127.0.0.1", port))
                break
        config = media(low=port, high=port + 1)
        loop = calling(peer, "ports", calls=3, media=config)
        assert loop.run(5)
        assert counts(loop)["no_port"] == 3
        assert not peer.take()
        loop.close()


def test_a_call_with_media_is_answered_with_a_port_of_its_own(mode: str, peer: Peer, ear: Ear) -> None:
    words = Wording(local="127.0.0.1:5060", salt=SALT, media=True)
    loop = loop_to(None, media=media(mode), messages=answerer_messages(words))
    peer.source = loop.local
    body = ear.sdp()
    peer.send(
        f"INVITE sip:x@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{peer.address.port};branch=z9hG4bKa\r\n"
        f"From: <sip:a@b>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n"
        f"Contact: <sip:a@127.0.0.1:{peer.address.port}>\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    (ok,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"SIP/2.0 200")])
    port, ssrc = offered(ok)
    ear.sock.sendto(packet(1), ("127.0.0.1", port))
    until(loop, lambda: counts(loop).get("rtp_received") == 1 and ear.take(ssrc), seconds=10)
    loop.close()


def free_address() -> Address:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", probe.getsockname()[1])


def test_one_loop_hears_all_that_the_other_sends(mode: str) -> None:
    here, there = free_address(), free_address()
    answering = Wording(local=f"127.0.0.1:{there.port}", salt=SALT + 1, media=True)
    calling = Wording(
        local=f"127.0.0.1:{here.port}", salt=SALT, target=f"sip:x@127.0.0.1:{there.port}", media=True
    )
    far = loop_to(
        None,
        local=there,
        salt=SALT + 1,
        media=media(mode, 25_000, 29_999),
        messages=answerer_messages(answering),
        calls=5,
    )
    near = loop_to(
        None,
        caller=True,
        answerer=False,
        local=here,
        remote=there,
        media=media(mode, 20_000, 24_999),
        messages=caller_messages(calling),
        calls=5,
        rate=50.0,
        hold=0.6,
    )
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(far.run, 10)
        assert near.run(10)
        assert done.result()
    one, other = counts(near), counts(far)
    assert one["answered"] == other["answered"] == 5
    assert one["streams_ended"] == other["streams_ended"] == one["streams_peak"] == 5
    # On a shared port the last packet may be read after the BYE that overtook it, and is nobody's then.
    assert one["rtp_sent"] == other["rtp_received"] + other.get("rtp_unmatched", 0) >= 5 * 10
    assert other.get("rtp_unmatched", 0) <= 5
    assert "rtp_lost" not in one
    assert "rtp_lost" not in other
    assert len(recorded(near, "mos")) == len(recorded(far, "mos")) == 5
    near.close()
    far.close()
