from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.rtp.rtcp import (
    Bye,
    ReceiverReport,
    ReportBlock,
    RtcpError,
    RtcpPacket,
    SenderReport,
    Skipped,
    SourceDescription,
    middle_32,
    ntp_timestamp,
    parse_compound,
    serialize_compound,
)

word = st.integers(0, 0xFFFFFFFF)
block = st.builds(
    ReportBlock, word, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), word, word, word, word
)
blocks = st.lists(block, max_size=31).map(tuple)
reports = st.one_of(
    st.builds(SenderReport, word, st.integers(0, 2**64 - 1), word, word, word, blocks),
    st.builds(ReceiverReport, word, blocks),
)
names = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), max_size=60)
others = st.one_of(
    st.builds(SourceDescription, st.lists(st.tuples(word, names), max_size=5).map(tuple)),
    st.builds(Bye, st.lists(word, max_size=5).map(tuple), names),
    reports,
)


@given(reports, st.lists(others, max_size=4))
def test_what_is_written_is_read_again(first: RtcpPacket, rest: list[RtcpPacket]) -> None:
    assert parse_compound(serialize_compound([first, *rest])) == [first, *rest]


@given(st.binary(max_size=200))
def test_any_octets_are_packets_or_an_rtcp_error(data: bytes) -> None:
    try:
        parse_compound(data)
    except RtcpError:
        return


@given(st.binary(max_size=120), st.integers(0, 255), st.integers(200, 205))
def test_octets_behind_a_right_header_are_packets_or_an_rtcp_error(
    body: bytes, first: int, kind: int
) -> None:
    body += bytes(-len(body) % 4)
    report = serialize_compound([ReceiverReport(1)])
    try:
        parse_compound(
            report + bytes([0x80 | first & 0x3F, kind]) + (len(body) // 4).to_bytes(2, "big") + body
        )
    except RtcpError:
        return


def test_app_and_feedback_are_passed_over() -> None:
    report = serialize_compound([ReceiverReport(1)])
    app = bytes.fromhex("80cc0002 00000001 74657374")
    feedback = bytes.fromhex("81ce0002 00000001 00000002")
    assert parse_compound(report + app + feedback) == [ReceiverReport(1), Skipped(204), Skipped(206)]


@pytest.mark.parametrize(
    "octets",
    [
        "80cb0001 00000001",  # BYE alone
        "80c90002 00000001",  # a length beyond the end
        "40c90001 00000001",  # version 1
        "81c90001 00000001",  # a block announced and absent
        "a0c90001 00000001",  # padding of one octet
        "a0c90001 00000001 80c90001 00000001",  # padding before the last packet
        "80c80001 00000001",  # a sender report without sender information
        "80c90001 00000001 81ca0001 00000001 00",  # three octets are left over
    ],
)
def test_a_compound_packet_that_breaks_a_rule_is_refused(octets: str) -> None:
    with pytest.raises(RtcpError):
        parse_compound(bytes.fromhex(octets))


def test_a_compound_packet_that_begins_with_bye_is_not_written() -> None:
    with pytest.raises(ValueError, match="begins with SR or RR"):
        serialize_compound([Bye((1,))])


def test_the_ntp_time_of_the_unix_epoch_is_its_seconds_since_1900() -> None:
    assert ntp_timestamp(0.0) == 2208988800 << 32
    assert ntp_timestamp(0.5) == 2208988800 << 32 | 0x80000000
    assert middle_32(0x0102030405060708) == 0x03040506
