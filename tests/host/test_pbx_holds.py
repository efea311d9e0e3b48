"""A hold, of which the PBX says nothing by itself, is told when it begins and when it ends."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from callwright.dispatch import subject
from callwright.dispatch.broker import Message
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.dispatch.messages.wire import decode
from callwright.host.pbx_link import PbxLink
from callwright.net.clock import ManualClock
from callwright.pbx.plan import PbxPlan
from callwright.pbx.record import CallRecord


async def test_each_change_is_told_once_and_only_of_calls_that_are_up() -> None:
    clock, broker = ManualClock(), MemoryBroker()
    heard: list[CallNews] = []

    async def listen(message: Message) -> None:
        heard.append(decode(CallNews, message.data))

    await broker.subscribe(subject.PBX_CALLS, listen)
    services: Any = SimpleNamespace(clock=clock)
    link = PbxLink(services, broker, PbxPlan())
    up = CallRecord("c1", 1, "2001", "2002", "a@x", 0.0, clock.wall(), ringing_at=1.0, answered_at=2.0)
    rings = CallRecord("c2", 2, "2001", "2003", "b@x", 0.0, clock.wall(), ringing_at=1.0)
    for held in (False, True, True, False, False):
        clock.advance(1)
        link.note_holds([(up, held), (rings, held)])
    while len(heard) < 2:
        await asyncio.sleep(0)
    assert [(one.call, one.step, one.on_hold) for one in heard] == [
        ("c1", CallStep.ANSWERED, True),
        ("c1", CallStep.ANSWERED, False),
    ]
    first, second = (one.hold_changed_at for one in heard)
    assert first is not None
    assert second == first + 2
    await broker.close()
