"""Octets to messages and back, and what is refused on the way."""

from __future__ import annotations

import pytest

from callwright.sip.headers import Headers
from callwright.sip.message import (
    MalformedMessage,
    MessageLimits,
    Request,
    Response,
    parse_datagram,
    serialize,
)
from callwright.sip.status import named_status
from tests.sip.wire import INVITE, changed, without


def refusal(data: bytes, limits: MessageLimits | None = None) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        parse_datagram(data, limits or MessageLimits())
    return caught.value


def test_an_ordinary_invite_is_read_and_written_octet_for_octet() -> None:
    message = parse_datagram(INVITE)
    assert isinstance(message, Request)
    assert (message.method, message.target.user, message.body) == ("INVITE", "bob", b"v=0\r\n")
    assert serialize(message) == INVITE


def test_a_response_is_read_and_written() -> None:
    data = INVITE.replace(b"INVITE sip:bob@biloxi.example.com SIP/2.0", b"SIP/2.0 180 Ringing")
    message = parse_datagram(data)
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (180, "Ringing")
    assert serialize(message) == data


def test_octets_that_are_no_utf8_are_kept() -> None:
    data = changed(b"Callwright/0.1", b"caf\xe9 \xff\xfe")
    assert serialize(parse_datagram(data)) == data


def test_folded_lines_are_joined_with_one_space() -> None:
    data = changed(b"Supported: replaces, timer", b"Supported: replaces,\r\n \t timer")
    assert parse_datagram(data).headers.get_all("supported") == ["replaces", "timer"]


def test_white_space_around_the_colon_is_no_part_of_name_or_value() -> None:
    data = changed(b"User-Agent: Callwright/0.1", b"User-Agent \t:\t Callwright/0.1 \t")
    assert parse_datagram(data).headers.get("user-agent") == "Callwright/0.1"


def test_bare_line_feeds_are_tolerated() -> None:
    message = parse_datagram(INVITE.replace(b"\r\n", b"\n").replace(b"Length: 5", b"Length: 4"))
    assert message.headers.cseq.number == 314159
    assert message.body == b"v=0\n"


def test_line_ends_before_the_start_line_are_skipped() -> None:
    assert parse_datagram(b"\r\n\r\n" + INVITE) == parse_datagram(INVITE)


@pytest.mark.parametrize("header", [b"Via", b"To", b"From", b"Call-ID", b"CSeq"])
def test_a_missing_header_is_told_by_name(header: bytes) -> None:
    error = refusal(without(header))
    assert error.header == header.decode()
    assert error.status == 400
    assert error.message is None  # not enough to answer


@pytest.mark.parametrize("header", [b"To", b"From", b"Call-ID", b"CSeq", b"Max-Forwards", b"Content-Length"])
def test_a_repeated_header_is_told_by_name(header: bytes) -> None:
    line = next(line for line in INVITE.split(b"\r\n") if line.startswith(header))
    error = refusal(changed(line + b"\r\n", line + b"\r\n" + line + b"\r\n"))
    assert error.header == header.decode()
    assert error.status == 400
    assert isinstance(error.message, Request)


@pytest.mark.parametrize(
    ("old", "new", "header"),
    [
        (b"314159 INVITE", b"314159 ACK", "CSeq"),
        (b"314159 INVITE", b"4294967296 INVITE", "CSeq"),
        (b"314159 INVITE", b"INVITE", "CSeq"),
        (b"Length: 5", b"Length: 6", "Content-Length"),
        (b"Length: 5", b"Length: -5", "Content-Length"),
        (b"Length: 5", b"Length: +5", "Content-Length"),
        (b"Length: 5", b"Length: 5x", "Content-Length"),
        (b"Length: 5", b"Length: \xc2\xb2", "Content-Length"),
        (b"Length: 5", b"Length: " + b"9" * 5000, "Content-Length"),
        (b"Length: 5", b"Length:", "Content-Length"),
        (b"Forwards: 70", b"Forwards: many", "Max-Forwards"),
        (b"SIP/2.0/UDP", b"SIP/2.0", "Via"),
        (b"z9hG4bKnashds8", b"z9hG4bK nashds8", "Via"),
        (b"<sip:bob@biloxi.example.com>\r", b"<sip:bob@biloxi.example.com\r", "To"),
        (b"Call-ID: a84b", b"Call-ID: a84b ", "Call-ID"),
        (b"Contact: <sip:alice", b"Contact: <sip:al ice", "Contact"),
    ],
)
def test_a_broken_header_is_told_by_name(old: bytes, new: bytes, header: str) -> None:
    error = refusal(changed(old, new))
    assert error.header == header
    assert error.status == 400
    assert header in str(error)
    assert error.rfc.startswith("RFC ")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"INVITE sip:bob@biloxi.example.com SIP/3.0", 505),
        (b"INVITE sip:bob@biloxi.example.com", 400),
        (b"INVITE  sip:bob@biloxi.example.com SIP/2.0", 400),
        (b"INVITE sip:bob@biloxi.example.com SIP/2.0 ", 400),
        (b"INVITE <sip:bob@biloxi.example.com> SIP/2.0", 400),
        (b"INVITE bob SIP/2.0", 400),
        (b"INV(TE sip:bob@biloxi.example.com SIP/2.0", 400),
        (b"GET / HTTP/1.1", 400),
        (b"SIP/2.0 99 Low", None),
        (b"SIP/2.0 700 High", None),
        (b"SIP/2.0 2000 Long", None),
        (b"SIP/3.0 200 OK", None),
        (b"\xff\xfe\x00\x01", 400),
    ],
)
def test_a_broken_start_line_is_refused(line: bytes, status: int | None) -> None:
    assert refusal(changed(b"INVITE sip:bob@biloxi.example.com SIP/2.0", line)).status == status


