"""The line to a guardian: what has to be heard is heard, though guardians are killed in between."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from callwright.net.guardian_line import GuardianLine, available

pytestmark = pytest.mark.skipif(not available(), reason="there is no guardian on this system")

PATIENCE = 60.0

#: Writes what it hears into a file of its own, with the number of descriptors that came along.
LISTENS = """
import contextlib, os, socket, sys
line = socket.socket(fileno=0)
with open(os.path.join(sys.argv[1], str(os.getpid())), "w", buffering=1) as heard:
    while True:
        data, descriptors, _, _ = socket.recv_fds(line, 1 << 18, 16)
        if not data:
            break
        heard.write(data.decode() + "+" * len(descriptors) + "\\n")
        for descriptor in descriptors:
            os.close(descriptor)
    heard.write("end\\n")
    with contextlib.suppress(OSError):
        line.send(b"!")
"""


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Heard:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.line = GuardianLine([sys.executable, "-S", "-c", LISTENS, str(folder)])

    def by(self, pid: int) -> list[str]:
        path = self.folder / str(pid)
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def guardian(self, *, after: int = 0) -> int:
        until(lambda: self.line.pid not in (None, after))
        assert self.line.pid is not None
        return self.line.pid


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Heard]:
    made = Heard(tmp_path)
    yield made
    made.line.close()


def begin(line: GuardianLine) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        number = line.open(lambda section: b"estate %d" % section)
        line.lend(number, b"socket", [ours.fileno()])
    line.keep(number, "a", b"will")
    return number


WHOLE = ["estate 1", "socket+", "will"]


def test_a_guardian_that_is_killed_is_replaced_by_one_that_is_told_everything(heard: Heard) -> None:
    begin(heard.line)
    first = heard.guardian()
    until(lambda: heard.by(first) == WHOLE)
    os.kill(first, signal.SIGKILL)
    second = heard.guardian(after=first)
    until(lambda: heard.by(second) == WHOLE)


@pytest.mark.parametrize("closing", [False, True])
def test_an_orphan_is_told_to_the_next_guardian_where_this_one_dies_of_it(
    heard: Heard, closing: bool
) -> None:
    """It was said, and never read; also where this process ends before there is another guardian."""
    number = begin(heard.line)
    first = heard.guardian()
    until(lambda: heard.by(first) == WHOLE)
    os.kill(first, signal.SIGSTOP)
    heard.line.close_section(number, b"orphan", must_hear=True)
    os.kill(first, signal.SIGKILL)
    if closing:
        heard.line.close()
    until(lambda: any(heard.by(int(one.name))[:4] == [*WHOLE, "orphan"] for one in heard.folder.iterdir()))


def test_an_orphan_is_told_once_where_the_guardian_lives(heard: Heard) -> None:
    number = begin(heard.line)
    heard.line.close_section(number, b"orphan", must_hear=True)
    heard.line.close()
    until(lambda: any("end" in heard.by(int(one.name)) for one in heard.folder.iterdir()))
    pid = int(next(heard.folder.iterdir()).name)
    assert heard.by(pid) == [*WHOLE, "orphan", "end"]


def test_what_is_over_is_not_told_to_the_next_guardian(heard: Heard) -> None:
    number = begin(heard.line)
    begin(heard.line)
    heard.line.close_section(number, b"close")
    first = heard.guardian()
    until(lambda: heard.by(first)[-1:] == ["close"])
    os.kill(first, signal.SIGKILL)
    second = heard.guardian(after=first)
    until(lambda: heard.by(second))
    heard.line.close()
    until(lambda: heard.by(second)[-1:] == ["end"])
    assert heard.by(second) == ["estate 2", "socket+", "will", "end"]


def test_a_section_that_is_closed_gives_its_sockets_back(heard: Heard) -> None:
    number = begin(heard.line)
    pid = heard.guardian()
    until(lambda: heard.by(pid) == WHOLE)
    before = len(os.listdir("/proc/self/fd"))
    heard.line.close_section(number, b"close")
    assert len(os.listdir("/proc/self/fd")) == before - 1
