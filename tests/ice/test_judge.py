"""aioice as the judge of our agent: another's ICE, on the loopback, in either role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aioice
import aioice.ice
import pytest

from callwright.ice.candidate import parse_candidate
from callwright.ice.events import IceSettings, Selected
from tests.ice.socketed import HOST, SocketedAgent


@asynccontextmanager
async def judged(
    monkeypatch: pytest.MonkeyPatch, *, controlling: bool, settings: IceSettings | None = None
) -> AsyncIterator[tuple[SocketedAgent, aioice.Connection]]:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: [HOST])
    ours = await SocketedAgent.open(controlling=controlling, settings=settings)
    judge = aioice.Connection(ice_controlling=not controlling)
    try:
        await judge.gather_candidates()
        judge.remote_username, judge.remote_password = ours.agent.ufrag, ours.agent.pwd
        judge.remote_is_lite = ours.agent.lite
        for candidate in ours.agent.candidates:
            await judge.add_remote_candidate(aioice.Candidate.from_sdp(str(candidate)))
        await judge.add_remote_candidate(None)
        yield ours, judge
    finally:
        await judge.close()
        ours.close()


async def talk(ours: SocketedAgent, judge: aioice.Connection) -> None:
    candidates = [parse_candidate(one.to_sdp()) for one in judge.local_candidates]
    ours.act(
        lambda agent, now: agent.set_remote(judge.local_username, judge.local_password, candidates, now=now)
    )
    async with asyncio.timeout(15):
        await judge.connect()
        selected = await ours.heard(Selected)
        assert isinstance(selected, Selected)
        await judge.send(b"from aioice")
        assert await ours.data.get() == b"from aioice"
        ours.say(b"from callwright")
        assert await judge.recv() == b"from callwright"


@pytest.mark.parametrize("controlling", [True, False])
async def test_aioice_and_we_find_each_other(monkeypatch: pytest.MonkeyPatch, controlling: bool) -> None:
    async with judged(monkeypatch, controlling=controlling) as (ours, judge):
        await talk(ours, judge)
        assert ours.agent.report().rtt_ms is not None


async def test_aioice_finds_a_lite_side(monkeypatch: pytest.MonkeyPatch) -> None:
    async with judged(monkeypatch, controlling=False, settings=IceSettings(lite=True)) as (ours, judge):
        await talk(ours, judge)
        assert ours.agent.report().checks == 0


async def test_a_conflict_of_roles_with_aioice_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    async with judged(monkeypatch, controlling=True) as (ours, judge):
        judge.ice_controlling = True
        await talk(ours, judge)
        assert ours.agent.controlling is not judge.ice_controlling
