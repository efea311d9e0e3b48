"""Processes that do not outlive the one that started them."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

#: A child that asks to end with its parent when that has ended already; what it says then goes to stdout.
ORPHAN = """
import os, sys, time
from callwright.net.process import die_with_parent
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.01)
die_with_parent(*([parent] if sys.argv[1] == "known" else []))
os.write(1, b"still here")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel has no such thing")
@pytest.mark.parametrize(("parent", "said"), [("known", b""), ("unknown", b"still here")])
def test_whose_parent_was_gone_before_it_could_be_bound_ends_too(parent: str, said: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN, parent], stdout=subprocess.PIPE, timeout=60, check=True
    )
    assert done.stdout == said


#: What nohup(1) and `&` in a shell without a terminal do to a process, and then what a child of it ignores.
BELOW_NOHUP = """
import signal, subprocess, sys
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
{prepare}
print(subprocess.run({command}, capture_output=True, text=True, check=True).stdout)
"""
STATUS = ["cat", "/proc/self/status"]


def ignored_by_child(prepare: str, command: str) -> set[signal.Signals]:
    script = BELOW_NOHUP.format(prepare=prepare, command=command)
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    (mask,) = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("SigIgn:")]
    return {number for number in (signal.SIGINT, signal.SIGHUP) if int(mask, 16) >> (number - 1) & 1}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel does not tell")
def test_a_child_hears_signals_that_its_parent_was_started_to_ignore() -> None:
    assert ignored_by_child("", str(STATUS)) == {signal.SIGINT, signal.SIGHUP}
    prepare = "from callwright.net.process import bound_to_parent"
    assert ignored_by_child(prepare, f"bound_to_parent({STATUS})") == set()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel does not tell")
def test_peers_of_tests_hear_signals_below_nohup() -> None:
    """SIPp and dumpcap end by SIGINT: `nohup make test` waited for them without end."""
    prepare = "from tests.kit.signals import hand_on_signals; hand_on_signals()"
    assert ignored_by_child(prepare, str(STATUS)) == set()
