"""A load whose engine breaks: native code that is older than the Python beside it does that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

DOCUMENT = """\
name: many_calls
parties: {alice: , bob: }
steps:
  - - accept: {party: bob, media: no}
  - - call: {from: alice, to: bob, load: yes, call_rate: 40, max_total_calls: 40, max_duration: 100 ms,
           media: no}
"""

BROKEN = """
import sys
from callwright.cli.main import run
from callwright.load.worker import ThreadWorker

def read(*_, **__):
    raise AttributeError("LoadLoop has no attribute 'ladders'")

ThreadWorker.read = read
sys.exit(run(["run", sys.argv[1], "--json"]))
"""


def test_a_load_whose_engine_breaks_says_so_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(DOCUMENT)
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, str(file)], capture_output=True, timeout=100, check=False
    )
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert (told["verdict"], told["blame"]) == ("error", "platform")
    for load in told["loads"]:
        assert "the load engine broke: AttributeError" in load["reason"]
        assert "make install" in load["reason"]
