"""Installations of more than one program: PostgreSQL for the records, an agent of another machine's kind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import postgresql
from tests.kit.agents import agent_of, alive, said
from tests.kit.nats import foreign_nats
from tests.kit.served import Served, environment, free_port, serving, start


@pytest.mark.peer
def test_the_records_lie_in_postgresql(tmp_path: Path) -> None:
    postgresql.require()
    server = postgresql.PostgreSql().start()
    try:
        url = server.create("platform")
        env = environment(CALLWRIGHT_DATABASE=url)
        with serving(tmp_path / "data", "--workers", "2", "--rate-limit", "0", env=env) as served:
            assert not (tmp_path / "data" / "callwright.db").exists()
            sessions = [served.run("options_ping") for _ in range(10)]
            assert {served.finished(one)["status"] for one in sessions} == {"passed"}
            assert len(served.get("runs?limit=1000")["data"]) >= 10
            assert "status" in served.get("runs", params={"tag": "nothing"})
    finally:
        server.close()


PING = "name: ping\nsteps:\n  - - options: {party: alice}\n"


def test_an_agent_behind_a_firewall_takes_its_runs_over_websocket(tmp_path: Path) -> None:
    port, folder = free_port(), tmp_path / "agent"
    flags = ("--nats-listen", f"127.0.0.1:{port}", "--no-agent", "--no-pbx", "--lease", "2")
    with serving(tmp_path / "data", *flags, "--no-demo") as served:
        served.api.put("tests", json={"document": PING})
        made = served.api.post("agents/tokens", json={"pool": "vienna"}).json()["data"]
        enrol = ("--url", served.url, "--enrol", made["token"], "--nats-transport", "websocket")
        with agent_of(folder, *enrol):
            alive(served)
            assert (
                served.finished(served.run("ping", **{"agentpool.name": "vienna"}), 30)["status"] == "passed"
            )
            assert f"connected to wss://127.0.0.1:{port + 1}" in said(folder)
        # The choice is kept; another is made by the flag. A port where nothing answers is a firewall's.
        identity = json.loads((folder / "agent.json").read_text())
        assert identity["transport"] == "websocket"
        assert "BEGIN CERTIFICATE" in identity["websocket_ca"]
        blocked = identity | {"nats_url": f"tls://127.0.0.1:{free_port()}"}
        (folder / "agent.json").write_text(json.dumps(blocked))
        folder.with_suffix(".log").unlink()
        with agent_of(folder, "--nats-transport", "auto"):
            assert (
                served.finished(served.run("ping", **{"agentpool.name": "vienna"}), 30)["status"] == "passed"
            )
            assert "connected to wss://" in said(folder)


def test_an_agent_enrols_over_http_and_takes_the_runs_of_its_pool_over_tls(tmp_path: Path) -> None:
    port = free_port()
    flags = ("--nats-listen", f"127.0.0.1:{port}", "--no-agent", "--no-pbx", "--lease", "2")
    with serving(tmp_path / "data", *flags, "--no-demo") as served:
        served.api.put("tests", json={"document": "name: ping\nsteps:\n  - - options: {party: alice}\n"})
        made = served.api.post("agents/tokens", json={"pool": "vienna"}).json()["data"]
        folder = tmp_path / "agent"
        with open(tmp_path / "agent.log", "wb") as log:
            agent = subprocess.Popen(
                [
                    *(sys.executable, "-m", "callwright", "agent", "--url", served.url),
                    *("--enrol", made["token"], "--pool", "vienna", "--data", str(folder), "--name", "v1"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
            )
        try:
            served.until(
                lambda found: any(one["alive"] for one in found), lambda: served.get("agents")["data"]
            )
            identity = json.loads((folder / "agent.json").read_text())
            assert identity["nats_url"].startswith("tls://")
            assert "BEGIN CERTIFICATE" in identity["ca"]
            run = served.finished(served.run("ping", **{"agentpool.name": "vienna"}), 30)
            assert (run["status"], run["agentpool_name"]) == ("passed", "vienna"), run
            where = f"agents/{identity['agent_id']}"
            assert served.api.delete(where).json()["data"]["state"] == "revoked"
            served.until(lambda seen: not seen["alive"], lambda: served.get(where)["data"], 30)
        finally:
            agent.kill()
            agent.wait()


def test_a_nats_of_ones_own_carries_the_runs_and_may_restart_in_their_middle(tmp_path: Path) -> None:
    document = "name: talk\nsteps:\n  - - options: {party: alice}\n  - - wait: {seconds: 2}\n"
    with (
        foreign_nats(tmp_path / "nats") as nats,
        serving(tmp_path / "data", "--nats", nats.url, "--lease", "3", "--no-pbx", "--no-demo") as served,
    ):
        assert not any(b"nats-server" in line for line in commands(served))
        assert b"p@ss" not in b"".join(commands(served))
        token = served.api.post("agents/tokens", json={"pool": "vienna"}).json()["data"]["token"]
        for _ in range(2):  # a refusal does not spend the token, nor leave an agent behind
            answer = served.api.post("agents/enrol", json={"token": token, "name": "v1"})
            assert answer.status_code == 503, answer.text
            assert "auth_callout { issuer: " in answer.json()["message"]
        assert [one["used_at"] for one in served.get("agents/tokens")["data"]] == [None]
        assert [one["name"] for one in served.get("agents")["data"]] == ["embedded"]
        made = served.api.put("tests", json={"document": PING})
        assert made.status_code in (200, 201), made.text
        served.api.put("tests", json={"document": document})
        assert served.finished(served.run("ping"))["status"] == "passed"
        before = served.run("talk")
        served.until(
            lambda run: run["phase"] == "starting", lambda: served.get(f"runs/{before}/status")["run"]
        )
        nats.stop(signal.SIGKILL)
        meanwhile = served.run("ping")
        nats.start()
        assert served.finished(before)["status"] == "passed"
        assert served.finished(meanwhile)["status"] == "passed"
        assert served.finished(served.run("ping"))["status"] == "passed"


def commands(served: Served) -> list[bytes]:
    return [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in served.children()]


def refused(data: Path, url: str) -> str:
    served = start(data, "--nats", url, "--no-demo")
    assert served.process.wait(60) == 3
    said = " ".join(served.log.read_text().split())
    assert "First start" not in said  # nothing was begun: the next start is the first
    assert "Callwright is at" not in said
    assert not (data / "callwright.db").exists()
    return said


def test_a_nats_that_cannot_be_used_is_told_with_what_is_wrong(tmp_path: Path) -> None:
    with foreign_nats(tmp_path / "nats", jetstream=False) as nats:
        said = refused(tmp_path / "without", nats.url)
        assert f"JetStream is off at nats://127.0.0.1:{nats.port}" in said
        said = refused(tmp_path / "stranger", nats.url.replace("callwright:", "somebody:"))
        assert "does not accept the credentials of somebody" in said
        assert "--nats nats://user:password@host:port" in said
