"""What the PBX tells of its calls: identities that last, times by the calendar, a step at a time."""

from __future__ import annotations

import pytest

from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.pbx.news import news_of
from callwright.pbx.record import CallEvent
from callwright.sip.events import CallAnswered, CallReceived
from tests.simulation.exchange import ANSWER, Exchange, talk, wall_at


def told(exchange: Exchange) -> list[CallNews]:
    return [news_of(event) for event in exchange.pbx.events() if isinstance(event, CallEvent)]


def test_each_step_of_a_call_is_told_with_the_times_that_are_known() -> None:
    exchange = Exchange()
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    began = wall_at(exchange.clock.now)
    talk(exchange, alice, bob)
    news = told(exchange)
    assert [one.step for one in news] == list(CallStep)
    assert {one.call for one in news} == {exchange.record.id}
    last = news[-1]
    assert (last.caller, last.callee, last.status, last.ended_by) == ("1001", "1002", 200, "caller")
    times = (last.begun_at, last.ringing_at, last.answered_at, last.ended_at)
    assert times == pytest.approx((began, began, began + 2, began + 5))


def test_each_key_by_info_is_told_of_its_leg_and_in_its_order() -> None:
    exchange = Exchange()
    alice, bob = exchange.phone("1001"), exchange.registered("1002")
    alice.call("1002")
    exchange.pass_time(0)
    theirs = bob.one(CallReceived).call
    theirs.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(1)
    ours = alice.one(CallAnswered).call
    ours.acknowledge(now=exchange.clock.now)
    exchange.pass_time(1)
    told(exchange)
    ours.send(
        "INFO", b"Signal=5\r\nDuration=160", now=exchange.clock.now, content_type="application/dtmf-relay"
    )
    ours.send("INFO", b"Signal=5\r\n", now=exchange.clock.now, content_type="text/plain")
    exchange.pass_time(1)
    theirs.send("INFO", b"#", now=exchange.clock.now, content_type="application/dtmf")
    exchange.pass_time(0)
    news = told(exchange)
    assert [one.step for one in news] == [CallStep.ANSWERED] * 2
    keys = [one.digit for one in news if one.digit is not None]
    assert [(key.digit, key.number, key.caller, key.by) for key in keys] == [
        ("5", 1, True, "info"),
        ("#", 2, False, "info"),
    ]
    assert keys[1].at - keys[0].at == pytest.approx(1)


def test_a_call_that_is_refused_at_once_only_ends() -> None:
    exchange = Exchange()
    exchange.phone("1001").call("9999")
    exchange.pass_time(0)
    (news,) = told(exchange)
    assert (news.step, news.status, news.ended_by) == (CallStep.ENDED, 404, "pbx")


def test_identities_are_version_7_and_sort_by_time() -> None:
    exchange = Exchange()
    alice = exchange.phone("1001")
    for _ in range(3):
        alice.call("9999")
        exchange.pass_time(1)
    ids = [record.id for record in exchange.pbx.calls]
    assert ids == sorted(set(ids))
    assert all(one[14] == "7" and one[19] in "89ab" for one in ids)
    assert [record.number for record in exchange.pbx.calls] == [1, 2, 3]
