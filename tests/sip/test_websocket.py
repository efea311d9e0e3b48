"""One end of a WebSocket without its socket (RFC 6455, RFC 7118)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.sip.transport import Address
from callwright.sip.websocket import (
    CLOSE_WITHIN,
    MESSAGE_LIMIT,
    OPEN_WITHIN,
    PING_EVERY,
    PONG_WITHIN,
    Ended,
    Event,
    Opened,
    Received,
    WebSocket,
    peer_header,
)

MESSAGE = b"OPTIONS sip:x@example.com SIP/2.0\r\nCall-ID: 1\r\n\r\n"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def hello(*extra: str, protocol: str = "Sec-WebSocket-Protocol: sip") -> bytes:
    lines = (
        "GET /ws HTTP/1.1",
        "Host: pbx.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *([protocol] if protocol else []),
        *extra,
    )
    return "\r\n".join((*lines, "", "")).encode()


def frame(payload: bytes, opcode: int = 1, *, final: bool = True, length: int | None = None) -> bytes:
    """Of a client, masked with zeros. `length`: what its header claims."""
    size = len(payload) if length is None else length
    head = bytes([opcode | (0x80 if final else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


def told(end: WebSocket, data: bytes, now: float = 0.0) -> Sequence[Event]:
    end.receive(data, now)
    return end.events()


def opened(trust: str = "") -> WebSocket:
    server = WebSocket(0.0, trust=trust)
    assert told(server, hello()) == [Opened()]
    assert server.transmissions().startswith(b"HTTP/1.1 101 ")
    return server


def pair() -> tuple[WebSocket, WebSocket]:
    client, server = WebSocket(0.0, host="pbx.example.com", path="/sip/ws"), WebSocket(0.0)
    asked = client.transmissions()
    assert b"GET /sip/ws HTTP/1.1" in asked
    assert b"Sec-WebSocket-Protocol: sip" in asked
    assert told(server, asked) == [Opened()]
    assert told(client, server.transmissions()) == [Opened()]
    return client, server


def test_messages_go_both_ways_each_whole() -> None:
    client, server = pair()
    client.send(MESSAGE)
    client.send(MESSAGE + b"\xff")  # no UTF-8: a binary frame
    assert told(server, client.transmissions()) == [Received(MESSAGE), Received(MESSAGE + b"\xff")]
    server.send(MESSAGE)
    assert told(client, server.transmissions()) == [Received(MESSAGE)]


@given(st.lists(st.integers(1, 40), max_size=30))
def test_the_cuts_of_a_stream_do_not_matter(sizes: list[int]) -> None:
    frames = frame(MESSAGE[:20], final=False) + frame(b"", 9) + frame(MESSAGE[20:], 0)
    server = WebSocket(0.0)
    found: list[Event] = []
    for stream in (hello(), frames):  # a client sends no frame before it has the answer
        for size in (*sizes, len(stream)):
            found += told(server, stream[:size])
            stream = stream[size:]
    assert found == [Opened(), Received(MESSAGE)]


@given(st.binary(max_size=300), st.booleans())
def test_any_octets_end_it_at_worst(noise: bytes, after_the_handshake: bool) -> None:
    server = opened() if after_the_handshake else WebSocket(0.0)
    server.receive(noise, 0.0)
    server.receive(MESSAGE, 0.0)
    server.wake(1e6)
    server.wake(2e6)
    assert server.next_wake() is None


def test_a_client_without_the_subprotocol_is_refused() -> None:
    server = WebSocket(0.0)
    for protocol in ("", "Sec-WebSocket-Protocol: chat"):
        server = WebSocket(0.0)
        (event,) = told(server, hello(protocol=protocol))
        assert event == Ended("a client asked for a WebSocket without the subprotocol sip")
        assert server.transmissions().startswith(b"HTTP/1.1 400 ")
    server.send(MESSAGE)
    assert server.transmissions() == b""


def test_a_server_without_the_subprotocol_is_left() -> None:
    client = WebSocket(0.0, host="pbx.example.com")
    client.transmissions()
    (event,) = told(client, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    assert event == Ended("the far end answered the WebSocket handshake for /ws 404")


def test_plain_http_is_answered_as_such() -> None:
    server = WebSocket(0.0)
    (event,) = told(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert isinstance(event, Ended)
    assert server.transmissions().startswith(b"HTTP/1.1 4")


def test_a_frame_of_100_mb_is_refused_before_it_has_come() -> None:
    server = opened()
    server.receive(frame(b"", length=100_000_000), 0.0)
    piece, taken = b"x" * 65_536, 0
    while not (said := server.transmissions()):
        server.receive(piece, 0.0)
        taken += len(piece)
        assert taken < MESSAGE_LIMIT + 2 * len(piece)
    assert said[0] == 0x88  # a Close frame, unmasked
    assert int.from_bytes(said[2:4], "big") == 1009
    assert told(server, piece) == []  # what still comes is not kept
    server.wake(CLOSE_WITHIN)
    assert server.events() == [Ended("")]


def test_a_message_in_endless_fragments_is_refused_too() -> None:
    server = opened()
    server.receive(frame(b"x" * 60_000, final=False), 0.0)
    for _ in range(MESSAGE_LIMIT // 60_000 + 1):
        server.receive(frame(b"x" * 60_000, 0, final=False), 0.0)
    assert int.from_bytes(server.transmissions()[2:4], "big") == 1009


def test_text_that_is_no_utf_8_is_refused_by_its_code() -> None:
    server = opened()
    server.receive(frame(b"\xff\xfe", 1), 0.0)
    assert int.from_bytes(server.transmissions()[2:4], "big") == 1007


def test_silence_is_pinged_and_a_dead_peer_found_out() -> None:
    client, server = pair()
    assert client.next_wake() == PING_EVERY
    client.wake(PING_EVERY)
    told(server, client.transmissions(), PING_EVERY)
    told(client, server.transmissions(), PING_EVERY + 1)  # the pong
    assert client.next_wake() == 2 * PING_EVERY + 1
    client.wake(2 * PING_EVERY + 1)
    client.wake(2 * PING_EVERY + 1 + PONG_WITHIN)
    (event,) = client.events()
    assert event == Ended("the far end answered no ping of the WebSocket within 20 s")


def test_a_handshake_that_does_not_come_ends() -> None:
    server = WebSocket(5.0)
    assert server.next_wake() == 5.0 + OPEN_WITHIN
    server.receive(hello()[:40], 6.0)
    server.wake(5.0 + OPEN_WITHIN)
    (event,) = server.events()
    assert isinstance(event, Ended)


def test_a_close_is_answered_and_told() -> None:
    client, server = pair()
    client.close(1.0)
    (event,) = told(server, client.transmissions())
    assert event == Ended("the far end closed the WebSocket (1000)")
    assert told(client, server.transmissions()) == []
    client.wake(1.0 + CLOSE_WITHIN)
    assert client.events() == [Ended("")]


@pytest.mark.parametrize(
    ("trust", "said", "peer"),
    [
        ("secret", "secret 4711 203.0.113.9", Address("203.0.113.9", 4711)),
        ("secret", "secret 4711 2001:db8::1", Address("2001:db8::1", 4711)),
        ("secret", "other 4711 203.0.113.9", None),
        ("secret", "secret x 203.0.113.9", None),
        ("secret", "", None),
        ("", " 4711 203.0.113.9", None),
    ],
)
def test_only_our_own_proxy_says_for_whom_it_comes(trust: str, said: str, peer: Address | None) -> None:
    server = WebSocket(0.0, trust=trust)
    (event,) = told(server, hello(f"Callwright-Peer: {said}"))
    if peer is not None:
        assert event == Opened(peer)
        assert peer_header(trust, peer) == ("callwright-peer", said)
    else:
        assert isinstance(event, Ended)
        assert server.transmissions().startswith(b"HTTP/1.1 403 ")
