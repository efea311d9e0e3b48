"""What the processes of the platform tell each other of servers."""

from __future__ import annotations

import asyncio

import pytest

from callwright.dispatch import subject
from callwright.dispatch.broker import Message
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.fleet import ServerNews, What
from callwright.dispatch.messages.wire import decode
from callwright.fleet.record import ServerRecord, moved
from callwright.fleet.server import Event, State
from callwright.host.announcing import Announcer, news

NEW = ServerRecord(
    number=1,
    name="agent-1",
    label="agent-1",
    provider="process",
    pool="lab",
    state=State.PENDING,
    created=1.0,
    updated=1.0,
    since=1.0,
)


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ([Event.ALLOCATE], What.CHANGED),
        ([Event.ALLOCATE, Event.RETRY], What.CHANGED),
        ([Event.ALLOCATE, Event.FAIL], What.ERRORED),
        ([Event.ALLOCATE, Event.MADE], What.CREATED),
        ([Event.ALLOCATE, Event.MADE, Event.INSTALL, Event.HEARD], What.RUNNING),
        ([Event.ALLOCATE, Event.MADE, Event.INSTALL, Event.HEARD, Event.LOST], What.ERRORED),
        ([Event.RETIRE, Event.DRAINED], What.CHANGED),
        ([Event.RETIRE, Event.DRAINED, Event.REFUSE], What.ERRORED),
        ([Event.RETIRE, Event.DRAINED, Event.GONE], What.DESTROYED),
    ],
)
def test_the_last_of_these_moves_is_told_as(events: list[Event], what: What) -> None:
    server = NEW
    for event in events:
        server = moved(server, event, 2.0)
    assert news(events[-1], server).what is what


async def test_whoever_listens_to_errors_hears_which_server_failed_and_why() -> None:
    broker, heard = MemoryBroker(), []

    async def hear(message: Message) -> None:
        heard.append(decode(ServerNews, message.data))

    await broker.subscribe(subject.servers(What.ERRORED), hear)
    announcer = Announcer(broker)
    announcer.server(NEW, Event.ALLOCATE, NEW)
    taken = moved(NEW, Event.ALLOCATE, 2.0)
    failed = moved(taken, Event.FAIL, 3.0, error="out of stock")
    announcer.server(taken, Event.FAIL, failed)
    while not heard:
        await asyncio.sleep(0)
    await broker.close()
    assert heard == [ServerNews(What.ERRORED, "agent-1", "lab", "process", "error", 3.0, "out of stock")]
    assert news(Event.ALLOCATE, NEW).what is What.ORDERED
