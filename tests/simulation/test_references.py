"""REFER and its subscription (RFC 3515), and INVITE with Replaces (RFC 3891), between two endpoints."""

from __future__ import annotations

import pytest

from callwright.sip.call import Call, CallState
from callwright.sip.config import EndpointConfig
from callwright.sip.events import (
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallFailed,
    CallReceived,
    Event,
    ReferralAccepted,
    ReferralEnded,
    ReferralProgressed,
    ReferralRefused,
    RequestReceived,
    SubscriptionEnded,
    SubscriptionRefreshed,
)
from callwright.sip.refer import FRAGMENT, ReferTo, fragment
from callwright.sip.referral import Referral
from callwright.sip.uri import Uri
from tests.kit.peer import Peer, request, tag_of
from tests.kit.wire import Sent, Wire, lose

REFERS = EndpointConfig(
    allow=(*EndpointConfig().allow, "REFER", "NOTIFY", "SUBSCRIBE"), supported=("replaces",)
)
CAROL = ReferTo(Uri.parse("sip:carol@192.0.2.3"))


def referring_wire(fate: object = None) -> Wire:
    return Wire(alice=REFERS, bob=REFERS, **({} if fate is None else {"fate": fate}))  # type: ignore[arg-type]


def talk(wire: Wire) -> tuple[Call, Call]:
    """A call of alice to bob that is up, on a wire that loses nothing yet."""
    call = wire.alice.invite(body=b"offer")
    wire.settle()
    theirs = wire.bob.all(CallReceived)[-1].call
    theirs.answer(b"answer", now=wire.clock.now)
    wire.settle()
    call.acknowledge(now=wire.clock.now)
    wire.settle()
    return call, theirs


def taken(wire: Wire, *, until: int = 200) -> None:
    """Bob takes every REFER, and tells 100, 180 a second later, and the last a second after that."""

    def react(event: Event) -> None:
        if isinstance(event, RequestReceived) and event.request.method == "REFER":
            assert event.call is not None
            subscription = wire.bob.endpoint.accept_refer(event.transaction, event.call, now=event.at)
            assert subscription is not None
            subscription.notify(fragment(100), FRAGMENT, now=event.at)
            subscription.notify(fragment(180), FRAGMENT, now=event.at)
            subscription.notify(fragment(until), FRAGMENT, now=event.at, ended="noresource")

    wire.bob.react = react


def refer(wire: Wire, call: Call) -> Referral:
    referral = call.refer(CAROL, now=wire.clock.now)
    assert referral is not None
    return referral


def test_a_refer_is_taken_and_its_subscription_tells_the_outcome() -> None:
    wire = referring_wire()
    ours, theirs = talk(wire)
    taken(wire)
    referral = refer(wire, ours)
    wire.settle()
    (asked,) = wire.said(wire.alice, "REFER")
    assert asked.header("Refer-To") == "<sip:carol@192.0.2.3>"
    assert asked.header("Referred-By") == "<sip:alice@192.0.2.1>"
    assert asked.header("Contact")
    assert wire.said(wire.bob, "202 REFER")[0].header("Contact")
    told = wire.said(wire.bob, "NOTIFY")
    assert {one.header("Event") for one in told} == {f"refer;id={asked.header('CSeq').split()[0]}"}
    assert told[0].header("Subscription-State").startswith("active;expires=")
    assert told[-1].header("Subscription-State") == "terminated;reason=noresource"
    assert [event.status for event in wire.alice.all(ReferralProgressed)] == [100, 180, 200]
    assert wire.alice.one(ReferralEnded).status == 200
    assert referral.over
    assert ours.state is theirs.state is CallState.CONFIRMED, "the call is not touched"


@pytest.mark.parametrize("by_alice", [True, False])
def test_news_of_a_reference_outlives_its_call(by_alice: bool) -> None:
    wire = referring_wire()
    ours, theirs = talk(wire)
    referral = refer(wire, ours)
    wire.settle()
    received = wire.bob.one(RequestReceived)
    subscription = wire.bob.endpoint.accept_refer(received.transaction, theirs, now=wire.clock.now)
    assert subscription is not None
    wire.settle()
    (ours if by_alice else theirs).hangup(now=wire.clock.now)
    wire.settle()
    wire.bob.one(CallEnded)
    subscription.notify(fragment(486), FRAGMENT, now=wire.clock.now, ended="noresource")
    wire.settle()
    assert wire.starts(wire.alice)[-1] == "200 NOTIFY"
    assert (referral.status, referral.reason) == (486, "Busy Here")
    wire.clock.advance(40)
    assert not sum(wire.alice.endpoint.pending())
    assert not sum(wire.bob.endpoint.pending())


