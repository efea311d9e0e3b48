"""Messages out of a stream, however it is cut."""

from __future__ import annotations

import pytest

from callwright.sip.framing import BrokenStreamError, StreamFramer
from callwright.sip.message import MessageLimits, parse_datagram
from tests.sip.wire import INVITE, changed, without


def test_a_stream_gives_the_same_messages_whole_and_byte_by_byte() -> None:
    stream = b"\r\n" + INVITE + b"\r\n\r\n" + INVITE + INVITE
    whole = StreamFramer().feed(stream)
    framer = StreamFramer()
    single: list[bytes] = []
    for position in range(len(stream)):
        single += framer.feed(stream[position : position + 1])
    assert whole == single == [INVITE] * 3
    assert framer.buffered == 0


def test_the_beginning_of_the_next_message_waits() -> None:
    framer = StreamFramer()
    assert framer.feed(INVITE + INVITE[:100]) == [INVITE]
    assert framer.buffered == 100
    assert framer.feed(INVITE[100:]) == [INVITE]


def test_a_compact_and_folded_content_length_is_found() -> None:
    message = changed(b"Content-Length: 5", b"l :\r\n 5")
    assert StreamFramer().feed(message + INVITE) == [message, INVITE]
    assert parse_datagram(message).body == b"v=0\r\n"


def test_keep_alives_are_counted_and_pongs_are_not() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n\r\n") == []
    assert framer.pings == 1
    framer.pings = 0
    assert framer.feed(b"\r\n") == []
    assert framer.pings == 0
    framer.feed(INVITE + b"\r")
    framer.feed(b"\n\r")
    framer.feed(b"\n")
    assert framer.pings == 1


@pytest.mark.parametrize("between", [b"\0", b"\r\n\0", b"\0\0\r\n", b"\r\n\0\r\n\0", b"\0\r\n\r\n\0"])
def test_nul_octets_between_messages_are_skipped(between: bytes) -> None:
    framer = StreamFramer()
    assert framer.feed(INVITE + between + INVITE + between) == [INVITE, INVITE]
    for octet in between:
        assert framer.feed(bytes([octet])) == []
    assert framer.feed(INVITE) == [INVITE]
    assert framer.buffered == 0


def test_a_nul_behind_the_length_is_no_part_of_it() -> None:
    message = changed(b"Content-Length: 5", b"Content-Length: 5\0")
    assert StreamFramer().feed(message) == [message]


@pytest.mark.parametrize(
    "message",
    [
        without(b"Content-Length"),
        changed(b"Content-Length: 5", b"Content-Length: -5"),
        changed(b"Content-Length: 5", b"Content-Length: 5\r\nl: 6"),
        changed(b"Content-Length: 5", b"Content-Length: 99999999"),
        changed(b"Content-Length: 5", b"Content-Length: " + b"9" * 5000),
        b"A" * 70_000,
    ],
)
def test_a_broken_stream_hands_over_what_was_whole_and_stays_broken(message: bytes) -> None:
    framer = StreamFramer()
    with pytest.raises(BrokenStreamError) as caught:
        framer.feed(INVITE + message)
    assert caught.value.messages == [INVITE]
    assert caught.value.head[:10] == message[:10]
    with pytest.raises(BrokenStreamError):
        framer.feed(INVITE)


def test_a_header_beyond_the_limit_breaks_the_stream() -> None:
    framer = StreamFramer(MessageLimits(head=100))
    with pytest.raises(BrokenStreamError):
        framer.feed(INVITE)
