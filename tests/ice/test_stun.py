"""STUN messages, with the vectors of RFC 5769 and aioice as the judge."""

from __future__ import annotations

import pytest
from aioice import stun as judge
from hypothesis import given
from hypothesis import strategies as st

from callwright.ice import stun

VECTOR = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae80220010535455"
    "4e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36"
    "0006000965"
    "76746a3a6836765920202000080014"
    "9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
"""RFC 5769 section 2.1."""
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
RESPONSE = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
"""RFC 5769 section 2.2."""
ID = bytes(range(12))


def test_the_request_of_rfc_5769_is_read() -> None:
    message = stun.parse(VECTOR)
    assert (message.kind, message.method) == (stun.REQUEST, stun.BINDING)
    assert message.value(stun.USERNAME) == b"evtj:h6vY"
    assert message.number(stun.PRIORITY) == 0x6E0001FF
    assert message.signed_by(PASSWORD)
    assert not message.signed_by(PASSWORD + b"x")


def test_the_response_of_rfc_5769_is_read() -> None:
    message = stun.parse(RESPONSE)
    assert message.kind == stun.SUCCESS
    assert message.address(stun.XOR_MAPPED_ADDRESS) == ("192.0.2.1", 32853)
    assert message.signed_by(PASSWORD)


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_aioice_reads_what_we_build(host: str) -> None:
    attributes = [
        (stun.USERNAME, b"them:us"),
        (stun.PRIORITY, (7).to_bytes(4, "big")),
        (stun.USE_CANDIDATE, b""),
        (stun.ICE_CONTROLLING, (9).to_bytes(8, "big")),
        (stun.XOR_MAPPED_ADDRESS, stun.xor_address((host, 4711), ID)),
    ]
    data = stun.build(stun.REQUEST, stun.BINDING, ID, attributes, key=b"secret")
    read = judge.parse_message(data)
    assert read.check_message_integrity(b"secret")
    assert read.attributes["USERNAME"] == "them:us"
    assert read.attributes["PRIORITY"] == 7
    assert read.attributes["ICE-CONTROLLING"] == 9
    assert read.attributes["XOR-MAPPED-ADDRESS"] == (host, 4711)
    ours = stun.parse(data)
    assert ours.signed_by(b"secret")
    assert ours.address(stun.XOR_MAPPED_ADDRESS) == (host, 4711)


def test_we_read_what_aioice_builds() -> None:
    message = judge.Message(judge.Method.ALLOCATE, judge.Class.ERROR, ID)
    message.attributes["ERROR-CODE"] = (401, "Unauthorized")
    message.attributes["REALM"] = "callwright"
    message.add_message_integrity(b"key")
    read = stun.parse(bytes(message))
    assert (read.kind, read.method, read.error) == (stun.ERROR, stun.ALLOCATE, (401, "Unauthorized"))
    assert read.signed_by(b"key")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "first octets"),
        (b"\x80" + VECTOR[1:], "first octets"),
        (VECTOR[:-1], "its length says"),
        (VECTOR[:60] + b"\xff" + VECTOR[61:], "FINGERPRINT does not fit"),
        (stun.build(0, 1, ID, [(0x8000, b"")] * 65, fingerprint=False), "more than 64 attributes"),
        (stun.build(0, 1, ID, [(0x8000, bytes(3000))], fingerprint=False), "are more than the 2048"),
        (stun.build(0, 1, ID, [(stun.MESSAGE_INTEGRITY, b"four")], fingerprint=False), "has 4 octets"),
        (b"\0\1\0\4" + VECTOR[4:20] + b"\0\6\xff\xff", "longer than the message"),
    ],
)
def test_what_is_no_message_is_refused_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(stun.StunError, match=why):
        stun.parse(data)


def test_what_stands_behind_the_signature_is_not_read() -> None:
    signed = stun.build(0, 1, ID, [(stun.USERNAME, b"a:b")], key=b"k", fingerprint=False)
    forged = signed[:2] + (len(signed) - 20 + 4).to_bytes(2, "big") + signed[4:] + b"\0\x25\0\0"
    message = stun.parse(forged)
    assert message.signed_by(b"k")
    assert not message.has(stun.USE_CANDIDATE)


def test_attributes_that_must_be_understood_are_named() -> None:
    data = stun.build(0, 1, ID, [(0x7001, b"x"), (0x8001, b"y")])
    assert stun.parse(data).unknown == (0x7001,)


@given(st.binary(max_size=120), st.integers(0, 255), st.integers(0, 60))
def test_whatever_comes_is_a_message_or_an_error(noise: bytes, octet: int, at: int) -> None:
    broken = bytearray(VECTOR)
    broken[at] = octet
    head = b"\0\1" + len(noise).to_bytes(2, "big") + VECTOR[4:20]
    for data in (noise, bytes(broken), head + noise):
        try:
            message = stun.parse(data)
        except stun.StunError:
            continue
        message.error, message.unknown, message.signed_by(b"k")
        for kind, _ in message.attributes:
            message.address(kind)
            message.number(kind)


@given(
    st.integers(0, 3),
    st.integers(0, 0xFF),
    st.lists(st.tuples(st.integers(0x8100, 0x8200), st.binary(max_size=40)), max_size=20),
)
def test_what_is_built_is_read_as_it_was(kind: int, method: int, attributes: list[tuple[int, bytes]]) -> None:
    message = stun.parse(stun.build(kind, method, ID, attributes, key=b"k"))
    assert (message.kind, message.method, message.transaction) == (kind, method, ID)
    assert list(message.attributes[:-1]) == attributes
    assert message.signed_by(b"k")
