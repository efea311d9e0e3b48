"""Reliable provisionals and early UPDATE through the PBX: each leg has its own PRACK, and says what the other
said."""

from __future__ import annotations

import pytest

from callwright.sip.call import Call
from callwright.sip.config import EndpointConfig
from callwright.sip.events import (
    CallAnswered,
    CallConfirmed,
    CallFailed,
    CallProgressed,
    CallReceived,
    OfferAnswered,
    OfferFailed,
    OfferReceived,
    ProvisionalConfirmed,
)
from tests.simulation.exchange import ANSWER, OFFER, Exchange, PhoneAt, description

RELIABLE = EndpointConfig(supported=("100rel",))
REQUIRED = [("Require", "100rel")]


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def alice(exchange: Exchange) -> PhoneAt:
    return exchange.phone("1001", config=RELIABLE)


@pytest.fixture
def bob(exchange: Exchange) -> PhoneAt:
    return exchange.registered("1002", config=RELIABLE)


def ringing(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt, *, offer: bytes = OFFER, body: bytes = ANSWER
) -> tuple[Call, Call]:
    """A call that rings with early media, all acknowledged."""
    ours = alice.call("1002", body=offer, headers=REQUIRED)
    exchange.pass_time(0)
    theirs = bob.one(CallReceived).call
    theirs.ring(183, body=body, now=exchange.clock.now)
    exchange.pass_time(0)
    return ours, theirs


def test_a_required_provisional_is_reliable_on_both_legs(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    _, theirs = ringing(exchange, alice, bob)
    assert bob.one(CallReceived).request.headers.get("Require") == "100rel"
    assert bob.one(ProvisionalConfirmed).status == 183
    told = next(event for event in alice.all(CallProgressed) if event.reliable)
    assert (told.status, told.response.body) == (183, ANSWER)
    theirs.answer(now=exchange.clock.now)
    exchange.pass_time(0)
    answered = alice.one(CallAnswered)
    assert answered.response.body == b""
    answered.call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    bob.one(CallConfirmed)
    answered.call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    exchange.assert_quiet()


def test_who_does_not_support_them_has_none(exchange: Exchange, bob: PhoneAt) -> None:
    plain = exchange.phone("1001")
    plain.call("1002")
    exchange.pass_time(0)
    received = bob.one(CallReceived)
    assert received.request.headers.get("Supported") == "timer"
    received.call.ring(now=exchange.clock.now)
    exchange.pass_time(0)
    assert not any(event.reliable for event in plain.all(CallProgressed))


def test_an_offer_in_a_provisional_has_its_answer_in_the_prack(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    ours, theirs = ringing(exchange, alice, bob, offer=b"", body=OFFER)
    owed = next(event for event in alice.all(CallProgressed) if event.owed)
    assert owed.response.body == OFFER
    ours.prack(ANSWER, to_tag=owed.to_tag, now=exchange.clock.now)
    exchange.pass_time(0)
    assert bob.one(ProvisionalConfirmed).request.body == ANSWER
    theirs.answer(now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    bob.one(CallConfirmed)


@pytest.mark.parametrize("by_caller", [True, False])
def test_an_early_update_passes_with_its_answer(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt, by_caller: bool
) -> None:
    ours, theirs = ringing(exchange, alice, bob)
    offerer, listener = (alice, bob) if by_caller else (bob, alice)
    early, reply = description(41_000), description(51_000)
    assert (ours if by_caller else theirs).update(early, now=exchange.clock.now)
    exchange.pass_time(0)
    received = listener.one(OfferReceived)
    assert (received.request.method, received.request.body) == ("UPDATE", early)
    received.call.accept_offer(reply, now=exchange.clock.now)
    exchange.pass_time(0)
    assert offerer.one(OfferAnswered).response.body == reply


def test_a_refused_early_update_is_refused_and_the_call_goes_on(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    ours, theirs = ringing(exchange, alice, bob)
    ours.update(description(41_000), now=exchange.clock.now)
    exchange.pass_time(0)
    bob.one(OfferReceived).call.refuse_offer(504, now=exchange.clock.now)
    exchange.pass_time(0)
    assert alice.one(OfferFailed).status == 504
    theirs.answer(now=exchange.clock.now)
    exchange.pass_time(0)
    alice.one(CallAnswered)


def test_an_update_after_the_answer_stays_one_where_it_is_allowed(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    ours, theirs = ringing(exchange, alice, bob)
    theirs.answer(now=exchange.clock.now)
    exchange.pass_time(0)
    ours.acknowledge(now=exchange.clock.now)
    exchange.pass_time(0)
    assert ours.update(description(41_000), now=exchange.clock.now)
    exchange.pass_time(0)
    assert bob.one(OfferReceived).request.method == "UPDATE"


def test_without_the_callers_prack_the_call_ends_for_all(
    exchange: Exchange, alice: PhoneAt, bob: PhoneAt
) -> None:
    exchange.fate = lambda sent: () if sent.start == "PRACK" and sent.hop.local == alice.address else (0.0,)
    ringing(exchange, alice, bob)
    exchange.pass_time(40)
    assert alice.one(CallFailed).status == 504
    assert exchange.record.status == 504
