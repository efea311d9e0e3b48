"""`callwright fleet` against a running platform, as an operator types it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.kit.served import Served, environment


def fleet(platform: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = environment(CALLWRIGHT_URL=platform.url, CALLWRIGHT_KEY=":".join(platform.auth))
    return subprocess.run(
        [sys.executable, "-m", "callwright", "fleet", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env,
    )


def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_operator_sets_a_pool_up_reads_it_and_removes_it(platform: Served) -> None:
    made = told(fleet(platform, "pool", "verbs", "--maximum", "0", "--capacity", "16", "--json"))["pool"]
    assert (made["provider"], made["maximum"], made["capacity"]) == ("process", 0, 16)
    shown = fleet(platform, "show", "verbs")
    assert "verbs: 0 servers running; 0 of 0 places busy; minimum 0, maximum 0" in shown.stdout
    assert "idle_seconds          300" in shown.stdout
    wrong = fleet(platform, "pool", "verbs", "--minimum", "3", "--maximum", "1")
    assert wrong.returncode == 2
    assert "minimum 3 is above maximum 1" in wrong.stderr
    assert told(fleet(platform, "pool", "verbs", "--remove", "--json")) == {"pool": "verbs", "removed": True}
    gone = fleet(platform, "show", "verbs")
    assert gone.returncode == 2
    assert "No pool or server named 'verbs'" in gone.stderr


def test_the_platforms_own_server_is_listed_and_shown_without_its_keys(platform: Served) -> None:
    listed = told(fleet(platform, "list", "--json"))
    (default,) = [one for one in listed["pools"] if one["name"] == "default"]
    assert ("embedded", "running") in {(one["provider"], one["state"]) for one in default["servers"]}
    server = told(fleet(platform, "show", "embedded", "--json"))["server"]
    assert (server["provider"], server["state"]) == ("embedded", "running")
    assert not {"ca_key", "tls_key", "secret"} & server.keys()
    assert "embedded" in fleet(platform, "list").stdout


def test_a_pause_is_told_until_the_fleet_resumes(platform: Served) -> None:
    assert told(fleet(platform, "pause", "--json")) == {"paused": True}
    try:
        assert "The fleet is paused" in fleet(platform, "list").stdout
    finally:
        assert told(fleet(platform, "resume", "--json")) == {"paused": False}
