"""Agents of another machine's kind: `callwright agent` as a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.kit.served import Served, environment


@contextlib.contextmanager
def agent_of(folder: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """`callwright agent` as a process; its words are in FOLDER.log."""
    with open(folder.with_suffix(".log"), "ab") as log:
        agent = subprocess.Popen(
            [*(sys.executable, "-m", "callwright", "agent", "--data", str(folder)), *flags],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(),
        )
    try:
        yield agent
    finally:
        agent.kill()
        agent.wait()


def alive(served: Served) -> None:
    served.until(lambda found: any(one["alive"] for one in found), lambda: served.get("agents")["data"])


def said(folder: Path) -> str:
    return folder.with_suffix(".log").read_text()
