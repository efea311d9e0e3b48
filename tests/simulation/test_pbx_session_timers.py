"""Session timers (RFC 4028) through the PBX: one on each leg, as the caller asked; a dead one ends both."""

from __future__ import annotations

import pytest

from callwright.sip.call import Call
from callwright.sip.config import EndpointConfig
from callwright.sip.events import CallAnswered, CallEnded, CallReceived, EndCause, Side
from callwright.sip.session_timer import SessionWish
from tests.simulation.exchange import ANSWER, Exchange, PhoneAt

TIMED = EndpointConfig(supported=("timer",))


def up(exchange: Exchange, refresher: Side) -> tuple[PhoneAt, Call, PhoneAt, Call]:
    """A call with a session timer of two minutes."""
    alice, bob = exchange.phone("1001", config=TIMED), exchange.registered("1002", config=TIMED)
    ours = alice.call("1002", session=SessionWish(120, refresher=refresher))
    exchange.pass_time(0)
    theirs = bob.one(CallReceived).call
    theirs.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    return alice, ours, bob, theirs


@pytest.mark.parametrize("refresher", [Side.LOCAL, Side.REMOTE])
def test_each_leg_is_refreshed_as_the_caller_asked(refresher: Side) -> None:
    exchange = Exchange()
    alice, ours, bob, theirs = up(exchange, refresher)
    assert (ours.session.interval, theirs.session.interval) == (120, 120)
    assert ours.session.refresher is refresher
    exchange.pass_time(290)
    assert not alice.all(CallEnded)
    assert not bob.all(CallEnded)
    assert ours.session.refreshes == theirs.session.refreshes == 4
    ours.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    exchange.assert_quiet()


def test_a_callee_that_refreshes_no_more_ends_the_call_of_both() -> None:
    exchange = Exchange()
    alice, _, bob, theirs = up(exchange, Side.LOCAL)
    theirs.session.stop()
    exchange.fate = lambda sent: () if sent.hop.local == bob.address else (0.0,)
    exchange.pass_time(130)
    ended = alice.one(CallEnded)
    assert (ended.by, ended.cause) == (Side.REMOTE, EndCause.BYE)
    assert ended.request is not None
    assert "session" in (ended.request.headers.get("Reason") or "")


def test_too_small_a_timer_is_refused_by_the_pbx_itself() -> None:
    exchange = Exchange()
    alice, bob = exchange.phone("1001", config=TIMED), exchange.registered("1002", config=TIMED)
    alice.call("1002", session=SessionWish(30))
    exchange.pass_time(0)
    assert bob.one(CallReceived).request.headers.get("Session-Expires") == "90"
    assert [sent.header("Min-SE") for sent in exchange.said(alice, "INVITE")][-1] == "90"
