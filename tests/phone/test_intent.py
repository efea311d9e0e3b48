"""Whoever must know of a call before it is placed knows, and may forbid it."""

from __future__ import annotations

import asyncio

from callwright.net.tap import Packet
from callwright.outcome.terms import Failure, Verdict
from callwright.phone.intent import Intent, Withheld
from callwright.phone.phone import Phone
from callwright.phone.plan import CallPlan, MediaPlan, PhoneConfig

PLAN = CallPlan(
    destination="sip:bob@127.0.0.1:9", media=MediaPlan(enabled=False), identifier="step.1.0", party="alice"
)


def sent(packets: list[Packet]) -> list[bytes]:
    return [packet.data for packet in packets if packet.direction == "out" and packet.kind == "sip"]


async def test_no_invite_leaves_before_the_intent_was_taken() -> None:
    packets: list[Packet] = []
    told: list[Intent] = []
    may_go = asyncio.Event()

    async def on_intent(intent: Intent) -> None:
        told.append(intent)
        await may_go.wait()

    async with Phone(PhoneConfig(), taps=[packets.extend], on_intent=on_intent) as phone:
        call = phone.call(PLAN)
        while not told:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert sent(packets) == []
        may_go.set()
        while not sent(packets):
            await asyncio.sleep(0.001)
        assert sent(packets)[0].startswith(b"INVITE ")
        assert told == [Intent("step.1.0", "alice", "sip:bob@127.0.0.1:9")]
        call.hangup()
        await call.finished


async def test_a_withheld_call_fails_by_our_fault_and_sends_nothing() -> None:
    packets: list[Packet] = []

    async def on_intent(_: Intent) -> None:
        raise Withheld("the disk is full")

    async with Phone(PhoneConfig(), taps=[packets.extend], on_intent=on_intent) as phone:
        outcome = await phone.call(PLAN).finished
    assert sent(packets) == []
    assert outcome.failure is Failure.PLATFORM
    assert outcome.failure_detail == "the disk is full"
    assert outcome.verdict is Verdict.ERROR


async def test_a_call_hung_up_while_its_intent_is_written_is_not_placed() -> None:
    packets: list[Packet] = []
    told, may_go = asyncio.Event(), asyncio.Event()

    async def on_intent(_: Intent) -> None:
        told.set()
        await may_go.wait()

    async with Phone(PhoneConfig(), taps=[packets.extend], on_intent=on_intent) as phone:
        call = phone.call(PLAN)
        await told.wait()
        call.hangup()
        may_go.set()
        await call.finished
        await asyncio.sleep(0.05)
    assert sent(packets) == []
