"""What the Internet sends: nothing raises, nothing grows, and the honest stream keeps its numbers."""

from __future__ import annotations

from dataclasses import astuple

from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.rtp.packet import RtpPacket, serialize
from callwright.rtp.session import Session
from tests.kit.examples import examples
from tests.rtp.pair import B, config, entropy

word = st.integers(0, 0xFFFFFFFF)
rtp = st.builds(
    lambda pt, marker, sequence, timestamp, ssrc, payload: serialize(
        RtpPacket(pt, marker, sequence, timestamp, ssrc, payload)
    ),
    st.sampled_from([0, 0, 0, 8, 13, 72, 96, 101, 127]),
    st.booleans(),
    st.integers(0, 65535),
    word,
    st.sampled_from([1, 1, 1, 2, 3]),
    st.binary(max_size=12),
)
arrivals = st.lists(
    st.tuples(st.one_of(st.binary(max_size=40), rtp), st.floats(0, 100, allow_nan=False)), max_size=80
)


def listening() -> Session:
    session = Session(config(B, tap_received=True), entropy(1))
    session.start(0.0)
    return session


@settings(max_examples=examples(200))
@given(arrivals)
def test_any_octets_at_any_time_never_raise_and_the_sums_hold(batch: list[tuple[bytes, float]]) -> None:
    session = listening()
    session.receive_batch([(data, B, now) for data, now in batch])
    for data, now in batch:
        session.receive_rtcp(data, (B[0], B[1] + 1), now)
    session.wake(200.0)
    session.played()
    report = session.report(200.0)
    received = report.received
    assert received.packets + report.malformed + received.unknown_payload >= 0
    assert received.pattern.packets == received.expected
    assert received.pattern.bad == received.lost >= 0
    for buffer in received.buffers:
        assert buffer.pattern.packets == buffer.expected
        assert buffer.pattern.bad == buffer.lost + buffer.discarded
    assert astuple(report)


@given(st.lists(st.binary(max_size=60), max_size=30))
def test_garbage_between_does_not_change_what_is_said_of_the_honest_stream(garbage: list[bytes]) -> None:
    clean, dirty = listening(), listening()
    for n in range(60):
        data = serialize(RtpPacket(0, False, n, 160 * n, 7, bytes(20)))
        clean.receive(data, B, 0.02 * n)
        dirty.receive(data, B, 0.02 * n)
        if n < len(garbage):
            dirty.receive(garbage[n][:11], B, 0.02 * n)
            dirty.receive(garbage[n], ("203.0.113.1", 9), 0.02 * n)
    assert dirty.report(2.0).received == clean.report(2.0).received
    assert dirty.report(2.0).malformed == len(garbage)
    assert dirty.report(2.0).strays == len(garbage)


def test_one_octet_of_rtp_and_rtcp_on_the_wrong_port_are_malformed() -> None:
    session = listening()
    session.receive(serialize(RtpPacket(0, False, 1, 0, 7, bytes(20))), B, 0.0)
    for data in (
        b"\x80",
        b"",
        bytes.fromhex("80c90001 00000001"),
        bytes.fromhex("80480001 00000001 00000000"),
    ):
        session.receive(data, B, 0.1)
    assert session.report(1.0).malformed == 4
    assert session.report(1.0).received.packets == 1


def test_leaping_timestamps_and_ssrcs_cost_no_more_than_any_packet() -> None:
    session = listening()
    for n in range(20_000):
        timestamp = (n * 0x7FFFFFF1) & 0xFFFFFFFF
        session.receive(
            serialize(RtpPacket(0, True, n * 31000 & 0xFFFF, timestamp, n, b"")), B, 1e6 * (n % 2)
        )
    received = session.report(0.0).received
    assert received.packets == 20_000
    assert len(received.series) <= 86_400
    assert len(received.pattern.runs) <= 100_000
    assert len(session.played()) <= 6000
