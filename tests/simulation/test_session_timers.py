"""Session timers (RFC 4028) between two endpoints, and with a peer that gets them wrong, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callwright.sip.call import Call, CallState
from callwright.sip.config import EndpointConfig
from callwright.sip.events import (
    CallAnswered,
    CallEnded,
    CallReceived,
    EndCause,
    Event,
    OfferReceived,
    SessionRefreshed,
    Side,
)
from callwright.sip.headers import Headers
from callwright.sip.session_timer import NO_WISH, SessionWish, session_expires
from tests.kit.peer import Peer, request, tag_of
from tests.kit.wire import Wire, lose

TIMED = EndpointConfig(supported=("timer",))
OLD = EndpointConfig(supported=("timer",), allow=("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"))


def up(wire: Wire, ours: SessionWish, theirs: SessionWish = NO_WISH) -> tuple[Call, Call]:
    """A call that is answered; every further offer is answered, too."""

    def callee(event: Event) -> None:
        if isinstance(event, CallReceived):
            event.call.session.wish = theirs
            event.call.answer(b"answer", now=event.at)
        elif isinstance(event, OfferReceived):
            event.call.accept_offer(b"again", now=event.at)

    def caller(event: Event) -> None:
        if isinstance(event, CallAnswered):
            event.call.acknowledge(now=event.at)
        elif isinstance(event, OfferReceived):
            event.call.accept_offer(b"again", now=event.at)

    wire.alice.react, wire.bob.react = caller, callee
    wire.alice.invite(body=b"offer", session=ours)
    wire.settle()
    return wire.alice.one(CallAnswered).call, wire.bob.one(CallReceived).call


def timed() -> Wire:
    return Wire(alice=TIMED, bob=TIMED)


@pytest.mark.parametrize("refresher", [Side.LOCAL, Side.REMOTE])
def test_either_side_refreshes_by_update_at_half_of_the_interval(refresher: Side) -> None:
    wire = timed()
    ours, theirs = up(wire, SessionWish(120, refresher=refresher))
    assert (ours.session.interval, theirs.session.interval) == (120, 120)
    assert ours.session.refresher is refresher is not theirs.session.refresher
    wire.clock.advance(59)
    assert not wire.said(wire.alice, "UPDATE")
    assert not wire.said(wire.bob, "UPDATE")
    wire.clock.advance(600)
    mine, others = (wire.alice, wire.bob) if refresher is Side.LOCAL else (wire.bob, wire.alice)
    assert len(wire.said(mine, "UPDATE")) == 10
    assert not wire.said(others, "UPDATE")
    assert ours.confirmed
    assert theirs.confirmed
    assert ours.session.refreshes == theirs.session.refreshes == 10
    assert {event.by for event in mine.all(SessionRefreshed)} == {Side.LOCAL}


def test_a_peer_without_update_is_refreshed_by_the_same_offer_again() -> None:
    wire = Wire(alice=TIMED, bob=OLD)
    ours, theirs = up(wire, SessionWish(120, refresher=Side.LOCAL))
    wire.clock.advance(61)
    (refresh,) = wire.said(wire.alice, "INVITE")[1:]
    assert refresh.body == "offer"
    assert refresh.header("Session-Expires") == "120;refresher=uac"
    assert ours.session.refreshes == theirs.session.refreshes == 1


def test_a_session_that_is_not_refreshed_ends_with_bye_on_both_sides() -> None:
    wire = timed()
    up(wire, SessionWish(120, refresher=Side.REMOTE))
    start = wire.clock.now
    wire.fate = lambda sent: () if sent.start in ("UPDATE", "BYE") else (0.0,)
    wire.clock.advance(200)
    ended = wire.alice.one(CallEnded)
    assert (ended.cause, ended.by) == (EndCause.SESSION_EXPIRED, Side.LOCAL)
    assert ended.at - start == 88
    assert "the peer did not refresh the session of 120 s" in ended.reason
    assert wire.said(wire.alice, "BYE")
    assert wire.bob.one(CallEnded).cause is EndCause.SESSION_EXPIRED


def test_too_small_an_interval_is_asked_again_as_large_as_the_peer_wants() -> None:
    wire = Wire(alice=TIMED, bob=replace(TIMED, min_se=300))
    ours, theirs = up(wire, SessionWish(120))
    assert ours.session.interval == theirs.session.interval == 300
    first, second = wire.said(wire.alice, "INVITE")
    assert (first.header("Session-Expires"), second.header("Session-Expires")) == ("120", "300")
    assert second.header("Min-SE") == "300"
    assert first.header("Call-ID") == second.header("Call-ID")
    assert second.header("CSeq") == "2 INVITE"


def test_who_does_not_know_timers_has_none_or_is_refreshed_by_us() -> None:
    wire = Wire(alice=TIMED)
    ours, _ = up(wire, SessionWish(120))
    assert ours.session.interval is None
    wire = Wire(bob=TIMED)
    _, theirs = up(wire, SessionWish(), SessionWish(120, refresher=Side.REMOTE))
    assert theirs.session.refresher is Side.LOCAL
    (answer,) = wire.said(wire.bob, "200 INVITE")
    assert answer.header("Session-Expires") == "120;refresher=uas"
    assert answer.header("Require") == ""


def _messages() -> int:
    wire = timed()
    up(wire, SessionWish(120))
    wire.clock.advance(130)
    return len(wire.log)


@pytest.mark.parametrize("number", range(_messages()))
def test_each_single_lost_message_of_a_timed_call_is_made_good(number: int) -> None:
    wire = Wire(alice=TIMED, bob=TIMED, fate=lose([number]))

    def callee(event: Event) -> None:
        if isinstance(event, CallReceived):
            event.call.answer(b"answer", now=event.at)

    wire.bob.react = callee

    def caller(event: Event) -> None:
        if isinstance(event, CallAnswered):
            event.call.acknowledge(now=event.at)

    wire.alice.react = caller
    ours = wire.alice.invite(body=b"offer", session=SessionWish(120))
    wire.clock.advance(130)
    assert ours.state is CallState.CONFIRMED
    assert ours.session.refreshes == wire.bob.one(CallReceived).call.session.refreshes == 2


@pytest.mark.parametrize("value", ["0", "3", "-5", "x", "99999999999999999999", "", ";refresher=uac"])
def test_an_interval_that_makes_no_sense_sets_no_timer(value: str) -> None:
    peer = Peer(TIMED)
    peer.send(request("INVITE", body="offer", extra=f"Session-Expires: {value}"))
    call = peer.one(CallReceived).call
    call.answer(b"answer", now=peer.now)
    assert call.session.interval is None
    assert not peer.listen()[-1].header("Session-Expires")


def test_a_refresh_below_our_minimum_is_refused() -> None:
    peer = Peer(TIMED)
    extra = "Supported: timer\nSession-Expires: 200"
    peer.send(request("INVITE", body="offer", extra=extra))
    call = peer.one(CallReceived).call
    call.answer(b"answer", now=peer.now)
    answer = peer.listen()[-1]
    assert answer.header("Session-Expires") == "200;refresher=uac"
    assert answer.header("Require") == "timer"
    tag = tag_of(answer)
    peer.send(request("ACK", branch="z9hG4bKa", to_tag=tag))
    short = "Supported: timer\nSession-Expires: 60"
    said = peer.send(request("UPDATE", branch="z9hG4bKu", to_tag=tag, cseq=2, extra=short))
    assert (said[-1].start, said[-1].header("Min-SE")) == ("422 UPDATE", "90")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1800", (1800, None)),
        ("1800;refresher=uas", (1800, "uas")),
        (" 90 ; x=1 ; Refresher = UAC", (90, "uac")),
        ("90;refresher=both", (90, None)),
        ("soon", None),
    ],
)
def test_session_expires_is_read(text: str, read: tuple[int, str | None] | None) -> None:
    assert session_expires(Headers([("x", text)])) == read
