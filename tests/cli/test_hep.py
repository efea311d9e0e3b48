"""`--hep` as a user types it: SIP of a command at a collector on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

CALLWRIGHT = (sys.executable, "-m", "callwright")
SECONDS = 60.0


@pytest.fixture
def collector() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5.0)
        yield sock


def test_the_messages_of_a_run_are_mirrored_once_each(collector: socket.socket) -> None:
    place = f"127.0.0.1:{collector.getsockname()[1]}"
    done = subprocess.run(
        [*CALLWRIGHT, "run", "options_ping"],
        env=os.environ | {"CALLWRIGHT_HEP": place},
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    messages = []
    collector.setblocking(False)
    while True:
        try:
            datagram = collector.recv(65_535)
        except BlockingIOError:
            break
        assert datagram.startswith(b"HEP3")
        messages.append(datagram.split(b"\x00\x00\x00\x0f", 1)[1][2:])
    assert messages
    assert len(set(messages)) == len(messages)
    asked = sum(message.startswith(b"OPTIONS sip:") for message in messages)
    assert asked == sum(message.startswith(b"SIP/2.0 200 OK") for message in messages) == len(messages) / 2


def test_a_collector_that_is_not_there_costs_a_word_and_no_call() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{sock.getsockname()[1]}"
    done = subprocess.run(
        [*CALLWRIGHT, "run", "basic_call", "--hep", closed, "--set", "step.1.0.max_duration=1"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"{closed} does not take what is sent to it") == 1, done.stderr


@pytest.mark.parametrize("place", ["127.0.0.1:port", "127.0.0.1:70000", "nowhere.invalid:9060"])
def test_a_place_that_is_none_is_a_mistake_of_the_command(place: str) -> None:
    done = subprocess.run(
        [*CALLWRIGHT, "options", "sip:127.0.0.1", "--hep", place],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "--hep: " in done.stderr
