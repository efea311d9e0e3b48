"""Calls over wires that lose, repeat and reorder: each ends cleanly and leaves nothing behind."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callwright.sip.events import (
    CallAnswered,
    CallCanceled,
    CallEnded,
    CallFailed,
    CallReceived,
    CallRedirected,
    EndCause,
    Event,
    OfferReceived,
    RequestReceived,
)
from callwright.sip.transport import Transport
from tests.kit.examples import examples
from tests.kit.wire import Fate, Party, Wire, impaired, lose

FINAL = (CallEnded, CallFailed, CallCanceled, CallRedirected)


def act(wire: Wire, *, refuse: bool = False) -> None:
    """Bob rings and answers (or refuses), both accept offers and answer requests, alice acknowledges."""

    def react(party: Party, event: Event) -> None:
        now = wire.clock.now
        if isinstance(event, CallReceived):
            event.call.ring(now=now)
            if refuse:
                event.call.reject(486, now=now)
            else:
                event.call.answer(b"answer", now=now)
        elif isinstance(event, CallAnswered):
            event.call.acknowledge(now=now)
        elif isinstance(event, OfferReceived):
            event.call.accept_offer(b"answer", now=now)
        elif isinstance(event, RequestReceived):
            party.endpoint.respond(event.transaction, 200, now=now)

    wire.alice.react = lambda event: react(wire.alice, event)
    wire.bob.react = lambda event: react(wire.bob, event)


def whole_call(fate: Fate, *, refuse: bool = False, transport: Transport = Transport.UDP) -> Wire:
    """Invite, answer, INFO, re-INVITE, BYE, with time for every loss to be made good."""
    wire = Wire(fate=fate, transport=transport)
    act(wire, refuse=refuse)
    call = wire.alice.invite(body=b"offer")
    wire.clock.advance(40)
    call.send("INFO", now=wire.clock.now)
    call.reinvite(b"hold", now=wire.clock.now)
    wire.clock.advance(40)
    call.hangup(now=wire.clock.now)
    wire.clock.advance(80)
    return wire


def assert_clean(wire: Wire) -> None:
    for party in (wire.alice, wire.bob):
        finals = [event for event in party.heard if isinstance(event, FINAL)]
        calls = len(party.all(CallReceived)) if party is wire.bob else 1
        assert len(finals) == calls, party.kinds()
        assert not list(party.endpoint.calls)
        assert sum(party.endpoint.pending()) == 0
        assert party.endpoint.next_wake() is None
        assert party.endpoint.quiescent


def numbers_of_a_whole_call() -> int:
    return len(whole_call(lambda sent: (0.0,)).log)


@pytest.mark.parametrize("lost", range(13))
def test_a_call_completes_whichever_single_message_is_lost(lost: int) -> None:
    wire = whole_call(lose([lost]))
    assert_clean(wire)
    assert wire.alice.one(CallEnded).cause is EndCause.BYE
    assert wire.bob.one(CallEnded).cause is EndCause.BYE
    assert wire.alice.endpoint.loss_seen or wire.bob.endpoint.loss_seen or lost in (1, 2, 8)


def test_the_sweep_covers_every_message_of_a_call() -> None:
    assert numbers_of_a_whole_call() == 13


@pytest.mark.parametrize("first", range(12))
def test_a_call_completes_when_two_messages_in_a_row_are_lost(first: int) -> None:
    wire = whole_call(lose([first, first + 1]))
    assert_clean(wire)
    assert wire.alice.one(CallEnded).cause is EndCause.BYE


@pytest.mark.parametrize("lost", range(6))
def test_a_refused_call_ends_cleanly_whichever_message_is_lost(lost: int) -> None:
    wire = whole_call(lose([lost]), refuse=True)
    assert wire.alice.one(CallFailed).status == 486
    for party in (wire.alice, wire.bob):
        assert sum(party.endpoint.pending()) == 0


@pytest.mark.parametrize("direction", ["alice", "bob"])
def test_a_call_over_a_wire_that_works_one_way_only_fails_cleanly(direction: str) -> None:
    wire = whole_call(lambda sent: (0.0,) if sent.sender == direction else ())
    assert_clean(wire)


def test_a_call_over_a_dead_wire_fails_cleanly() -> None:
    wire = whole_call(lambda sent: ())
    assert wire.alice.one(CallFailed)
    assert wire.bob.heard == []


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.1, 0.3, 0.6]),
    duplicate=st.sampled_from([0.0, 0.3]),
    jitter=st.sampled_from([0.0, 0.3, 2.0]),
    refuse=st.booleans(),
)
def test_a_call_over_any_wire_ends_and_leaves_nothing_behind(
    seed: int, loss: float, duplicate: float, jitter: float, refuse: bool
) -> None:
    wire = whole_call(impaired(seed, loss=loss, duplicate=duplicate, jitter=jitter), refuse=refuse)
    for party in (wire.alice, wire.bob):
        assert not list(party.endpoint.calls)
        assert sum(party.endpoint.pending()) == 0
        assert party.endpoint.next_wake() is None
    assert len([event for event in wire.alice.heard if isinstance(event, FINAL)]) == 1


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["alice", "bob"]),
            st.sampled_from(
                ["hangup", "cancel", "reinvite", "send", "ring", "answer", "reject", "acknowledge"]
            ),
            st.sampled_from([0.0, 0.01, 0.7, 5.0, 33.0]),
        ),
        max_size=12,
    ),
)
def test_any_verbs_at_any_time_leave_nothing_behind(seed: int, steps: list[tuple[str, str, float]]) -> None:
    wire = Wire(fate=impaired(seed, loss=0.2, duplicate=0.1, delay=0.02, jitter=0.1))
    ours = wire.alice.invite(body=b"offer")
    for who, verb, pause in steps:
        theirs = [event.call for event in wire.bob.all(CallReceived)]
        call = ours if who == "alice" else (theirs[0] if theirs else None)
        inbound = verb in ("ring", "answer", "reject")
        if (
            call is not None
            and not (inbound and call is ours)
            and not (verb == "cancel" and call is not ours)
        ):
            now = wire.clock.now
            if verb == "reinvite":
                call.reinvite(b"offer", now=now)
            elif verb == "send":
                call.send("INFO", now=now)
            else:
                getattr(call, verb)(now=now)
        wire.clock.advance(pause)
    for event in wire.bob.all(CallReceived):
        event.call.hangup(now=wire.clock.now)
    ours.hangup(now=wire.clock.now)
    wire.clock.advance(1300)
    for party in (wire.alice, wire.bob):
        assert not list(party.endpoint.calls)
        assert sum(party.endpoint.pending()) == 0
        assert party.endpoint.next_wake() is None
