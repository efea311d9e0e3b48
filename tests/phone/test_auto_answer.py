"""A caller who asks for an answer without a person gets it where the phone was told to give it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from callwright.outcome.call import CallOutcome
from callwright.outcome.terms import Failure
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.sip.alerting import answers_itself

SILENT = MediaPlan(enabled=False)
NEVER = AnswerPlan(SILENT, answer_after=3_000)  # but by itself


async def called(plan: AnswerPlan, *, asks: bool, ring_for: float) -> tuple[CallOutcome, CallOutcome]:
    """What caller and callee saw."""
    config = PhoneConfig(bind="127.0.0.1")
    async with Phone(config) as caller, Phone(config) as callee, asyncio.timeout(20):
        address = await callee.listen("127.0.0.1", 0)
        taken: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
        callee.on_call = lambda _: plan
        callee.on_incoming = lambda call: call.finished.add_done_callback(
            lambda done: taken.set_result(done.result())
        )
        headers = tuple(answers_itself("sip:pbx.test")) if asks else ()
        placed = caller.call(
            CallPlan(f"sip:bob@{address}", SILENT, headers=headers, talk_for=0.1, ring_for=ring_for)
        )
        return await placed.finished, await taken


async def test_a_phone_that_may_answers_by_itself_at_once_and_says_so() -> None:
    caller, callee = await called(replace(NEVER, auto_answer=True), asks=True, ring_for=15)
    assert (caller.sip_code, callee.auto_answered) == (200, True)


@pytest.mark.parametrize(("asks", "told"), [(True, False), (False, None)])
async def test_a_phone_that_may_not_or_is_not_asked_rings(asks: bool, told: bool | None) -> None:
    plan = replace(NEVER, auto_answer=not asks)
    caller, callee = await called(plan, asks=asks, ring_for=0.3)
    assert (caller.failure, callee.auto_answered) == (Failure.NO_ANSWER, told)


async def test_a_refusal_that_was_asked_for_stays_one() -> None:
    caller, callee = await called(AnswerPlan(SILENT, reject=486, auto_answer=True), asks=True, ring_for=5)
    assert (caller.sip_code, callee.auto_answered) == (486, False)
