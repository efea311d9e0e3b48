"""Phones that encrypt their audio with keys in the SDP (RFC 4568), with one another."""

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
from callwright.phone.call import PhoneCall
from callwright.phone.incoming import IncomingCall
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.rtp.report import MediaReport
from callwright.scenario.condition import parse_condition
from callwright.scenario.source import NOWHERE, Text
from callwright.srtp.suite import SUITES
from callwright.srtp.wish import SrtpWish

CM = "AES_CM_128_HMAC_SHA1_80"
IN_CLEAR = "The keys of SRTP crossed the network in clear, in SDP over UDP."


def media(use: str, *suites: str, rekey_after: float | None = None, enabled: bool = True) -> MediaPlan:
    return MediaPlan(play="tone", enabled=enabled, srtp=SrtpWish(use, suites, rekey_after))


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Phone, Phone]]:
    config = PhoneConfig(bind="127.0.0.1", rtp_ports=(41_000, 42_000))
    async with Phone(config) as caller, Phone(replace(config, user="bob")) as callee:
        yield caller, callee


def heard(report: MediaReport | None) -> bool:
    return report is not None and report.received.packets >= 5


async def until(call: PhoneCall, what: Any) -> None:
    while not what(await call.audio.report()):
        await asyncio.sleep(0.02)


async def talk(
    ours: MediaPlan, theirs: MediaPlan, what: Any = heard, **plan: Any
) -> tuple[CallOutcome, CallOutcome]:
    """A call until `what` holds of the media of both ends: the outcomes of caller and callee."""
    async with two() as (caller, callee), asyncio.timeout(20):
        address = await callee.listen("127.0.0.1", 0)
        came: asyncio.Queue[IncomingCall] = asyncio.Queue()
        callee.on_call = lambda _: AnswerPlan(media=theirs)
        callee.on_incoming = came.put_nowait
        placed = caller.call(CallPlan(f"sip:bob@{address}", ours, talk_for=None, **plan))
        taken = await came.get()
        if taken.over and ours.srtp.use == "fallback":
            taken = await came.get()
        if not taken.over and ours.enabled:
            await until(placed, what)
            await until(taken, what)
        if not taken.over:
            while not placed.answered:
                await asyncio.sleep(0.01)
            placed.hangup()
        return await placed.finished, await taken.finished


def holds(text: str, *outcomes: CallOutcome) -> bool:
    return parse_condition(Text(text, NOWHERE)).evaluate(outcomes).passed


@pytest.mark.parametrize("suite", SUITES)
async def test_two_phones_hear_each_other_under_every_suite(suite: str) -> None:
    ours, theirs = await talk(media("required", suite), media("optional"))
    for one in (ours, theirs):
        assert one.srtp is not None
        assert one.received.packets is not None
        assert one.srtp.received is not None
        assert one.srtp.received >= one.received.packets >= 5
        assert (one.srtp.suite, one.srtp.auth_failures, one.srtp.replayed) == (suite, 0, 0)
        assert one.remarks == (IN_CLEAR,)
    assert holds(f"srtp.suite = {suite}", ours, theirs)
    assert holds("srtp.auth_failures = 0", ours, theirs)


@pytest.mark.parametrize(("use", "answering"), [("optional", "required"), ("fallback", "fallback")])
async def test_both_profiles_are_taken(use: str, answering: str) -> None:
    ours, theirs = await talk(media(use, enabled=False), media(answering, enabled=False))
    for one in (ours, theirs):
        assert one.srtp is not None
        assert (one.srtp.suite, one.srtp.received) == (CM, None), "no audio flowed"


@pytest.mark.parametrize(("use", "answering"), [("off", "optional"), ("optional", "off")])
async def test_where_one_side_has_no_keys_the_audio_is_plain(use: str, answering: str) -> None:
    ours, theirs = await talk(media(use), media(answering))
    assert ours.srtp is theirs.srtp is None
    assert IN_CLEAR not in ours.remarks
    assert holds("srtp.suite absent", ours, theirs)


