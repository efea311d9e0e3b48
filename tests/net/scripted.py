"""A SIP machine that follows a script, for tests of the driver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from callwright.sip.transport import Hop


class Sent(NamedTuple):
    data: bytes
    hop: Hop


class Heard(NamedTuple):
    data: bytes
    hop: Hop
    now: float


class Failed(NamedTuple):
    hop: Hop
    reason: str


class Woken(NamedTuple):
    now: float


Event = Heard | Failed | Woken


class ScriptedMachine:
    """Turns everything into events; `reply` makes what to send back for what was received."""

    def __init__(self, reply: Callable[[bytes], bytes | None] = lambda data: None) -> None:
        self._reply = reply
        self._outgoing: list[Sent] = []
        self._events: list[Event] = []
        self.wake_at: float | None = None

    def say(self, data: bytes, hop: Hop) -> None:
        self._outgoing.append(Sent(data, hop))

    def receive(self, data: bytes, hop: Hop, now: float) -> None:
        if data == b"raise":
            raise RuntimeError("the machine stumbled")
        self._events.append(Heard(data, hop, now))
        answer = self._reply(data)
        if answer is not None:
            self.say(answer, hop)

    def transport_failed(self, hop: Hop, reason: str, now: float) -> None:
        self._events.append(Failed(hop, reason))

    def wake(self, now: float) -> None:
        self.wake_at = None
        self._events.append(Woken(now))

    def next_wake(self) -> float | None:
        return self.wake_at

    def transmissions(self) -> list[Sent]:
        taken, self._outgoing = self._outgoing, []
        return taken

    def events(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken


class Mailbox:
    """A handler whose events a test can wait for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._arrived = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._arrived.set()

    async def _wait_for(self, count: int, kind: type, seconds: float) -> list[Event]:
        async with asyncio.timeout(seconds):
            while True:
                found = [event for event in self.events if isinstance(event, kind)]
                if len(found) >= count:
                    return found
                self._arrived.clear()
                await self._arrived.wait()

    async def heard(self, count: int = 1, seconds: float = 3.0) -> list[Heard]:
        return [e for e in await self._wait_for(count, Heard, seconds) if isinstance(e, Heard)]

    async def failure(self, seconds: float = 3.0) -> Failed:
        found = (await self._wait_for(1, Failed, seconds))[0]
        assert isinstance(found, Failed)
        return found

    async def woken(self, count: int = 1, seconds: float = 3.0) -> list[Woken]:
        return [e for e in await self._wait_for(count, Woken, seconds) if isinstance(e, Woken)]
