"""Two SIP endpoints joined by a wire in virtual time.

    wire = Wire()
    call = wire.alice.invite(body=b"offer")
    wire.settle()                      # everything that is sent arrives, until nobody says more
    wire.drop(wire.alice)              # what alice has to send is lost
    wire.clock.advance(0.5)            # time passes; messages travel under the wire's impairment

`transfer`, `drop`, `roundtrip` and `settle` move messages at once; `clock.advance` moves them by `fate`: a
function of the message that gives the delays at which copies of it arrive ((): lost, (0, 0): twice).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from callwright.sip.call import Call
from callwright.sip.config import EndpointConfig
from callwright.sip.endpoint import Endpoint
from callwright.sip.events import Event
from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sip.uri import NameAddr
from tests.kit.clock import Clock

E = TypeVar("E", bound=Event)


def seeded_entropy(seed: int) -> Callable[[int], bytes]:
    """Octets that are the same on every run."""
    return random.Random(seed).randbytes


@dataclass(frozen=True)
class Sent:
    """One message on the wire."""

    at: float
    sender: str
    data: bytes
    hop: Hop
    number: int  # among all messages of the wire, from 0

    @property
    def text(self) -> str:
        """The message as text."""
        return self.data.decode("utf-8", "replace")

    @property
    def start(self) -> str:
        """Method, or status code and method: "INVITE", "200 BYE"."""
        first = self.text.split("\r\n", 1)[0].split(" ")
        if first[0] != "SIP/2.0":
            return first[0]
        return f"{first[1]} {self.header('CSeq').split(' ')[-1]}"

    def header(self, name: str) -> str:
        """Value of the first header of that name, "" when there is none."""
        for line in self.text.split("\r\n\r\n", 1)[0].split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return ""

    @property
    def body(self) -> str:
        """The body as text."""
        return self.text.partition("\r\n\r\n")[2]


Fate = Callable[[Sent], Sequence[float]]


def at_once(sent: Sent) -> Sequence[float]:
    """The fate of a message on a perfect wire."""
    return (0.0,)


class Party:
    """An endpoint with an address, and all that it told so far."""

    def __init__(
        self,
        name: str,
        address: Address,
        transport: Transport,
        clock: Clock,
        config: EndpointConfig,
        seed: int,
    ) -> None:
        self.name = name
        self.address = address
        self.transport = transport
        self.clock = clock
        self.endpoint = Endpoint(config, seeded_entropy(seed))
        self.heard: list[Event] = []
        self.react: Callable[[Event], None] | None = None
        self.identity = NameAddr.parse(f"<sip:{name}@{_host(address)}>")
        self.peer: Address = address

    def hop(self, remote: Address | None = None) -> PermittedHop:
        """The way from here to `remote`, by default the other party."""
        return PermittedHop(self.transport, self.address, remote or self.peer)

    def invite(self, target: str | None = None, **options: Any) -> Call:
        """Call the other party."""
        options.setdefault("local", self.identity)
        options.setdefault("hop", self.hop())
        target = target or f"sip:peer@{_host(self.peer)}:{self.peer.port}"
        return self.endpoint.invite(target, now=self.clock.now, **options)

    def take(self) -> list[Event]:
        """Collect new events, let `react` see them, and return them."""
        taken: list[Event] = []
        while new := self.endpoint.events():
            self.heard += new
            taken += new
            if self.react is not None:
                for event in new:
                    self.react(event)
        return taken

    def all(self, kind: type[E]) -> list[E]:
        """Every event of that kind so far."""
        self.take()
        return [event for event in self.heard if isinstance(event, kind)]

    def one(self, kind: type[E]) -> E:
        """The only event of that kind so far."""
        found = self.all(kind)
        assert len(found) == 1, f"{self.name} heard {self.kinds()}, not one {kind.__name__}"
        return found[0]

    def kinds(self) -> list[str]:
        """Names of all events so far."""
        self.take()
        return [type(event).__name__ for event in self.heard]


def _host(address: Address) -> str:
    return f"[{address.host}]" if ":" in address.host else address.host


class Wire:
    """Alice and bob, and what lies between them."""

    def __init__(
        self,
        *,
        transport: Transport = Transport.UDP,
        alice: EndpointConfig | None = None,
        bob: EndpointConfig | None = None,
        fate: Fate = at_once,
        seed: int = 1,
        ipv6: bool = False,
    ) -> None:
        self.clock = Clock()
        hosts = ("2001:db8::1", "2001:db8::2") if ipv6 else ("192.0.2.1", "192.0.2.2")
        first, second = (Address(host, 5060) for host in hosts)
        default = EndpointConfig()
        self.alice = Party("alice", first, transport, self.clock, alice or default, seed * 2)
        self.bob = Party("bob", second, transport, self.clock, bob or default, seed * 2 + 1)
        self.alice.peer, self.bob.peer = second, first
        self.fate = fate
        self.log: list[Sent] = []
        self._flying: list[tuple[float, int, Party, Sent]] = []
        self._serial = 0
        self.clock.timed.append(self)

    # -- at once

    def collect(self, sender: Party) -> list[Sent]:
        """What `sender` has to send, taken off it."""
        sent = [
            Sent(self.clock.now, sender.name, data, hop, len(self.log) + index)
            for index, (data, hop) in enumerate(sender.endpoint.transmissions())
        ]
        self.log += sent
        return sent

    def deliver(self, sent: Sent) -> None:
        """Let a message arrive now (again, for one that did before)."""
        receiver = self.bob if sent.sender == self.alice.name else self.alice
        hop = Hop(sent.hop.transport, sent.hop.remote, sent.hop.local)
        receiver.endpoint.receive(sent.data, hop, self.clock.now)
        receiver.take()

    def transfer(self, sender: Party) -> list[Sent]:
        """Everything `sender` has to send arrives now."""
        moved = self.collect(sender)
        for sent in moved:
            self.deliver(sent)
        return moved

    def drop(self, sender: Party) -> list[Sent]:
        """Everything `sender` has to send is lost."""
        return self.collect(sender)

    def roundtrip(self) -> list[Sent]:
        """Alice's messages to bob, and bob's to alice."""
        return self.transfer(self.alice) + self.transfer(self.bob)

    def settle(self) -> list[Sent]:
        """Round trips until nobody says more at this moment."""
        moved: list[Sent] = []
        for _ in range(1000):
            more = self.roundtrip()
            if not more:
                return moved
            moved += more
        raise AssertionError("the parties never fall silent")

    # -- with time (for the clock)

    def next_due(self) -> float | None:
        """When the next message arrives or the next endpoint wakes."""
        self._launch()
        due = [party.endpoint.next_wake() for party in (self.alice, self.bob)]
        due.append(self._flying[0][0] if self._flying else None)
        return min((when for when in due if when is not None), default=None)

    def run(self, now: float) -> None:
        """Wake who is to be woken, and deliver what arrives."""
        for party in (self.alice, self.bob):
            when = party.endpoint.next_wake()
            if when is not None and when <= now:
                party.endpoint.wake(now)
                party.take()
        self._launch()
        while self._flying and self._flying[0][0] <= now:
            sent = heapq.heappop(self._flying)[3]
            self.deliver(sent)
            self._launch()

    def _launch(self) -> None:
        for party in (self.alice, self.bob):
            for sent in self.collect(party):
                for delay in self.fate(sent):
                    self._serial += 1
                    heapq.heappush(self._flying, (self.clock.now + delay, self._serial, party, sent))

    # -- looking back

    def said(self, sender: Party, start: str | None = None) -> list[Sent]:
        """What a party sent so far, all or those that begin so ("INVITE", "200 INVITE")."""
        return [
            sent for sent in self.log if sent.sender == sender.name and (start is None or sent.start == start)
        ]

    def starts(self, sender: Party | None = None) -> list[str]:
        """The start of every message so far."""
        return [sent.start for sent in self.log if sender is None or sent.sender == sender.name]


def lose(numbers: Iterable[int], then: Fate = at_once) -> Fate:
    """A wire that loses the messages of those numbers."""
    lost = frozenset(numbers)
    return lambda sent: () if sent.number in lost else then(sent)


def delayed(seconds: float) -> Fate:
    """A wire that takes that long."""
    return lambda sent: (seconds,)


def impaired(
    seed: int,
    *,
    loss: float = 0.0,
    duplicate: float = 0.0,
    delay: float = 0.02,
    jitter: float = 0.0,
) -> Fate:
    """A wire that loses and doubles with these probabilities; jitter beyond the spacing reorders."""
    dice = random.Random(seed)

    def fate(sent: Sent) -> Sequence[float]:
        copies = 2 if dice.random() < duplicate else 1
        return [delay + dice.random() * jitter for _ in range(copies) if dice.random() >= loss]

    return fate


def impatient(config: EndpointConfig | None = None, **changes: Any) -> EndpointConfig:
    """A configuration with some fields changed."""
    return replace(config or EndpointConfig(), **changes)