@pytest.mark.parametrize(
    ("use", "answering", "why"),
    [
        ("required", "off", "it wants RTP/SAVP, this side has RTP/AVP"),
        ("off", "required", "SRTP is required here, and it has no key"),
    ],
)
async def test_who_requires_srtp_makes_no_call_without(use: str, answering: str, why: str) -> None:
    ours, theirs = await talk(media(use), media(answering))
    assert ours.sip_code == theirs.sip_code == 488
    assert judge_call(ours)[0] is Verdict.FAILED
    assert theirs.failure is Failure.NEGOTIATION
    assert why in (theirs.failure_detail or "")
    (warning,) = [value for kept in ours.messages for value in kept.values("Warning")]
    assert why in warning


async def test_a_suite_that_the_other_side_did_not_choose_is_refused_by_name() -> None:
    ours, _ = await talk(media("required", CM), media("optional", "AEAD_AES_256_GCM"))
    assert ours.sip_code == 488
    (warning,) = [value for kept in ours.messages for value in kept.values("Warning")]
    assert f"the crypto suite {CM} was not chosen here" in warning


async def test_who_falls_back_calls_again_without_srtp_after_a_488() -> None:
    ours, theirs = await talk(media("fallback"), media("off"))
    assert ours.sip_code == 200
    assert ours.srtp is theirs.srtp is None
    assert "SRTP was refused with 488; the call was placed again with plain RTP." in ours.remarks
    assert [kept.start for kept in ours.messages if kept.start in ("488", "200")][:2] == ["488", "200"]
    assert heard_of(ours)


def heard_of(outcome: CallOutcome) -> bool:
    return bool(outcome.received.packets)


async def test_a_488_to_the_plain_call_too_ends_it() -> None:
    async with two() as (caller, callee), asyncio.timeout(20):
        address = await callee.listen("127.0.0.1", 0)
        offers: list[bytes] = []

        def refuse(received: Any) -> AnswerPlan:
            offers.append(received.request.body)
            return AnswerPlan(reject=488)

        callee.on_call = refuse
        outcome = await caller.call(CallPlan(f"sip:bob@{address}", media("fallback"))).finished
    assert outcome.sip_code == 488
    assert [b"RTP/SAVP" in offer for offer in offers] == [True, False]


@pytest.mark.parametrize("by", ["caller", "callee"])
async def test_new_keys_come_by_a_reinvite_and_the_call_goes_on(by: str) -> None:
    first, second = (0.1, None) if by == "caller" else (None, 0.1)

    def changed(report: MediaReport | None) -> bool:
        srtp = report.srtp if report is not None else None
        return srtp is not None and srtp.rekeyed == 1 and srtp.received >= 20

    ours, theirs = await talk(
        media("required", rekey_after=first), media("required", rekey_after=second), changed
    )
    assert "re-INVITE" in [kept.start for kept in (theirs if by == "caller" else ours).messages]
    for one in (ours, theirs):
        assert one.srtp is not None
        assert (one.srtp.rekeyed, one.srtp.auth_failures) == (1, 0)
        assert one.sip_code == 200


async def test_a_late_offer_has_keys_too() -> None:
    ours, theirs = await talk(media("required"), media("required"), late_offer=True)
    assert ours.srtp is not None
    assert theirs.srtp is not None
    assert ours.srtp.suite == theirs.srtp.suite == CM


async def test_early_media_is_encrypted() -> None:
    async with two() as (caller, callee), asyncio.timeout(20):
        address = await callee.listen("127.0.0.1", 0)
        callee.on_call = lambda _: AnswerPlan(media("required"), early_media=True, answer_after=60.0)
        plan = CallPlan(f"sip:bob@{address}", media("required"), prack="required", talk_for=None)
        placed = caller.call(plan)
        await until(placed, heard)
        placed.hangup()
        outcome = await placed.finished
    assert outcome.early_media is True
    assert outcome.srtp is not None
    assert outcome.srtp.auth_failures == 0


async def test_another_target_gets_other_keys() -> None:
    """A redirection must not let the first target hear what the second is told."""
    async with two() as (caller, callee), asyncio.timeout(20):
        address = await callee.listen("127.0.0.1", 0)
        offers: list[str] = []

        def answer(received: Any) -> AnswerPlan:
            offers.extend(line for line in received.request.body.decode().split("\r\n") if "crypto" in line)
            return AnswerPlan(media("off"))

        callee.on_call = answer
        await caller.call(CallPlan(f"sip:a@{address}", media("required"))).finished
        await caller.call(CallPlan(f"sip:b@{address}", media("required"))).finished
    keys = [line.partition("inline:")[2] for line in offers]
    assert len(keys) == len(set(keys)) == 4
