from __future__ import annotations

from typing import Any

from callwright.control.runs.model import Bucket, Run
from callwright.control.web import health

NOW = 1_800_000_000.0


def run(number: int, phase: str, *, test: int = 1, at: float | None = None, **more: Any) -> Run:
    fields: dict[str, Any] = {
        "id": number,
        "session_id": f"s{number}",
        "test_id": test,
        "test_name": f"test_{test}",
        "testcase_name": f"Test {test}",
        "project_id": 1,
        "project_name": "demo",
        "pool": "default",
        "phase": phase,
        "verdict": phase,
        "blame": "target" if phase == "failed" else None,
        "result_description": "It was refused." if phase == "failed" else "",
        "attempt": 1,
        "agent_id": None,
        "lease_until": None,
        "intent_at": None,
        "stop_requested_at": None,
        "tags": (),
        "created_at": NOW - 10_000 + 100 * number if at is None else at,
        "started_at": None,
        "stopped_at": None,
        "started_by": "mara",
        "kiosk": None,
        "mos": None,
    }
    return Run(**{**fields, **more})


def newest_first(*runs: Run) -> list[Run]:
    return sorted(runs, key=lambda one: -one.id)


def test_a_test_fails_since_the_first_run_that_did_not_pass() -> None:
    runs = newest_first(
        run(1, "passed"), run(2, "failed"), run(3, "error"), run(4, "failed"), run(5, "running")
    )
    (found,) = health.by_test(runs)
    assert found.failing
    assert found.latest.id == 4
    assert found.since == run(2, "failed").created_at
    assert found.marks == ("", "f", "e", "f")
    assert found.says == "Last 4 runs: 2 failed, 1 not measured"


def test_a_canceled_run_says_nothing_of_how_a_test_is() -> None:
    (found,) = health.by_test(newest_first(run(1, "failed"), run(2, "canceled")))
    assert found.failing
    (well,) = health.by_test(newest_first(run(1, "passed"), run(2, "canceled")))
    assert not well.failing
    assert well.since is None


def test_failed_tests_stand_before_those_that_were_not_measured() -> None:
    runs = newest_first(run(1, "error", test=1), run(2, "failed", test=2), run(3, "passed", test=3))
    assert [h.latest.phase for h in health.by_test(runs)] == ["failed", "error", "passed"]


def test_changes_are_the_turns_from_passing_to_failing_and_back() -> None:
    runs = newest_first(
        *(run(n, phase) for n, phase in enumerate(["passed", "failed", "failed", "passed"], 1))
    )
    assert [change.text for change in health.changes(runs)] == ["Test 1 passes again", "Test 1 began to fail"]


def test_the_headline_counts_in_words() -> None:
    failing = [h for h in health.by_test([run(1, "failed"), run(2, "error", test=2)]) if h.failing]
    assert health.headline([], (1, 1), 5) == "All tests pass."
    assert health.headline([], (1, 1), 0) == "Nothing has been run yet."
    assert health.headline(failing[:1], (1, 1), 5) == "One test fails. The others pass."
    assert health.headline(failing, (6, 7), 5) == (
        "One test fails, one was not measured and one agent is lost. The others pass."
    )
    assert health.headline([], (0, 0), 5) == "No agent is there to run tests. The tests that ran pass."


def test_a_test_that_has_not_run_is_not_said_to_pass() -> None:
    failing = [h for h in health.by_test([run(1, "failed")]) if h.failing]
    assert health.headline([], (1, 1), 11, 10) == (
        "One of 11 tests passes, 10 have not run in the last 30 days."
    )
    assert health.headline([], (1, 1), 11, 11) == "No test has run in the last 30 days."
    assert health.headline(failing, (1, 1), 3, 2) == ("One test fails. Two have not run in the last 30 days.")


def test_history_has_no_holes_and_no_data_stays_no_data() -> None:
    since = NOW - 300
    buckets = [
        Bucket(since, "passed", 3, 4.0),
        Bucket(since, "failed", 1, 3.0),
        Bucket(since + 200, "error", 2, None),
        Bucket(since + 200, "canceled", 5, None),  # somebody's will, and no failure to measure
    ]
    runs = [run(n, "passed", at=since + n, mos=mos) for n, mos in enumerate([4.0, 4.2, 1.0, 4.1, None])]
    first, second, third, fourth = health.steps(buckets, runs, since, 100, NOW)
    assert (first.passed, first.failed, first.mos) == (3, 1, 4.05)
    assert first.low is not None
    assert first.low < 1.6
    assert (second.passed, second.failed, second.mos) == (0, 0, None)
    assert third.other == 2
    assert health.pass_rate([first]) == 75
    assert health.pass_rate([second, third, fourth]) is None
    assert third.mos is None
    assert health.median_mos(runs) == 4.05
    assert health.median_mos([]) is None


def test_a_spark_line_is_broken_where_nothing_is_known() -> None:
    assert health.spark([None, 1.0], 0, 1) == ""
    path = health.spark([0.0, 1.0, None, 1.0, 1.0], 0, 1)
    assert path.count("M") == 2
