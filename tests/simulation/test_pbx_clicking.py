"""Calls that a program asks for, in virtual time: the user's own phones ring first."""

from __future__ import annotations

from callwright.pbx.record import CallRecord
from callwright.sip.alerting import asked_to_answer
from callwright.sip.events import CallCanceled, CallEnded, CallReceived, OfferReceived
from tests.simulation.exchange import Exchange, PhoneAt, description

PORTS = {"1001": 40_000, "1002": 50_000}


def phone(exchange: Exchange, user: str) -> PhoneAt:
    made = exchange.registered(user)

    def react(event: object) -> None:
        if isinstance(event, OfferReceived):
            event.call.accept_offer(description(PORTS[user]), now=made.now)

    made.react = react
    return made


def clicked(exchange: Exchange) -> CallRecord:
    record = exchange.pbx.click("1001", "1002", exchange.clock.now)
    assert record is not None
    exchange.pass_time(0)
    return record


def answered(record: CallRecord) -> bool:
    return record.answered_at is not None


def answer(callee: PhoneAt) -> None:
    call = callee.all(CallReceived)[-1].call
    call.ring(now=callee.now)
    call.answer(description(PORTS[callee.user]), now=callee.now)
    callee.exchange.pass_time(1)


def test_who_has_no_phone_is_told_at_once() -> None:
    exchange = Exchange()
    exchange.phone("1001")
    assert exchange.pbx.click("1001", "1002", exchange.clock.now) is None
    assert exchange.pbx.live_calls == []


def test_the_number_is_dialled_when_the_own_phone_answers_and_counts_as_answered_when_it_does() -> None:
    exchange = Exchange()
    alice, bob = phone(exchange, "1001"), phone(exchange, "1002")
    record = clicked(exchange)
    assert alice.all(CallReceived)[-1].request.headers.from_.uri.user == "1002", (
        "the phone shows who is called"
    )
    assert not bob.all(CallReceived)
    assert asked_to_answer(alice.all(CallReceived)[-1].request.headers) == 0
    answer(alice)
    assert asked_to_answer(bob.all(CallReceived)[-1].request.headers) is None
    assert bob.all(CallReceived)[-1].request.headers.from_.uri.user == "1001"
    assert not answered(record)
    exchange.pass_time(3)
    answer(bob)
    assert (record.caller, record.callee, record.status) == ("1001", "1002", 200)
    assert answered(record)
    assert [(live.id, held) for live, held in exchange.pbx.live_calls] == [(record.id, False)]
    assert exchange.pbx.hang_up(record.id, exchange.clock.now)
    exchange.pass_time(1)
    assert alice.all(CallEnded)
    assert bob.all(CallEnded)
    assert exchange.pbx.live_calls == []
    assert not exchange.pbx.hang_up(record.id, exchange.clock.now)


def test_a_number_that_is_busy_ends_the_call_which_was_not_answered() -> None:
    exchange = Exchange()
    alice, bob = phone(exchange, "1001"), phone(exchange, "1002")
    record = clicked(exchange)
    answer(alice)
    bob.all(CallReceived)[-1].call.reject(486, now=bob.now)
    exchange.pass_time(2)
    assert (record.answered_at, record.status) == (None, 486)
    assert alice.all(CallEnded)
    assert exchange.pbx.live_calls == []


def test_an_own_phone_that_is_not_answered_or_refuses_ends_the_call() -> None:
    exchange = Exchange()
    alice = phone(exchange, "1001")
    record = clicked(exchange)
    alice.all(CallReceived)[-1].call.reject(603, now=alice.now)
    exchange.pass_time(1)
    assert (record.status, record.over) == (603, True)
    record = clicked(exchange)
    alice.all(CallReceived)[-1].call.ring(now=alice.now)
    exchange.pass_time(200)
    assert (record.status, record.over) == (487, True)
    assert alice.all(CallCanceled)


def test_who_hangs_up_before_the_number_answers_has_canceled_the_call() -> None:
    exchange = Exchange()
    alice, bob = phone(exchange, "1001"), phone(exchange, "1002")
    record = clicked(exchange)
    answer(alice)
    bob.all(CallReceived)[-1].call.ring(now=bob.now)
    exchange.pass_time(1)
    alice.all(CallReceived)[-1].call.hangup(now=alice.now)
    exchange.pass_time(1)
    assert record.over
    assert record.answered_at is None
    assert bob.all(CallCanceled)
    assert exchange.pbx.live_calls == []