def test_a_refused_refer_leaves_the_call_as_it_was() -> None:
    wire = referring_wire()
    ours, _ = talk(wire)
    refer(wire, ours)
    wire.settle()
    received = wire.bob.one(RequestReceived)
    wire.bob.endpoint.respond(received.transaction, 481, now=wire.clock.now)
    wire.settle()
    assert wire.alice.one(ReferralRefused).status == 481
    assert ours.state is CallState.CONFIRMED


def test_a_peer_that_never_notifies_is_given_up_after_timer_n() -> None:
    wire = referring_wire()
    ours, theirs = talk(wire)
    refer(wire, ours)
    wire.settle()
    received = wire.bob.one(RequestReceived)
    wire.bob.endpoint.respond(received.transaction, 202, now=wire.clock.now)
    wire.clock.advance(33)
    wire.alice.one(ReferralAccepted)
    assert wire.alice.one(ReferralEnded).status is None
    assert theirs.state is CallState.CONFIRMED


def test_the_transferor_may_ask_not_to_be_told() -> None:
    wire = referring_wire()
    ours, theirs = talk(wire)
    ours.refer(CAROL, now=wire.clock.now, headers=[("Refer-Sub", "false")])
    wire.settle()
    received = wire.bob.one(RequestReceived)
    assert wire.bob.endpoint.accept_refer(received.transaction, theirs, now=wire.clock.now) is None
    wire.settle()
    assert wire.said(wire.bob, "202 REFER")[0].header("Refer-Sub") == "false"
    assert wire.alice.one(ReferralEnded).why == "no news was promised"


def test_a_subscribe_ends_the_subscription_of_a_reference() -> None:
    wire = referring_wire()
    ours, theirs = talk(wire)
    refer(wire, ours)
    wire.settle()
    received = wire.bob.one(RequestReceived)
    subscription = wire.bob.endpoint.accept_refer(received.transaction, theirs, now=wire.clock.now)
    assert subscription is not None
    ours.send("SUBSCRIBE", now=wire.clock.now, headers=[("Event", subscription.event), ("Expires", "0")])
    wire.settle()
    wire.bob.one(SubscriptionRefreshed)
    subscription.notify(fragment(100), FRAGMENT, now=wire.clock.now)
    wire.settle()
    assert wire.said(wire.bob, "NOTIFY")[-1].header("Subscription-State") == "terminated;reason=timeout"
    wire.alice.one(ReferralEnded)


def test_a_notify_that_is_refused_ends_the_subscription_and_not_the_call() -> None:
    wire = referring_wire()
    ours, theirs = talk(wire)
    refer(wire, ours)
    wire.settle()
    received = wire.bob.one(RequestReceived)
    subscription = wire.bob.endpoint.accept_refer(received.transaction, theirs, now=wire.clock.now)
    assert subscription is not None
    subscription.event = "refer;id=99"
    subscription.notify(fragment(100), FRAGMENT, now=wire.clock.now)
    wire.settle()
    assert wire.said(wire.alice, "481 NOTIFY")
    wire.bob.one(SubscriptionEnded)
    assert theirs.state is CallState.CONFIRMED


def _count() -> int:
    wire = referring_wire()
    ours, _ = talk(wire)
    before = len(wire.log)
    taken(wire)
    refer(wire, ours)
    wire.clock.advance(40)
    return len(wire.log) - before


@pytest.mark.parametrize("number", range(_count()))
def test_each_single_lost_message_of_a_transfer_is_made_good(number: int) -> None:
    wire = referring_wire()
    ours, theirs = talk(wire)
    wire.fate = lose([len(wire.log) + number])
    taken(wire)
    refer(wire, ours)
    wire.clock.advance(40)
    assert wire.alice.all(ReferralProgressed)[-1].status == 200
    assert ours.state is theirs.state is CallState.CONFIRMED
    assert not wire.alice.all(ReferralRefused)


# -- Replaces


def replace(wire: Wire, replaces: str, **more: str) -> Call:
    call = wire.alice.invite(body=b"second offer", headers=[("Replaces", replaces), *more.items()])
    wire.settle()
    return call


