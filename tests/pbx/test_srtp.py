"""Encrypted phones at the PBX: keys go from leg to leg, and its own services do as the caller wishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from callwright.outcome.call import CallOutcome
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.plan import EchoTest, PbxPlan
from callwright.pbx.server import Pbx, PbxConfig
from callwright.phone.call import PhoneCall
from callwright.phone.incoming import IncomingCall
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.srtp.wish import SrtpWish

PLAN = PbxPlan((PbxAccount("1001", "a"), PbxAccount("1002", "b")), echoes=(EchoTest("900"),))


def media(use: str) -> MediaPlan:
    return MediaPlan(play="tone", srtp=SrtpWish(use))


@pytest.fixture(params=[False, True], ids=["direct", "relayed"])
async def pbx(request: pytest.FixtureRequest) -> AsyncIterator[Pbx]:
    async with Pbx(PbxConfig("pbx.test", (), plan=PLAN, relay=request.param)) as running:
        yield running


async def heard(call: PhoneCall) -> None:
    while not call.over:
        report = await call.audio.report()
        if report is not None and report.received.packets >= 5:
            return
        await asyncio.sleep(0.02)


async def talk(pbx: Pbx, ours: str, theirs: str) -> tuple[CallOutcome, CallOutcome]:
    """1001 calls 1002 until both have heard something, or the call is refused."""
    async with (
        Phone(PhoneConfig(bind="127.0.0.1", user="1001")) as alice,
        Phone(PhoneConfig(bind="127.0.0.1", user="1002")) as bob,
        asyncio.timeout(20),
    ):
        came: asyncio.Queue[IncomingCall] = asyncio.Queue()
        bob.on_call = lambda _: AnswerPlan(media(theirs))
        bob.on_incoming = came.put_nowait
        assert await bob.register(f"sip:{pbx.address}", account=Account("1002", "b")).first
        plan = CallPlan(f"sip:1002@{pbx.address}", media(ours), account=Account("1001", "a"), talk_for=None)
        placed = alice.call(plan)
        taken = await came.get()
        await heard(placed)
        await heard(taken)
        placed.hangup()
        return await placed.finished, await taken.finished


async def test_keys_go_from_phone_to_phone(pbx: Pbx) -> None:
    ours, theirs = await talk(pbx, "required", "required")
    for one in (ours, theirs):
        assert one.sip_code == 200
        assert one.srtp is not None
        assert one.received.packets
        assert one.srtp.auth_failures == 0


async def test_a_phone_without_srtp_refuses_and_the_caller_hears_why(pbx: Pbx) -> None:
    ours, _ = await talk(pbx, "required", "off")
    assert ours.sip_code == 488
    (warning,) = [value for kept in ours.messages for value in kept.values("Warning")]
    assert "it wants RTP/SAVP, this side has RTP/AVP" in warning


@pytest.mark.parametrize("use", ["off", "optional", "required"])
async def test_a_service_of_the_pbx_is_encrypted_for_who_wants_it(use: str) -> None:
    async with (
        Pbx(PbxConfig("pbx.test", (), plan=PLAN)) as pbx,
        Phone(PhoneConfig(bind="127.0.0.1", user="1001")) as alice,
        asyncio.timeout(20),
    ):
        plan = CallPlan(f"sip:900@{pbx.address}", media(use), account=Account("1001", "a"), talk_for=None)
        placed = alice.call(plan)
        await heard(placed)
        placed.hangup()
        outcome = await placed.finished
    assert outcome.sip_code == 200
    assert outcome.received.packets
    assert (outcome.srtp is not None) is (use != "off")
