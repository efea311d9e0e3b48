"""From `POST /tests/run` to the INVITE on the wire, and runs a second through dispatch, on a real `serve`.

python -m benchmarks.start
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.kit.served import Served, serving

from benchmarks import noise

# The caller calls the reference PBX at once; what registers or answers would only add to the time.
_DOCUMENT = """
name: start
target: {pbx}
parties:
  alice: {{credentials: pbx_1001}}
steps:
  - - call: {{from: alice, dial_destination: "1002", max_duration: 1 s}}
"""


def start_to_invite(served: Served, runs: int) -> list[float]:
    """Milliseconds from before the request to the first INVITE that was captured, one run after another."""
    took = []
    for _ in range(runs):
        began = time.time()
        session_id = served.run("start")
        served.finished(session_id)
        ladder = served.get(f"runs/{session_id}/sip")
        invite = next(row for row in ladder["rows"] if row["kind"] == "message" and row["method"] == "INVITE")
        took.append((ladder["origin"] + invite["at"] - began) * 1000)
    return took


def runs_a_second(served: Served, runs: int) -> float:
    """Runs that were started, carried out (an OPTIONS each) and finished, a second."""
    began = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        sessions = list(threads.map(lambda _: served.run("options_ping"), range(runs)))
    for session_id in sessions:
        served.finished(session_id, 300)
    return runs / (time.monotonic() - began)


def main() -> int:
    print(noise.sentence())
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder) / "data", "--rate-limit", "0") as served,
    ):
        account = next(one for one in served.get("credentials")["data"] if one["name"] == "pbx_1001")
        made = served.api.put("tests", json={"document": _DOCUMENT.format(pbx=account["domain"])})
        assert made.status_code == 200, made.text
        start_to_invite(served, 3)
        took = start_to_invite(served, 50)
        percentiles = statistics.quantiles(took, n=100)
        print(f"start of a run to INVITE: p50 {percentiles[49]:.0f} ms, p99 {percentiles[98]:.0f} ms")
        print(f"runs through dispatch: {runs_a_second(served, 200):.1f} a second")
    print(noise.sentence())
    return 0


if __name__ == "__main__":
    sys.exit(main())
