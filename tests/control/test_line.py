"""Whose turn it is, without a database."""

from __future__ import annotations

import msgspec

from callwright.control.runs.line import Share, Turns, ahead_of
from callwright.control.runs.model import Run
from callwright.fleet.placement import Wish

A, B, C = 1, 2, 3


def a_run(number: int, project: int, phase: str = "queued", pool: str = "lab") -> Run:
    values = dict.fromkeys(Run.__struct_fields__)
    values |= {"id": number, "session_id": f"s{number}", "project_id": project, "pool": pool, "phase": phase}
    values |= {"placement": Wish()}
    return Run(**(values | {"attempt": 1}))  # type: ignore[arg-type]


def as_now(run: Run, phase: str) -> Run:
    return msgspec.structs.replace(run, phase=phase)


class Lab:
    """A pool that carries out some runs at once, each until the next one wants its place."""

    def __init__(self, runs: list[Run], *, places: int, room: int = 2) -> None:
        self.line, self.places, self.room = Turns(), places, room
        self.on: list[Run] = []
        self.order: list[Run] = []
        self.limits: dict[int, int] = {}
        for run in runs:
            self.line.see(run)

    def add(self, runs: list[Run]) -> None:
        for run in runs:
            self.line.see(run)

    def go(self, turns: int) -> list[int]:
        """So many more begin; their projects."""
        first = len(self.order)
        for _ in range(turns):
            if len(self.on) == self.places:
                self.line.see(as_now(self.on.pop(0), "passed"))
            chosen = self.line.chosen({"lab": self.room}, self.limits)
            if not chosen:
                break
            begun = as_now(chosen[0], "starting")
            self.line.see(begun)
            self.on.append(begun)
            self.order.append(begun)
        return [run.project_id for run in self.order[first:]]


def test_two_thousand_runs_of_one_project_keep_anothers_waiting_for_one_turn() -> None:
    lab = Lab([a_run(n, A) for n in range(1, 2001)], places=3)
    assert lab.go(10) == [A] * 10
    lab.add([a_run(3000 + n, B) for n in range(4)])
    assert lab.go(8).count(B) == 4
    assert [run.id for run in lab.order if run.project_id == B] == [3000, 3001, 3002, 3003]
    assert lab.go(5) == [A] * 5


def test_projects_take_turns_one_by_one_where_one_run_is_carried_out_at_a_time() -> None:
    runs = [a_run(n, A) for n in range(1, 9)] + [a_run(100 + n, B) for n in range(4)] + [a_run(200, C)]
    lab = Lab(runs, places=1)
    assert lab.go(9) == [A, B, C, A, B, A, B, A, B]


def test_a_project_with_long_runs_gets_no_more_places_than_one_with_short_ones() -> None:
    line = Turns()
    for n in range(6):
        line.see(a_run(n, A, "running"))
    for n in range(10):
        line.see(a_run(100 + n, A))
        line.see(a_run(200 + n, B))
    assert [run.project_id for run in line.chosen({"lab": 8})] == [B] * 7 + [A]


def test_a_limit_of_a_project_holds_over_all_pools() -> None:
    line = Turns()
    line.see(a_run(1, A, "running", pool="far"))
    for n in range(5):
        line.see(a_run(10 + n, A))
        line.see(a_run(20 + n, A, pool="far"))
    chosen = line.chosen({"lab": 9, "far": 9}, {A: 3})
    assert len(chosen) == 2
    assert line.chosen({"lab": 9, "far": 9}, {A: 1}) == []
    line.see(a_run(30, B))
    assert [run.id for run in line.chosen({"lab": 9, "far": 9}, {A: 1})] == [30]


def test_a_pool_of_a_project_is_offered_its_runs_alone() -> None:
    line = Turns()
    for n in range(3):
        line.see(a_run(n, A))
    line.see(a_run(9, B))
    assert [run.id for run in line.chosen({"lab": 9}, {}, {"lab": B})] == [9]


def test_a_run_that_is_tried_again_keeps_its_place_and_one_that_ended_leaves_it() -> None:
    line, first, second = Turns(), a_run(1, A), a_run(2, A)
    line.see(first)
    line.see(second)
    line.see(as_now(first, "starting"))
    assert [run.id for run in line.chosen({})] == [2]
    line.see(msgspec.structs.replace(first, attempt=2))
    assert [run.id for run in line.chosen({})] == [1]
    line.see(as_now(first, "canceled"))
    assert [run.id for run in line.chosen({})] == [2]
    line.keep_only(set())
    assert line.chosen({}) == []


def test_what_is_ahead_is_what_begins_before() -> None:
    """The estimate against the order itself, where nothing ends meanwhile."""
    for held, mine, others in ((0, 5, [3, 9]), (2, 4, [1]), (1, 1, [2000]), (0, 3, [])):
        line, number = Turns(), 0
        for _ in range(held):
            number += 1
            line.see(a_run(number, A, "running"))
        wanted = []
        for _ in range(mine):
            number += 1
            wanted.append(number)
            line.see(a_run(number, A))
        for project, waiting in enumerate(others, 10):
            for _ in range(waiting):
                number += 1
                line.see(a_run(number, project))
        order = [run.id for run in line.chosen({"lab": 10_000})]
        for own, run_id in enumerate(wanted):
            told = ahead_of(own, Share(mine, held), [Share(waiting, 0) for waiting in others])
            assert abs(told - order.index(run_id)) <= len(others)
