"""A platform, its own agent and a reflector: what an endpoint's page shows is what the agent measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.served import Served, environment, free_port


@pytest.fixture(scope="module")
def reflector() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "callwright", "reflect", "--bind", "127.0.0.1", "--port", str(port)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stderr is not None
    assert "reflecting on" in process.stderr.readline()
    yield port
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def endpoint(platform: Served, **fields: Any) -> dict[str, Any]:
    """With its one VoIP test, as `test`, by the platform's own server."""
    server = chapter(platform, "servers")["collection"][0]
    answer = httpx.post(
        f"{platform.url}/api/v3/endpoints",
        json={"server_ids": [server["id"]], "interval": 10, **fields},
        auth=platform.auth,
        timeout=30.0,
    )
    assert answer.status_code in (200, 201), answer.text
    made: dict[str, Any] = answer.json()
    made["test"] = chapter(platform, f"endpoints/{made['id']}/voip_tests")["collection"][0]["id"]
    return made


def chapter(platform: Served, path: str) -> Any:
    answer = httpx.get(f"{platform.url}/api/v3/{path}", auth=platform.auth, timeout=30.0)
    assert answer.status_code == 200, answer.text
    return answer.json()


def results(platform: Served, made: dict[str, Any]) -> list[dict[str, Any]]:
    path = f"endpoints/{made['id']}/voip_tests/{made['test']}/results"
    rows: list[dict[str, Any]] = chapter(platform, path)["collection"]
    return rows


def first(platform: Served, made: dict[str, Any], state: str) -> dict[str, Any]:
    """The first row in that state; a slot is missed when this machine is too busy to begin it in time."""

    def look() -> list[dict[str, Any]]:
        return [row for row in results(platform, made) if row["state"] == state]

    rows: list[dict[str, Any]] = platform.until(bool, look, 90)
    return rows[0]


def agent_of(platform: Served) -> int:
    """The process of the platform's own agent."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"agent" in words and any(str(platform.data).encode() in word for word in words):
                return int(entry.name)
    raise AssertionError("the platform's agent was not found")


def test_an_endpoint_is_measured_by_the_platforms_own_server(platform: Served, reflector: int) -> None:
    good = endpoint(platform, name="reflector", ip_address="127.0.0.1", category="udp", port=reflector)
    gone = endpoint(platform, name="nobody", ip_address="127.0.0.1", category="sip", port=free_port())
    measured = first(platform, good, "done")
    assert measured["verdict"] in ("passed", "invalid")
    assert measured["sent"] == 25
    assert measured["rtt_ms"] is not None
    assert "nothing listens" in first(platform, gone, "failed")["reason"]

    # An agent that is killed measures no slot twice, and goes on by itself.
    os.kill(agent_of(platform), signal.SIGKILL)
    before = len(results(platform, good))
    after = platform.until(lambda rows: len(rows) >= before + 2, lambda: results(platform, good), 90)
    slots = Counter(row["slot"] for row in after)
    assert max(slots.values()) == 1
    assert sorted(slots) == list(range(min(slots), max(slots) + 1, 10))
    assert {row["state"] for row in after} <= {"done", "missed", "unknown"}
    for made in (good, gone):
        gone_now = httpx.delete(
            f"{platform.url}/api/v3/endpoints/{made['id']}", auth=platform.auth, timeout=30.0
        )
        assert gone_now.status_code == 200, gone_now.text
