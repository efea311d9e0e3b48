"""The platform's clock as an agent measures it, and the moment at which it begins."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.agent.together import PlatformClock, Together
from callwright.dispatch import subject
from callwright.dispatch.broker import Message
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.runs import Attempt, Ready, ReadyAnswer
from callwright.dispatch.messages.wire import decode, encode
from callwright.net.clock import SystemClock

delays = st.floats(0.0, 2.0)


@given(st.floats(-1e6, 1e6), st.lists(st.tuples(delays, delays, delays), min_size=1, max_size=20))
def test_the_error_that_is_told_is_never_exceeded(
    ahead: float, exchanges: list[tuple[float, float, float]]
) -> None:
    clock, now = PlatformClock(), 0.0
    for there, inside, back in exchanges:
        heard = now + there + ahead
        clock.learn(now, heard, heard + inside, now + there + inside + back)
        now += 5.0
    assert abs(clock.theirs(now) - (now + ahead)) <= clock.error + 1e-6
    assert clock.ours(clock.theirs(now)) == pytest.approx(now, abs=1e-6)
    assert clock.error <= min(there + back for there, _, back in exchanges) / 2 + 1e-6


async def test_two_agents_begin_at_the_moment_that_both_were_told() -> None:
    clock, broker = SystemClock(), MemoryBroker()
    ready: set[int] = set()
    moment: list[float] = []

    async def answer(message: Message) -> None:
        heard = clock.wall()
        ready.add(decode(Ready, message.data).run_id)
        if len(ready) == 2 and not moment:
            moment.append(clock.wall() + 0.15)
        await message.respond(encode(ReadyAnswer(heard, clock.wall(), moment[0] if moment else None)))

    await broker.subscribe(subject.of_agents(subject.READY), answer)
    agents = [
        Together(broker, f"ag{n}", Attempt(n, f"s{n}", 1), 2, clock, lambda reason: None) for n in range(2)
    ]
    first = asyncio.ensure_future(agents[0].begin())
    await asyncio.sleep(0.05)
    assert not first.done()
    assert agents[0].to_json()["began_at"] is None
    await asyncio.gather(first, agents[1].begin())
    for agent in agents:
        told = agent.to_json()
        # Never before the moment by more than the error; after it as late as a busy machine makes it.
        assert told["began_at"] >= moment[0] - told["error_ms"] / 1000 - 1e-3
    await broker.close()


async def test_one_that_may_not_begin_hears_why() -> None:
    clock, broker = SystemClock(), MemoryBroker()
    heard: list[str] = []

    async def answer(message: Message) -> None:
        await message.respond(encode(ReadyAnswer(clock.wall(), clock.wall(), None, "Not begun: no PBX.")))

    await broker.subscribe(subject.of_agents(subject.READY), answer)
    one = Together(broker, "ag", Attempt(1, "s", 1), 2, clock, heard.append)
    await one.begin()
    assert heard == ["Not begun: no PBX."]
    assert one.to_json() == {"servers": 2, "began_at": None, "error_ms": None}
    await broker.close()