def test_nothing_is_answered_to_a_malformed_ack() -> None:
    assert refusal(INVITE.replace(b"INVITE", b"ACK").replace(b"314159 ACK", b"x ACK")).status is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\x00" * 65536,
        b"INVITE",
        INVITE.partition(b"\r\n\r\n")[0],
        changed(b"Supported: ", b"Supp\rorted: "),
        changed(b"User-Agent: Callwright/0.1", b"User-Agent Callwright/0.1"),
        changed(b"User-Agent: Callwright/0.1", b": Callwright/0.1"),
        changed(b"User-Agent", b"User Agent"),
        changed(b"User-Agent", b"\xc3\xa4gent"),
    ],
)
def test_what_is_not_sip_is_refused(data: bytes) -> None:
    refusal(data)


@pytest.mark.parametrize(
    ("data", "limits", "status"),
    [
        (INVITE, MessageLimits(start_line=30), 414),
        (INVITE, MessageLimits(head=200), 513),
        (INVITE, MessageLimits(header_count=11), 400),
        (INVITE, MessageLimits(header_name=10), 400),
        (INVITE, MessageLimits(header_value=40), 513),
        (INVITE, MessageLimits(body=4), 513),
        (changed(b"0.1", b"0.1" + b"x" * 100_000), MessageLimits(), 513),
        (changed(b"Supported", b"X: y\r\n" * 300 + b"Supported"), MessageLimits(), 400),
        (changed(b"Supported: ", b"Supported: " + b"\r\n " * 300), MessageLimits(), 400),
        (changed(b"User-Agent", b"U" * 300), MessageLimits(), 400),
        (changed(b"sip:bob@", b"sip:" + b"b" * 9000 + b"@"), MessageLimits(), 414),
    ],
)
def test_every_size_has_its_limit(data: bytes, limits: MessageLimits, status: int) -> None:
    assert refusal(data, limits).status == status


def test_content_length_is_made_right_in_its_place() -> None:
    message = parse_datagram(INVITE)
    message.body = b"0123456789"
    assert b"\r\nContent-Length: 10\r\n\r\n0123456789" in serialize(message)
    message.headers.remove("content-length")
    assert serialize(message).endswith(b"\r\nContent-Length: 10\r\n\r\n0123456789")


@pytest.mark.parametrize("text", ["a\r\nX: y", "a\ny", "a\ry"])
def test_a_value_cannot_make_headers_of_its_own(text: str) -> None:
    with pytest.raises(ValueError, match="CR or LF"):
        serialize(Request("OPTIONS", "sip:a@b", Headers([("Subject", text)])))
    with pytest.raises(ValueError, match="CR or LF"):
        serialize(Response(200, text))


@pytest.mark.timeout(5)
def test_no_message_takes_more_than_its_length_to_read() -> None:
    refusal(changed(b"Bob <", b"Bob" + b" " * 60_000 + b"x\r\n y<"))
    refusal(changed(b"SIP/2.0/UDP 192.0.2.10:5060;", b"SIP/2.0/UDP 192.0.2.10:" + b" " * 15_000 + b"a b;"))
    nasty = changed(b"tag=1928301774", b"tag=1" + b';a="\\' * 3000)
    refusal(nasty)
    refusal(changed(b"Bob <", b'"' * 15_001 + b"<"))
    refusal(changed(b"Bob <", b" a" * 8000 + b'"<'))


def test_a_registered_status_has_its_own_name_and_another_one_what_the_peer_said() -> None:
    assert named_status(486, "Go away") == "486 Busy Here"
    assert named_status(499, "Go away") == "499 Go away"
    assert named_status(499) == "499"
