"""`callwright monitors` against a running platform, as CI types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.kit.served import Served, environment, free_port


def monitors(platform: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = environment(CALLWRIGHT_URL=platform.url, CALLWRIGHT_KEY=":".join(platform.auth))
    return subprocess.run(
        [sys.executable, "-m", "callwright", "monitors", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env,
        stdin=subprocess.DEVNULL,
    )


def test_monitors_are_applied_from_a_file_and_measured_from_here(platform: Served, tmp_path: Path) -> None:
    made = platform.api.post("projects", json={"name": "as-code"})
    assert made.status_code == 201, made.text
    file = tmp_path / "monitors.yaml"
    file.write_text(
        "project: as-code\n"
        "endpoints:\n"
        f"  - {{name: closed, category: sip, transport: tcp, ip_address: 127.0.0.1, port: {free_port()}, "
        "interval: 3600, servers: all}\n"
    )
    asked = monitors(platform, "apply", str(file))
    assert (asked.returncode, "+ endpoint closed" in asked.stdout) == (2, True), asked.stderr
    assert "Add --yes" in asked.stderr

    done = monitors(platform, "apply", str(file), "--yes")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Done: 1 created."), done.stderr
    assert monitors(platform, "apply", str(file), "--plan").returncode == 0

    run = monitors(platform, "run", "closed", "--json")
    assert run.returncode == 1, run.stderr
    assert json.loads(run.stdout)["state"] == "failed"
    listed = monitors(platform, "list", "--project", "as-code", "--json")
    assert listed.returncode in (1, 3)
    assert [one["name"] for one in json.loads(listed.stdout)["monitors"]] == ["closed"]

    file.write_text("project: as-code\nendpoints:\n  - name: closed\n    porta: 1\n")
    wrong = monitors(platform, "apply", str(file))
    assert wrong.returncode == 2
    assert f"{file}:4:5: 'porta' is not a field of the endpoint 1. Did you mean port?" in wrong.stderr
    file.write_text("project: as-code\nendpoints: []\n")
    gone = monitors(platform, "apply", str(file), "--yes")
    assert "- endpoint closed" in gone.stdout, gone.stderr