def test_an_invite_with_replaces_names_the_call_whose_place_it_takes() -> None:
    wire = referring_wire()
    ours, theirs = talk(wire)
    replace(wire, str(ours.as_replaced))
    assert wire.bob.all(CallReceived)[-1].call.replaces is theirs


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("dead@nowhere;to-tag=1;from-tag=2", 481),
        ("{};early-only", 486),
        ("no-tags@nowhere", 400),
        ("x" * 600 + ";to-tag=1;from-tag=2", 400),
        (";;;=;", 400),
    ],
)
def test_replaces_for_no_such_dialog_is_refused(text: str, status: int) -> None:
    wire = referring_wire()
    ours, theirs = talk(wire)
    replace(wire, text.format(ours.as_replaced))
    assert wire.alice.one(CallFailed).status == status
    assert len(wire.bob.all(CallReceived)) == 1
    assert theirs.state is CallState.CONFIRMED


def test_replaces_for_a_call_that_has_ended_is_refused_with_481() -> None:
    wire = referring_wire()
    ours, _ = talk(wire)
    named = str(ours.as_replaced)
    ours.hangup(now=wire.clock.now)
    wire.settle()
    replace(wire, named)
    assert wire.alice.one(CallFailed).status == 481


def test_replaces_for_a_call_that_rings_here_is_refused_with_481() -> None:
    """It is for the side that called to give up an early dialog (RFC 3891 section 3)."""
    wire = referring_wire()
    call = wire.alice.invite(body=b"offer")
    wire.settle()
    theirs = wire.bob.one(CallReceived).call
    theirs.ring(now=wire.clock.now)
    wire.settle()
    replace(wire, f"{call.call_id};to-tag={theirs.local_tag};from-tag={call.local_tag}")
    assert wire.alice.one(CallFailed).status == 481


def _replacement(wire: Wire) -> None:
    ours, theirs = talk(wire)
    start = len(wire.log)

    def callee(event: Event) -> None:
        if isinstance(event, CallReceived):
            event.call.answer(b"answer", now=event.at)
        elif isinstance(event, CallConfirmed) and event.call.replaces is not None:
            event.call.replaces.hangup(now=event.at)

    def caller(event: Event) -> None:
        if isinstance(event, CallAnswered):
            event.call.acknowledge(now=event.at)

    wire.bob.react, wire.alice.react = callee, caller
    wanted = wire.fate
    wire.fate = lambda sent: wanted(Sent(sent.at, sent.sender, sent.data, sent.hop, sent.number - start))
    wire.alice.invite(body=b"second", headers=[("Replaces", str(ours.as_replaced))])
    wire.clock.advance(40)
    assert theirs.over
    assert ours.over
    assert wire.bob.all(CallReceived)[-1].call.state is CallState.CONFIRMED


@pytest.mark.parametrize("number", range(7))
def test_each_single_lost_message_of_a_replacement_is_made_good(number: int) -> None:
    _replacement(referring_wire(lose([number])))


# -- what is wrong


def in_call(peer: Peer) -> tuple[str, str]:
    """A call of the peer that the endpoint answered: our tag, and what its requests are made with."""
    peer.send(request("INVITE", extra="Contact: <sip:peer@192.0.2.99>"))
    call = peer.one(CallReceived).call
    call.answer(b"answer", now=peer.now)
    tag = tag_of(peer.listen()[-1])
    peer.send(request("ACK", branch="z9hG4bKack", to_tag=tag))
    return tag, call.call_id


def test_a_notify_that_nobody_subscribed_to_is_answered_481() -> None:
    peer = Peer(REFERS)
    told = "Event: refer\nSubscription-State: active\nContact: <sip:peer@192.0.2.99>"
    (outside,) = peer.send(request("NOTIFY", branch="z9hG4bKn1", call_id="other", extra=told))
    assert outside.start == "481 NOTIFY"
    tag, _ = in_call(peer)
    (inside,) = peer.send(request("NOTIFY", branch="z9hG4bKn2", to_tag=tag, cseq=2, extra=told))
    assert inside.start == "481 NOTIFY"
    assert not [kind for kind in peer.kinds() if kind == "RequestReceived"]


@pytest.mark.parametrize("state", ["", "Subscription-State: ;;", "Subscription-State: @"])
def test_a_notify_without_a_subscription_state_is_answered_400(state: str) -> None:
    peer = Peer(REFERS)
    tag, _ = in_call(peer)
    call = peer.one(CallReceived).call
    referral = call.refer(CAROL, now=peer.now)
    assert referral is not None
    peer.listen()
    told = f"Event: refer\n{state}".strip()
    (answer,) = peer.send(request("NOTIFY", branch="z9hG4bKn", to_tag=tag, cseq=2, extra=told))
    assert answer.start == "400 NOTIFY"
    assert not referral.over
