from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.rtp.packet import RtpError, RtpPacket, parse, payload_bounds, serialize

packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    marker=st.booleans(),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=400),
    csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
)


@given(packets)
def test_what_is_written_is_read_again(packet: RtpPacket) -> None:
    assert parse(serialize(packet)) == packet


@given(st.binary(max_size=120))
def test_any_octets_are_a_packet_or_an_rtp_error(data: bytes) -> None:
    try:
        packet = parse(data)
    except RtpError:
        return
    assert len(packet.payload) <= len(data) - 12


def test_extension_csrcs_and_padding_are_taken_off() -> None:
    data = bytes.fromhex("b280 0001 00000002 00000003") + b"\0" * 8
    data += bytes.fromhex("bede 0001 11223344") + b"audio" + b"\0\0\x03"
    start, end = payload_bounds(data)
    assert data[start:end] == b"audio"


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("80", "1 octets are too few for an RTP header"),
        ("", "0 octets are too few for an RTP header"),
        ("40000001 00000002 00000003", "RTP version 1"),
        ("8f000001 00000002 00000003", "the CSRC list or header extension reaches beyond the packet"),
        ("90000001 00000002 00000003 bede", "the header extension is cut off"),
        (
            "90000001 00000002 00000003 bede ffff",
            "the CSRC list or header extension reaches beyond the packet",
        ),
        ("a0000001 00000002 00000003 0000ff", "255 octets of padding in a packet that cannot hold them"),
        ("a0000001 00000002 00000003 000000", "0 octets of padding in a packet that cannot hold them"),
    ],
)
def test_a_packet_that_is_none_says_why(octets: str, reason: str) -> None:
    with pytest.raises(RtpError) as caught:
        parse(bytes.fromhex(octets))
    assert caught.value.reason == reason
