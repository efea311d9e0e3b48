"""The life of a server: every state has somebody who moves it on."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from callwright.fleet.server import (
    MOVES,
    STATES,
    Deadlines,
    Event,
    State,
    deadline_after,
    enters,
    render_markdown,
    sources,
)


def test_every_state_that_is_not_final_has_an_owner_a_deadline_and_a_recovery() -> None:
    assert set(STATES) == set(State)
    for state, rule in STATES.items():
        if state is State.STOPPED:
            assert rule.final
            continue
        assert rule.owner
        assert rule.recovery
        assert deadline_after(state, Deadlines())


def test_every_state_that_is_not_final_has_a_way_to_stopped() -> None:
    reached = {State.STOPPED}
    while True:
        more = {
            state for move in MOVES if move.enters in reached for state in move.leaves if state not in reached
        }
        if not more:
            break
        reached |= more
    assert reached == set(State)


def test_only_a_person_who_recovers_an_enrolled_server_takes_it_out_of_the_final_state() -> None:
    assert [move.event for move in MOVES if State.STOPPED in move.leaves] == [Event.RECOVER]


def test_every_event_has_one_row_and_every_deadline_a_state() -> None:
    assert sorted(move.event for move in MOVES) == sorted(Event)
    assert {rule.deadline for rule in STATES.values()} - {""} == {field.name for field in fields(Deadlines)}


def test_a_pool_sets_the_drain_time_of_its_own_servers() -> None:
    assert deadline_after(State.SHUTDOWN, Deadlines(), drain=7.0) == 7.0
    assert deadline_after(State.STAGING, Deadlines(), drain=7.0) == Deadlines().boot
    assert deadline_after(State.STOPPED, Deadlines()) is None


def test_a_server_may_be_retired_from_every_state_in_which_it_is_wanted() -> None:
    assert set(sources(Event.RETIRE)) == set(State) - {State.SHUTDOWN, State.STOPPING, State.STOPPED}
    assert enters(Event.RETIRE) is State.SHUTDOWN


def test_the_page_in_the_docs_is_drawn_from_the_table() -> None:
    page = render_markdown()
    assert page == (Path(__file__).parents[2] / "docs" / "server-states.md").read_text(encoding="utf-8")
    assert all(f"| {word} " in page for word in (*State, *Event))
