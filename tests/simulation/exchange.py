"""Phones around a PBX in virtual time: endpoints and the B2BUA on a wire that obeys a fate per message.

exchange = Exchange()
alice, bob = exchange.phone("1001"), exchange.phone("1002")
bob.register()
exchange.pass_time(1)
call = alice.call("1002", body=OFFER)
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from callwright.pbx.accounts import PbxAccount, PbxAccounts
from callwright.pbx.b2bua import B2bua, B2buaConfig
from callwright.pbx.messages import Mailboxes
from callwright.pbx.path import MediaPaths
from callwright.pbx.plan import PbxPlan
from callwright.pbx.record import CallRecord
from callwright.pbx.recording import Recordist
from callwright.pbx.registrar import Registrar
from callwright.pbx.stage import Digit, Heard, Played, Stage
from callwright.sdp.description import SessionDescription
from callwright.sip.call import Call
from callwright.sip.config import EndpointConfig
from callwright.sip.digest import Credentials
from callwright.sip.endpoint import Endpoint, Transmission
from callwright.sip.events import CallAnswered, CallReceived, Event
from callwright.sip.registration import Registration
from callwright.sip.transport import Address, Hop, PermittedHop, Transport
from callwright.sip.uri import NameAddr
from tests.kit.clock import Clock
from tests.kit.wire import Fate, Sent, at_once, seeded_entropy

E = TypeVar("E", bound=Event)
PBX = Address("192.0.2.1", 5060)
DOMAIN = "pbx.test"


def description(port: int = 40_000, *, host: str = "192.0.2.9", direction: str = "sendrecv") -> bytes:
    """An offer or answer with one audio line."""
    lines = ["v=0", f"o=- {port} 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    lines += [f"m=audio {port} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", f"a={direction}", ""]
    return "\r\n".join(lines).encode()


def account(user: str, **wishes: Any) -> PbxAccount:
    """An account with the password that the phones of this exchange have."""
    return PbxAccount(user, f"secret of {user}", f"Name {user}", **wishes)


def wall_at(now: float) -> float:
    """The calendar of the simulation begins at 2023-11-14 22:13:20 UTC."""
    return 1_700_000_000.0 + now


OFFER = description(40_000)
ANSWER = description(50_000)


class Machine(Protocol):
    def receive(self, data: bytes, hop: Hop, now: float) -> None: ...
    def wake(self, now: float) -> None: ...
    def next_wake(self) -> float | None: ...
    def transmissions(self) -> list[Transmission]: ...


class PhoneAt:
    """A phone of one account: an endpoint, and all it heard."""

    def __init__(
        self, exchange: Exchange, user: str, address: Address, transport: Transport, config: EndpointConfig
    ) -> None:
        self.exchange = exchange
        self.user = user
        self.address = address
        self.hop = PermittedHop(transport, address, PBX)
        self.endpoint = Endpoint(config, seeded_entropy(100 + len(exchange.phones)))
        self.credentials = Credentials(user, f"secret of {user}")
        self.identity = NameAddr.parse(f'"Phone {user}" <sip:{user}@{DOMAIN}>')
        self.heard: list[Event] = []
        self.react: Callable[[Event], None] | None = None

    @property
    def now(self) -> float:
        return self.exchange.clock.now

    def register(self, **options: Any) -> Registration:
        options.setdefault("credentials", self.credentials)
        return self.endpoint.register(
            f"sip:{DOMAIN}", local=self.identity, hop=self.hop, now=self.now, **options
        )

    def call(self, user: str, body: bytes = OFFER, **options: Any) -> Call:
        options.setdefault("credentials", self.credentials)
        options.setdefault("local", self.identity)
        return self.endpoint.invite(f"sip:{user}@{DOMAIN}", hop=self.hop, now=self.now, body=body, **options)

    def restart(self) -> None:
        """Lose all memory, as by a power cut."""
        self.endpoint = Endpoint(EndpointConfig(), seeded_entropy(self.hop.local.port))

    def take(self) -> None:
        while new := self.endpoint.events():
            self.heard += new
            if self.react is not None:
                for event in new:
                    self.react(event)

    def all(self, kind: type[E]) -> list[E]:
        self.take()
        return [event for event in self.heard if isinstance(event, kind)]

    def one(self, kind: type[E]) -> E:
        found = self.all(kind)
        assert len(found) == 1, f"{self.user} heard {[type(e).__name__ for e in self.heard]}"
        return found[0]


class ListenedStage:
    """Audio of the PBX, as a script: what it was told to do, and what the party does."""

    def __init__(self, exchange: Exchange, hop: Hop, hear: Callable[[Heard, float], None], port: int) -> None:
        self.exchange, self.hop, self._hear = exchange, hop, hear
        self.description = description(port, host=PBX.host)
        self.theirs = b""
        self.did: list[tuple[object, ...]] = []
        self.recorded: Path | None = None
        self.speech = 3.0  # seconds that the party speaks into a recording
        self.closed = False

    def answer(self, offer: bytes) -> bytes:
        if not SessionDescription.parse(offer).media:
            raise ValueError("nothing is offered")
        self.theirs = offer
        return self.description

    def offer(self) -> bytes:
        return self.description

    def conclude(self, answer: bytes) -> None:
        if not SessionDescription.parse(answer).media:
            raise ValueError("nothing is answered")
        self.theirs = answer

    def play(self, *clips: str, repeat: bool = False) -> None:
        self.did.append(("play", *clips))

    def echo(self) -> None:
        self.did.append(("echo",))

    def join(self, room: str) -> None:
        self.did.append(("join", room))

    def record(self, path: Path) -> None:
        self.did.append(("record",))
        self.recorded = path
        path.write_bytes(b"audio")

    def stop_recording(self) -> float:
        taken, self.recorded = self.recorded, None
        return self.speech if taken is not None else 0.0

    def close(self) -> None:
        self.closed = True

    def last(self) -> tuple[object, ...]:
        """What it was told last."""
        return self.did[-1]

    # -- what the party does

    def press(self, digits: str) -> None:
        for digit in digits:
            self._tell(Digit(digit))

    def hear_out(self) -> None:
        """All that plays is over."""
        self._tell(Played())

    def _tell(self, what: Heard) -> None:
        exchange = self.exchange
        exchange.pbx.after_audio(lambda now: self._hear(what, now), exchange.clock.now)
        exchange.pass_time(0)


class ListenedStages:
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.opened: list[ListenedStage] = []

    def open(self, hop: Hop, hear: Callable[[Heard, float], None]) -> Stage:
        self.opened.append(ListenedStage(self.exchange, hop, hear, 20_000 + 2 * len(self.opened)))
        return self.opened[-1]


class Exchange:
    """The PBX, its phones, and the wire between them. Messages are numbered over all of it."""

    def __init__(
        self,
        *,
        config: B2buaConfig | None = None,
        fate: Fate = at_once,
        paths: MediaPaths | None = None,
        users: tuple[str, ...] = ("1001", "1002", "1003"),
        seed: int = 5,
        plan: PbxPlan | None = None,
        mailboxes: Mailboxes | None = None,
        recordist: Recordist | None = None,
    ) -> None:
        self.clock = Clock()
        known = plan or PbxPlan(tuple(account(user) for user in users))
        self.registrar = Registrar(PbxAccounts(DOMAIN, known.accounts), entropy=seeded_entropy(seed + 50))
        self.pbx = B2bua(
            self.registrar,
            config or B2buaConfig(),
            seeded_entropy(seed),
            wall_at,
            paths,
            plan=known,
            stages=(stages := ListenedStages(self)),
            mailboxes=mailboxes,
            recordist=recordist,
        )
        self.stages = stages.opened
        self.phones: dict[Address, PhoneAt] = {}
        self.fate = fate
        self.log: list[Sent] = []
        self._flying: list[tuple[float, int, Sent]] = []
        self._serial = 0
        self.clock.timed.append(self)

    def phone(
        self,
        user: str,
        *,
        host: str | None = None,
        transport: Transport = Transport.UDP,
        config: EndpointConfig | None = None,
    ) -> PhoneAt:
        """A phone at an address of its own."""
        address = Address(host or f"192.0.2.{10 + len(self.phones)}", 5060)
        made = PhoneAt(self, user, address, transport, config or EndpointConfig())
        self.phones[address] = made
        return made

    def registered(self, user: str, **options: Any) -> PhoneAt:
        """A phone that has registered already."""
        made = self.phone(user, **options)
        made.register()
        self.pass_time(0)
        assert any(b.hop.remote == made.address for b in self.registrar.bindings(user, self.clock.now))
        return made

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @property
    def record(self) -> CallRecord:
        """Of the only call."""
        assert len(self.pbx.calls) == 1, self.pbx.calls
        return self.pbx.calls[0]

    def said(self, sender: PhoneAt | None, start: str, to: PhoneAt | None = None) -> list[Sent]:
        """What a phone (None: the PBX) said that begins so ("INVITE", "200 BYE"), maybe to one phone only."""
        here = PBX if sender is None else sender.address
        return [
            sent
            for sent in self.log
            if sent.hop.local == here
            and sent.start == start
            and (to is None or sent.hop.remote == to.address)
        ]

    def assert_quiet(self) -> None:
        """Nobody holds anything any more."""
        assert self.pbx.live == 0
        assert sum(self.pbx.endpoint.pending()) == 0, self.pbx.endpoint.pending()
        for phone in self.phones.values():
            assert not list(phone.endpoint.calls), phone.user

    # -- for the clock

    def next_due(self) -> float | None:
        self._launch()
        due = [machine.next_wake() for machine in self._machines()]
        due.append(self._flying[0][0] if self._flying else None)
        return min((when for when in due if when is not None), default=None)

    def run(self, now: float) -> None:
        for machine in self._machines():
            when = machine.next_wake()
            if when is not None and when <= now:
                machine.wake(now)
        self._take()
        self._launch()
        while self._flying and self._flying[0][0] <= now:
            self._deliver(heapq.heappop(self._flying)[2])
            self._take()
            self._launch()

    def _machines(self) -> list[Machine]:
        return [self.pbx, *(phone.endpoint for phone in self.phones.values())]

    def _take(self) -> None:
        for phone in self.phones.values():
            phone.take()

    def _deliver(self, sent: Sent) -> None:
        hop = Hop(sent.hop.transport, sent.hop.remote, sent.hop.local)
        if sent.hop.remote == PBX:
            self.pbx.receive(sent.data, hop, self.clock.now)
        elif sent.hop.remote in self.phones:
            self.phones[sent.hop.remote].endpoint.receive(sent.data, hop, self.clock.now)

    def _launch(self) -> None:
        for machine in self._machines():
            for data, hop in machine.transmissions():
                sent = Sent(self.clock.now, str(hop.local), data, hop, len(self.log))
                self.log.append(sent)
                for delay in self.fate(sent):
                    self._serial += 1
                    heapq.heappush(self._flying, (self.clock.now + delay, self._serial, sent))


def talk(exchange: Exchange, alice: PhoneAt, bob: PhoneAt, *, rings: float = 2) -> None:
    """Bob rings and talks for 3 s."""
    alice.call("1002")
    exchange.pass_time(0)
    theirs = bob.one(CallReceived).call
    theirs.ring(now=exchange.clock.now)
    exchange.pass_time(rings)
    theirs.answer(ANSWER, now=exchange.clock.now)
    exchange.pass_time(0)
    ours = alice.one(CallAnswered).call
    ours.acknowledge(now=exchange.clock.now)
    exchange.pass_time(3)
    ours.hangup(now=exchange.clock.now)
    exchange.pass_time(0)
