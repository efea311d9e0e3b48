"""A network of agents in virtual time: hosts behind NATs, a STUN and TURN server, and what is lost."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable

from callwright.ice import stun
from callwright.ice.agent import Agent
from callwright.ice.events import IceEvent, IceSettings

AddressTuple = tuple[str, int]
LATENCY = 0.01
SERVER = ("203.0.113.1", 3478)


class Side:
    """An agent and what it was told. `public`: its address outside its NAT; None: it has none."""

    def __init__(
        self,
        network: Network,
        host: str,
        *,
        controlling: bool = False,
        settings: IceSettings | None = None,
        public: str | None = None,
        permits: Callable[[AddressTuple], bool] = lambda _: True,
        seed: int = 0,
    ) -> None:
        self.network, self.address, self.public = network, (host, 20_000), public
        entropy = random.Random(f"{host}{seed}").randbytes
        self.agent = Agent(entropy, self.address, controlling=controlling, permits=permits, settings=settings)
        self.events: list[IceEvent] = []
        self.data: list[tuple[bytes, AddressTuple]] = []
        self.sent: list[tuple[bytes, AddressTuple]] = []
        self.opened: set[str] = set()  # hosts that the NAT lets in
        network.sides.append(self)

    def meet(self, other: Side, *, lite: bool = False) -> None:
        """Take the other's description."""
        theirs = other.agent
        self.agent.set_remote(
            theirs.ufrag, theirs.pwd, theirs.candidates, lite=lite or theirs.lite, now=self.network.now
        )
        self.network.drain()

    def say(self, data: bytes) -> None:
        wrapped = self.agent.wrapped(data)
        assert wrapped is not None
        self.network.send(self, *wrapped)

    def all(self, kind: type[IceEvent]) -> list[IceEvent]:
        return [event for event in self.events if isinstance(event, kind)]


class Network:
    def __init__(self) -> None:
        self.now = 0.0
        self.sides: list[Side] = []
        self.fate: Callable[[int], bool] = lambda _: True
        """Whether the packet of a number arrives."""
        self.server: Callable[[bytes, AddressTuple], list[tuple[bytes, AddressTuple]]] | None = None
        self._order = itertools.count()
        self._flying: list[tuple[float, int, bytes, AddressTuple, AddressTuple]] = []
        self.counted = 0

    def send(self, side: Side, data: bytes, to: AddressTuple) -> None:
        side.sent.append((data, to))
        source = side.address
        if side.public is not None:
            side.opened.add(to[0])
            source = (side.public, side.address[1])
        self.fly(data, source, to)

    def fly(self, data: bytes, source: AddressTuple, to: AddressTuple) -> None:
        number, self.counted = self.counted, self.counted + 1
        if self.fate(number):
            heapq.heappush(self._flying, (self.now + LATENCY, next(self._order), data, source, to))

    def drain(self) -> None:
        for side in self.sides:
            for data, to in side.agent.transmissions():
                self.send(side, data, to)
            side.events += side.agent.events()

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        self.drain()
        while True:
            wakes = [(wake, side) for side in self.sides if (wake := side.agent.next_wake()) is not None]
            due = min((wake for wake, _ in wakes), default=None)
            flying = self._flying[0][0] if self._flying else None
            times = [one for one in (due, flying) if one is not None]
            if not times or min(times) > end:
                break
            self.now = max(self.now, min(times))
            while self._flying and self._flying[0][0] <= self.now:
                _, _, data, source, to = heapq.heappop(self._flying)
                self._arrive(data, source, to)
            for wake, side in wakes:
                if wake <= self.now:
                    side.agent.wake(self.now)
            self.drain()
        self.now = end

    def _arrive(self, data: bytes, source: AddressTuple, to: AddressTuple) -> None:
        if to[0] == SERVER[0]:
            if self.server is not None:
                for answer, back in self.server(data, source):
                    self.fly(answer, to, back)
            elif to == SERVER and stun.is_stun(data):
                self.fly(*binding_response(data, source))
            return
        for side in self.sides:
            inside = to == side.address and side.public is None
            through = side.public == to[0] and to[1] == side.address[1] and source[0] in side.opened
            if inside or through:
                passed = side.agent.receive(data, source, self.now)
                if passed is not None:
                    side.data.append(passed)


def binding_response(data: bytes, source: AddressTuple) -> tuple[bytes, AddressTuple, AddressTuple]:
    asked = stun.parse(data)
    mapped = [(stun.XOR_MAPPED_ADDRESS, stun.xor_address(source, asked.transaction))]
    return stun.build(stun.SUCCESS, stun.BINDING, asked.transaction, mapped), SERVER, source
