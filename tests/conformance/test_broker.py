"""One suite for every broker: what a room above may rely on, whichever carries."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from callwright.dispatch.broker import Broker, Message, NoAnswer, Unavailable
from callwright.dispatch.nats import NatsBroker
from tests.kit.nats import foreign_nats

REDELIVER = 0.5  # as the brokers of these tests have it


class Heard:
    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def __call__(self, message: Message) -> None:
        self.messages.put_nowait((message.subject, message.data))

    async def next(self) -> tuple[str, bytes]:
        return await asyncio.wait_for(self.messages.get(), 5)


async def test_a_message_reaches_everybody_who_listens_in_order(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    exact, any_kind, any_rest = Heard(), Heard(), Heard()
    await platform.subscribe("cw.agent.7.progress", exact)
    await platform.subscribe("cw.agent.*.progress", any_kind)
    await platform.subscribe("cw.agent.>", any_rest)
    await asyncio.sleep(0.05)
    for number in (b"1", b"2", b"3"):
        await agent.publish("cw.agent.7.progress", number)
    for heard in (exact, any_kind, any_rest):
        assert [(await heard.next())[1] for _ in range(3)] == [b"1", b"2", b"3"]


async def test_a_message_does_not_reach_who_listens_elsewhere(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    elsewhere, here = Heard(), Heard()
    await platform.subscribe("cw.agent.*.claim", elsewhere)
    await platform.subscribe("cw.agent.*.progress", here)
    await asyncio.sleep(0.05)
    await agent.publish("cw.agent.7.progress", b"x")
    await here.next()
    assert elsewhere.messages.empty()


async def test_who_has_left_hears_nothing_more(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    gone, here = Heard(), Heard()
    subscription = await platform.subscribe("cw.agent.7.progress", gone)
    await platform.subscribe("cw.agent.7.progress", here)
    await subscription.close()
    await asyncio.sleep(0.05)
    await agent.publish("cw.agent.7.progress", b"x")
    await here.next()
    assert gone.messages.empty()


async def test_a_request_is_answered(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers

    async def answer(message: Message) -> None:
        await message.respond(b"yes to " + message.data)

    await platform.subscribe("cw.agent.*.claim", answer)
    await asyncio.sleep(0.05)
    assert await agent.request("cw.agent.7.claim", b"this", 5) == b"yes to this"


async def test_a_large_answer_arrives_whole(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    large = bytes(range(256)) * 12_000  # 3 MB

    async def answer(message: Message) -> None:
        await message.respond(large)

    await platform.subscribe("cw.agent.*.claim", answer)
    await asyncio.sleep(0.05)
    assert await agent.request("cw.agent.7.claim", large, 5) == large


async def test_at_a_foreign_nats_too_what_is_larger_than_it_takes_arrives_whole(tmp_path: Path) -> None:
    large = b'{"text": "' + bytes(range(32, 127)) * 30_000 + b'"}'  # 2.8 MB
    noise = os.urandom(2_000_000)

    async def answer(message: Message) -> None:
        await message.respond(message.data)

    with foreign_nats(tmp_path, more={"max_payload": 1024 * 1024}) as nats:
        given = urlsplit(nats.url)
        broker = await NatsBroker.connect(
            f"nats://127.0.0.1:{nats.port}", user=given.username, password=unquote(given.password or "")
        )
        heard = Heard()
        await broker.subscribe("cw.agent.*.claim", answer)
        await broker.subscribe("cw.agent.*.progress", heard)
        assert await broker.request("cw.agent.7.claim", large, 5) == large
        await broker.publish("cw.agent.7.progress", large)
        assert (await heard.next())[1] == large
        with pytest.raises(Unavailable, match="more than the broker takes"):
            await broker.publish("cw.agent.7.progress", noise)
        await broker.close()


async def test_a_request_that_nobody_hears_fails_at_once(brokers: tuple[Broker, Broker]) -> None:
    _, agent = brokers
    began = asyncio.get_running_loop().time()
    with pytest.raises(NoAnswer):
        await agent.request("cw.agent.7.claim", b"", 30)
    assert asyncio.get_running_loop().time() - began < 5


async def test_a_request_that_is_heard_and_not_answered_fails_in_its_time(
    brokers: tuple[Broker, Broker],
) -> None:
    platform, agent = brokers
    await platform.subscribe("cw.agent.*.claim", Heard())
    await asyncio.sleep(0.05)
    with pytest.raises(NoAnswer):
        await agent.request("cw.agent.7.claim", b"", 0.2)


async def test_a_handler_that_fails_hears_the_next_message(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    heard = Heard()

    async def stumble(message: Message) -> None:
        if message.data == b"bad":
            raise RuntimeError("as planned")
        await heard(message)

    await platform.subscribe("cw.agent.7.progress", stumble)
    await asyncio.sleep(0.05)
    await agent.publish("cw.agent.7.progress", b"bad")
    await agent.publish("cw.agent.7.progress", b"good")
    assert (await heard.next())[1] == b"good"


async def test_tickets_come_in_order_and_each_to_one(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    await platform.open_queue("lab")
    await platform.open_queue("lab")
    for number in range(5):
        await platform.enqueue("lab", f"{number}", b"%d" % number)
    taken = [await agent.take("lab", 2) for _ in range(5)]
    assert [ticket.data for ticket in taken if ticket] == [b"0", b"1", b"2", b"3", b"4"]
    for ticket in taken:
        assert ticket is not None
        await ticket.settle()
    assert await agent.take("lab", 0.2) is None


async def test_who_waits_gets_a_ticket_when_it_comes(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    await platform.open_queue("lab")
    waiting = asyncio.ensure_future(agent.take("lab", 5))
    await asyncio.sleep(0.1)
    await platform.enqueue("lab", "1", b"late")
    ticket = await waiting
    assert ticket is not None
    assert ticket.data == b"late"
    await ticket.settle()


async def test_queues_of_pools_are_apart_whatever_their_names(brokers: tuple[Broker, Broker]) -> None:
    platform, _ = brokers
    names = ("lab", "Lab", "two words", "a.b", "a>*", "Zürich", "x-61")
    for name in names:
        await platform.open_queue(name)
        await platform.enqueue(name, "1", name.encode())
    for name in names:
        ticket = await platform.take(name, 2)
        assert ticket is not None
        assert ticket.data == name.encode()
        await ticket.settle()


async def test_a_ticket_that_is_not_settled_comes_again(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    await platform.open_queue("lab")
    await platform.enqueue("lab", "1", b"again")
    assert await agent.take("lab", 2) is not None
    ticket = await agent.take("lab", 10 * REDELIVER)
    assert ticket is not None
    assert ticket.data == b"again"
    await ticket.settle()
    assert await agent.take("lab", 2 * REDELIVER) is None


async def test_a_ticket_put_back_comes_at_once(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    await platform.open_queue("lab")
    await platform.enqueue("lab", "1", b"back")
    ticket = await agent.take("lab", 2)
    assert ticket is not None
    await ticket.put_back()
    assert await agent.take("lab", REDELIVER * 0.8) is not None


async def test_a_ticket_that_is_queued_twice_waits_once(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    await platform.open_queue("lab")
    for data in (b"first", b"second"):
        await platform.enqueue("lab", "1", data)
    ticket = await agent.take("lab", 2)
    assert ticket is not None
    assert ticket.data == b"second"
    await ticket.settle()
    assert await agent.take("lab", 0.2) is None


async def test_a_withdrawn_ticket_is_not_given_out(brokers: tuple[Broker, Broker]) -> None:
    platform, agent = brokers
    await platform.open_queue("lab")
    await platform.enqueue("lab", "1", b"gone")
    await platform.enqueue("lab", "2", b"here")
    await platform.withdraw("lab", "1")
    await platform.withdraw("lab", "unknown")
    ticket = await agent.take("lab", 2)
    assert ticket is not None
    assert ticket.data == b"here"
    await ticket.settle()


async def test_queues_that_were_thrown_away_are_made_anew_for_who_takes_from_them(
    brokers: tuple[Broker, Broker],
) -> None:
    platform, agent = brokers
    await platform.open_queue("lab")
    await platform.enqueue("lab", "1", b"lost")
    await platform.renew_queues()
    await platform.renew_queues()  # there is nothing any more
    await platform.open_queue("lab")
    await platform.enqueue("lab", "2", b"new")
    ticket = await agent.take("lab", 5)
    assert ticket is not None
    assert ticket.data == b"new"
    await ticket.settle()
