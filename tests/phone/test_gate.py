"""Every request that opens something passes the caps of its target before it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from callwright.net.tap import Packet
from callwright.outcome.terms import Failure
from callwright.phone.intent import Capped
from callwright.phone.permission import Permission
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, CallPlan, MediaPlan, PhoneConfig
from callwright.policy.destination import Purpose, Rules, Target

SBC = Target(network="127.0.0.0/8", rate=1)
NOBODY = "sip:bob@127.0.0.1:9"


class ScriptedGate:
    """`open`: what comes may pass; else it waits. `full`: it is refused."""

    def __init__(self) -> None:
        self.open, self.asked = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.full = False
        self.entered: list[Target] = []
        self.sends: list[Target] = []
        self.counted: list[Target] = []
        self.left = self.gave_up = 0

    async def enter(self, target: Target) -> Callable[[], None]:
        await self._wait()
        self.entered.append(target)
        return self._leave

    def _leave(self) -> None:
        self.left += 1

    async def send(self, target: Target) -> None:
        await self._wait()
        self.sends.append(target)

    def count(self, target: Target) -> None:
        self.counted.append(target)

    async def _wait(self) -> None:
        self.asked.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.gave_up += 1
            raise
        if self.full:
            raise Capped("the cap is full")


class Peer(asyncio.DatagramProtocol):
    """Answers as told: method to status line and lines of headers, in turn; the last one stays."""

    def __init__(self, answers: dict[str, list[tuple[str, str]]]) -> None:
        self.answers, self.heard = answers, list[str]()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        head = data.decode().split("\r\n\r\n")[0].split("\r\n")
        method = head[0].split()[0]
        self.heard.append(method)
        answers = self.answers.get(method)
        if not answers:
            return
        status, more = answers.pop(0) if len(answers) > 1 else answers[0]
        kept = [line for line in head[1:] if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        kept = [f"{line};tag=p" if line.startswith("To:") and ";tag=" not in line else line for line in kept]
        lines = [f"SIP/2.0 {status}", *kept, *([more] if more else []), "Content-Length: 0", "", ""]
        self.transport.sendto("\r\n".join(lines).encode(), addr)


async def peer(answers: dict[str, list[tuple[str, str]]]) -> Peer:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_datagram_endpoint(lambda: Peer(answers), local_addr=("127.0.0.1", 0))
    return made


def phone(gate: ScriptedGate, packets: list[Packet]) -> Phone:
    permission = Permission(Purpose.RUN, Rules(targets=(SBC,)))
    return Phone(PhoneConfig(), taps=[packets.extend], permission=permission, gate=gate)


def sent(packets: list[Packet]) -> list[str]:
    return [
        packet.data.split(b" ")[0].decode()
        for packet in packets
        if packet.direction == "out" and packet.kind == "sip"
    ]


@pytest.mark.parametrize("method", ["OPTIONS", "MESSAGE", "SUBSCRIBE", "PUBLISH"])
async def test_a_request_leaves_in_its_turn_or_not_at_all(method: str) -> None:
    gate, packets = ScriptedGate(), list[Packet]()
    server = await peer({method: [("200 OK", "")]})
    async with phone(gate, packets) as made:
        target = f"sip:bob@127.0.0.1:{server.port}"
        outcome = await made.request(method, target).finished
        assert (outcome.sip_code, gate.sends, sent(packets)) == (200, [SBC], [method])
        gate.full = True
        refused = await made.request(method, target).finished
    assert (refused.failure, refused.failure_detail) == (Failure.POLICY, "the cap is full")
    assert sent(packets) == [method]
    assert gate.entered == []
    server.transport.close()


async def test_a_registration_waits_its_refreshes_do_not() -> None:
    gate, packets = ScriptedGate(), list[Packet]()
    server = await peer({"REGISTER": [("200 OK", "Expires: 1\r\nContact: <sip:a@127.0.0.1>;expires=1")]})
    async with phone(gate, packets) as made:
        registrar = f"127.0.0.1:{server.port}"
        registration = made.register(registrar, account=Account("a", ""), expires=1)
        assert await registration.first
        assert (gate.sends, gate.counted) == ([SBC], [])
        gate.full = True
        async with asyncio.timeout(20):
            while not gate.counted:
                await asyncio.sleep(0.05)
        assert registration.registered
        refused = made.register(registrar, account=Account("b", ""))
        assert not await refused.first
        assert refused.outcome().failure is Failure.POLICY
    assert gate.sends == [SBC]
    server.transport.close()


async def test_each_invite_counts_and_a_call_enters_once() -> None:
    """A call that is sent on to the same target is one call, and two INVITEs."""
    gate, packets = ScriptedGate(), list[Packet]()
    server = await peer({})
    contact = f"Contact: <sip:carol@127.0.0.1:{server.port}>"
    server.answers["INVITE"] = [("302 Moved", contact), ("486 Busy Here", "")]
    async with phone(gate, packets) as made:
        plan = CallPlan(f"sip:bob@127.0.0.1:{server.port}", media=MediaPlan(enabled=False), follow=True)
        outcome = await made.call(plan).finished
        assert outcome.sip_code == 486
        assert (gate.entered, gate.sends) == ([SBC], [SBC])
    assert gate.left == 1
    server.transport.close()


async def test_who_hangs_up_while_a_call_waits_gives_its_turn_back() -> None:
    gate, packets = ScriptedGate(), list[Packet]()
    gate.open.clear()
    async with phone(gate, packets) as made:
        call = made.call(CallPlan(NOBODY, media=MediaPlan(enabled=False)))
        await gate.asked.wait()
        call.hangup()
        await call.finished
        assert gate.gave_up == 1
        gate.open.set()
    assert (sent(packets), gate.entered) == ([], [])


async def test_what_waits_gives_up_with_a_request_that_is_abandoned_and_with_its_phone() -> None:
    gate, packets = ScriptedGate(), list[Packet]()
    gate.open.clear()
    async with phone(gate, packets) as made:
        request = made.request("OPTIONS", NOBODY)
        await gate.asked.wait()
        request.abandon()
        assert (await request.finished).failure is Failure.STOPPED
        await asyncio.sleep(0)
        assert gate.gave_up == 1
        gate.asked.clear()
        made.request("OPTIONS", NOBODY)
        registration = made.register("127.0.0.1:9", account=Account("a", ""))
        await gate.asked.wait()
        registration.abandon()
        made.call(CallPlan(NOBODY, media=MediaPlan(enabled=False)))
        await asyncio.sleep(0.05)
    await asyncio.sleep(0)
    assert gate.gave_up == 4
    assert sent(packets) == []
