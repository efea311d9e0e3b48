"""Codecs beyond G.711 between two phones on loopback, and digits at the clock of each."""

from __future__ import annotations

import asyncio

import pytest

from callwright.net.tap import Packet
from callwright.outcome.call import CallOutcome
from callwright.outcome.judgement import judge_call
from callwright.phone.phone import Phone
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig

HOST = "127.0.0.1"


@pytest.mark.parametrize(("codec", "clock"), [("AMR", 8000), ("opus", 48000), ("G722", 8000)])
async def test_both_hear_each_other_and_the_digits(codec: str, clock: int) -> None:
    packets: list[Packet] = []
    config = PhoneConfig(bind=HOST, codecs=(codec,))
    async with Phone(config, taps=[packets.extend]) as caller, Phone(config) as callee:
        place = await callee.listen(HOST, 0)
        callee.on_call = lambda received: AnswerPlan()
        taken: asyncio.Queue[asyncio.Future[CallOutcome]] = asyncio.Queue()
        callee.on_incoming = lambda call: taken.put_nowait(call.finished)
        plan = CallPlan(f"sip:x@{place}", MediaPlan(dtmf="42", dtmf_after=0.2), talk_for=2.0)
        ours = await caller.call(plan).finished
        theirs = await (await taken.get())
    assert judge_call(ours)[0] == "passed", ours.reason
    assert ours.codec == theirs.codec == codec
    assert theirs.received is not None
    assert theirs.received.dtmf_event == "42"
    offer = next(p.data for p in packets if p.data.startswith(b"INVITE"))
    assert f"telephone-event/{clock}".encode() in offer


async def test_what_can_only_be_received_is_offered_so() -> None:
    packets: list[Packet] = []
    async with (
        Phone(PhoneConfig(bind=HOST, codecs=("G729", "GSM")), taps=[packets.extend]) as caller,
        Phone(PhoneConfig(bind=HOST)) as callee,
    ):
        place = await callee.listen(HOST, 0)
        callee.on_call = lambda received: AnswerPlan()
        outcome = await caller.call(CallPlan(f"sip:x@{place}", talk_for=0.5)).finished
    assert outcome.sip_code == 488
    offer = next(p.data for p in packets if p.data.startswith(b"INVITE"))
    assert b"a=recvonly" in offer
    assert b"m=audio" in offer
    assert b" RTP/AVP 18 3 101\r\n" in offer
