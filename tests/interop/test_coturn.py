"""coturn as the judge of our TURN client: media goes by an address that it lends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callwright.ice.agent import Agent
from callwright.ice.events import Gathered, IceSettings, Selected, TurnServer
from tests.ice.socketed import SocketedAgent
from tests.interop.peers import LOOPBACK, PeerProcess, free_port
from tests.kit.programs import program

pytestmark = pytest.mark.peer

PASSWORD = "lent"


def coturn(folder: Path, port: int) -> PeerProcess:
    options = ("--lt-cred-mech", f"--user=mara:{PASSWORD}", "--realm=callwright", "--allow-loopback-peers")
    quiet = ("-n", "--no-tls", "--no-dtls", "--no-cli", "--log-file=stdout", f"--db={folder / 'db'}")
    places = (f"--listening-ip={LOOPBACK}", f"--relay-ip={LOOPBACK}", f"--listening-port={port}")
    command = [program("turnserver"), *quiet, *options, *places, f"--pidfile={folder / 'pid'}"]
    return PeerProcess(command, folder=folder, name="coturn")


def lent(port: int, password: str) -> IceSettings:
    return IceSettings(turn=TurnServer((LOOPBACK, port), "mara", password), relay_only=True)


async def agent_of(port: int, password: str) -> SocketedAgent:
    """Once the server answers at all."""
    for _ in range(20):
        agent = await SocketedAgent.open(controlling=True, settings=lent(port, password))
        await agent.heard(Gathered)
        if not any("in time" in remark for remark in agent.agent.report().remarks):
            return agent
        agent.close()
    raise AssertionError("coturn does not answer")


async def test_media_goes_by_an_address_that_coturn_lends(tmp_path: Path) -> None:
    port = free_port()
    with coturn(tmp_path, port):
        ours, peer = await agent_of(port, PASSWORD), await SocketedAgent.open(controlling=False)

        def meet(one: SocketedAgent, other: Agent) -> None:
            one.act(lambda agent, now: agent.set_remote(other.ufrag, other.pwd, other.candidates, now=now))

        meet(peer, ours.agent)
        meet(ours, peer.agent)
        selected = await ours.heard(Selected)
        assert isinstance(selected, Selected)
        assert selected.local.kind == "relay"
        await peer.heard(Selected)
        async with asyncio.timeout(10):
            while ours.agent.wrapped(b"x")[0][0] != 0x40:  # type: ignore[index]  # the channel is bound
                await asyncio.sleep(0.02)
            ours.say(b"by the relay")
            assert await peer.data.get() == b"by the relay"
            peer.say(b"and back")
            assert await ours.data.get() == b"and back"
        ours.act(lambda agent, now: agent.close(now))
        stranger = await agent_of(port, "wrong")
        assert stranger.agent.candidates == ()
        assert "401" in stranger.agent.report().remarks[0]
        for one in (ours, peer, stranger):
            one.close()
