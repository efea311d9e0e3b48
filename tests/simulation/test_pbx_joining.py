"""Two numbers that a program joins, and texts that it sends, in virtual time."""

from __future__ import annotations

import pytest

from callwright.pbx.record import CallRecord
from callwright.pbx.routing import Refuse
from callwright.policy.destination import Rules
from callwright.sip.alerting import asked_to_answer
from callwright.sip.events import CallEnded, CallReceived, OfferReceived, RequestReceived
from tests.simulation.exchange import DOMAIN, Exchange, PhoneAt, description
from tests.simulation.test_pbx_trunks import carrier, exchange_of

PORTS = {"1001": 40_000, "1002": 50_000, "carrier-first": 60_000, "carrier-second": 61_000}


def able(phone: PhoneAt) -> PhoneAt:
    """Takes the offers by which two legs are joined."""

    def react(event: object) -> None:
        if isinstance(event, OfferReceived):
            event.call.accept_offer(description(PORTS[phone.user]), now=phone.now)

    phone.react = react
    return phone


def joined(exchange: Exchange, first: str, number: str, by: str = "1001") -> CallRecord:
    record = exchange.pbx.join_numbers(first, number, by, exchange.clock.now)
    assert isinstance(record, CallRecord), record
    exchange.pass_time(0)
    return record


def answer(phone: PhoneAt) -> None:
    phone.all(CallReceived)[-1].call.answer(description(PORTS[phone.user]), now=phone.now)
    phone.exchange.pass_time(1)


def is_answered(record: CallRecord) -> bool:
    return record.answered_at is not None


def test_two_parties_outside_are_joined_and_the_account_that_asked_is_in_no_call() -> None:
    exchange = exchange_of()
    far = able(carrier(exchange, "first", "192.0.2.200"))
    record = joined(exchange, "0043123", "0043456")
    first = far.one(CallReceived)
    assert str(first.request.target) == "sip:+43123@carrier.example"
    assert asked_to_answer(first.request.headers) is None, "a stranger's phone is never told to answer"
    assert exchange.pbx.free(("1001",)) == ()
    alice = exchange.registered("1001")
    assert exchange.pbx.free(("1001",)) == ("1001",)
    answer(far)
    second = far.all(CallReceived)[-1]
    assert str(second.request.target) == "sip:+43456@carrier.example"
    assert not is_answered(record)
    answer(far)
    assert (record.caller, record.caller_number, record.asked_by) == (None, "0043123", "1001")
    assert (record.callee, record.status, record.trunk) == ("0043456", 200, "first")
    assert is_answered(record)
    assert exchange.pbx.free(("1001",)) == ("1001",)
    assert not alice.all(CallReceived)
    first.call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert len(far.all(CallEnded)) == 2
    exchange.assert_quiet()


def test_an_extension_is_joined_with_a_party_outside_and_sees_their_number() -> None:
    exchange = exchange_of()
    far, bob = able(carrier(exchange, "first", "192.0.2.200")), able(exchange.registered("1002"))
    joined(exchange, "1002", "0043456")
    assert bob.one(CallReceived).request.headers.from_.uri.user == "0043456"
    answer(bob)
    assert str(far.one(CallReceived).request.target) == "sip:+43456@carrier.example"


def test_the_next_trunk_is_tried_for_the_first_party_too() -> None:
    exchange = exchange_of()
    one, other = carrier(exchange, "first", "192.0.2.200"), carrier(exchange, "second", "192.0.2.201")
    record = joined(exchange, "0043123", "1002")
    one.one(CallReceived).call.reject(503, now=exchange.clock.now)
    exchange.pass_time(0)
    other.one(CallReceived).call.reject(404, now=exchange.clock.now)
    exchange.pass_time(1)
    assert (record.over, record.status) == (True, 404)
    again = joined(exchange, "0043123", "1002")
    one.all(CallReceived)[-1].call.reject(404, now=exchange.clock.now)
    exchange.pass_time(1)
    assert (again.over, again.status, len(other.all(CallReceived))) == (True, 404, 1)


@pytest.mark.parametrize(
    ("rules", "first", "by", "status"),
    [
        (None, "79999", "1001", 404),
        (None, "0043123", "9999", 404),
        (None, "1002", "1001", 480),
        (Rules(), "0043123", "1001", 403),
    ],
)
def test_who_may_not_be_called_is_refused_at_once(
    rules: Rules | None, first: str, by: str, status: int
) -> None:
    exchange = exchange_of() if rules is None else exchange_of(rules=rules)
    far = carrier(exchange, "first", "198.51.100.7" if rules is not None else "192.0.2.200")
    refused = exchange.pbx.join_numbers(first, "1001", by, exchange.clock.now)
    assert isinstance(refused, Refuse)
    assert refused.status == status
    exchange.pass_time(1)
    assert not far.all(CallReceived)
    exchange.assert_quiet()


def test_a_text_reaches_each_phone_and_says_how_it_was_taken() -> None:
    exchange = Exchange()
    told: list[tuple[int, str]] = []

    def send(text: str) -> None:
        exchange.pbx.send_text("1001", "1002", text, lambda *one: told.append(one), exchange.clock.now)
        exchange.pass_time(0)

    send("nobody is there")
    assert [status for status, _ in told] == [480]
    phones = [exchange.registered("1002", host=f"192.0.2.{60 + n}") for n in range(2)]
    send("Grüß Gott")
    received = [phone.all(RequestReceived)[-1] for phone in phones]
    for one in received:
        assert (one.request.method, one.request.body.decode()) == ("MESSAGE", "Grüß Gott")
        assert one.request.headers.from_.display_name == "Name 1001"
        assert str(one.request.headers.from_.uri) == f"sip:1001@{DOMAIN}"
    phones[0].endpoint.respond(received[0].transaction, 486, now=exchange.clock.now)
    exchange.pass_time(0)
    assert len(told) == 1
    phones[1].endpoint.respond(received[1].transaction, 200, now=exchange.clock.now)
    exchange.pass_time(0)
    assert told[1:] == [(200, "OK")]
    send("again")
    for phone in phones:
        again = phone.all(RequestReceived)[-1]
        phone.endpoint.respond(again.transaction, 415, now=exchange.clock.now)
    exchange.pass_time(0)
    assert [status for status, _ in told[2:]] == [415]
