"""Subscriptions of ours (RFC 6665), with each single message lost, in virtual time."""

from __future__ import annotations

import pytest

from callwright.sip.config import EndpointConfig
from callwright.sip.events import (
    Event,
    Notified,
    RequestReceived,
    SubscribeAccepted,
    SubscribeEnded,
    SubscribeFailed,
    SubscriptionRefreshed,
)
from callwright.sip.subscriber import Subscriber
from tests.kit.wire import Fate, Wire, at_once, lose

EVENTS = EndpointConfig(allow=(*EndpointConfig().allow, "NOTIFY", "SUBSCRIBE"))
SUMMARY = "application/simple-message-summary"


def watching_wire(fate: Fate = at_once, *, longest: int = 60) -> Wire:
    """Bob tells his state, and tells it again whenever he is asked."""
    wire = Wire(alice=EVENTS, bob=EVENTS, fate=fate)

    def react(event: Event) -> None:
        if isinstance(event, RequestReceived) and event.request.method == "SUBSCRIBE":
            name = event.request.headers.get("event") or ""
            made = wire.bob.endpoint.accept_subscription(
                event.transaction, name, now=event.at, longest=longest
            )
            assert made is not None
            made.notify(b"Messages-Waiting: no", SUMMARY, now=event.at)
        elif isinstance(event, SubscriptionRefreshed):
            event.subscription.notify(b"Messages-Waiting: yes", SUMMARY, now=event.at)

    wire.bob.react = react
    return wire


def subscribe(wire: Wire, expires: int = 60) -> Subscriber:
    return wire.alice.endpoint.subscribe(
        "sip:bob@192.0.2.2",
        "message-summary",
        local=wire.alice.identity,
        hop=wire.alice.hop(),
        now=wire.clock.now,
        expires=expires,
        accept=SUMMARY,
    )


def flow(wire: Wire) -> Subscriber:
    """Subscribed, refreshed once at half of the minute, then ended by us."""
    ours = subscribe(wire)
    wire.clock.advance(45)
    ours.unsubscribe(wire.clock.now)
    wire.clock.advance(40)
    return ours


def test_a_subscription_is_accepted_told_refreshed_and_ended() -> None:
    wire = watching_wire()
    ours = flow(wire)
    asked = wire.said(wire.alice, "SUBSCRIBE")
    assert [one.header("Expires") for one in asked] == ["60", "60", "0"]
    assert {one.header("Event") for one in asked} == {"message-summary"}
    assert {one.header("Accept") for one in asked} == {SUMMARY}
    told = wire.alice.all(Notified)
    assert [event.request.body for event in told][:2] == [b"Messages-Waiting: no", b"Messages-Waiting: yes"]
    assert [event.state.state for event in told] == ["active", "active", "terminated"]
    wire.alice.one(SubscribeAccepted)
    wire.alice.one(SubscribeEnded)
    assert ours.over


def _count() -> int:
    wire = watching_wire()
    flow(wire)
    return len(wire.log)


@pytest.mark.parametrize("number", range(_count()))
def test_each_single_lost_message_of_a_subscription_is_made_good(number: int) -> None:
    wire = watching_wire(lose([number]))
    flow(wire)
    assert [event.state.state for event in wire.alice.all(Notified)] == ["active", "active", "terminated"]
    wire.alice.one(SubscribeEnded)
    assert not wire.alice.all(SubscribeFailed)


def test_a_subscription_that_is_never_told_of_ends_with_timer_n() -> None:
    wire = Wire(alice=EVENTS, bob=EVENTS)
    subscribe(wire, 600)
    wire.settle()
    received = wire.bob.one(RequestReceived)
    wire.bob.endpoint.respond(received.transaction, 200, now=wire.clock.now, headers=[("Expires", "600")])
    wire.clock.advance(33)
    assert "Timer N" in wire.alice.one(SubscribeEnded).why


def test_a_subscription_too_short_for_the_peer_is_asked_for_longer() -> None:
    wire = Wire(alice=EVENTS, bob=EVENTS)
    subscribe(wire)
    wire.settle()
    received = wire.bob.one(RequestReceived)
    wire.bob.endpoint.respond(received.transaction, 423, now=wire.clock.now, headers=[("Min-Expires", "90")])
    wire.settle()
    assert [one.header("Expires") for one in wire.said(wire.alice, "SUBSCRIBE")] == ["60", "90"]


@pytest.mark.parametrize("status", [403, 404, 489, 423])
def test_a_refused_subscription_fails_with_the_status(status: int) -> None:
    wire = Wire(alice=EVENTS, bob=EVENTS)
    ours = subscribe(wire)
    wire.settle()
    received = wire.bob.one(RequestReceived)
    wire.bob.endpoint.respond(received.transaction, status, now=wire.clock.now)
    wire.settle()
    assert wire.alice.one(SubscribeFailed).status == status
    assert ours.over
