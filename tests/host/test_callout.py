"""A real nats-server that asks us who may come in: agents have their own rights, as long as they may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from callwright.control.errors import StorageUnavailable
from callwright.dispatch.broker import CredentialsRefused, Message, NoAnswer, Unavailable
from callwright.dispatch.callout import Issuer
from callwright.dispatch.nats import NatsBroker
from callwright.host.callout import Callout
from callwright.host.settings import NatsAddress
from callwright.net.clock import SystemClock
from callwright.net.entropy import system_entropy
from tests.kit.nats import ForeignNats

SEED = b"k" * 32
PASSWORD = "p@ss:word"


class Agents:
    """Those of a platform: one, by its secret; `away`: the database does not answer."""

    def __init__(self) -> None:
        self.secret, self.away = "secret", False

    async def authenticate(self, agent_id: str, secret: str) -> Any:
        if self.away:
            raise StorageUnavailable("away")
        right = (agent_id, secret) == ("7", self.secret)
        return SimpleNamespace(id="7", pool="lab") if right else None


@asynccontextmanager
async def asking(
    folder: Path, *, lasts: float = 60.0, asks: bool = True
) -> AsyncIterator[tuple[Agents, Callout, NatsBroker, str]]:
    authorization: dict[str, Any] = {"users": [{"user": "callwright", "password": PASSWORD}]}
    if asks:
        authorization["auth_callout"] = {"issuer": Issuer(SEED).public, "auth_users": ["callwright"]}
    server = ForeignNats(folder, more={"authorization": authorization})
    agents = Agents()
    vault = SimpleNamespace(derive=lambda purpose: SEED)
    services: Any = SimpleNamespace(agents=agents, clock=SystemClock(), entropy=system_entropy, vault=vault)
    url = f"nats://127.0.0.1:{server.port}"
    server.start()
    try:
        platform = await NatsBroker.connect(url, user="callwright", password=PASSWORD)
        address = NatsAddress(url, "callwright", PASSWORD)
        callout = Callout(services, platform, address, lasts=lasts)
        await callout.listen()
        yield agents, callout, platform, url
        await platform.close()
    finally:
        server.stop()


async def test_an_agent_is_let_in_by_its_secret_with_its_own_rights_alone(tmp_path: Path) -> None:
    async with asking(tmp_path) as (_, callout, platform, url):
        account = await callout.account("7", "lab")
        assert (account.nats_url, account.user, account.password, account.callout) == (
            url,
            "agent-7",
            "",
            True,
        )
        await platform.open_queue("lab")
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        async def hear(message: Message) -> None:
            await heard.put(message.data)
            await message.respond(b"yes")

        await platform.subscribe("cw.agent.*.claim", hear)
        await platform.enqueue("lab", "1", b"ticket")
        agent = await NatsBroker.connect(url, user=account.user, password="secret")
        assert await agent.request("cw.agent.7.claim", b"own", 5) == b"yes"
        ticket = await agent.take("lab", 5)
        assert ticket is not None
        await ticket.settle()
        with pytest.raises((NoAnswer, Unavailable)):
            await agent.request("cw.agent.8.claim", b"foreign", 1)
        assert heard.qsize() == 1
        await agent.close()
        for user, password in (("agent-7", "wrong"), ("agent-8", "secret"), ("callwright-trial-1", "x")):
            with pytest.raises(CredentialsRefused):
                await NatsBroker.connect(url, user=user, password=password)


async def test_an_agent_is_cut_off_when_its_time_is_over_and_comes_again_unless_it_was_revoked(
    tmp_path: Path,
) -> None:
    async with asking(tmp_path, lasts=2.0) as (agents, _, _, url):
        agent = await NatsBroker.connect(url, user="agent-7", password="secret")
        back, refused = asyncio.Event(), asyncio.Event()
        agent.on_reconnect.append(back.set)
        agent.on_refused.append(lambda _: refused.set())
        await asyncio.wait_for(back.wait(), 20)
        agents.secret = "another"
        await asyncio.wait_for(refused.wait(), 20)
        assert not agent.connected
        await agent.close()


async def test_without_a_database_nobody_is_let_in_and_who_is_patient_comes_later(tmp_path: Path) -> None:
    async with asking(tmp_path) as (agents, _, _, url):
        agents.away = True
        with pytest.raises(Unavailable):
            await NatsBroker.connect(url, user="agent-7", password="secret", wait=1, refusals_pass=True)
        coming = asyncio.ensure_future(
            NatsBroker.connect(url, user="agent-7", password="secret", refusals_pass=True)
        )
        await asyncio.sleep(0)
        agents.away = False
        await (await asyncio.wait_for(coming, 20)).close()


async def test_a_server_that_does_not_ask_is_told_with_what_is_missing(tmp_path: Path) -> None:
    async with asking(tmp_path, asks=False) as (_, callout, _, _):
        with pytest.raises(Unavailable, match="auth_callout") as refused:
            await callout.account("7", "lab")
        assert callout.issuer in str(refused.value)
