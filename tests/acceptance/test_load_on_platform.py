"""A load through the platform: run by its agent, told as it happens, stopped, kept with its figures."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from tests.acceptance.test_stopping import lateness
from tests.kit.served import Served

DOCUMENT = """\
name: many_calls
parties: {alice: , bob: }
steps:
  - - accept: {party: bob, media: no}
  - - call: {from: alice, to: bob, load: yes, call_rate: 40, max_total_calls: 80, max_duration: 200 ms,
           media: no}
conditions:
  - failed = 0
  - calls = 80
"""


@pytest.fixture(scope="module")
def test_name(platform: Served) -> str:
    answer = platform.api.post("tests", json={"document": DOCUMENT})
    assert answer.status_code in (200, 201), answer.text
    return "many_calls"


def test_a_load_runs_on_the_agent_and_leaves_its_figures(platform: Served, test_name: str) -> None:
    session_id = platform.run(test_name)
    run = platform.finished(session_id)
    files = platform.api.get(f"runs/{session_id}/evidence/run.json")
    assert files.status_code == 200, files.text
    told = files.json()
    loads = {load["role"]: load for load in told["loads"]}
    # Invalid where the machine is too busy to place calls in time; every call is counted all the same.
    assert (run["status"], told["verdict"]) in (("passed", "passed"), ("failed", "invalid")), told["reason"]
    assert (loads["caller"]["answered"], loads["answerer"]["answered"]) == (80, 80)
    assert sum(loads["caller"]["seconds"]["attempted"]) == 80
    assert 'id="load"' in platform.api.get(f"runs/{session_id}/evidence/report.html").text


def test_a_stop_ends_a_load_in_bounded_time(platform: Served, test_name: str) -> None:
    wishes = {"step.1.0.max_total_calls": 100000, "step.1.0.max_duration": "60 s"}
    session_id = platform.run(test_name, **wishes)
    platform.until(
        lambda run: run["phase"] == "running", lambda: platform.get(f"runs/{session_id}/status")["run"]
    )
    assert platform.api.post(f"runs/{session_id}/stop").status_code == 200
    run = platform.finished(session_id, 20)
    assert (run["status"], run["phase"]) == ("failed", "canceled")


def test_the_kill_switch_ends_all_calls_of_a_load_and_none_is_placed_after(
    platform: Served, test_name: str
) -> None:
    wishes = {
        "step.1.0.call_rate": 200,
        "step.1.0.max_total_calls": 100000,
        "step.1.0.max_duration": "60 s",
    }
    session_id = platform.run(test_name, **wishes)
    platform.until(
        lambda run: run["phase"] == "running", lambda: platform.get(f"runs/{session_id}/status")["run"], 60
    )
    time.sleep(4.0)  # for hundreds of calls
    late = lateness()
    pulled = time.time()
    try:
        assert platform.api.post("kill", json={"reason": "a fire"}).json()["data"]["stopped"] >= 1
        run = platform.finished(session_id, 60)
    finally:
        platform.api.delete("kill")
    assert (run["status"], run["phase"]) == ("failed", "canceled")
    told = platform.api.get(f"runs/{session_id}/evidence/run.json").json()
    loads = {load["role"]: load for load in told.get("loads", ())}
    assert set(loads) == {"caller", "answerer"}, told
    caller, answerer = loads["caller"], loads["answerer"]
    assert caller["attempted"] > 300, caller["reason"]
    # The last look of each: nothing is up, nothing was placed since; none was left to the other side.
    assert [load["seconds"]["active"][-1] for load in (caller, answerer)] == [0, 0]
    assert caller["attempted"] == caller["answered"] + caller["canceled"] + caller["failed"]
    assert "all of them ended" in caller["reason"]
    stopped = datetime.fromisoformat(told["stopped_at"]).timestamp()
    assert stopped - pulled < 2.0 + late, told["reason"]
