"""A terminal that closes, a connection that breaks: commands end their calls as they do after SIGTERM."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callwright.agent.identity import Identity, write_identity
from tests.acceptance.scripted import ScriptedPeer, answers, rings
from tests.kit.served import environment, free_port

DOCUMENT = """
name: talk
parties: {alice: {}}
steps:
  - - call: {from: alice, dial_destination: "%s", media: no, max_duration: 60 s}
"""

#: Makes stdin the terminal that controls the session, as a shell's is, and becomes the command.
LEADER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Window:
    """A command on a terminal of its own, which `close` takes away."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", LEADER, sys.executable, "-m", "callwright", *arguments],
            cwd=folder,
            env=environment(TERM="xterm-256color"),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def close(self) -> None:
        os.close(self._master)


@contextlib.contextmanager
def window(folder: Path, *arguments: str) -> Iterator[Window]:
    opened = Window(folder, *arguments)
    try:
        yield opened
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(opened.process.pid, signal.SIGKILL)
        opened.process.wait(10)


@pytest.mark.parametrize("verb", ["call", "run"])
def test_a_terminal_that_closes_ends_the_call(tmp_path: Path, verb: str) -> None:
    with ScriptedPeer(answers()) as peer:
        (tmp_path / "talk.yaml").write_text(DOCUMENT % peer.uri)
        arguments = {"call": ("call", peer.uri, "--for", "60"), "run": ("run", "talk.yaml")}[verb]
        with window(tmp_path, *arguments) as opened:
            peer.wait_for("ACK", 60)
            opened.close()
            peer.wait_for("BYE", 30)
            assert opened.process.wait(30) == 130


def test_a_terminal_that_closes_while_it_rings_cancels_the_call(tmp_path: Path) -> None:
    with ScriptedPeer(rings) as peer, window(tmp_path, "call", peer.uri) as opened:
        peer.wait_for("INVITE", 60)
        time.sleep(0.2)  # its 180 is on the way; RFC 3261 allows no CANCEL before
        opened.close()
        peer.wait_for("CANCEL", 30)
        assert opened.process.wait(30) == 130


def test_a_terminal_that_closes_ends_the_calls_of_a_load(tmp_path: Path) -> None:
    """Of all its processes, though the signal goes to each of them."""
    with ScriptedPeer(answers()) as peer:
        arguments = ("load", peer.uri, "--calls", "8", "--rate", "40", "--hold", "60", "--cores", "2")
        with window(tmp_path, *arguments, "--media", "none", "--report", "out") as opened:
            deadline = time.monotonic() + 60
            while peer.methods().count("ACK") < 8:
                assert time.monotonic() < deadline, peer.methods()
                time.sleep(0.05)
            opened.close()
            assert opened.process.wait(40) == 130
        assert peer.methods().count("BYE") == 8
        assert '"canceled"' in (tmp_path / "out" / "load.json").read_text()


def test_nohup_goes_on(tmp_path: Path) -> None:
    with ScriptedPeer(answers()) as peer:
        command = ["nohup", sys.executable, "-m", "callwright", "call", peer.uri, "--for", "2", "--json"]
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as placed:
            peer.wait_for("ACK", 60)
            placed.send_signal(signal.SIGHUP)
            said, _ = placed.communicate(timeout=60)
        assert placed.returncode == 1, said  # to its end: nothing was heard there
        assert b"no RTP packet came in 2" in said


def test_an_agent_ends_in_order(tmp_path: Path) -> None:
    url = f"nats://127.0.0.1:{free_port()}"  # nobody: it waits for it
    write_identity(tmp_path, Identity(agent_id="a", pool="p", nats_url=url, user="u", password="p"))
    command = [sys.executable, "-m", "callwright", "agent", "--data", str(tmp_path), "-v"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as agent:
        assert agent.stderr is not None
        for line in agent.stderr:
            if b"NATS" in line:
                break
        agent.send_signal(signal.SIGHUP)
        agent.stderr.read()
        assert agent.wait(30) == 0
