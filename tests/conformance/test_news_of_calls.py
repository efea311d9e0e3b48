"""A real call through the PBX is heard of on every broker."""

from __future__ import annotations

import asyncio

from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, Message
from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.dispatch.messages.wire import decode
from callwright.dispatch.telling import Teller
from callwright.net.clock import SystemClock
from callwright.pbx.embedded import embedded_pbx
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig

QUIET = MediaPlan(enabled=False)


async def test_a_call_is_told_step_by_step(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    heard: asyncio.Queue[CallNews] = asyncio.Queue()

    async def listen(message: Message) -> None:
        assert subject.sender(message.subject) == "7"
        heard.put_nowait(decode(CallNews, message.data))

    await platform.subscribe(subject.of_agents(subject.CALL), listen)
    await asyncio.sleep(0.05)
    teller = Teller(agent, subject.of_agent("7", subject.CALL), 100)
    began = SystemClock().wall()
    async with (
        embedded_pbx({"1001": "a", "1002": "b"}, "udp", teller) as (address, _),
        Phone(PhoneConfig(bind="127.0.0.1", user="1001")) as alice,
        Phone(PhoneConfig(bind="127.0.0.1", user="1002")) as bob,
    ):
        bob.on_call = lambda _: AnswerPlan(QUIET)
        assert await bob.register(f"sip:{address}", account=Account("1002", "b")).first
        plan = CallPlan(f"sip:1002@{address}", media=QUIET, account=Account("1001", "a"), talk_for=0.1)
        outcome = await alice.call(plan).finished
        assert outcome.sip_code == 200
        news = [await asyncio.wait_for(heard.get(), 5) for _ in CallStep]
    assert [one.step for one in news] == list(CallStep)
    assert len({one.call for one in news}) == 1
    last = news[-1]
    assert (last.caller, last.callee, last.status, last.ended_by) == ("1001", "1002", 200, "caller")
    assert last.ended_at is not None
    assert last.answered_at is not None
    assert began - 1 <= last.begun_at <= last.answered_at < last.ended_at <= SystemClock().wall() + 1
