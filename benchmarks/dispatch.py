"""From `POST /api/v2/tests/run` to the INVITE on the wire, and how many runs a second go all the way.

python -m benchmarks.dispatch [RUNS]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.busy_line import BusyLine
from tests.chaos.test_kills import DOCUMENT
from tests.kit.served import Served, start, wait_ready

FLAGS = ("--no-pbx", "--no-demo", "--rate-limit", "100000", "--capacity", "20", "--workers", "1")
AT_ONCE = 8


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def begin(served: Served, line: BusyLine, number: str) -> tuple[str, float]:
    """(session id, when it was posted)."""
    at = time.monotonic()
    session_id = served.run("chaos", **{"step.0.0.dial_destination": f"sip:{number}@127.0.0.1:{line.port}"})
    return session_id, at


def measure(runs: int = 50) -> dict[str, float]:
    """`p50_ms` and `p99_ms` to the INVITE, one run after the other; `per_s`: runs from start to end, 8 at a
    time."""
    with tempfile.TemporaryDirectory() as folder, BusyLine(rings=0.0) as line:
        served = wait_ready(start(Path(folder) / "data", *FLAGS))
        try:
            served.api.event_hooks["response"].clear()  # judging answers is not what is measured
            served.api.post("tests", json={"document": DOCUMENT % line.port}).raise_for_status()
            delays = []
            for number in range(runs + 3):
                session_id, at = begin(served, line, f"one-{number}")
                served.finished(session_id)
                if number >= 3:  # the first ones load what all need
                    delays.append((line.first[f"one-{number}"] - at) * 1000)
            began = time.monotonic()
            numbers = iter(range(runs))
            turn = threading.Lock()

            def work(_: int) -> None:
                while True:
                    with turn:
                        number = next(numbers, None)
                    if number is None:
                        return
                    served.finished(begin(served, line, f"many-{number}")[0])

            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(work, range(AT_ONCE)))
            return {
                "p50_ms": percentile(delays, 0.5),
                "p99_ms": percentile(delays, 0.99),
                "per_s": runs / (time.monotonic() - began),
            }
        finally:
            served.end()


if __name__ == "__main__":
    found = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
    print(", ".join(f"{name} {value:.1f}" for name, value in found.items()))
