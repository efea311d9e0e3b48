"""SIP over WebSocket on real sockets: phones and the PBX, with and without TLS, and bad clients."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callwright.net.driver import Driver
from callwright.net.own_certificate import own_certificate
from callwright.net.tap import Packet
from callwright.net.tls import TlsSettings
from callwright.outcome.judgement import judge_call
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.server import Pbx, PbxConfig, PbxListener
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.sip.transport import Address, Hop, Transport
from tests.sip.test_websocket import MESSAGE, frame, hello

HOST = "127.0.0.1"
ACCOUNTS = [PbxAccount("alice", "secret"), PbxAccount("bob", "secret")]
QUIET = MediaPlan(play="silence", enabled=False)


def phone(user: str, transport: Transport, tls: TlsSettings | None = None) -> Phone:
    return Phone(PhoneConfig(bind=HOST, user=user, transport=transport, tls=tls or TlsSettings()))


@pytest.mark.parametrize("transport", [Transport.WS, Transport.WSS])
async def test_a_call_by_the_pbx(transport: Transport, tmp_path: Path) -> None:
    server, client = own_certificate(tmp_path, HOST)
    packets: list[Packet] = []
    config = PbxConfig("pbx.test", ACCOUNTS, (PbxListener(transport),), tls=server)
    async with (
        Pbx(config, taps=[packets.extend]) as pbx,
        phone("bob", transport, client) as bob,
        phone("alice", transport, client) as alice,
    ):
        bob.on_call = lambda received: AnswerPlan(QUIET)
        bound = bob.register(f"sip:{pbx.address}", account=Account("bob", "secret"))
        assert await bound.first
        plan = CallPlan(
            f"sip:bob@{pbx.address}",
            QUIET,
            account=Account("alice", "secret"),
            talk_for=0.0,
            transport=transport,
        )
        outcome = await alice.call(plan).finished
        assert judge_call(outcome)[0] == "passed", outcome.reason
    assert {packet.transport for packet in packets} == {transport.value}
    contacts = [packet.data for packet in packets if packet.data.startswith(b"INVITE")]
    assert all(b";transport=ws>" in data and b"transport=wss" not in data for data in contacts)


class Machine:
    """Remembers what came, and answers nothing."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, Hop]] = asyncio.Queue()
        self.failed: list[str] = []

    def receive(self, data: bytes, hop: Hop, now: float) -> None:
        self.received.put_nowait((data, hop))

    def transport_failed(self, hop: Hop, reason: str, now: float) -> None:
        self.failed.append(reason)

    def wake(self, now: float) -> None: ...

    def next_wake(self) -> float | None:
        return None

    def transmissions(self) -> list[Hop]:
        return []

    def events(self) -> list[None]:
        return []


async def listening(machine: Machine, trust: str = "") -> tuple[Driver[None], Address]:
    driver: Driver[None] = Driver(machine, handler=lambda _: None, websocket_trust=trust)  # type: ignore[arg-type]
    return driver, await driver.listen(Transport.WS, HOST)


async def test_a_frame_of_100_mb_is_told_1009_and_the_next_client_is_served() -> None:
    machine = Machine()
    driver, place = await listening(machine)
    async with driver:
        reader, writer = await asyncio.open_connection(*place)
        writer.write(hello())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(frame(b"", length=100_000_000))
        for _ in range(100):  # all of it is sent, read or not
            writer.write(b"x" * 1_000_000)
            await asyncio.sleep(0)
        said = await reader.readexactly(4)
        assert (said[0], int.from_bytes(said[2:4], "big")) == (0x88, 1009)
        writer.close()

        reader, writer = await asyncio.open_connection(*place)
        writer.write(hello())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(MESSAGE, 2))
        assert (await machine.received.get())[0] == MESSAGE
        writer.close()


async def test_the_peer_that_our_own_proxy_names_is_the_peer() -> None:
    machine = Machine()
    driver, place = await listening(machine, "secret")
    async with driver:
        reader, writer = await asyncio.open_connection(*place)
        writer.write(hello("Callwright-Peer: secret 4711 203.0.113.9"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(MESSAGE))
        data, hop = await machine.received.get()
        assert (data, hop.remote) == (MESSAGE, Address("203.0.113.9", 4711))
        writer.close()


async def test_a_server_that_speaks_no_websocket_is_told() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    server = await asyncio.start_server(answer, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with phone("alice", Transport.WS) as alice:
        outcome = await alice.call(CallPlan(f"sip:bob@{HOST}:{port}", QUIET)).finished
    server.close()
    assert outcome.failure == "unreachable"
    assert "answered the WebSocket handshake for /ws 404" in str(outcome.failure_detail)
