"""The kill switch while a part of the platform hangs: every call ends, none is placed after, and the answer
says what is confirmed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from callwright.control.accounts.model import PLATFORM
from callwright.control.services import Services
from callwright.net.clock import SystemClock
from callwright.net.entropy import system_entropy
from tests.chaos.busy_line import BusyLine
from tests.kit.served import Served, serving

ENDS_WITHIN = 10.0
CALL = """
name: %s
parties: {alice: {}}
steps:
  - - call: {from: alice, dial_destination: "sip:%s@127.0.0.1:%d", media: false,
             max_duration: 120 s, ring_timeout: 110 s}
"""
ONE_AFTER_THE_OTHER = """
name: %s
parties: {alice: {}}
steps:
  - - call: {from: alice, dial_destination: "sip:%s@127.0.0.1:%d", media: false,
             max_total_calls: 2000, call_rate: 4, max_duration: 120 s, ring_timeout: 110 s}
"""


def part(served: Served, name: str) -> list[int]:
    """Pids of a part; the keeper lives in the parent itself."""
    needle = {"nats": b"nats-server\0-c", "web": b"callwright.host.web_worker"}
    if name == "keeper":
        return [served.process.pid]
    found = []
    for pid in served.children():
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if needle[name] in line or (name == "web" and b"multiprocessing" in line):
                found.append(pid)
    assert found, name
    return found


@contextlib.contextmanager
def stopped(served: Served, *names: str) -> Iterator[None]:
    pids = [pid for name in names for pid in part(served, name)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def up(served: Served, line: BusyLine, *numbers: str) -> list[str]:
    """Runs whose calls are on at the far end."""
    runs = []
    for number in numbers:
        made = served.api.post("tests", json={"document": CALL % (number, number, line.port)})
        assert made.status_code in (200, 201), made.text
        runs.append(served.run(number))
    served.until(lambda calls: set(numbers) <= set(calls), lambda: dict(line.calls))
    for run in runs:
        served.until(
            lambda now: now["phase"] == "running", lambda r=run: served.get(f"runs/{r}/status")["run"]
        )
    return runs


def all_end(served: Served, line: BusyLine, numbers: tuple[str, ...], since: float, within: float) -> None:
    served.until(lambda ended: set(numbers) <= set(ended), lambda: dict(line.ended), within)
    took = {number: round(line.ended[number] - since, 2) for number in numbers}
    print(f"calls ended after {took} s")
    assert max(took.values()) < within, took


def engage_beside_the_web(data: Path) -> None:
    """What the API does, for when nobody answers HTTP."""

    async def engage() -> None:
        services = await Services.open(data, clock=SystemClock(), entropy=system_entropy)
        try:
            await services.runs.kill(PLATFORM, "a drill")
        finally:
            await services.close()

    asyncio.run(engage())


def test_with_nats_or_keeper_or_web_stopped_the_kill_switch_ends_every_call(tmp_path: Path) -> None:
    # A lease so long that the dead-man's switch is not what ends them.
    flags = ("--no-pbx", "--no-demo", "--lease", "20")
    with BusyLine() as line, serving(tmp_path / "data", *flags) as served:
        for name in ("nats", "keeper", "web"):
            numbers = (f"answer-{name}", f"ring-{name}")
            runs = up(served, line, *numbers)
            with stopped(served, name):
                since = time.monotonic()
                if name == "web":
                    engage_beside_the_web(served.data)
                else:
                    told: Any = served.api.post("kill", json={"reason": "a drill"}).json()["data"]
                    print(name, told)
                    assert told["engaged"] is True
                    assert told["stopped"] + told["waiting"] == len(runs), told
                    assert told["silent"] in ([], ["embedded"]), told
                all_end(served, line, numbers, since, ENDS_WITHIN)
                if name != "web":
                    confirmed = served.until(
                        lambda kill: not kill["waiting"], lambda: served.get("kill")["data"]
                    )
                    assert (confirmed["stopped"], confirmed["silent"]) == (len(runs), [])
            for run in runs:
                assert served.finished(run)["phase"] == "canceled"
            assert {
                number: len(calls) for number, calls in line.calls.items() if number in numbers
            } == dict.fromkeys(numbers, 1)
            released = served.until(
                lambda answer: answer.status_code == 200, lambda: served.api.delete("kill"), 30
            ).json()["data"]
            assert (released["engaged"], released["stopped"], released["silent"]) == (False, 0, [])
            served.until(lambda found: found[0]["alive"], lambda: served.get("agents")["data"])


def test_with_all_of_them_stopped_calls_end_within_four_leases_and_none_is_placed_after_two(
    tmp_path: Path,
) -> None:
    lease = 1.5
    flags = ("--no-pbx", "--no-demo", "--lease", str(lease))
    with BusyLine() as line, serving(tmp_path / "data", *flags) as served:
        up(served, line, "answer-1", "ring-1")
        made = served.api.post(
            "tests", json={"document": ONE_AFTER_THE_OTHER % ("many", "answer-many", line.port)}
        )
        assert made.status_code in (200, 201), made.text
        served.run("many")
        served.until(lambda calls: len(calls) > 3, lambda: line.calls["answer-many"])
        with stopped(served, "nats", "keeper", "web"):
            since = time.monotonic()
            all_end(served, line, ("answer-1", "ring-1"), since, 4 * lease + 1.0)
            served.until(lambda up: not up, lambda: line.up, 3)
            placed = [at - since for at in line.placed]
            print(f"the last call was placed after {max(placed):.2f} s, of {len(placed)}")
            assert max(placed) < 2 * lease + 1.0
            count = len(placed)
            time.sleep(lease)
            assert len(line.placed) == count
