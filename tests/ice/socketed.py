"""An agent on a real socket of the loopback, for judges that open their own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from callwright.ice.agent import Agent
from callwright.ice.events import IceEvent, IceSettings

HOST = "127.0.0.1"


class SocketedAgent(asyncio.DatagramProtocol):
    agent: Agent
    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.events: list[IceEvent] = []
        self.data: asyncio.Queue[bytes] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, *, controlling: bool, settings: IceSettings | None = None) -> SocketedAgent:
        self = cls()
        transport, _ = await self.loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, 0))
        self.transport = transport
        local = transport.get_extra_info("sockname")
        self.agent = Agent(
            os.urandom, local, controlling=controlling, permits=lambda _: True, settings=settings
        )
        self.agent.gather(self.loop.time())
        self.drain()
        return self

    def datagram_received(self, data: bytes, source: Any) -> None:
        passed = self.agent.receive(data, source, self.loop.time())
        if passed is not None:
            self.data.put_nowait(passed[0])
        self.drain()

    def drain(self) -> None:
        for data, to in self.agent.transmissions():
            self.transport.sendto(data, to)
        self.events += self.agent.events()
        if self.timer is not None:
            self.timer.cancel()
        due = self.agent.next_wake()
        if due is not None:
            self.timer = self.loop.call_at(due, self.wake)

    def wake(self) -> None:
        self.agent.wake(self.loop.time())
        self.drain()

    def act(self, do: Callable[[Agent, float], None]) -> None:
        do(self.agent, self.loop.time())
        self.drain()

    def say(self, data: bytes) -> None:
        wrapped = self.agent.wrapped(data)
        assert wrapped is not None
        self.transport.sendto(*wrapped)

    async def heard(self, kind: type[IceEvent]) -> IceEvent:
        async with asyncio.timeout(10):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                await asyncio.sleep(0.01)

    def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.transport.close()
