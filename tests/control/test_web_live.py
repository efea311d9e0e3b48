"""The stream of a run page: what a peer wrote acts in no event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from callwright.control.accounts.model import Identity
from callwright.control.runs.model import Run
from callwright.control.services import Services
from callwright.control.web import live
from callwright.dispatch.broker import Message
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.live import Progress, SoFarAnswer
from callwright.dispatch.messages.wire import encode
from callwright.dispatch.subject import SO_FAR
from callwright.dispatch.subject import live as live_subject

HOSTILE = "ali\u202ece\u0085\u009b31m"
ACTING = ("\u202e", "\u0085", "\u009b", "\x1b")


def registration(run: Run) -> Progress:
    """The sentence of the page says the name as the agent tells it."""
    told = {"id": HOSTILE, "registered": True}
    return Progress(run.session_id, run.id, 1, 1.0, "registration", told)


async def parts(services: Services, run: Run, identity: Identity, wanted: int) -> Sequence[str]:
    found: list[str] = []
    stream = live.follow(services, run, None, identity)
    async for message in stream:
        if message.event == "part":
            found.append(str(message.data))
        if len(found) == wanted:
            break
    await stream.aclose()  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("early", [True, False])
async def test_what_a_peer_wrote_acts_neither_in_the_first_event_nor_in_later_ones(
    services: Services, admin: Identity, *, early: bool
) -> None:
    await services.tests.ensure_demo(admin)
    run = await services.runs.start(admin, "basic_call")
    assert await services.runs.held.claim(run.id, 1, "ag", 3600)
    run = await services.runs.known(run.session_id)
    broker = MemoryBroker()
    watched = replace(services, broker=broker)
    told = registration(run)

    async def answer(message: Message) -> None:
        await message.respond(encode(SoFarAnswer((told,) if early else ())))
        if not early:
            await broker.publish(live_subject(run.session_id), encode(told))

    subscription = await broker.subscribe(SO_FAR, answer)
    try:
        found = await parts(watched, run, admin, 1 if early else 2)
    finally:
        await subscription.close()
        await broker.close()
    assert "ali\ufffdce" in found[-1]
    assert [mark for mark in ACTING if mark in "".join(found)] == []
