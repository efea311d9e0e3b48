"""SIGKILL of whoever holds calls, from the command line: soon after none is up at the far end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.busy_line import BusyLine
from tests.kit.served import environment

pytestmark = pytest.mark.chaos

UP_AT_MOST = 5.0
PATIENCE = 60.0


@contextlib.contextmanager
def callwright(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "callwright", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if "--json" in arguments else subprocess.DEVNULL,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until_up(line: BusyLine, count: int) -> list[str]:
    deadline = time.monotonic() + PATIENCE
    while len(line.up) < count:
        assert time.monotonic() < deadline, "no call is up"
        time.sleep(0.02)
    return list(line.up)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def of_kind(pids: list[int], needle: bytes) -> list[int]:
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
    return [pid for pid, text in lines.items() if needle in text]


@pytest.mark.parametrize("number", ["answer-1", "ring-1"])
def test_a_killed_call_is_ended_answered_or_not(number: str) -> None:
    with BusyLine() as line:
        destination = f"sip:{number}@127.0.0.1:{line.port}"
        with callwright("call", destination, "--for", "60") as process:
            up = until_up(line, 1)
            process.kill()
            assert line.left_up(up, time.monotonic(), UP_AT_MOST) == {}


@pytest.mark.parametrize("more", [(), ("--python",), ("--cores", "2")])
def test_no_call_of_a_killed_load_is_left_up(more: tuple[str, ...]) -> None:
    with BusyLine() as line:
        destination = f"sip:answer-1@127.0.0.1:{line.port}"
        with callwright(
            "load", destination, "--rate", "40", "--calls", "4000", "--hold", "100", *more
        ) as load:
            up = until_up(line, 50)
            load.kill()
            since = time.monotonic()
            assert line.left_up(up, since, UP_AT_MOST) == {}
            assert line.left_up(list(line.up), time.monotonic(), UP_AT_MOST) == {}, (
                "placed while it was killed"
            )


def test_no_call_is_left_up_when_one_process_of_a_load_is_killed() -> None:
    """The guardian ends its calls, the load those of the others, and says that it counted no further."""
    with BusyLine() as line:
        destination = f"sip:answer-1@127.0.0.1:{line.port}"
        placing = ("--rate", "40", "--calls", "4000", "--hold", "100", "--cores", "3", "--json")
        with callwright("load", destination, *placing) as load:
            until_up(line, 60)
            loops = [pid for pid in children(load.pid) if not of_kind([pid], b"callwright.cli.guardian")]
            assert len(loops) == 3
            os.kill(loops[1], signal.SIGKILL)
            since = time.monotonic()
            assert line.left_up(list(line.up), since, UP_AT_MOST) == {}
            said, _ = load.communicate(timeout=PATIENCE)
            assert line.left_up(list(line.up), time.monotonic(), UP_AT_MOST) == {}, "placed after it"
        assert load.returncode == 3
        told = json.loads(said)
        assert (told["verdict"], told["blame"], told["exit_code"]) == ("error", "platform", 3)
        assert told["reason"].startswith("a load process has died (number 2,")
        (lost,) = told["generator"]["lost_processes"]
        assert lost["process"] == 2
        counted = told["answered"] + told["canceled"] + told["failed"]
        assert 0 < counted < told["attempted"] <= len(line.placed), "no end is told that nobody counted"


def test_a_guardian_that_is_killed_is_replaced_and_knows_the_calls() -> None:
    with BusyLine() as line:
        destination = f"sip:answer-1@127.0.0.1:{line.port}"
        with callwright("call", destination, "--for", "60") as process:
            up = until_up(line, 1)
            (guardian,) = of_kind(children(process.pid), b"callwright.cli.guardian")
            os.kill(guardian, signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE
            while of_kind(children(process.pid), b"callwright.cli.guardian") in ([], [guardian]):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(0.2)
            process.kill()
            assert line.left_up(up, time.monotonic(), UP_AT_MOST) == {}
