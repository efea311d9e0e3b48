"""The live view of `callwright load` on a real terminal: keys are pressed; the report says what they did."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers import LOOPBACK, free_port, run_callwright, start_callwright

pytestmark = [pytest.mark.peer, pytest.mark.timeout(180)]

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[()][0-9A-B]|[=>])")
_ENTER_SCREEN, _LEAVE_SCREEN, _SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


class Terminal:
    """A command on a terminal of its own; what it wrote there since `seen` was last moved."""

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._fd, slave = pty.openpty()
        self.resize(80, 24)
        self.settings = termios.tcgetattr(slave)
        mine = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
        own = {k: v for k, v in os.environ.items() if k not in mine} | {"TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LEADER, sys.executable, "-m", "callwright", *arguments],
            cwd=folder,
            env=own | dict(environment or {}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        self._slave = slave
        self.raw = ""
        self.seen = 0

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, key: str) -> None:
        """What is waited for next was written after this."""
        self._read(0.0)
        self.seen = len(self.raw)
        os.write(self._fd, key.encode())

    def _read(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        self.raw += os.read(self._fd, 65536).decode("utf-8", "replace")
        return True

    def wait_for(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """Until the text appears."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = re.search(pattern, _ESCAPES.sub("", self.raw[self.seen :]))
            if found:
                return found
            self._read(0.2)
        raise AssertionError(f"{pattern!r} did not come; the terminal had {self.raw[-2000:]!r}")

    def end(self, seconds: float = 40.0) -> int:
        """The exit code, after everything was read."""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            self._read(0.2)
        code = self.process.wait(1)
        while self._read(0.0):
            pass
        return code

    @property
    def restored(self) -> bool:
        return termios.tcgetattr(self._slave) == self.settings

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(5)
        os.close(self._fd)
        os.close(self._slave)


#: Makes stdin the terminal that controls the session, as a shell's is, and becomes the command.
_LEADER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    """Somebody who answers."""
    address = f"{LOOPBACK}:{free_port()}"
    with start_callwright(tmp_path, "load", "--answer", "--listen", address, wait_for="answering at"):
        yield f"sip:x@{address}"


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "load.json").read_text())
    return found


@contextlib.contextmanager
def shown(folder: Path, *arguments: str, **environment: str) -> Iterator[Terminal]:
    terminal = Terminal(folder, "load", *arguments, environment=environment)
    try:
        yield terminal
    finally:
        terminal.close()


def test_keys_change_the_rate_pause_resume_and_stop_gently(tmp_path: Path, target: str) -> None:
    socket = str(tmp_path / "ctl")

    def status() -> dict[str, Any]:
        told: dict[str, Any] = run_callwright(tmp_path, "load-ctl", socket, "status", "--json").document()
        return told

    arguments = (target, "--rate", "20", "--for", "170", "--report", "out", "--control", socket)
    with shown(tmp_path, *arguments) as terminal:
        terminal.wait_for(r"attempted [1-9]")
        terminal.wait_for(r"\+ - rate .*p pause .*q stop gently")
        terminal.press("*")
        terminal.wait_for(r"of 40\.0")
        terminal.press("-")
        terminal.wait_for(r"of 36\.4")
        terminal.press("p")
        terminal.wait_for("paused")
        terminal.wait_for("p resume")
        terminal.wait_for(r"rate 0\.0/s")
        before = status()
        terminal.press("x")  # is no key
        terminal.wait_for(r"rate 0\.0/s")
        assert before["paused"]
        assert status()["attempted"] == before["attempted"] > 0  # kept, and none is added
        terminal.press("p")
        terminal.wait_for("running")
        terminal.wait_for(r"of 36\.4")
        terminal.press("q")
        assert terminal.end() in (0, 3)  # 3: a machine too busy to judge by
        assert _ENTER_SCREEN in terminal.raw
        assert terminal.raw.index(_LEAVE_SCREEN) < terminal.raw.rindex("attempted ")
        assert terminal.raw.rindex(_SHOW_CURSOR) > terminal.raw.index(_ENTER_SCREEN)
        assert terminal.restored
    told = report(tmp_path)
    assert told["rate"]["asked_max"] == pytest.approx(40.0)
    assert told["attempted"] == told["answered"] > before["attempted"]
    assert told["seconds"] < 120


def test_ctrl_c_ends_every_call_and_gives_the_terminal_back(tmp_path: Path, target: str) -> None:
    with shown(
        tmp_path, target, "--rate", "20", "--hold", "100", "--for", "100", "--report", "out"
    ) as terminal:
        terminal.wait_for(r"under way [1-9]")
        terminal.resize(60, 12)
        terminal.wait_for("stop gently")
        terminal.press("\x03")
        assert terminal.end() == 130
        assert terminal.restored
        assert _LEAVE_SCREEN in terminal.raw
        assert "Traceback" not in terminal.raw
    told = report(tmp_path)
    assert (told["verdict"], told["failed"]) == ("canceled", 0)
    assert told["attempted"] == told["answered"] + told["canceled"] > 0


def test_stop_at_once_ends_calls_that_are_held(tmp_path: Path, target: str) -> None:
    with shown(
        tmp_path, target, "--rate", "20", "--hold", "100", "--for", "100", "--report", "out"
    ) as terminal:
        terminal.wait_for(r"under way [1-9]")
        terminal.press("Q")
        terminal.end()
        assert terminal.restored
    told = report(tmp_path)
    assert told["failed"] == 0
    assert told["seconds"] < 60


def test_a_terminal_without_a_screen_gets_lines_and_a_window_without_colour_none(
    tmp_path: Path, target: str
) -> None:
    with shown(tmp_path, target, "--rate", "20", "--for", "100", TERM="dumb") as terminal:
        terminal.wait_for(r"\d s: [\d.]+ calls/s, attempted")
        terminal.press("q")
        terminal.end()
        assert "\x1b" not in terminal.raw
        assert terminal.restored
    with shown(tmp_path, target, "--rate", "20", "--for", "100", NO_COLOR="1") as terminal:
        terminal.wait_for(r"attempted [1-9]")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 130
        assert not re.search(r"\x1b\[[\d;]*(?:3[1-7]|9[1-7])m", terminal.raw)
        assert terminal.restored
