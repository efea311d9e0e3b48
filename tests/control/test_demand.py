"""What runs need of the fleet, counted."""

from __future__ import annotations

from callwright.control.runs.demand import Demand, carried, oldest, waiting

QUEUED = [
    Demand("lab", 1, "queued", None, 4, 40),
    Demand("lab", 2, "queued", None, 1, 2),
    Demand("north", 1, "queued", None, 3, 3),
]
HELD = [Demand("lab", 1, "running", "a", 2, 20), Demand("lab", 2, "starting", "a", 1, 1)]


def test_calls_that_wait_are_summed_by_pool() -> None:
    assert waiting([*QUEUED, *HELD]) == {"lab": 42, "north": 3}
    assert waiting(HELD) == {}


def test_an_agent_carries_the_calls_of_all_its_runs() -> None:
    assert carried([*QUEUED, *HELD]) == {"a": 21}


def test_runs_that_their_project_may_not_have_yet_ask_for_no_place() -> None:
    assert waiting([*QUEUED, *HELD], {1: 4, 2: 1}) == {"lab": 20, "north": 2}
    assert waiting([*QUEUED, *HELD], {1: 1}) == {"lab": 2}


def test_runs_in_the_pool_of_another_project_ask_for_no_place() -> None:
    assert waiting(QUEUED, owners={"lab": 2}) == {"lab": 2, "north": 3}


def test_the_oldest_run_that_waits_says_since_when() -> None:
    waits = [Demand("lab", 1, "queued", None, 4, 40, 90.0), Demand("lab", 2, "queued", None, 1, 2, 80.0)]
    assert oldest([*waits, Demand("lab", 1, "running", "a", 1, 1, 10.0)]) == {"lab": 80.0}
