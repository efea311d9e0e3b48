"""RTP of the load loop, native and not: the same packets, the same figures."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.load.messages import Wording, answerer_messages, caller_messages
from callwright.net.load_media import read_audio
from callwright.net.load_numbers import Numbers
from callwright.net.load_stream import Stream, is_rtp
from callwright.net.loading import HISTOGRAMS, MediaConfig, bucket_value, networks_of
from callwright.sip.transport import Address
from tests.net.load_peer import SALT, Peer, counts, loop_to, needs_native, until

SOMEWHERE = (20_000, 29_999)
PAYLOAD = bytes(range(160)) + bytes(160)
THEIRS = 0x11223344
Packets = list[tuple[int, bytes]]
"""Each with its arrival in nanoseconds."""
Judged = tuple[int, dict[str, int], bytes]
"""MOS in thousandths, counters, histograms."""


def media(mode: str = "ports", low: int = SOMEWHERE[0], high: int = SOMEWHERE[1]) -> MediaConfig:
    return MediaConfig(mode=mode, host="127.0.0.1", low=low, high=high, payload=PAYLOAD)


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


def calling(peer: Peer, mode: str, *, native: bool, **more: Any) -> Any:
    local = "127.0.0.1:5060"
    words = Wording(local=local, salt=SALT, target="sip:x@127.0.0.1", caller=f"sip:me@{local}", media=True)
    settings = {"media": media(mode), "messages": caller_messages(words), "hold": 30.0}
    return loop_to(peer, native=native, **settings | more)


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
    return [bucket_value(index) for index, times in enumerate(found) for _ in range(times)]


# -- the same packets to both


def judged_by_twin(config: MediaConfig, packets: Packets) -> Judged:
    numbers = Numbers()
    stream = Stream(None, 20_000, ssrc=1, sequence=0, timestamp=0, at=0)
    for arrival, data in packets:
        if is_rtp(data):
            stream.account(data, arrival, config, numbers)
    mos = stream.judged(config, numbers) if stream.received else -1
    return mos, counts(numbers), numbers.histograms()


def judged_by_native(config: MediaConfig, packets: Packets) -> Judged:
    from callwright.net._load import judged

    loop = loop_to(None, native=True, media=config)
    mos = judged(loop, packets)
    found = counts(loop)
    found.pop("streams_peak")
    result = mos, found, loop.histograms()
    loop.close()
    return result


def both(packets: Packets) -> tuple[int, dict[str, int]]:
    config = media()
    ours, theirs = judged_by_native(config, packets), judged_by_twin(config, packets)
    assert ours == theirs
    return ours[:2]


def paced(sequences: list[int], late: dict[int, float] | None = None) -> Packets:
    """Packets that arrive when they are due, some of them later (seconds)."""
    return [
        (10**18 + n * 20_000_000 + int((late or {}).get(n, 0.0) * 1e9), packet(sequence))
        for n, sequence in enumerate(sequences)
    ]


@needs_native
def test_a_clean_stream_gets_the_best_mos_of_its_codec() -> None:
    mos, found = both(paced(list(range(100))))
    assert mos == 4409  # R 93.2
    assert found == {"rtp_received": 100, "streams_ended": 1}


@needs_native
def test_loss_is_counted_over_the_wrap_of_sequence_numbers() -> None:
    mos, found = both(paced([n & 0xFFFF for n in range(65_500, 65_600) if n % 10]))
    assert found["rtp_lost"] == 9  # the first of the hundred is not known to be missing
    assert mos < 3000


@needs_native
def test_duplicates_and_reordered_packets_are_no_loss() -> None:
    _, found = both(paced([1, 2, 4, 3, 3, 5, 6]))
    assert found == {"rtp_received": 7, "rtp_reordered": 1, "rtp_duplicated": 1, "streams_ended": 1}


@needs_native
def test_what_comes_after_its_time_is_discarded_and_costs_mos() -> None:
    mos, found = both(paced(list(range(50)), late=dict.fromkeys(range(10, 20), 0.08)))
    assert found["rtp_discarded"] == 10
    assert mos < 3500


@needs_native
@given(st.data())
def test_both_judge_any_stream_the_same(data: st.DataObject) -> None:
    sequence, packets, arrival = data.draw(st.integers(0, 65_535)), [], 10**18
    for _ in range(data.draw(st.integers(0, 60))):
        step = data.draw(
            st.sampled_from([1, 1, 1, 1, 2, 3, 9, 63, 64, 65, 2999, 3000, 40_000]) | st.integers(-70, 0)
        )
        sequence = (sequence + step) & 0xFFFF
        arrival += data.draw(st.integers(0, 60_000_000))
        shift = data.draw(st.sampled_from([0, 0, 0, -320, 7777, 2**31]))
        data_ = packet(sequence, timestamp=sequence * 160 + shift)
        packets.append((arrival, data_[: data.draw(st.sampled_from([172, 172, 172, 12, 11]))]))
    both(packets)


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
    b"m=audio 20004/2 RTP/AVP 0",
    b"",
    b"\0",
    b"\xff=\xff",
)


@needs_native
@given(st.lists(st.sampled_from(LINES), max_size=9), st.sampled_from([b"\r\n", b"\n", b"\r\n \n"]))
def test_both_read_the_same_of_an_sdp(lines: list[bytes], end: bytes) -> None:
    from callwright.net._load import audio

    body = end.join(lines) + end
    loop = loop_to(None, native=True, media=media(), networks=networks_of(["0.0.0.0/0"]))
    found = audio(loop, body)
    loop.close()
    host, port, ssrc = read_audio(body)
    assert found == ((host, port, ssrc) if host and port and ":" not in host else None)


# -- on the wire


def test_a_stream_is_sent_as_its_sdp_says(native: bool, mode: str, peer: Peer, ear: Ear) -> None:
    loop = calling(peer, mode, native=native)
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


def test_what_is_received_is_counted_and_judged(native: bool, mode: str, peer: Peer, ear: Ear) -> None:
    loop = calling(peer, mode, native=native)
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


def test_packets_that_were_sent_in_one_piece_are_told_apart(
    native: bool, mode: str, peer: Peer, ear: Ear
) -> None:
    """A sender that leaves the cutting to the kernel (UDP_SEGMENT, udp(7)); the last piece may be shorter."""
    loop = calling(peer, mode, native=native)
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


def test_a_stream_without_ssrc_in_sdp_is_known_by_its_first_packet(
    native: bool, mode: str, peer: Peer, ear: Ear
) -> None:
    loop = calling(peer, mode, native=native)
    (invite,) = until(loop, peer.take)
    port, _ = offered(invite)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=ear.sdp(None))
    until(loop, peer.take)
    for ssrc in (5, 5, 6):
        ear.sock.sendto(packet(1, ssrc=ssrc), ("127.0.0.1", port))
    until(loop, lambda: counts(loop).get("rtp_unmatched") == 1, seconds=10)
    assert counts(loop)["rtp_received"] == 2
    loop.close()


def test_an_answer_without_a_packet_is_a_call_without_media(
    native: bool, mode: str, peer: Peer, ear: Ear
) -> None:
    loop = calling(peer, mode, native=native, hold=0.3)
    (invite,) = until(loop, peer.take)
    peer.respond(invite, "200 OK", extra=peer.contact(), body=ear.sdp())
    (bye,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"BYE")])
    peer.respond(bye, "200 OK")
    assert loop.run(5)
    assert {"no_media": 1, "streams_silent": 1, "streams_ended": 1}.items() <= counts(loop).items()
    loop.close()


def test_rtp_does_not_go_where_nobody_permitted_it(native: bool, mode: str, peer: Peer, ear: Ear) -> None:
    loop = calling(peer, mode, native=native, hold=0.3)
    (invite,) = until(loop, peer.take)
    sdp = ear.sdp().replace("c=IN IP4 127.0.0.1", "c=IN IP4 192.0.2.1")
    peer.respond(invite, "200 OK", extra=peer.contact(), body=sdp)
    (bye,) = until(loop, lambda: [m for m in peer.take() if m.startswith(b"BYE")])
    peer.respond(bye, "200 OK")
    assert loop.run(5)
    assert "rtp_sent" not in counts(loop)
    loop.close()


def test_a_range_that_is_exhausted_fails_the_call_by_name(native: bool, peer: Peer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        for port in range(SOMEWHERE[1] - 1, SOMEWHERE[0], -2):
            with contextlib.suppress(OSError):
                taken.bind(("127.0.0.1", port))
                break
        config = media(low=port, high=port + 1)
        loop = calling(peer, "ports", native=native, calls=3, media=config)
        assert loop.run(5)
        assert counts(loop)["no_port"] == 3
        assert not peer.take()
        loop.close()


def test_a_call_with_media_is_answered_with_a_port_of_its_own(
    native: bool, mode: str, peer: Peer, ear: Ear
) -> None:
    words = Wording(local="127.0.0.1:5060", salt=SALT, media=True)
    loop = loop_to(None, native=native, media=media(mode), messages=answerer_messages(words))
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


@pytest.mark.parametrize("answers_natively", [pytest.param(True, marks=needs_native), False])
def test_one_loop_hears_all_that_the_other_sends(native: bool, answers_natively: bool, mode: str) -> None:
    here, there = free_address(), free_address()
    answering = Wording(local=f"127.0.0.1:{there.port}", salt=SALT + 1, media=True)
    calling = Wording(
        local=f"127.0.0.1:{here.port}", salt=SALT, target=f"sip:x@127.0.0.1:{there.port}", media=True
    )
    far = loop_to(
        None,
        native=answers_natively,
        local=there,
        salt=SALT + 1,
        media=media(mode, 25_000, 29_999),
        messages=answerer_messages(answering),
        calls=5,
    )
    near = loop_to(
        None,
        native=native,
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
