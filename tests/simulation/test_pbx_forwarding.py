"""Forwarding, do-not-disturb, ring groups, and a plan that changes while calls go on, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callwright.pbx.accounts import Forwarding
from callwright.pbx.plan import Hunt, PbxPlan, RingGroup
from callwright.pbx.record import Diversion
from callwright.sip.events import CallAnswered, CallCanceled, CallEnded, CallFailed, CallReceived
from tests.simulation.exchange import ANSWER, Exchange, PhoneAt, account


def exchange_of(*groups: RingGroup, **wishes: Forwarding) -> Exchange:
    """Accounts 1001 to 1004, `u1002=Forwarding(...)` for one that forwards."""
    users = ("1001", "1002", "1003", "1004")
    accounts = tuple(account(user, forwarding=wishes.get(f"u{user}", Forwarding())) for user in users)
    return Exchange(plan=PbxPlan(accounts, groups))


def ringing(phone: PhoneAt) -> CallReceived:
    """It rings at this phone, for the first time."""
    received = phone.one(CallReceived)
    received.call.ring(now=phone.now)
    phone.exchange.pass_time(0)
    return received


def answered(phone: PhoneAt) -> None:
    ringing(phone).call.answer(ANSWER, now=phone.now)
    phone.exchange.pass_time(0)


def diversion(phone: PhoneAt) -> str | None:
    return phone.one(CallReceived).request.headers.get("Diversion")


def test_call_goes_to_another_number_without_ringing_when_always_forwarded() -> None:
    exchange = exchange_of(u1002=Forwarding(always="1003"))
    alice, bob, carol = exchange.phone("1001"), exchange.registered("1002"), exchange.registered("1003")
    alice.call("1002")
    exchange.pass_time(0)
    answered(carol)
    assert alice.one(CallAnswered).response.body == ANSWER
    assert not bob.all(CallReceived)
    assert diversion(carol) == "<sip:1002@pbx.test>;reason=unconditional"
    assert carol.one(CallReceived).request.headers.to.uri.user == "1003"
    assert exchange.record.diversions == [Diversion("1002", "1003", "unconditional")]
    assert exchange.record.callee == "1002"


@pytest.mark.parametrize("status", [486, 600, 603])
def test_busy_or_declined_call_goes_to_the_number_for_busy(status: int) -> None:
    exchange = exchange_of(u1002=Forwarding(busy="1003"))
    alice, bob, carol = exchange.phone("1001"), exchange.registered("1002"), exchange.registered("1003")
    alice.call("1002")
    exchange.pass_time(0)
    ringing(bob).call.reject(status, now=exchange.clock.now)
    exchange.pass_time(0)
    answered(carol)
    assert len(alice.all(CallAnswered)) == 1
    assert diversion(carol) == "<sip:1002@pbx.test>;reason=user-busy"


def test_call_goes_on_when_nobody_answers_in_time_and_the_first_phone_stops_ringing() -> None:
    exchange = exchange_of(u1002=Forwarding(no_answer="1003", after=15))
    alice, bob, carol = exchange.phone("1001"), exchange.registered("1002"), exchange.registered("1003")
    alice.call("1002")
    exchange.pass_time(0)
    ringing(bob)
    exchange.pass_time(14.9)
    assert not carol.all(CallReceived)
    exchange.pass_time(0.2)
    assert len(bob.all(CallCanceled)) == 1
    answered(carol)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(1)
    assert diversion(carol) == "<sip:1002@pbx.test>;reason=no-answer"
    carol.one(CallReceived).call.hangup(now=exchange.clock.now)
    exchange.pass_time(40)
    assert len(alice.all(CallEnded)) == 1
    exchange.assert_quiet()


def test_answer_in_time_is_not_forwarded_later() -> None:
    exchange = exchange_of(u1002=Forwarding(no_answer="1003", after=15))
    alice, bob, carol = exchange.phone("1001"), exchange.registered("1002"), exchange.registered("1003")
    alice.call("1002")
    exchange.pass_time(0)
    answered(bob)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(60)
    assert not carol.all(CallReceived)
    assert exchange.pbx.live == 1


@pytest.mark.parametrize("forwarding", [Forwarding(unreachable="1003"), Forwarding(no_answer="1003")])
def test_account_without_a_phone_is_forwarded_at_once(forwarding: Forwarding) -> None:
    exchange = exchange_of(u1002=forwarding)
    alice, carol = exchange.phone("1001"), exchange.registered("1003")
    alice.call("1002")
    exchange.pass_time(0)
    answered(carol)
    assert diversion(carol) == "<sip:1002@pbx.test>;reason=unavailable"


def test_do_not_disturb_is_busy_and_rings_nothing() -> None:
    exchange = exchange_of()
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    plan = exchange.pbx.plan
    exchange.pbx.adopt(plan.with_account(account("1002", do_not_disturb=True)), exchange.clock.now)
    alice.call("1002")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 486
    assert not bob.all(CallReceived)


def test_do_not_disturb_uses_the_number_for_busy() -> None:
    exchange = exchange_of()
    alice, carol = exchange.phone("1001"), exchange.registered("1003")
    exchange.registered("1002")
    wishes = account("1002", do_not_disturb=True, forwarding=Forwarding(busy="1003"))
    exchange.pbx.adopt(exchange.pbx.plan.with_account(wishes), exchange.clock.now)
    alice.call("1002")
    exchange.pass_time(0)
    answered(carol)
    assert diversion(carol) == "<sip:1002@pbx.test>;reason=do-not-disturb"


def test_forwarding_in_a_circle_is_refused() -> None:
    exchange = exchange_of(u1002=Forwarding(always="1003"), u1003=Forwarding(always="1002"))
    alice = exchange.phone("1001")
    alice.call("1002")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 482
    assert exchange.record.ended_by == "pbx"


def test_circle_through_unanswered_phones_gives_the_caller_the_last_refusal() -> None:
    exchange = exchange_of(u1002=Forwarding(busy="1003"), u1003=Forwarding(busy="1002"))
    alice, bob, carol = exchange.phone("1001"), exchange.registered("1002"), exchange.registered("1003")
    alice.call("1002")
    exchange.pass_time(0)
    ringing(bob).call.reject(486, now=exchange.clock.now)
    exchange.pass_time(0)
    ringing(carol).call.reject(486, now=exchange.clock.now)
    exchange.pass_time(0)
    bob.all(CallReceived)[-1].call.reject(486, now=exchange.clock.now)
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 486
    exchange.pass_time(40)
    exchange.assert_quiet()


def test_extension_of_an_account_is_dialled_as_its_user() -> None:
    exchange = Exchange(plan=PbxPlan((account("1001"), account("carol", extension="13"))))
    alice, carol = exchange.phone("1001"), exchange.registered("carol")
    alice.call("13")
    exchange.pass_time(0)
    answered(carol)
    assert len(alice.all(CallAnswered)) == 1


# -- ring groups


def group(**wishes: object) -> RingGroup:
    return replace(RingGroup("600", ("1002", "1003", "1004")), **wishes)  # type: ignore[arg-type]


def test_group_rings_all_members_and_the_first_to_answer_has_the_call() -> None:
    exchange = exchange_of(group())
    alice = exchange.phone("1001")
    bob, carol = exchange.registered("1002"), exchange.registered("1003")
    alice.call("600")
    exchange.pass_time(0)
    ringing(bob)
    answered(carol)
    assert len(alice.all(CallAnswered)) == 1
    (cancel,) = exchange.said(None, "CANCEL", bob)
    assert "Call completed elsewhere" in cancel.header("Reason")
    assert bob.one(CallReceived).request.headers.to.uri.user == "1002"


def test_group_in_order_rings_each_member_for_its_time() -> None:
    exchange = exchange_of(group(hunt=Hunt.IN_ORDER, seconds=10))
    alice = exchange.phone("1001")
    bob, dan = exchange.registered("1002"), exchange.registered("1004")
    alice.call("600")
    exchange.pass_time(0)
    ringing(bob)
    exchange.pass_time(9)
    assert not dan.all(CallReceived)
    exchange.pass_time(1.1)
    assert len(bob.all(CallCanceled)) == 1
    answered(dan)
    assert len(alice.all(CallAnswered)) == 1


def test_group_goes_on_to_its_other_number_when_nobody_answers() -> None:
    exchange = exchange_of(group(seconds=10, members=("1002", "1003"), otherwise="1004"))
    alice, dan = exchange.phone("1001"), exchange.registered("1004")
    bob = exchange.registered("1002")
    alice.call("600")
    exchange.pass_time(0)
    ringing(bob)
    exchange.pass_time(10.1)
    answered(dan)
    assert diversion(dan) == "<sip:600@pbx.test>;reason=no-answer"


def test_members_that_want_no_calls_are_left_out_and_their_forwardings_too() -> None:
    exchange = exchange_of(group(), u1002=Forwarding(always="1004"))
    alice = exchange.phone("1001")
    carol, dan = exchange.registered("1003"), exchange.registered("1004")
    quiet = account("1004", do_not_disturb=True)
    exchange.pbx.adopt(exchange.pbx.plan.with_account(quiet), exchange.clock.now)
    alice.call("600")
    exchange.pass_time(0)
    answered(carol)
    assert not dan.all(CallReceived)


def test_group_that_nobody_of_is_registered_is_refused_with_480() -> None:
    exchange = exchange_of(group())
    alice = exchange.phone("1001")
    alice.call("600")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 480


# -- a plan that changes


def test_new_account_registers_and_is_called_without_a_restart() -> None:
    exchange = exchange_of()
    alice = exchange.phone("1001")
    exchange.pbx.adopt(exchange.pbx.plan.with_account(account("2001")), exchange.clock.now)
    eve = exchange.registered("2001")
    alice.call("2001")
    exchange.pass_time(0)
    answered(eve)
    assert len(alice.all(CallAnswered)) == 1


def test_removed_account_loses_its_contacts_and_its_call_goes_on() -> None:
    exchange = exchange_of()
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    alice.call("1002")
    exchange.pass_time(0)
    answered(bob)
    alice.one(CallAnswered).call.acknowledge(now=exchange.clock.now)
    exchange.pass_time(1)
    exchange.pbx.adopt(exchange.pbx.plan.without_account("1002"), exchange.clock.now)
    assert exchange.registrar.bindings("1002", exchange.clock.now) == ()
    exchange.pass_time(5)
    assert exchange.pbx.live == 1
    alice.call("1002")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 404


def test_changed_password_counts_from_the_next_request_on() -> None:
    exchange = exchange_of()
    alice = exchange.phone("1001")
    changed = replace(account("1001"), secret="another")
    exchange.pbx.adopt(exchange.pbx.plan.with_account(changed), exchange.clock.now)
    alice.call("1002")
    exchange.pass_time(0)
    assert alice.one(CallFailed).status == 407
