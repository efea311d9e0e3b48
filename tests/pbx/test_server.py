"""The PBX on real sockets of loopback: transports, relay, taps, its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from callwright.net.driver import BindFailed
from callwright.net.tap import Packet
from callwright.net.tls import TlsSettings
from callwright.outcome.call import CallOutcome
from callwright.outcome.terms import EndedBy
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.record import (
    BindingChanged,
    CallConnected,
    CallFinished,
    CallPlaced,
    CallRinging,
    DigitHeard,
    PbxEvent,
)
from callwright.pbx.recording import Recorded
from callwright.pbx.server import Pbx, PbxConfig, PbxListener
from callwright.phone.guard import Estate, KeptLoad
from callwright.phone.phone import Phone
from callwright.phone.plan import Account as PhoneAccount
from callwright.phone.plan import AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.sip.transport import Address, Transport
from callwright.sip.will import Will
from tests.net.certificates import Authority

ACCOUNTS = [PbxAccount("1001", "a"), PbxAccount("1002", "b")]
QUIET = AnswerPlan(MediaPlan(enabled=False))


def phone(user: str, transport: Transport = Transport.UDP, tls: TlsSettings | None = None) -> Phone:
    return Phone(PhoneConfig(bind="127.0.0.1", user=user, transport=transport, tls=tls or TlsSettings()))


async def call(pbx: Pbx, alice: Phone, bob: Phone, plan: AnswerPlan, **wishes: object) -> CallOutcome:
    """Bob registers, Alice calls him."""
    transport = bob.config.transport
    port = next(address.port for kind, address in pbx.listening if kind is transport)
    bob.on_call = lambda received: plan
    registration = bob.register(f"sip:127.0.0.1:{port}", account=PhoneAccount("1002", "b"))
    assert await registration.first
    placed = alice.call(
        CallPlan(f"sip:1002@127.0.0.1:{port}", account=PhoneAccount("1001", "a"), **wishes)  # type: ignore[arg-type]
    )
    async with asyncio.timeout(20):
        return await placed.finished


@pytest.mark.parametrize("transport", list(Transport))
async def test_accounts_call_each_other_on_every_transport(transport: Transport, tmp_path: Path) -> None:
    server, client = TlsSettings(), TlsSettings()
    if transport.secure:
        authority = Authority(tmp_path)
        identity = authority.issue("pbx", addresses=["127.0.0.1"])
        server = TlsSettings(cert=identity.cert, key=identity.key)
        client = TlsSettings(ca=authority.ca)
    told: list[PbxEvent] = []
    config = PbxConfig("pbx.test", ACCOUNTS, (PbxListener(transport),), tls=server)
    async with Pbx(config, on_event=told.append) as pbx:
        async with phone("1001", transport, client) as alice, phone("1002", transport, client) as bob:
            outcome = await call(pbx, alice, bob, QUIET, media=MediaPlan(enabled=False), talk_for=0.2)
        assert outcome.sip_code == 200
        assert outcome.ended_by is EndedBy.LOCAL
        record = pbx.calls[0]
        assert (record.caller, record.callee, record.status, record.ended_by) == (
            "1001",
            "1002",
            200,
            "caller",
        )
    assert [type(event) for event in told[:5]] == [
        BindingChanged,
        CallPlaced,
        CallRinging,
        CallConnected,
        CallFinished,
    ]


async def test_relayed_media_passes_both_ways_and_taps_see_it() -> None:
    seen: list[Packet] = []

    def tap(packets: Sequence[Packet]) -> None:
        seen.extend(packets)

    told: list[PbxEvent] = []
    config = PbxConfig("pbx.test", ACCOUNTS, relay=True, rtp_ports=(31_000, 31_100))
    async with Pbx(config, taps=[tap], on_event=told.append) as pbx:
        async with phone("1001") as alice, phone("1002") as bob:
            keys = MediaPlan(dtmf="4#", dtmf_after=0.2)
            outcome = await call(pbx, alice, bob, AnswerPlan(), media=keys, talk_for=1.5)
        relayed = pbx.calls[0].relayed
    assert outcome.received.packets is not None
    assert relayed is not None
    assert relayed.from_callee >= outcome.received.packets >= 70
    assert relayed.from_caller >= 70
    assert relayed.refused == 0
    heard = [(one.digit, one.caller, one.by) for one in told if isinstance(one, DigitHeard)]
    assert heard == [("4", True, "rtp"), ("#", True, "rtp")]
    kinds = {(packet.kind, packet.direction) for packet in seen}
    assert {("rtp", "in"), ("rtp", "out"), ("sip", "in"), ("sip", "out")} <= kinds
    rtp = [packet for packet in seen if packet.kind == "rtp"]
    assert all(31_000 <= packet.local[1] <= 31_100 for packet in rtp)


async def test_calls_of_a_user_are_recorded_where_that_is_wanted(tmp_path: Path) -> None:
    done: list[Recorded] = []
    people = [PbxAccount("1001", "a", direct=True), PbxAccount("1002", "b", record=True)]
    config = PbxConfig("pbx.test", people, relay=True, rtp_ports=(31_500, 31_599), recordings=tmp_path)
    async with Pbx(config, on_recorded=done.append) as pbx:
        async with phone("1001") as alice, phone("1002") as bob:
            outcome = await call(pbx, alice, bob, AnswerPlan(), talk_for=4)
        assert outcome.sip_code == 200
        record = pbx.calls[0]
    (one,) = done
    assert (one.call, one.path.parent) == (record.id, tmp_path)
    assert one.path.stat().st_size > 0
    assert one.path.stat().st_mode & 0o077 == 0, "only its owner reads it"
    assert 1.0 < one.seconds < 4.0, "the announcement comes first"


async def test_relay_ports_that_run_out_are_a_503_with_a_sentence() -> None:
    config = PbxConfig("pbx.test", ACCOUNTS, relay=True, rtp_ports=(31_200, 31_202))
    async with Pbx(config) as pbx, phone("1001") as alice, phone("1002") as bob:
        outcome = await call(pbx, alice, bob, QUIET, talk_for=0.1)
        assert outcome.sip_code == 503
        assert "31200" in pbx.calls[0].reason


async def test_closing_hangs_up_what_is_up() -> None:
    pbx = Pbx(PbxConfig("pbx.test", ACCOUNTS))
    await pbx.start()
    async with phone("1001") as alice, phone("1002") as bob:
        up = asyncio.ensure_future(
            call(pbx, alice, bob, QUIET, media=MediaPlan(enabled=False), talk_for=None)
        )
        async with asyncio.timeout(10):
            while not (pbx.calls and pbx.calls[0].answered_at):
                await asyncio.sleep(0.01)
        await pbx.close()
        outcome = await up
    assert outcome.ended_by is EndedBy.REMOTE
    assert pbx.calls[0].reason == "the PBX is going down"


async def test_a_port_that_is_taken_is_told_and_nothing_is_left_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        pbx = Pbx(PbxConfig("pbx.test", ACCOUNTS, (PbxListener(Transport.UDP, "127.0.0.1", port),)))
        with pytest.raises(BindFailed, match=str(port)):
            await pbx.start()


async def test_udp_and_tcp_share_a_free_port_and_a_wildcard_serves_every_address() -> None:
    listen = (PbxListener(Transport.UDP, "0.0.0.0"), PbxListener(Transport.TCP, "0.0.0.0"))
    async with Pbx(PbxConfig("pbx.test", ACCOUNTS, listen)) as pbx, phone("1002") as bob:
        ports = {address.port for _, address in pbx.listening}
        assert len(ports) == 1
        registration = bob.register(f"sip:127.0.0.1:{ports.pop()}", account=PhoneAccount("1002", "b"))
        assert await registration.first
        assert len(pbx.bindings("1002")) == 1


async def test_a_relay_joins_ipv6_and_ipv4() -> None:
    listen = (PbxListener(Transport.UDP, "::1"), PbxListener(Transport.UDP, "127.0.0.1"))
    config = PbxConfig("pbx.test", ACCOUNTS, listen, relay=True, rtp_ports=(31_400, 31_499))
    caller = Phone(PhoneConfig(bind="::1", user="1001"))
    async with Pbx(config) as pbx, phone("1002") as bob, caller as alice:
        six, four = (address for _, address in pbx.listening)
        bob.on_call = lambda received: AnswerPlan()
        registration = bob.register(f"sip:{four}", account=PhoneAccount("1002", "b"))
        assert await registration.first
        account = PhoneAccount("1001", "a")
        placed = alice.call(CallPlan(f"sip:1002@{six}", account=account, talk_for=1.0))
        async with asyncio.timeout(20):
            outcome = await placed.finished
    assert outcome.sip_code == 200
    assert outcome.received.packets is not None
    assert outcome.received.packets > 40


async def test_a_phone_that_is_gone_is_told_within_a_second() -> None:
    async with Pbx(PbxConfig("pbx.test", ACCOUNTS)) as pbx, phone("1001") as alice:
        async with phone("1002") as bob:
            registration = bob.register(f"sip:{pbx.address}", account=PhoneAccount("1002", "b"))
            assert await registration.first
        placed = alice.call(
            CallPlan(f"sip:1002@{pbx.address}", account=PhoneAccount("1001", "a"), talk_for=1.0)
        )
        async with asyncio.timeout(5):
            outcome = await placed.finished
        record = pbx.calls[0]
    assert outcome.sip_code == 480
    assert record.ended_at is not None
    assert record.ended_at - record.started_at < 1.0


async def test_without_authentication_anybody_may_call_but_not_register() -> None:
    open_methods = frozenset({"OPTIONS", "INVITE", "MESSAGE"})
    config = PbxConfig("pbx.test", ACCOUNTS, open_methods=open_methods)
    async with Pbx(config) as pbx, phone("guest") as guest, phone("1002") as bob:
        bob.on_call = lambda received: QUIET
        refused = bob.register(f"sip:{pbx.address}", account=PhoneAccount("1002", "wrong"))
        assert not await refused.first
        registration = bob.register(f"sip:{pbx.address}", account=PhoneAccount("1002", "b"))
        assert await registration.first
        silent = MediaPlan(enabled=False)
        placed = guest.call(CallPlan(f"sip:1002@{pbx.address}", media=silent, talk_for=0.1))
        async with asyncio.timeout(20):
            assert (await placed.finished).sip_code == 200
        assert pbx.calls[0].caller is None


class CallKeeper:
    """A guard, and all that it keeps."""

    def __init__(self) -> None:
        self.wills: dict[str, Will] = {}
        self.answered: dict[str, bool] = {}  # outbound or not, of every call that had a dialog
        self.lent: list[Address] = []
        self.open_estates = 0

    def open(self, estate: Estate) -> CallKeeper:
        self.open_estates += 1
        return self

    def watch(self, *_: object) -> KeptLoad:
        raise AssertionError("this is no load")

    def lend(self, local: Address, descriptor: int) -> None:
        self.lent.append(local)

    def keep(self, key: str, will: Will | None) -> None:
        if will is None:
            self.wills.pop(key, None)
        else:
            self.wills[key] = will
            if will.dialog is not None:
                self.answered[key] = will.outbound

    def close(self) -> None:
        self.open_estates -= 1


async def test_a_guard_keeps_what_ends_both_legs_until_they_are_over() -> None:
    keeper = CallKeeper()
    config = PbxConfig("pbx.test", ACCOUNTS)
    async with Pbx(config, call_guard=keeper) as pbx:
        async with phone("1001") as alice, phone("1002") as bob:
            outcome = await call(pbx, alice, bob, QUIET, media=MediaPlan(enabled=False), talk_for=0.1)
        assert outcome.sip_code == 200
        assert sorted(keeper.answered.values()) == [False, True], "a leg of each direction"
        assert keeper.lent == [pbx.address]
        assert keeper.wills == {}
        assert keeper.open_estates == 1
    assert keeper.open_estates == 0
