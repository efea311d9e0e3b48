"""What a move makes of the record of a server."""

from __future__ import annotations

import pytest

from callwright.fleet.record import EMBEDDED, PRIVATE, NoSuchMove, ServerRecord, moved
from callwright.fleet.server import MOVES, Event, State, sources


def server(state: State = State.PENDING, provider: str = "process", **more: object) -> ServerRecord:
    facts = {"number": 1, "name": "agent-1", "label": "agent-1", "pool": "default"} | more
    return ServerRecord(provider=provider, state=state, created=1.0, updated=1.0, since=1.0, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("event", Event)
def test_an_event_moves_a_server_from_its_sources_alone_and_counts_the_revision(event: Event) -> None:
    (row,) = [move for move in MOVES if move.event is event]
    for state in State:
        if state not in sources(event):
            with pytest.raises(NoSuchMove):
                moved(server(state), event, 9.0)
            continue
        after = moved(server(state, revision=4), event, 9.0)
        assert (after.state, after.since, after.updated, after.revision) == (row.enters, 9.0, 9.0, 5)


def test_a_life_notes_its_first_start_and_its_end() -> None:
    one = server()
    for second, event in enumerate((Event.ALLOCATE, Event.MADE, Event.INSTALL, Event.HEARD), 2):
        one = moved(one, event, second)
    assert (one.state, one.started) == (State.RUNNING, 5)
    lost = moved(one, Event.LOST, 40.0, error="lost: not heard for 31 s")
    again = moved(lost, Event.HEARD, 50.0)
    assert (lost.error, again.error, again.started) == ("lost: not heard for 31 s", "", 5)
    for second, event in enumerate((Event.RETIRE, Event.DRAINED, Event.GONE), 60):
        again = moved(again, event, second)
    assert (again.state, again.stopped, again.deleted_at) == (State.STOPPED, 62, 62)


def test_attempts_count_what_the_provider_refused_since_the_last_step_that_worked() -> None:
    one = server(State.CREATING)
    one = moved(moved(moved(one, Event.RETRY, 2.0), Event.ALLOCATE, 3.0), Event.RETRY, 4.0)
    assert one.attempts == 2
    one = moved(moved(one, Event.ALLOCATE, 5.0), Event.MADE, 6.0, machine="i-1")
    assert (one.attempts, one.machine) == (0, "i-1")
    one = moved(server(State.STOPPING), Event.REFUSE, 7.0, error="the provider answers 500")
    one = moved(moved(one, Event.REAP, 70.0), Event.REFUSE, 80.0)
    assert (one.attempts, one.error) == (2, "the provider answers 500")


def test_only_a_server_that_a_provider_made_is_ours_to_end() -> None:
    assert server().ours
    assert not server(provider=EMBEDDED).ours
    assert not server(provider=PRIVATE).ours
    assert server(provider=PRIVATE).private
    assert not server(provider=EMBEDDED).private


def test_an_address_that_a_person_set_hides_the_one_that_was_seen() -> None:
    assert server(address="192.0.2.1").host == "192.0.2.1"
    assert server(address="192.0.2.1", ip_address="probe.example.com").host == "probe.example.com"
