"""baresip as a phone of our PBX: it registers with digest, is called, and calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callwright.outcome.terms import EndedBy
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.record import CallRecord
from callwright.pbx.server import Pbx, PbxConfig, PbxListener
from callwright.phone.phone import Phone
from callwright.phone.plan import Account as PhoneAccount
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.sip.transport import Transport
from tests.interop.peers import LOOPBACK, Baresip, baresip, start_callwright

pytestmark = pytest.mark.peer

ACCOUNTS = [PbxAccount("1001", "one's secret", "Alice Adams"), PbxAccount("1002", "secret", "Bob Brown")]


@pytest.fixture(params=[False, True], ids=["direct", "relayed"])
async def pbx(request: pytest.FixtureRequest) -> AsyncIterator[Pbx]:
    config = PbxConfig(
        "pbx.test",
        ACCOUNTS,
        (PbxListener(Transport.UDP, LOOPBACK), PbxListener(Transport.TCP, LOOPBACK)),
        relay=request.param,
    )
    async with Pbx(config) as running:
        yield running


async def registered(pbx: Pbx, folder: Path, transport: str = "udp", *, answer: str = "auto") -> Baresip:
    """baresip as 1002, once the PBX knows it."""
    port = next(address.port for kind, address in pbx.listening if kind is Transport(transport.upper()))
    line = f"<sip:1002@{LOOPBACK}:{port};transport={transport}>;auth_user=1002;auth_pass=secret"
    line += f";answermode={answer};regint=120"
    peer = await asyncio.to_thread(baresip, folder, line)
    await asyncio.to_thread(peer.until, lambda: bool(pbx.bindings("1002")), "registered")
    return peer


async def finished(pbx: Pbx) -> CallRecord:
    """The record of the only call, once it is over."""
    async with asyncio.timeout(10):
        while not (pbx.calls and pbx.calls[0].over):
            await asyncio.sleep(0.02)
    assert len(pbx.calls) == 1
    return pbx.calls[0]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_baresip_is_called_by_callwright_call_and_echoes_its_speech(
    pbx: Pbx, tmp_path: Path, transport: str
) -> None:
    async with await registered(pbx, tmp_path, transport) as peer:
        call = start_callwright(
            tmp_path,
            "call",
            f"sip:1002@{pbx.address}",
            *("--user", "1001", "--password", "one's secret", "--for", "3", "--json"),
        )
        with call:
            assert await asyncio.to_thread(call.wait) == 0, call.log
            outcome = call.document()
        assert (outcome["verdict"], outcome["sip_code"]) == ("passed", 200)
        assert outcome["received"]["packets"] > 100
        assert outcome["received"]["level_dbfs"] > -40, "the echo is speech"
        record = await finished(pbx)
        assert (record.caller, record.callee, record.status) == ("1001", "1002", 200)
        assert record.ended_by == "caller"
        assert 'P-Asserted-Identity: "Alice Adams" <sip:1001@pbx.test>' in peer.log
        if pbx.config.relay:
            assert record.relayed is not None
            assert record.relayed.from_caller > 100
            assert record.relayed.from_callee > 100


async def test_baresip_calls_another_account_and_hangs_up(pbx: Pbx, tmp_path: Path) -> None:
    async with await registered(pbx, tmp_path) as peer:
        async with Phone(PhoneConfig(bind=LOOPBACK, user="1001")) as phone:
            phone.on_call = lambda received: AnswerPlan(MediaPlan(play="tone"), answer_after=0.2)
            here = phone.register(
                f"sip:{pbx.address}", account=PhoneAccount("1001", "one's secret"), domain="pbx.test"
            )
            assert await here.first
            incoming: asyncio.Queue[object] = asyncio.Queue()
            phone.on_incoming = incoming.put_nowait
            await asyncio.to_thread(peer.command, "dial", f"sip:1001@{pbx.address}")
            async with asyncio.timeout(20):
                await incoming.get()
            call = phone.calls[0]
            await asyncio.sleep(2.5)  # real audio takes real time
            await asyncio.to_thread(peer.command, "hangup")
            async with asyncio.timeout(10):
                outcome = await call.finished
        assert outcome.sip_code == 200
        assert outcome.ended_by is EndedBy.REMOTE
        assert outcome.caller_identity == "1002"
        assert outcome.received.packets is not None
        assert outcome.received.packets > 80
        record = await finished(pbx)
        assert (record.caller, record.callee, record.ended_by) == ("1002", "1001", "caller")


async def test_a_call_given_up_stops_baresip_from_ringing(pbx: Pbx, tmp_path: Path) -> None:
    async with await registered(pbx, tmp_path, answer="manual") as peer:
        call = start_callwright(
            tmp_path,
            "call",
            f"sip:1002@{pbx.address}",
            *("--user", "1001", "--password", "one's secret", "--ring", "1.5", "--json"),
        )
        with call:
            assert await asyncio.to_thread(call.wait) == 1, call.log
        record = await finished(pbx)
        assert (record.status, record.ended_by) == (487, "caller")
        assert record.ringing_at is not None
        await asyncio.to_thread(peer.wait_for, "CANCEL sip:", "487 Request Terminated")


async def test_baresip_transfers_its_caller_to_another_phone(tmp_path: Path) -> None:
    accounts = [*ACCOUNTS, PbxAccount("1003", "c")]
    async with Pbx(PbxConfig("pbx.test", accounts, (PbxListener(Transport.UDP, LOOPBACK),))) as pbx:
        async with await registered(pbx, tmp_path) as peer:
            async with (
                Phone(PhoneConfig(bind=LOOPBACK, user="1001")) as alice,
                Phone(PhoneConfig(bind=LOOPBACK, user="1003")) as carol,
            ):
                carol.on_call = lambda received: AnswerPlan(MediaPlan(play="tone"))
                registration = carol.register(f"sip:{pbx.address}", account=PhoneAccount("1003", "c"))
                assert await registration.first
                plan = CallPlan(
                    f"sip:1002@{pbx.address}", account=PhoneAccount("1001", "one's secret"), talk_for=5.0
                )
                call = alice.call(plan)
                async with asyncio.timeout(10):
                    while not (pbx.calls and pbx.calls[0].answered_at):
                        await asyncio.sleep(0.02)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(peer.command, "transfer", f"sip:1003@{pbx.address}")
                async with asyncio.timeout(15):
                    outcome = await call.finished
            await asyncio.to_thread(peer.wait_for, "SIP/2.0 200 OK")
        transferred = pbx.calls[-1]
        assert (transferred.caller, transferred.callee) == ("1001", "1003")
        assert (transferred.transferred_by, transferred.status) == ("1002", 200)
        assert transferred.answered_at is not None
        assert outcome.ended_by is EndedBy.LOCAL
        assert outcome.received.packets is not None
        assert outcome.received.packets > 150
