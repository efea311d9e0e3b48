"""A disk that is full: the call goes on, the result is told, and what could not be kept is named."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.scripted import ScriptedPeer, answers
from tests.acceptance.test_two_of_ours import answering
from tests.interop.peers import run_callwright

pytestmark = pytest.mark.chaos


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size, gone afterwards. Root only."""
    place = folder / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system needs root and the right to mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_disk_that_fills_while_recording_loses_no_result(tmp_path: Path) -> None:
    with small_disk(tmp_path, "16k") as place:
        callee, uri = answering(tmp_path)
        with callee:
            recording = ("--record", str(place / "call.wav"))
            placed = run_callwright(tmp_path, "call", uri, "--for", "1.5", "--json", *recording)
            # The call was good and is told whole; that it could not be recorded as asked is our own error.
            assert placed.process.returncode == 3, placed.log
            assert callee.wait(20) == 0, callee.log
    document = placed.document()
    assert document["verdict"] == "passed"
    assert document["received"]["lost"] == 0
    told = placed.log_path.read_text()
    assert "the recording" in told
    assert "the disk is full" in told


def test_a_report_on_a_full_disk_loses_no_result(tmp_path: Path) -> None:
    with small_disk(tmp_path, "16k") as place:
        callee, uri = answering(tmp_path)
        with callee:
            placed = run_callwright(
                tmp_path, "call", uri, "--for", "1.5", "--json", "--report", str(place / "report")
            )
            callee.wait(20)
    assert placed.process.returncode == 3, placed.log
    assert placed.document()["verdict"] == "passed"
    assert placed.document()["recording_error"]
    assert "full" in placed.log_path.read_text() or "No space left" in placed.log_path.read_text()
    assert "Traceback" not in placed.log


def test_a_device_that_takes_nothing(tmp_path: Path) -> None:
    with ScriptedPeer(answers("486 Busy Here")) as peer:
        placed = run_callwright(tmp_path, "call", peer.uri, "--json", "--record", "/dev/full")
    assert placed.process.returncode == 1, placed.log
    assert placed.document()["sip_code"] == 486
