"""Calls through the B2BUA on a bad wire: each message lost once, races of CANCEL, seeded impairment."""

from __future__ import annotations

import pytest

from callwright.sip.events import (
    CallAnswered,
    CallCanceled,
    CallEnded,
    CallFailed,
    CallReceived,
    Event,
    OfferAnswered,
    OfferReceived,
)
from tests.kit.wire import delayed, impaired, lose
from tests.simulation.exchange import ANSWER, Exchange, PhoneAt, description


def acknowledging(phone: PhoneAt) -> None:
    """The phone does what a phone does: rings, answers after a second, acknowledges, accepts offers."""

    def react(event: Event) -> None:
        now = phone.now
        match event:
            case CallReceived(call=call):
                call.ring(now=now)
            case CallAnswered(call=call):
                call.acknowledge(now=now)
            case OfferReceived(call=call):
                call.accept_offer(description(50_002, direction="recvonly"), now=now)
            case _:
                pass

    phone.react = react


def whole_call(exchange: Exchange) -> tuple[PhoneAt, PhoneAt]:
    """Register, call, ring, answer, hold, hang up, unregister; with a minute for every loss to heal."""
    alice, bob = exchange.phone("1001"), exchange.phone("1002")
    acknowledging(alice)
    acknowledging(bob)
    registration = bob.register()
    exchange.pass_time(5)
    call = alice.call("1002")
    exchange.pass_time(5)
    bob.one(CallReceived).call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(8)
    assert call.reinvite(description(40_000, direction="sendonly"), now=exchange.clock.now)
    exchange.pass_time(8)
    bob.one(CallReceived).call.hangup(now=exchange.clock.now)
    exchange.pass_time(8)
    registration.unregister(now=exchange.clock.now)
    exchange.pass_time(60)
    return alice, bob


def messages() -> int:
    exchange = Exchange(fate=delayed(0.01))
    whole_call(exchange)
    return len(exchange.log)


@pytest.mark.parametrize("number", range(messages()))
def test_a_call_survives_the_loss_of_any_one_message(number: int) -> None:
    exchange = Exchange(fate=lose([number], delayed(0.01)))
    alice, bob = whole_call(exchange)
    assert exchange.record.status == 200
    assert exchange.record.ended_by == "callee"
    assert alice.one(CallEnded)
    assert bob.one(CallEnded)
    assert len(alice.all(OfferAnswered)) == 1
    assert exchange.registrar.bindings("1002", exchange.clock.now) == ()
    exchange.assert_quiet()


@pytest.mark.parametrize("number", range(0, messages(), 2))
def test_a_call_survives_the_loss_of_two_messages_in_a_row(number: int) -> None:
    exchange = Exchange(fate=lose([number, number + 1], delayed(0.01)))
    whole_call(exchange)
    assert exchange.record.status == 200
    exchange.assert_quiet()


@pytest.mark.parametrize("step", range(12))
def test_a_cancel_may_cross_anything(step: int) -> None:
    """The caller gives up at each moment around the answer; nobody is left with half a call."""
    exchange = Exchange(fate=delayed(0.1))
    alice, bobs = exchange.phone("1001"), [exchange.phone("1002"), exchange.phone("1002")]
    acknowledging(alice)
    for bob in bobs:
        acknowledging(bob)
        bob.register()
    exchange.pass_time(2)
    call = alice.call("1002")  # 0.4: the INVITE with credentials reaches the PBX … 0.5: bob rings
    exchange.pass_time(0.55)
    bobs[0].one(CallReceived).call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(step * 0.05)
    if not call.cancel(now=exchange.clock.now):
        call.hangup(now=exchange.clock.now)
    exchange.pass_time(70)
    assert len(alice.all(CallCanceled)) + len(alice.all(CallEnded)) + len(alice.all(CallFailed)) == 1
    for bob in bobs:
        assert len(bob.all(CallEnded)) + len(bob.all(CallCanceled)) == 1
    assert exchange.record.over
    exchange.assert_quiet()


@pytest.mark.parametrize("step", range(8))
def test_a_cancel_may_meet_the_invite_on_its_way(step: int) -> None:
    exchange = Exchange(fate=delayed(0.1))
    alice, bob = exchange.phone("1001"), exchange.phone("1002")
    acknowledging(alice)
    acknowledging(bob)
    bob.register()
    exchange.pass_time(2)
    call = alice.call("1002")
    exchange.pass_time(step * 0.08)
    call.cancel(now=exchange.clock.now)
    exchange.pass_time(70)
    assert len(alice.all(CallCanceled)) + len(alice.all(CallFailed)) == 1
    assert not bob.all(CallEnded)
    exchange.assert_quiet()


@pytest.mark.parametrize("seed", range(12))
def test_a_call_on_a_lossy_doubling_reordering_wire_comes_to_an_end(seed: int) -> None:
    exchange = Exchange(fate=impaired(seed, loss=0.15, duplicate=0.1, delay=0.03, jitter=0.2), seed=seed)
    alice, bobs = exchange.phone("1001"), [exchange.phone("1002"), exchange.phone("1002")]
    acknowledging(alice)
    for bob in bobs:
        acknowledging(bob)
        bob.register()
    exchange.pass_time(20)
    call = alice.call("1002")
    exchange.pass_time(10)
    for bob in bobs:
        for received in bob.all(CallReceived):
            received.call.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(20)
    call.hangup(now=exchange.clock.now)
    exchange.pass_time(150)
    assert exchange.record.over
    exchange.assert_quiet()
