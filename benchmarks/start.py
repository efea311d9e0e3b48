"""From `POST /api/v2/tests/run` to the INVITE on the wire, and runs a second, on a real `serve`.

    python -m benchmarks.start [--runs 100] [--seconds 25]

One platform with its own agent on SQLite, one HTTP worker, no media. The number that is called is a UDP
socket of this process: an INVITE counts when its datagram has come in, on the clock that the POST was timed
with. A run's way through dispatch ends when its result is stored: call refused as busy, evidence delivered.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.chaos.busy_line import BusyLine
from tests.kit.served import Served, serving

from benchmarks import noise

AT_ONCE = 8  # who post runs at the same time
FIRST = 3  # runs that load what all others need, not counted
GOAL_MS = 150.0
_FLAGS = ("--no-pbx", "--no-demo", "--rate-limit", "0", "--capacity", "20", "--workers", "1")
_DOCUMENT = """
name: start
parties: {alice: {}}
steps:
  - - call: {from: alice, dial_destination: "sip:nobody@127.0.0.1:%d", media: false, max_duration: 1 s}
"""


class Start(NamedTuple):
    """Milliseconds from before the POST was sent, over `runs` runs, one after another."""

    p50: float
    p99: float
    runs: int


class Throughput(NamedTuple):
    """Runs from the first POST until the last one had ended."""

    per_second: float
    runs: int


@contextmanager
def platform(line: BusyLine) -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data", *_FLAGS) as served:
        served.api.event_hooks[
            "response"
        ].clear()  # holding answers against the contract is not what is timed
        served.api.post("tests", json={"document": _DOCUMENT % line.port}).raise_for_status()
        yield served


def begin(served: Served, line: BusyLine, number: str) -> str:
    return served.run("start", **{"step.0.0.dial_destination": f"sip:{number}@127.0.0.1:{line.port}"})


def start_to_invite(served: Served, line: BusyLine, runs: int, seconds: float) -> Start:
    """At most so many runs, and begins none after so many seconds."""
    delays: list[float] = []
    begun = time.monotonic()
    for turn in range(FIRST + runs):
        posted = time.monotonic()
        if posted - begun > seconds:
            break
        served.finished(begin(served, line, f"one-{turn}"))
        if turn >= FIRST:
            delays.append((line.first[f"one-{turn}"] - posted) * 1000)
    return Start(percentile(delays, 0.5), percentile(delays, 0.99), len(delays))


def throughput(served: Served, line: BusyLine, runs: int) -> Throughput:
    """All posted as fast as they are taken, so that the platform has to queue them. Asking whether they have
    ended, once in a while, costs it next to nothing."""
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda turn: begin(served, line, f"many-{turn}"), range(runs)))
    served.until(lambda page: not page["data"], lambda: served.get("runs?status=running&limit=1"), 120)
    took = time.monotonic() - begun
    assert all(line.calls[f"many-{turn}"] for turn in range(runs)), "a run ended without its call"
    return Throughput(runs / took, runs)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(runs: int = 100, seconds: float = 25.0) -> tuple[Start, Throughput]:
    with BusyLine(rings=0.0) as line, platform(line) as served:
        return start_to_invite(served, line, runs, seconds), throughput(served, line, runs)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=25.0, help="at most, for the first figure")
    options = parser.parse_args()
    print(noise.sentence())
    start, through = measure(options.runs, options.seconds)
    print(f"POST to INVITE on the wire: p50 {start.p50:.0f}, p99 {start.p99:.0f} ms of {start.runs} runs")
    print(f"runs through dispatch: {through.per_second:.1f}/s, {through.runs} posted by {AT_ONCE} at once")
    met = start.p99 < GOAL_MS
    print(f"goal p99 < {GOAL_MS:.0f} ms: {'met' if met else 'missed'}; {noise.sentence()}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
