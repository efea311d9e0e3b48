"""Caps of a target over all that an agent sends, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from callwright.agent.caps import Caps
from callwright.phone.intent import Capped
from callwright.policy.destination import Target
from tests.kit.virtual_time import LoopClock, in_virtual_time

SBC = "sbc"


def now() -> float:
    return asyncio.get_running_loop().time() - 1000


async def sent(caps: Caps, target: Target, at: list[float]) -> None:
    await caps.send(target)
    at.append(round(now(), 6))


@in_virtual_time
async def test_one_call_more_waits_until_another_ends() -> None:
    caps, target = Caps(LoopClock()), Target(host=SBC, concurrency=2)
    first, second = await caps.enter(target), await caps.enter(target)
    third = asyncio.ensure_future(caps.enter(target))
    other = await caps.enter(Target(host="elsewhere", concurrency=1))
    await asyncio.sleep(1)
    assert not third.done()
    other()
    await asyncio.sleep(1)
    assert not third.done()
    first()
    first()  # said twice, it counts once
    leave = await asyncio.wait_for(third, 5)
    fourth = asyncio.ensure_future(caps.enter(target))
    await asyncio.sleep(1)
    assert not fourth.done()
    second()
    (await asyncio.wait_for(fourth, 5))()
    leave()


@in_virtual_time
async def test_who_waits_too_long_is_refused_with_the_cap() -> None:
    caps, target = Caps(LoopClock()), Target(network="192.0.2.0/24", concurrency=1)
    await caps.enter(target)
    with pytest.raises(
        Capped, match=r"192\.0\.2\.0/24 is limited to 1 concurrent call; 1 is needed, 1 in use"
    ):
        await caps.enter(target)
    assert now() == pytest.approx(30)
    slow = Target(host="slow", rate=0.01)
    await caps.enter(slow)
    with pytest.raises(Capped, match=r"limited to 0\.01 requests per second; .* would come in 100 s"):
        await caps.enter(slow)
    assert now() == pytest.approx(30)  # at once: waiting would not help


@in_virtual_time
async def test_requests_of_every_kind_share_one_rate() -> None:
    caps, target = Caps(LoopClock()), Target(host=SBC, rate=2)
    at: list[float] = []

    async def call() -> None:
        await caps.enter(target)
        at.append(round(now(), 6))

    await asyncio.gather(call(), sent(caps, target, at), call(), sent(caps, target, at))
    assert at == [0, 0.5, 1, 1.5]


@in_virtual_time
async def test_three_hundred_at_once_are_sent_at_the_rate_and_the_rest_is_refused() -> None:
    caps, target, at = Caps(LoopClock()), Target(host=SBC, rate=1), list[float]()
    results = await asyncio.gather(*(sent(caps, target, at) for _ in range(300)), return_exceptions=True)
    assert at == [float(second) for second in range(31)]
    refused = [result for result in results if isinstance(result, Capped)]
    assert len(refused) == 300 - 31
    assert now() == pytest.approx(30)


@in_virtual_time
async def test_who_gives_up_waiting_gives_its_turn_back() -> None:
    """At one request in two seconds the next one comes after two seconds, not after eight."""
    caps, target, at = Caps(LoopClock()), Target(host=SBC, rate=0.5), list[float]()
    await sent(caps, target, at)
    quitters = [asyncio.ensure_future(act) for act in (caps.enter(target), caps.send(target))]
    quitters += [asyncio.ensure_future(sent(caps, target, at))]
    await asyncio.sleep(0.5)
    for one in quitters:
        one.cancel()
    await asyncio.gather(*quitters, return_exceptions=True)
    await sent(caps, target, at)
    assert at == [0, 2]


@in_virtual_time
async def test_those_behind_who_gives_up_move_up() -> None:
    caps, target, at = Caps(LoopClock()), Target(host=SBC, rate=0.5), list[float]()
    tasks = [asyncio.ensure_future(sent(caps, target, at)) for _ in range(5)]
    await asyncio.sleep(1)
    tasks[1].cancel()
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert at == [0, 2, 4]


@in_virtual_time
async def test_who_gives_up_leaves_its_line_and_its_minutes() -> None:
    caps, target = Caps(LoopClock()), Target(host=SBC, rate=0.1, concurrency=2, minutes=1)
    (await caps.enter(target))()
    waiting = asyncio.ensure_future(caps.enter(target))
    await asyncio.sleep(5)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    room = Target(host=SBC, concurrency=2, minutes=0.01)  # not a second was talked
    await caps.enter(room)
    await caps.enter(room)


@in_virtual_time
async def test_a_refresh_never_waits_and_the_next_request_waits_longer() -> None:
    caps, target, at = Caps(LoopClock()), Target(host=SBC, rate=0.5), list[float]()
    await sent(caps, target, at)
    caps.count(target)
    caps.count(target)
    await sent(caps, target, at)
    assert at == [0, 6]
    caps.count(Target(host="free"))


@in_virtual_time
async def test_minutes_of_a_day_are_those_of_calls_that_ended_and_that_are_on() -> None:
    caps, target = Caps(LoopClock()), Target(host=SBC, minutes=2)
    leave = await caps.enter(target)
    await asyncio.sleep(60)
    leave()
    await caps.enter(target)
    await asyncio.sleep(59)
    (await caps.enter(target))()
    await asyncio.sleep(1)
    with pytest.raises(Capped, match="limited to 2 minutes of calls a day, and they are used up"):
        await caps.enter(target)
    with pytest.raises(Capped):  # the caps of a target may be edited, what was used stays used
        await caps.enter(Target(host=SBC, minutes=1.5))
    await caps.send(target)  # a request holds no line
    await asyncio.sleep(86_400)
    with pytest.raises(Capped):  # one call is on since
        await caps.enter(target)


@in_virtual_time
async def test_a_load_enters_as_a_whole() -> None:
    caps, target = Caps(LoopClock()), Target(host=SBC, concurrency=10, rate=5)
    leave = await caps.enter(target, calls=8, rate=5)
    with pytest.raises(Capped, match="limited to 10 concurrent calls; 3 are needed, 8 in use"):
        await caps.enter(target, calls=3, rate=1)
    leave()
    with pytest.raises(Capped, match="limited to 5 requests per second; this load needs 6"):
        await caps.enter(target, calls=1, rate=6)


@in_virtual_time
async def test_others_share_what_a_load_leaves_of_the_rate() -> None:
    caps, target, at = Caps(LoopClock()), Target(host=SBC, rate=5), list[float]()
    leave = await caps.enter(target, calls=9, rate=4)
    await asyncio.sleep(1)
    await asyncio.gather(*(sent(caps, target, at) for _ in range(3)))
    assert at == [1, 2, 3]  # one a second
    with pytest.raises(Capped, match=r"5 requests per second, and active loads take 4 of them"):
        await caps.enter(target, calls=1, rate=2)
    leave()
    start = now()
    await asyncio.gather(*(sent(caps, target, at) for _ in range(3)))
    assert [moment - start for moment in at[3:]] == pytest.approx([0, 0.2, 0.4])


@in_virtual_time
async def test_a_load_that_takes_the_whole_rate_is_waited_for() -> None:
    caps, target, at = Caps(LoopClock()), Target(host=SBC, rate=5), list[float]()
    leave = await caps.enter(target, calls=9, rate=5)
    asyncio.get_running_loop().call_later(20, leave)
    await asyncio.gather(sent(caps, target, at), caps.enter(target, calls=1, rate=1))
    assert at == [20] or at == pytest.approx([20.2])
    await asyncio.sleep(100)
    with pytest.raises(Capped, match="active loads take"):
        await caps.enter(target, calls=1, rate=4.5)
