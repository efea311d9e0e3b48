"""TCP for a loop in datagrams: numbered messages out, cut messages back, and what comes to nothing."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from callwright.net.bulk_streams import CLOSE, MESSAGE, REFUSED, BulkStreams, StreamPlan
from callwright.net.ports import free_tcp_port
from callwright.sip.transport import Address

HOST = "127.0.0.1"
REQUEST = b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 2\r\n\r\nhi"


@contextmanager
def streams(remote: Address | None) -> Iterator[BulkStreams]:
    made = BulkStreams(StreamPlan(local=Address(HOST, free_tcp_port(HOST)), remote=remote))
    try:
        yield made
    finally:
        made.close()


def say(made: BulkStreams, number: int, message: bytes, kind: int = MESSAGE) -> None:
    made.channel.send(struct.pack("=II", number, kind) + message)


def hear(made: BulkStreams) -> tuple[int, int, int, bytes]:
    """Connection, kind, port of the peer, message."""
    assert select.select([made.channel], [], [], 10)[0]
    data = made.channel.recv(65536)
    number, kind, raw, size, _ = struct.unpack_from("=II28sII", data)
    assert size == 16
    return number, kind, int.from_bytes(raw[2:4], "big"), data[44:]


def test_each_number_has_a_connection_and_closes_it() -> None:
    with socket.create_server((HOST, 0)) as server, streams(Address(*server.getsockname())) as made:
        server.settimeout(10)
        say(made, 7, REQUEST)
        say(made, 8, REQUEST)
        ends = [server.accept()[0], server.accept()[0]]
        with ends[0], ends[1]:
            assert [end.recv(4096) for end in ends] == [REQUEST, REQUEST]
            ends[1].sendall(REQUEST[:10])
            ends[1].sendall(REQUEST[10:] + b"\r\n\r\n" + REQUEST)
            first, second = hear(made), hear(made)
            assert first == second == (first[0], MESSAGE, server.getsockname()[1], REQUEST)
            assert ends[1].recv(4096) == b"\r\n"  # the keep-alive
            say(made, first[0], b"", CLOSE)
            ends[1].settimeout(10)
            assert ends[1].recv(4096) == b""
        assert (made.counts.opened, made.counts.failed) == (2, 0)


def test_a_message_that_reaches_nobody_comes_back() -> None:
    with streams(Address(HOST, free_tcp_port(HOST))) as made:
        say(made, 3, REQUEST)
        number, kind, _, message = hear(made)
        assert (number, kind, message) == (3, REFUSED, REQUEST)
        assert made.counts.failed == 1


def test_an_accepted_connection_is_numbered_and_answered() -> None:
    with streams(None) as made, socket.create_connection(made.plan.local) as caller:
        caller.settimeout(10)
        caller.sendall(REQUEST)
        number, kind, port, message = hear(made)
        assert number >= 1 << 31
        assert (kind, port, message) == (MESSAGE, caller.getsockname()[1], REQUEST)
        say(made, number, b"SIP/2.0 200 OK\r\n\r\n")
        assert caller.recv(4096) == b"SIP/2.0 200 OK\r\n\r\n"
        say(made, 5, REQUEST)  # there is nobody to call
        caller.sendall(b"no SIP without its length\r\n\r\n")
        assert caller.recv(4096) == b""
        assert (made.counts.accepted, made.counts.opened) == (1, 0)
