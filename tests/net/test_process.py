"""Processes that do not outlive the one that started them."""

from __future__ import annotations

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
