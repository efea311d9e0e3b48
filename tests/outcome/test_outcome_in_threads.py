"""Results are read in several threads at once, the first time too: a page and a report, say."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys, threading
sys.setswitchinterval(1e-6)
from callwright.outcome.call import CallOutcome
from callwright.outcome.run import RunOutcome
document = RunOutcome(calls=(CallOutcome(), CallOutcome())).to_json()
together = threading.Barrier(8)
def read():
    together.wait()
    RunOutcome.from_json(document)
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_a_first_reading_in_many_threads_does_not_end_the_process() -> None:
    for _ in range(3):
        assert subprocess.run([sys.executable, "-c", _PROGRAM], timeout=60, check=False).returncode == 0
