"""Calls of a run beside the records of the system under test: what differs is told in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from callwright.control.accounts.model import Identity
from callwright.control.cdrs.legs import Party
from callwright.control.cdrs.reconciliation import Reconciled, reconcile
from callwright.control.services import Services
from callwright.dispatch.messages.calls import CallNews, CallStep, LegNews
from callwright.outcome.call import CallOutcome, StateReached
from callwright.outcome.terms import CallState, Direction

BEGUN = 1_700_000_000.0
CALL = CallOutcome(
    id="one",
    call_id="a@phone",
    party="alice",
    destination="sip:+431234@pbx.test",
    started_at=BEGUN,
    duration_ms=9_640.0,
    sip_code=200,
    states=(StateReached(1.0, CallState.ANSWERED, 200),),
)
BUSY = replace(CALL, call_id="b@phone", started_at=BEGUN + 60, duration_ms=None, sip_code=486, states=())
ANSWERER = replace(
    CALL, call_id="c@pbx", direction=Direction.INCOMING, party="bob", local="sip:1002@pbx.test"
)


def record(**more: Any) -> dict[str, object]:
    found = {
        "id": 1,
        "call_id": "a@phone",
        "type": "O",
        "dst": "431234",
        "destination": "431234",
        "calldate": BEGUN + 0.4,
        "billsec": 9,
        "disposition": "ANSWERED",
    }
    return found | more


def told(calls: list[CallOutcome], *records: dict[str, object]) -> list[Reconciled]:
    return reconcile(calls, records)


def test_what_is_alike_is_told_as_such() -> None:
    (leg,) = told([CALL], record())
    assert (leg.differences, leg.by, leg.number, leg.duration) == ((), "call_id", "+431234", 9.64)
    (leg,) = told([BUSY], record(call_id="b@phone", billsec=0, disposition="BUSY", calldate=BEGUN + 60))
    assert leg.differences == ()


def test_each_difference_is_a_sentence() -> None:
    (leg,) = told([CALL], record(billsec=14, disposition="NO ANSWER", calldate=BEGUN + 3_600))
    assert leg.differences == (
        "The record says NO ANSWER; the test saw ANSWERED (200).",
        "The record has 14 s of talk; the test measured 9.6 s, so 4.4 s more would be charged.",
        (
            "The record begins 3600 s later than the call: look at the clock or the time zone of the "
            "recording system."
        ),
    )


def test_a_call_without_a_record_is_told_and_a_callee_needs_none() -> None:
    (leg,) = told([CALL, ANSWERER], record(call_id="another", dst="9", destination="9"))
    assert (leg.record, leg.differences) == (None, ("No record of this call to +431234.",))


def test_a_record_without_the_call_id_is_found_by_number_and_begin_and_used_once() -> None:
    again = replace(CALL, call_id="d@phone", started_at=BEGUN + 6)
    records = [record(id=1, call_id="1699.1"), record(id=2, call_id="1699.2", calldate=BEGUN + 6.1)]
    first, second = told([CALL, again], *records)
    assert [leg.record and leg.record["id"] for leg in (first, second)] == [1, 2]
    assert {first.by, second.by} == {"number"}
    (leg,) = told([CALL], record(call_id="1699.3", calldate=BEGUN + 60))
    assert leg.record is None


def test_each_leg_has_its_own_record_and_a_second_one_is_told() -> None:
    callee = record(id=2, call_id="c@pbx", type="I", billsec=8)
    ours, theirs = told([CALL, ANSWERER], record(), callee)
    assert theirs.differences == (
        "The record has 8 s of talk; the test measured 9.6 s, so 1.6 s less would be charged.",
    )
    (leg,) = told([CALL], record(), record(id=2))
    assert leg.differences == ("There is 1 more record of this call.",)
    assert ours.differences == ()


async def test_records_of_the_platform_are_found_as_far_as_one_may_see_them(
    services: Services, admin: Identity
) -> None:
    legs = (LegNews("1002", "c@pbx", 200, "OK", answered=True),)
    news = CallNews(
        "call-1",
        CallStep.ENDED,
        "1001",
        "1002",
        "a@phone",
        BEGUN,
        answered_at=BEGUN + 2,
        ended_at=BEGUN + 11.7,
        status=200,
        ended_by="caller",
        legs=legs,
    )
    await services.cdrs.note([news], {"1002": Party(100_000 + admin.user_id, "Ana")})
    ours, theirs = await services.cdrs.beside(admin, [CALL, ANSWERER])
    assert (ours.by, ours.differences, theirs.by, theirs.differences) == ("call_id", (), "call_id", ())
    elsewhere = replace(CALL, call_id="x", destination="sip:1002@pbx.test")
    (leg,) = await services.cdrs.beside(admin, [elsewhere])
    assert (leg.by, leg.differences) == ("number", ())
    assert await services.cdrs.beside(admin, []) == []
