"""What an administrator stops and holds back: everything at once, one agent for good, calls at a target."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from tests.chaos.busy_line import BusyLine
from tests.kit.agents import agent_of, alive, said
from tests.kit.served import Served, free_port, serving

CALL = """
name: %s
parties: {alice: {}}
steps:
  - - call:
        from: alice
        dial_destination: "sip:%s@127.0.0.1:%d"
        media: false
        max_duration: 60 s
        ring_timeout: 50 s
"""


def ready(served: Served, line: BusyLine, *numbers: str) -> None:
    for number in numbers:
        made = served.api.post("tests", json={"document": CALL % (number, number, line.port)})
        assert made.status_code in (200, 201), made.text


def test_the_kill_switch_ends_the_calls_of_every_run_within_a_second(tmp_path: Path) -> None:
    """On two agents, ringing and answered; the seconds are those of the far end of the calls."""
    folder = tmp_path / "agent"
    flags = ("--nats-listen", f"127.0.0.1:{free_port()}", "--no-pbx", "--no-demo")
    here, there = ("answer-1", "answer-2", "ring-1"), ("answer-3", "answer-4", "ring-2")
    with BusyLine() as line, serving(tmp_path / "data", *flags) as served:
        ready(served, line, *here, *there)
        token = served.api.post("agents/tokens", json={"pool": "elsewhere"}).json()["data"]["token"]
        with agent_of(folder, "--url", served.url, "--enrol", token):
            alive(served)
            runs = [served.run(number) for number in here]
            runs += [served.run(number, **{"agentpool.name": "elsewhere"}) for number in there]
            served.until(lambda calls: set(here + there) <= set(calls), lambda: dict(line.calls), 60)
            for session in runs:
                served.until(lambda run: run["phase"] == "running", lambda s=session: status(served, s))
            pulled = time.monotonic()
            engaged = served.api.post("kill", json={"reason": "a fire"})
            answered_in = time.monotonic() - pulled
            assert engaged.json()["data"]["stopped"] == len(runs)
            served.until(lambda ended: set(here + there) <= set(ended), lambda: dict(line.ended), 30)
            took = {number: round(at - pulled, 3) for number, at in line.ended.items()}
            print(f"the switch answered in {answered_in:.3f} s; calls ended after {took}")
            assert max(took.values()) < 1.0 + lateness(), took
            for session in runs:
                assert served.finished(session)["phase"] == "canceled"
            refused = served.api.post("tests/run", json={"test.name": here[0]})
            assert refused.status_code == 409, refused.text
            assert "kill switch is engaged by" in refused.text
            assert "release" in refused.text.lower()
            assert {number: len(calls) for number, calls in line.calls.items()} == dict.fromkeys(
                here + there, 1
            )
            assert served.api.delete("kill").json()["data"]["engaged"] is False
            again = served.run(there[0], **{"agentpool.name": "elsewhere"})
            served.until(lambda run: run["phase"] == "running", lambda: status(served, again))


def test_a_revoked_agent_ends_by_itself_and_its_runs_as_those_of_a_lost_one(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    flags = ("--nats-listen", f"127.0.0.1:{free_port()}", "--no-agent", "--no-pbx", "--no-demo")
    with BusyLine() as line, serving(tmp_path / "data", *flags) as served:
        ready(served, line, "answer-1")
        enrol = ("--url", served.url, "--name", "v1", "--enrol")
        with agent_of(folder, *enrol, token(served)) as agent:
            alive(served)
            run = served.run("answer-1")
            served.until(lambda now: now["phase"] == "running", lambda: status(served, run))
            known = served.get("agents")["data"][0]["id"]
            assert served.api.delete(f"agents/{known}").json()["data"]["state"] == "revoked"
            # Well within the lease of 15 s.
            ended = served.finished(run, 10)
            assert ended["phase"] == "error"
            assert "revoked during the run" in ended["result_description"]
            assert agent.wait(10) == 4
            # Told by the platform, or by a nats-server that lets it in no more: whichever comes first.
            assert "agent v1 ends" in said(folder)
            assert "Enrol it anew" in said(folder)
            served.until(lambda ends: "answer-1" in ends, lambda: dict(line.ended))
        with agent_of(folder) as agent:  # what it had is good for nothing
            assert agent.wait(20) == 4
        with agent_of(folder, *enrol, token(served)):
            alive(served)
            served.until(lambda found: found["alive"], lambda: served.get(f"agents/{known}")["data"])
        assert {number: len(calls) for number, calls in line.calls.items()} == {"answer-1": 1}


def token(served: Served) -> str:
    text: str = served.api.post("agents/tokens", json={"pool": "default"}).json()["data"]["token"]
    return text


def status(served: Served, session: str) -> dict[str, object]:
    run: dict[str, object] = served.get(f"runs/{session}/status")["run"]
    return run


def lateness(seconds: float = 0.5) -> float:
    """How late this machine lets a process run at worst, now; twice that, for two are on the way."""
    worst, until = 0.0, time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        time.sleep(0.001)
        worst = max(worst, time.monotonic() - now - 0.001)
    return 2 * worst


def test_the_rate_of_a_target_holds_over_runs_that_follow_one_another(tmp_path: Path) -> None:
    """Admission counts the runs that are on, never more than one here; the agent counts calls."""
    numbers = [f"busy-{number}" for number in range(4)]
    with BusyLine(rings=0.01) as line, serving(tmp_path / "data", "--no-pbx", "--no-demo") as served:
        ready(served, line, *numbers)
        made = served.api.post("targets", json={"host": "127.0.0.1", "rate": 1})
        assert made.status_code in (200, 201), made.text
        for number in numbers:
            assert served.finished(served.run(number))["phase"] == "failed"
        begun = [line.first[number] for number in numbers]
        apart = [later - earlier for earlier, later in itertools.pairwise(begun)]
        assert min(apart) > 0.9, apart
