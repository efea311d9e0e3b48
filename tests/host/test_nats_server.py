"""The nats-server that the platform starts: kept alive, closed to strangers, each agent in its own corner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from callwright.dispatch.broker import CredentialsRefused, Message, NoAnswer, Unavailable
from callwright.dispatch.nats import BrokerAddress, NatsBroker
from callwright.host.nats_server import NatsServer
from tests.kit.served import free_port


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats", on_fall=lambda _: None)
    await server.start()
    yield server
    await server.close()


async def connect(server: NatsServer, agent: str, pool: str = "lab") -> NatsBroker:
    account = await server.account(agent, pool)
    return await NatsBroker.connect(
        account.nats_url, user=account.user, password=account.password, ca=account.ca, wait=5
    )


async def echo(message: Message) -> None:
    await message.respond(message.data)


async def test_a_killed_server_comes_back_on_its_port_with_its_tickets(server: NatsServer) -> None:
    platform = await NatsBroker.connect(server.url, **server.credentials())
    agent = await connect(server, "7")
    await platform.open_queue("lab")
    await platform.enqueue("lab", "1", b"kept")
    await platform.subscribe("cw.agent.*.claim", echo)
    came_back = asyncio.Event()
    agent.on_reconnect.append(came_back.set)
    waiting = asyncio.ensure_future(agent.take("other-than-lab", 60))
    assert server.pid is not None
    url = server.url
    os.kill(server.pid, signal.SIGKILL)
    await asyncio.wait_for(came_back.wait(), 20)
    await asyncio.gather(waiting, return_exceptions=True)  # a pull that waited does not wait on for ever
    assert server.url == url
    ticket = await agent.take("lab", 5)
    assert ticket is not None
    assert ticket.data == b"kept"
    for _ in range(100):
        try:
            assert await agent.request("cw.agent.7.claim", b"heard again", 1) == b"heard again"
            break
        except NoAnswer:
            await asyncio.sleep(0.05)  # the platform is still on its way back
    else:
        pytest.fail("the subscription did not come back")
    await agent.close()
    await platform.close()


async def test_a_pull_that_waits_survives_the_server(server: NatsServer) -> None:
    platform = await NatsBroker.connect(server.url, **server.credentials())
    agent = await connect(server, "7")
    await platform.open_queue("lab")
    back = asyncio.Event()
    platform.on_reconnect.append(back.set)

    async def take() -> bytes:
        while True:
            try:
                ticket = await agent.take("lab", 30)
            except Unavailable:
                await asyncio.sleep(0.05)
                continue
            if ticket is not None:
                return ticket.data

    taking = asyncio.ensure_future(take())
    await asyncio.sleep(0.1)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await asyncio.wait_for(back.wait(), 20)
    await platform.open_queue("lab")
    await platform.enqueue("lab", "2", b"after")
    assert await asyncio.wait_for(taking, 10) == b"after"  # well before the 30 s of the pull
    await agent.close()
    await platform.close()


async def test_strangers_are_refused(server: NatsServer) -> None:
    for user, password in ((None, None), ("platform", "guess"), ("agent-7", "guess")):
        with pytest.raises(Unavailable, match="credentials"):
            await NatsBroker.connect(server.url, user=user, password=password, wait=1)


async def test_an_agent_speaks_and_hears_for_itself_only(server: NatsServer) -> None:
    platform = await NatsBroker.connect(server.url, **server.credentials())
    seven, eight = await connect(server, "7"), await connect(server, "8", "other")
    for subject in ("cw.agent.*.claim", "cw.kill", "cw.runs.changed", "cw.control.>"):
        await platform.subscribe(subject, echo)
    await platform.open_queue("lab")
    await platform.open_queue("other")
    await asyncio.sleep(0.05)
    assert await seven.request("cw.agent.7.claim", b"me", 2) == b"me"
    forbidden = ("cw.agent.8.claim", "cw.kill", "cw.runs.changed", "cw.control.8", "cw.control.7")
    for subject in (*forbidden, "$JS.API.STREAM.DELETE.CW_JOBS", "$JS.API.STREAM.PURGE.CW_JOBS"):
        with pytest.raises((NoAnswer, Unavailable)):
            await seven.request(subject, b"", 0.3)
    heard = asyncio.Event()

    async def overhear(_: Message) -> None:
        heard.set()

    for subject in ("cw.agent.8.>", "cw.control.8", "cw.live.>", "_INBOX.agent-8.>", ">"):
        await seven.subscribe(subject, overhear)
    await platform.publish("cw.control.8", b"")
    await platform.publish("cw.live.x", b"")
    await eight.request("cw.agent.8.claim", b"", 2)
    await asyncio.sleep(0.1)
    assert not heard.is_set()
    await platform.enqueue("other", "1", b"for eight")
    assert (await eight.take("other", 2)) is not None
    await platform.enqueue("other", "2", b"for eight")
    with contextlib.suppress(Unavailable):  # that is as good a no
        assert await seven.take("other", 0.5) is None
    for broker in (seven, eight, platform):
        await broker.close()


async def test_a_revoked_agent_is_cut_off_and_stays_out(server: NatsServer) -> None:
    agent = await connect(server, "7")
    account = await server.account("7", "lab")
    await server.revoke("7")
    for _ in range(100):
        if not agent.connected:
            break
        await asyncio.sleep(0.02)
    assert not agent.connected
    with pytest.raises(Unavailable):
        await NatsBroker.connect(account.nats_url, user=account.user, password=account.password, wait=1)
    await agent.close()


async def test_accounts_outlive_the_server_and_lie_where_only_their_owner_reads(tmp_path: Path) -> None:
    first = NatsServer(tmp_path / "nats")
    await first.start()
    account = await first.account("7", "lab")
    await first.close()
    second = NatsServer(tmp_path / "nats")
    await second.start()
    assert await second.account("7", "lab") == account
    agent = await NatsBroker.connect(account.nats_url, user=account.user, password=account.password, wait=5)
    await agent.close()
    for path in (tmp_path / "nats" / "accounts.json", tmp_path / "nats" / "nats-server.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await second.close()


async def test_opened_to_others_it_speaks_tls_and_is_verified(tmp_path: Path, unused_tcp_port: int) -> None:
    server = NatsServer(tmp_path / "nats", listen=("127.0.0.1", unused_tcp_port), names=("localhost",))
    await server.start()
    platform = await NatsBroker.connect(server.url, **server.credentials())
    await platform.subscribe("cw.agent.*.claim", echo)
    account = await server.account("7", "lab")
    assert account.nats_url == f"tls://localhost:{unused_tcp_port}"
    agent = await connect(server, "7")
    assert await agent.request("cw.agent.7.claim", b"encrypted", 2) == b"encrypted"
    with pytest.raises(Unavailable):  # an authority that did not sign it
        await NatsBroker.connect(account.nats_url, user=account.user, password=account.password, wait=0.5)
    with pytest.raises(Unavailable):  # not without TLS
        await NatsBroker.connect(
            account.nats_url.replace("tls:", "nats:"), user=account.user, password=account.password, wait=0.5
        )
    await agent.close()
    await platform.close()
    await server.close()


@pytest.fixture
async def open_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    listen = ("127.0.0.1", free_port())
    server = NatsServer(tmp_path / "nats", listen=listen, names=("localhost",), on_fall=lambda _: None)
    await server.start()
    yield server
    await server.close()


async def test_over_websocket_it_is_the_same_and_verified_as_well(open_server: NatsServer) -> None:
    server = open_server
    platform = await NatsBroker.connect(server.url, **server.credentials())
    await platform.subscribe("cw.agent.*.claim", echo)
    await platform.open_queue("lab")
    account = await server.account("7", "lab")
    assert account.websocket_url.startswith("wss://localhost:")
    login: Any = {"user": account.user, "password": account.password}
    agent = await NatsBroker.connect(account.websocket_url, ca=account.websocket_ca, wait=5, **login)
    large = b"x" * 1_000_000
    assert await agent.request("cw.agent.7.claim", large, 5) == large
    await platform.enqueue("lab", "1", b"a ticket")
    ticket = await agent.take("lab", 5)
    assert ticket is not None
    assert ticket.data == b"a ticket"
    await ticket.settle()
    with pytest.raises(Unavailable, match="ertificate"):  # an authority that did not sign it
        await NatsBroker.connect(account.websocket_url, wait=0.5, **login)
    with pytest.raises(CredentialsRefused):
        await NatsBroker.connect(
            account.websocket_url, user=account.user, password="guess", ca=account.ca, wait=5
        )
    back = asyncio.Event()
    agent.on_reconnect.append(back.set)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await asyncio.wait_for(back.wait(), 20)
    for _ in range(100):
        try:
            assert await agent.request("cw.agent.7.claim", b"again", 1) == b"again"
            break
        except NoAnswer:
            await asyncio.sleep(0.05)  # the platform is still on its way back
    else:
        pytest.fail("the connection did not come back")
    await agent.close()
    await platform.close()


async def test_where_tcp_does_not_get_through_the_other_way_is_taken(
    open_server: NatsServer, unused_tcp_port_factory: Callable[[], int]
) -> None:
    account = await open_server.account("7", "lab")
    agent = await NatsBroker.connect(
        f"tls://localhost:{unused_tcp_port_factory()}",
        user=account.user,
        password=account.password,
        ca=account.ca,
        otherwise=[
            BrokerAddress(f"{account.websocket_url}/nats", account.websocket_ca)
        ],  # any path, as of a proxy
        wait=5,
    )
    assert agent.place.url == f"{account.websocket_url}/nats"
    assert agent.connected
    await agent.close()


async def test_who_was_turned_away_hears_of_it_and_gets_in_again_when_permitted(server: NatsServer) -> None:
    platform = await NatsBroker.connect(server.url, **server.credentials())
    account = await server.account("7", "lab")
    agent = await connect(server, "7")
    heard: list[str] = []
    refused, back, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def listen(message: Message) -> None:
        heard.append(message.data.decode())
        told.set()

    await agent.subscribe("cw.control.7", listen)
    agent.on_refused.append(lambda _: refused.set())
    agent.on_reconnect.append(back.set)
    await server.revoke("7")
    await asyncio.wait_for(refused.wait(), 10)
    again = await server.account("7", "lab", password=account.password)
    assert again.password == account.password
    await asyncio.wait_for(back.wait(), 10)
    while not told.is_set():
        await platform.publish("cw.control.7", b"welcome")
        await asyncio.sleep(0.05)
    assert heard[0] == "welcome"
    await agent.close()
    await platform.close()


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    busy = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = busy.sockets[0].getsockname()[1]
    server = NatsServer(tmp_path / "nats", listen=("127.0.0.1", port))
    with pytest.raises(Unavailable, match="in use"):
        await server.start()
    await server.close()
    busy.close()
