"""PRACK (RFC 3262) and UPDATE before the answer (RFC 3311) between two endpoints, in virtual time."""

from __future__ import annotations

import pytest

from callwright.sip.call import Call, CallState
from callwright.sip.config import EndpointConfig
from callwright.sip.events import (
    CallAnswered,
    CallFailed,
    CallProgressed,
    CallReceived,
    Event,
    FailureCause,
    OfferAnswered,
    OfferFailed,
    OfferReceived,
    ProvisionalConfirmed,
)
from tests.kit.peer import Peer, request, tag_of
from tests.kit.wire import Wire, lose

RELIABLE = EndpointConfig(supported=("100rel",))
REQUIRED = [("Require", "100rel")]


def invited(wire: Wire, body: bytes = b"offer") -> tuple[Call, Call]:
    """A call that requires reliable provisionals, and has not rung."""
    ours = wire.alice.invite(body=body, headers=REQUIRED)
    wire.settle()
    return ours, wire.bob.one(CallReceived).call


def reliable_wire() -> Wire:
    return Wire(alice=RELIABLE, bob=RELIABLE)


def test_a_required_provisional_is_acknowledged_by_prack() -> None:
    wire = reliable_wire()
    _, theirs = invited(wire)
    theirs.ring(now=wire.clock.now)
    wire.settle()
    (ringing,) = wire.said(wire.bob, "180 INVITE")
    (prack,) = wire.said(wire.alice, "PRACK")
    assert ringing.header("Require") == "100rel"
    assert prack.header("RAck") == f"{ringing.header('RSeq')} 1 INVITE"
    assert wire.said(wire.bob, "200 PRACK")
    wire.bob.one(ProvisionalConfirmed)
    told = [event for event in wire.alice.all(CallProgressed) if event.reliable]
    assert [event.status for event in told] == [180]
    wire.clock.advance(20)
    assert len(wire.said(wire.bob, "180 INVITE")) == 1


def test_provisionals_wait_for_each_other_and_the_answer_for_a_prack_of_sdp() -> None:
    wire = reliable_wire()
    _, theirs = invited(wire)
    theirs.ring(183, body=b"answer", now=wire.clock.now)
    theirs.ring(180, now=wire.clock.now)
    assert theirs.answer(now=wire.clock.now)
    assert not theirs.answer(now=wire.clock.now)
    assert wire.starts(wire.bob) == ["100 INVITE"]
    wire.transfer(wire.bob)
    assert wire.starts(wire.bob) == ["100 INVITE", "183 INVITE"]
    wire.settle()
    numbers = [int(sent.header("RSeq")) for sent in wire.log if sent.header("RSeq")]
    assert numbers[1] == numbers[0] + 1
    assert wire.starts(wire.bob)[-1] == "200 INVITE"
    wire.alice.one(CallAnswered)


def test_without_prack_a_provisional_is_doubled_until_64_t1_and_the_call_refused() -> None:
    wire = reliable_wire()
    _, theirs = invited(wire)
    wire.fate = lambda sent: () if sent.start == "PRACK" else (0.0,)
    start = wire.clock.now
    theirs.ring(now=start)
    wire.clock.advance(33)
    at = [sent.at - start for sent in wire.said(wire.bob, "180 INVITE")]
    assert at == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    failed = wire.bob.one(CallFailed)
    assert (failed.status, failed.cause) == (504, FailureCause.TIMED_OUT)
    assert wire.alice.one(CallFailed).status == 504


def test_an_offer_in_a_provisional_is_answered_in_the_prack() -> None:
    wire = reliable_wire()
    ours, theirs = invited(wire, body=b"")
    theirs.ring(183, body=b"late offer", now=wire.clock.now)
    wire.settle()
    owed = next(event for event in wire.alice.all(CallProgressed) if event.owed)
    assert not wire.said(wire.alice, "PRACK")
    assert ours.prack(b"answer", to_tag=owed.to_tag, now=wire.clock.now)
    assert not ours.prack(b"answer", to_tag=owed.to_tag, now=wire.clock.now)
    wire.settle()
    assert wire.bob.one(ProvisionalConfirmed).request.body == b"answer"


