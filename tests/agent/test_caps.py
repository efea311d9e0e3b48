"""Caps of a target over all calls of an agent, in virtual time where seconds matter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from callwright.agent.caps import Caps
from callwright.net.clock import SystemClock
from callwright.phone.intent import Capped
from callwright.policy.destination import Target


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at


async def test_one_call_more_waits_until_another_ends() -> None:
    caps, target = Caps(SystemClock()), Target(host="sbc", concurrency=2)
    first, second = await caps.enter(target), await caps.enter(target)
    third = asyncio.ensure_future(caps.enter(target))
    other = await caps.enter(Target(host="elsewhere", concurrency=1))
    await asyncio.sleep(0.02)
    assert not third.done()
    other()
    await asyncio.sleep(0.02)
    assert not third.done()
    first()
    first()  # said twice, it counts once
    leave = await asyncio.wait_for(third, 5)
    fourth = asyncio.ensure_future(caps.enter(target))
    await asyncio.sleep(0.02)
    assert not fourth.done()
    second()
    (await asyncio.wait_for(fourth, 5))()
    leave()


async def test_who_waits_too_long_is_refused_with_the_cap() -> None:
    caps, target = Caps(SystemClock(), patience=0.05), Target(network="192.0.2.0/24", concurrency=1)
    await caps.enter(target)
    with pytest.raises(Capped, match=r"192\.0\.2\.0/24 permits 1 calls at once, and 1 are on here"):
        await caps.enter(target)
    slow = Target(host="slow", rate=0.01)
    await caps.enter(slow)
    with pytest.raises(Capped, match=r"permits 0\.01 calls per second"):
        await caps.enter(slow)


async def test_calls_begin_no_faster_than_the_rate() -> None:
    caps, target = Caps(SystemClock()), Target(host="sbc", rate=50)
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def call() -> float:
        await caps.enter(target)
        return loop.time() - began

    at = sorted(await asyncio.gather(*(call() for _ in range(11))))
    assert all(at[number] >= number * 0.02 - 0.001 for number in range(11)), at


async def test_minutes_of_a_day_are_those_of_calls_that_ended_and_that_are_on() -> None:
    clock = Hand()
    caps, target = Caps(clock), Target(host="sbc", minutes=2)
    leave: Callable[[], None] = await caps.enter(target)
    clock.at += 60
    leave()
    await caps.enter(target)
    clock.at += 59
    (await caps.enter(target))()
    clock.at += 1
    with pytest.raises(Capped, match="2 minutes of calls in a day"):
        await caps.enter(target)
    with pytest.raises(Capped):  # the caps of a target may be edited, what was used stays used
        await caps.enter(Target(host="sbc", minutes=1.5))
    clock.at += 86_400
    with pytest.raises(Capped):  # one call is on since
        await caps.enter(target)


async def test_a_load_enters_as_a_whole() -> None:
    caps, target = Caps(SystemClock(), patience=0.05), Target(host="sbc", concurrency=10, rate=5)
    leave = await caps.enter(target, calls=8, rate=5)
    with pytest.raises(Capped, match="10 calls at once, and 8 are on"):
        await caps.enter(target, calls=3, rate=1)
    leave()
    with pytest.raises(Capped, match="permits 5 calls per second, this load wants 6"):
        await caps.enter(target, calls=1, rate=6)


async def test_who_gives_up_waiting_leaves_its_place() -> None:
    caps, target = Caps(SystemClock()), Target(host="sbc", rate=0.1, concurrency=2)
    (await caps.enter(target))()
    waiting = asyncio.ensure_future(caps.enter(target))
    await asyncio.sleep(0.02)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    room = Target(host="sbc", concurrency=2)
    await caps.enter(room)
    await caps.enter(room)
