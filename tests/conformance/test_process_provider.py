"""What only the provider `process` promises: of whom it takes care, and whom it leaves alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from callwright.autoscaler.provider import Order, ProviderError
from callwright.autoscaler.providers.process import Processes
from callwright.net.held import holder, holding
from tests.kit.machines import SLEEPER

ORDER = Order("agent-a", "default", "http://127.0.0.1:1", "cwe_secret", ca="PEM")
DEAF = (
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
)


def wait_for(log: Path, word: str) -> None:
    deadline = time.monotonic() + 20
    while not (log.is_file() and word in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_a_killed_agent_is_listed_as_ended_with_its_reason(tmp_path: Path) -> None:
    provider = Processes(tmp_path, command=SLEEPER, environment={})
    made = await provider.create(ORDER)
    os.kill(int(made.id), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not (listed := (await provider.list())[0]).ended:
        assert time.monotonic() < deadline
    assert listed.ended == "its process was killed by SIGKILL"
    await provider.destroy(listed)
    assert list(tmp_path.iterdir()) == []


async def test_an_agent_that_ends_by_itself_tells_its_last_line(tmp_path: Path) -> None:
    command = (
        sys.executable,
        "-S",
        "-c",
        "import time; time.sleep(0.3); raise SystemExit('the token is used')",
    )
    provider = Processes(tmp_path, command=command, environment={})
    await provider.create(ORDER)
    deadline = time.monotonic() + 10
    while not (listed := (await provider.list())[0]).ended:
        assert time.monotonic() < deadline
    assert listed.ended == "its process ended with exit code 1: the token is used"


async def test_an_agent_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    provider = Processes(tmp_path, command=DEAF, environment={}, patience=0.3)
    made = await provider.create(ORDER)
    wait_for(tmp_path / "agent-a" / "agent.log", "deaf")
    await provider.destroy(made)
    assert holder(tmp_path / "agent-a" / "held") is None
    assert list(await provider.list()) == []


async def test_all_agents_end_with_the_platform_those_of_an_earlier_start_too(tmp_path: Path) -> None:
    first = await Processes(tmp_path, command=SLEEPER, environment={}).create(ORDER)
    provider = Processes(tmp_path, command=SLEEPER, environment={})
    await provider.create(Order("agent-b", "default", "http://127.0.0.1:1", "cwe_secret"))
    await provider.close(3.0)
    assert [bool(machine.ended) for machine in await provider.list()] == [True, True]
    os.waitpid(int(first.id), 0)  # the test is its parent here


async def test_the_token_is_neither_on_the_command_line_nor_in_a_file(tmp_path: Path) -> None:
    provider = Processes(tmp_path, command=SLEEPER, environment={"PATH": "/usr/bin"})
    made = await provider.create(ORDER)
    try:
        assert b"cwe_secret" not in Path(f"/proc/{made.id}/cmdline").read_bytes()
        assert b"CALLWRIGHT_ENROL=cwe_secret" in Path(f"/proc/{made.id}/environ").read_bytes()
        assert all("cwe_secret" not in file.read_text() for file in (tmp_path / "agent-a").iterdir())
        assert (tmp_path / "agent-a" / "ca.pem").read_text() == "PEM"
    finally:
        await provider.destroy(made)


async def test_a_process_that_merely_has_the_pid_is_left_alone(tmp_path: Path) -> None:
    """The file of a machine that ended says nothing about who has its pid now."""
    stranger = subprocess.Popen(SLEEPER, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        provider = Processes(tmp_path, command=SLEEPER, environment={})
        folder = tmp_path / "agent-a"
        folder.mkdir()
        (folder / "held").write_text(str(stranger.pid))
        (listed,) = await provider.list()
        assert listed.ended == "its process has ended"
        await provider.destroy(listed)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_file_in_the_folder_of_agents_is_no_machine(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert list(await Processes(tmp_path, command=SLEEPER, environment={}).list()) == []


async def test_a_program_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    provider = Processes(tmp_path / "file", command=SLEEPER, environment={})
    (tmp_path / "file").write_text("")
    with pytest.raises(ProviderError, match="could not be started"):
        await provider.create(ORDER)


def test_a_second_process_never_holds_the_same_file(tmp_path: Path) -> None:
    held = tmp_path / "held"
    first = subprocess.Popen(holding(held, SLEEPER), stdout=subprocess.PIPE)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"begun\n"
        assert holder(held) == first.pid
        assert subprocess.run(holding(held, SLEEPER), check=False).returncode == 75
        assert holder(held) == first.pid
    finally:
        first.kill()
        first.wait()
    assert holder(held) is None