def flow(wire: Wire) -> None:
    """Ringing with SDP, an UPDATE of the caller, the answer, the end: each as soon as it has its place."""

    def caller(event: Event) -> None:
        if isinstance(event, CallProgressed) and event.reliable:
            event.call.update(b"early offer", now=event.at)
        elif isinstance(event, CallAnswered):
            event.call.acknowledge(now=event.at)

    def callee(event: Event) -> None:
        if isinstance(event, CallReceived):
            event.call.ring(183, body=b"answer", now=event.at)
        elif isinstance(event, OfferReceived):
            event.call.accept_offer(b"early answer", now=event.at)
            event.call.answer(now=event.at)

    wire.alice.react, wire.bob.react = caller, callee
    wire.alice.invite(body=b"offer", headers=REQUIRED)
    wire.clock.advance(31)


def test_an_update_before_the_answer_is_answered() -> None:
    wire = reliable_wire()
    flow(wire)
    assert wire.alice.one(OfferAnswered).response.body == b"early answer"
    assert wire.alice.one(CallAnswered).call.state is CallState.CONFIRMED


def _messages() -> int:
    wire = reliable_wire()
    flow(wire)
    return len(wire.log)


@pytest.mark.parametrize("number", range(_messages()))
def test_each_single_lost_message_of_prack_and_early_update_is_made_good(number: int) -> None:
    wire = Wire(alice=RELIABLE, bob=RELIABLE, fate=lose([number]))
    flow(wire)
    assert wire.alice.one(OfferAnswered).response.body == b"early answer"
    assert wire.alice.one(CallAnswered).call.state is CallState.CONFIRMED
    assert wire.bob.one(CallReceived).call.state is CallState.CONFIRMED


# -- what a peer gets wrong


def rung(peer: Peer) -> tuple[str, int]:
    """A reliable 180 to the peer: our tag, and its RSeq."""
    peer.send(request("INVITE", body="offer", extra="Require: 100rel"))
    peer.one(CallReceived).call.ring(now=peer.now)
    ringing = peer.listen()[-1]
    return tag_of(ringing), int(ringing.header("RSeq"))


@pytest.mark.parametrize(
    ("rack", "status"),
    [
        ("{next} 1 INVITE", "481"),
        ("{this} 2 INVITE", "481"),
        ("{this} 1 UPDATE", "481"),
        ("0 1 INVITE", "400"),
        ("4294967296 1 INVITE", "400"),
        ("x", "400"),
        ("", "400"),
    ],
)
def test_a_prack_that_fits_no_provisional_acknowledges_nothing(rack: str, status: str) -> None:
    peer = Peer(RELIABLE)
    tag, number = rung(peer)
    extra = f"RAck: {rack.format(this=number, next=number + 1)}" if rack else ""
    said = peer.send(request("PRACK", branch="z9hG4bKp", to_tag=tag, cseq=2, extra=extra))
    assert said[-1].start == f"{status} PRACK"
    right = f"RAck: {number} 1 INVITE"
    said = peer.send(request("PRACK", branch="z9hG4bKq", to_tag=tag, cseq=3, extra=right))
    assert said[-1].start == "200 PRACK"
    said = peer.send(request("PRACK", branch="z9hG4bKr", to_tag=tag, cseq=4, extra=right))
    assert said[-1].start == "481 PRACK"


def test_100rel_is_refused_by_an_endpoint_without_it() -> None:
    peer = Peer()
    said = peer.send(request("INVITE", body="offer", extra="Require: 100rel"))
    assert (said[-1].start, said[-1].header("Unsupported")) == ("420 INVITE", "100rel")


def test_an_update_before_the_first_offer_has_its_answer_is_put_off() -> None:
    peer = Peer(RELIABLE)
    tag, _ = rung(peer)
    said = peer.send(request("UPDATE", branch="z9hG4bKu", to_tag=tag, cseq=2, body="offer"))
    assert said[-1].start == "500 UPDATE"
    assert 0 <= int(said[-1].header("Retry-After")) <= 10


def test_an_update_against_our_own_open_offer_is_glare() -> None:
    wire = reliable_wire()
    ours, theirs = invited(wire)
    theirs.ring(180, now=wire.clock.now)
    wire.settle()
    assert not theirs.update(b"offer", now=wire.clock.now)
    theirs.send("UPDATE", b"offer", now=wire.clock.now, content_type="application/sdp")
    wire.settle()
    assert wire.said(wire.alice, "491 UPDATE")
    assert not wire.alice.all(OfferReceived)
    assert ours.state is CallState.EARLY
    assert not wire.bob.all(OfferFailed)
