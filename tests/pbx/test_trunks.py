"""Two PBXs of ours joined by a trunk on loopback: registration, digest, calls both ways."""

from __future__ import annotations

import asyncio

from callwright.outcome.call import CallOutcome
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.plan import InboundNumber, OutboundRoute, PbxPlan, Trunk
from callwright.pbx.record import PbxEvent, TrunkChanged
from callwright.pbx.server import Pbx, PbxConfig
from callwright.phone.phone import Phone
from callwright.phone.plan import Account as PhoneAccount
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig

SILENT = MediaPlan(enabled=False)


async def call(pbx: Pbx, of: Phone, account: PhoneAccount, number: str) -> CallOutcome:
    plan = CallPlan(f"sip:{number}@{pbx.address}", account=account, media=SILENT, talk_for=0.2)
    async with asyncio.timeout(10):
        return await of.call(plan).finished


async def test_two_pbxs_register_and_call_each_other_by_a_trunk() -> None:
    told: list[PbxEvent] = []
    far_config = PbxConfig("far.test", [PbxAccount("office", "s3cret"), PbxAccount("2001", "b")])
    async with (
        Pbx(far_config) as far,
        Phone(PhoneConfig(bind="127.0.0.1", user="1001")) as alice,
        Phone(PhoneConfig(bind="127.0.0.1", user="2001")) as bob,
    ):
        plan = PbxPlan(
            (PbxAccount("1001", "a"),),
            trunks=(Trunk("far", f"sip:{far.address}", "office", "s3cret", register=True),),
            outbound=(OutboundRoute("far", ("far",), prefix="9", strip=1),),
            inbound=(InboundNumber("office", "1001", "far"),),
        )
        async with Pbx(PbxConfig("near.test", (), plan=plan), on_event=told.append) as near:
            for phone, pbx, password in ((alice, near, "a"), (bob, far, "b")):
                phone.on_call = lambda received: AnswerPlan(SILENT)
                account = PhoneAccount(phone.config.user, password)
                assert await phone.register(f"sip:{pbx.address}", account=account).first
            async with asyncio.timeout(5):
                while not far.bindings("office"):
                    await asyncio.sleep(0.01)
            out = await call(near, alice, PhoneAccount("1001", "a"), "92001")
            back = await call(far, bob, PhoneAccount("2001", "b"), "office")
    assert (out.sip_code, back.sip_code) == (200, 200)
    assert [event.registered for event in told if isinstance(event, TrunkChanged)] == [True]
    outward, inward = near.calls
    assert (outward.caller, outward.callee, outward.trunk) == ("1001", "92001", "far")
    assert (inward.caller, inward.callee, inward.trunk) == (None, "office", "far")
    assert (far.calls[0].caller, far.calls[0].callee) == ("office", "2001")
