"""Clients that hold on to the web server without an account: bodies that never come, silence, streams."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import httpx

from tests.acceptance.test_serve import LIGHT
from tests.kit.served import Served, serving

MANY = 700
NEVER = b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"


def hold(served: Served, stack: contextlib.ExitStack, begin: bytes) -> list[socket.socket]:
    held = []
    for _ in range(MANY):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=20))
        connection.sendall(begin)
        held.append(connection)
    return held


def still_open(held: list[socket.socket]) -> int:
    return sum(map(_is_open, held))


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def settle(held: list[socket.socket], most: int) -> None:
    deadline = time.monotonic() + 15  # below the time that a body has
    while (count := still_open(held)) > most:
        assert time.monotonic() < deadline, f"{count} of {len(held)} are held"
        time.sleep(0.1)


def test_nobody_stops_the_platform_by_holding_connections(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(serving(tmp_path / "data", *LIGHT, "--connections-per-address", "40"))
        assert "before sign-in 40 connections, 20 requests" in served.log.read_text()
        client = stack.enter_context(httpx.Client(base_url=served.url, auth=served.auth, timeout=10))
        ours = set()
        for begin, most in (
            (NEVER, 20),
            (b"", 40),
            (b"GET / HT", 40),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 40),
        ):
            held = hold(served, stack, begin)
            assert httpx.get(f"{served.url}/healthz", timeout=10).status_code == 200
            for _ in range(2):
                asked = client.get("/api/v2/tests")
                assert asked.status_code == 200
                ours.add(asked.extensions["network_stream"].get_extra_info("client_addr"))
                settle(held, most)
            for connection in held:
                connection.close()
        assert len(ours) == 1  # the connection on which somebody signed in outlives the others
