"""Phones that speak PRACK and UPDATE (RFC 3262, RFC 3311) with one another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from callwright.outcome.call import CallOutcome
from callwright.outcome.judgement import judge_call
from callwright.outcome.terms import Failure, Verdict
from callwright.phone.incoming import IncomingCall
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.scenario.condition import parse_condition
from callwright.scenario.source import NOWHERE, Text

QUIET = MediaPlan(enabled=False)
RINGING = AnswerPlan(media=QUIET, answer_after=0.2)
EARLY = replace(RINGING, early_media=True)


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Phone, Phone]]:
    config = PhoneConfig(bind="127.0.0.1", rtp_ports=(40_000, 41_000))
    async with Phone(config) as caller, Phone(replace(config, user="bob")) as callee:
        yield caller, callee


async def talk(answer: AnswerPlan, **plan: Any) -> tuple[CallOutcome, CallOutcome]:
    """A call of a moment: the outcome of the caller, and that of the callee."""
    async with two() as (caller, callee), asyncio.timeout(10):
        address = await callee.listen("127.0.0.1", 0)
        taken: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
        callee.on_call = lambda _: answer

        def came(call: IncomingCall) -> None:
            call.finished.add_done_callback(lambda done: taken.set_result(done.result()))

        callee.on_incoming = came
        placed = caller.call(CallPlan(destination=f"sip:bob@{address}", media=QUIET, talk_for=0.1, **plan))
        return await placed.finished, await taken


def header(outcome: CallOutcome, message: str, name: str) -> list[str]:
    return [value for kept in outcome.messages if kept.start == message for value in kept.values(name)]


async def test_required_provisionals_are_acknowledged_and_told_by_both() -> None:
    ours, theirs = await talk(RINGING, prack="required")
    assert judge_call(ours)[0] is judge_call(theirs)[0] is Verdict.PASSED
    assert ours.reliable_codes == theirs.reliable_codes == (180,)
    rseq = header(ours, "180", "RSeq")
    assert header(theirs, "PRACK", "RAck") == [f"{rseq[0]} 1 INVITE"]
    for text, holds in (("reliable_provisionals = 1", True), ("updates > 0", False)):
        condition = parse_condition(Text(text, NOWHERE))
        assert condition.evaluate([ours, theirs]).passed is holds


async def test_a_callee_may_require_them_of_who_supports_them() -> None:
    ours, theirs = await talk(replace(RINGING, prack="required"))
    assert ours.reliable_codes == theirs.reliable_codes == (180,)


async def test_a_plain_call_has_no_prack() -> None:
    ours, theirs = await talk(RINGING)
    assert ours.reliable_codes == theirs.reliable_codes == ()
    assert header(theirs, "INVITE", "Supported") == ["100rel, timer, replaces"]


async def test_early_media_is_agreed_on_before_the_answer() -> None:
    ours, theirs = await talk(EARLY, prack="required")
    assert ours.reliable_codes == (183,)
    assert ours.early_media is theirs.early_media is True
    assert header(ours, "200", "Content-Type") == []
    assert ours.codec == theirs.codec == "PCMU"
    assert ours.answered
    assert theirs.answered


async def test_an_offer_of_the_callee_is_answered_in_the_prack() -> None:
    ours, theirs = await talk(EARLY, prack="required", late_offer=True)
    assert header(theirs, "PRACK", "Content-Type") == ["application/sdp"]
    assert ours.codec == theirs.codec == "PCMU"
    assert judge_call(ours)[0] is judge_call(theirs)[0] is Verdict.PASSED


@pytest.mark.parametrize("plan", [RINGING, replace(RINGING, ring_after=-1.0), AnswerPlan(media=QUIET)])
async def test_an_offer_of_the_callee_is_in_its_first_reliable_provisional(plan: AnswerPlan) -> None:
    ours, theirs = await talk(plan, late_offer=True)
    assert header(theirs, "PRACK", "Content-Type") == ["application/sdp"]
    assert header(ours, "200", "Content-Type") == []
    assert ours.codec == theirs.codec == "PCMU"
    assert judge_call(ours)[0] is judge_call(theirs)[0] is Verdict.PASSED
    assert ours.remarks == theirs.remarks == ()


async def test_an_offer_of_a_callee_without_prack_is_answered_in_the_ack() -> None:
    ours, theirs = await talk(RINGING, prack="no", late_offer=True)
    assert header(ours, "200", "Content-Type") == ["application/sdp"]
    assert ours.reliable_codes == theirs.reliable_codes == ()
    assert judge_call(ours)[0] is judge_call(theirs)[0] is Verdict.PASSED


@pytest.mark.parametrize("by", ["caller", "callee"])
async def test_an_update_before_the_answer_is_answered(by: str) -> None:
    first, second = (None, 0.02) if by == "callee" else (0.02, None)
    ours, theirs = await talk(replace(EARLY, early_update=second), prack="required", early_update=first)
    assert ours.updates == theirs.updates == 1
    assert judge_call(ours)[0] is judge_call(theirs)[0] is Verdict.PASSED
    assert ours.remarks == theirs.remarks == ()


async def test_hold_and_resume_go_by_update() -> None:
    async with two() as (caller, callee), asyncio.timeout(10):
        address = await callee.listen("127.0.0.1", 0)
        callee.on_call = lambda _: AnswerPlan(media=QUIET)
        plan = CallPlan(f"sip:bob@{address}", QUIET, offer_by="update", hold_at=0.02, hold_for=0.1)
        ours = await caller.call(replace(plan, talk_for=0.3)).finished
    assert ours.updates == 2
    assert [reached.state for reached in ours.states if "e" in reached.state][-3:] == [
        "held",
        "resumed",
        "ended",
    ]


async def test_who_requires_what_the_peer_has_not_is_told_so() -> None:
    ours, theirs = await talk(replace(RINGING, prack="no"), prack="required")
    assert (ours.sip_code, theirs.sip_code) == (420, 420)
    assert "it does not have 100rel, which we required" in judge_call(ours)[2]
    ours, theirs = await talk(replace(RINGING, prack="required"), prack="no")
    assert (ours.sip_code, theirs.sip_code) == (421, 421)
    assert "it demands 100rel, which our INVITE did not offer" in judge_call(ours)[2]
    assert theirs.failure is Failure.REFUSED
