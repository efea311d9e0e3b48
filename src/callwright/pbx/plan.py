"""What a PBX knows of its people and numbers, as one value that is replaced whole while calls go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from callwright.pbx.accounts import PbxAccount
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.uri import Uri

__all__ = [
    "VOICEMAIL",
    "ConferenceRoom",
    "EchoTest",
    "Hunt",
    "InboundNumber",
    "Menu",
    "MessageCenter",
    "OutboundRoute",
    "ParkingSlot",
    "PbxPlan",
    "Pickup",
    "Queue",
    "RingGroup",
    "Service",
    "Trunk",
    "kind_of",
]

VOICEMAIL = "voicemail"
"""As a destination of a forwarding: the mailbox of that account; `voicemail:USER`: of another."""
_MOST_SECONDS = 600.0
_KEYS = frozenset("0123456789*#ABCD")


class Hunt(StrEnum):
    """Whom a group rings: everybody at once, or one after the other in the order of its members."""

    ALL = "all"
    IN_ORDER = "in_order"


@dataclass(frozen=True, slots=True)
class RingGroup:
    """A number that rings several accounts; the first that answers has the call.

    ``members`` are users. Members on do-not-disturb or without a phone are left out; the group, not they,
    decides where a call goes that nobody answers: to ``otherwise``, a number; empty: it is refused.
    ``seconds``: how long everybody rings (ALL), or each member (IN_ORDER).
    """

    number: str
    members: tuple[str, ...]
    name: str = ""
    hunt: Hunt = Hunt.ALL
    seconds: float = 20.0
    otherwise: str = ""
    id: str = ""

    def known_as(self, id_: str) -> bool:
        """By its id in the API, or its number."""
        return id_ in (self.id, self.number)

    def __post_init__(self) -> None:
        _check_seconds(self.seconds, f"The group {self.number} rings")

    @property
    def destinations(self) -> tuple[str, ...]:
        """The numbers that it leads to."""
        return tuple(filter(None, (self.otherwise,)))


@dataclass(frozen=True, slots=True)
class Menu:
    """A number that answers, plays ``prompts`` and connects the caller by the key that is pressed.

    ``keys``: (key, number) pairs. ``seconds``: how long a key is waited for after the prompts; after
    ``tries`` rounds the call goes to ``otherwise``, or ends. ``direct``: a whole number may be dialled too.
    Prompts are names of built-in clips or paths of WAV files.
    """

    number: str
    keys: tuple[tuple[str, str], ...]
    prompts: tuple[str, ...] = ("beep",)
    name: str = ""
    seconds: float = 5.0
    tries: int = 3
    otherwise: str = ""
    direct: bool = False
    id: str = ""

    def known_as(self, id_: str) -> bool:
        """By its id in the API, or its number."""
        return id_ in (self.id, self.number)

    def __post_init__(self) -> None:
        _check_seconds(self.seconds, f"The menu {self.number} waits")
        if not 1 <= self.tries <= 10:
            raise ValueError(f"The menu {self.number} has 1 to 10 tries, not {self.tries}.")
        for key, _ in self.keys:
            if key not in _KEYS:
                raise ValueError(f"The menu {self.number} has a key {key!r}; keys are 0 to 9, *, #, A to D.")

    @property
    def destinations(self) -> tuple[str, ...]:
        """The numbers that it leads to."""
        return tuple(filter(None, (*(number for _, number in self.keys), self.otherwise)))


@dataclass(frozen=True, slots=True)
class ConferenceRoom:
    """A number where everybody hears everybody. ``pin``: digits to press before; ``most`` participants."""

    number: str
    name: str = ""
    pin: str = ""
    most: int = 20
    id: str = ""

    def known_as(self, id_: str) -> bool:
        """By its id in the API, or its number."""
        return id_ in (self.id, self.number)

    def __post_init__(self) -> None:
        if not 2 <= self.most <= 100:
            raise ValueError(f"The conference {self.number} has 2 to 100 places, not {self.most}.")

    destinations = ()


@dataclass(frozen=True, slots=True)
class EchoTest:
    """A number that sends back what it hears, after a beep."""

    number: str
    destinations = ()


@dataclass(frozen=True, slots=True)
class MessageCenter:
    """The number at which accounts hear their messages."""

    number: str
    destinations = ()


@dataclass(frozen=True, slots=True)
class ParkingSlot:
    """A number to transfer a call to, where it waits with music until somebody dials the number.

    After ``seconds`` it rings who parked it; when nobody answers there, it goes on waiting.
    """

    number: str
    seconds: float = 120.0
    destinations = ()

    def __post_init__(self) -> None:
        _check_seconds(self.seconds, f"A call waits at {self.number}")


@dataclass(frozen=True, slots=True)
class Pickup:
    """Dialled before a number: answer the call that rings there. ``number`` is the prefix, such as *8."""

    number: str
    destinations = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """A number where callers wait, with music, until one of ``members`` (users) is free and answers.

    Free is who has a phone, wants calls and is in none. Each that is free is rung for ``seconds``, all at
    once or in order. ``longest``: seconds after which a caller goes to ``otherwise``, or is ended; ``most``
    callers wait at once, a further one goes to ``otherwise`` or is refused.
    """

    number: str
    members: tuple[str, ...]
    name: str = ""
    hunt: Hunt = Hunt.ALL
    seconds: float = 20.0
    longest: float = 600.0
    most: int = 50
    music: tuple[str, ...] = ("music",)
    otherwise: str = ""
    id: str = ""

    def known_as(self, id_: str) -> bool:
        """By its id in the API, or its number."""
        return id_ in (self.id, self.number)

    def __post_init__(self) -> None:
        _check_seconds(self.seconds, f"The queue {self.number} rings")
        if not 1 <= self.longest <= 4 * 3600:
            raise ValueError(f"Callers wait in queue {self.number} for 1 s to 4 h, not {self.longest:g} s.")
        if not 1 <= self.most <= 1_000:
            raise ValueError(f"The queue {self.number} has 1 to 1000 places, not {self.most}.")

    @property
    def destinations(self) -> tuple[str, ...]:
        """The numbers that it leads to."""
        return tuple(filter(None, (self.otherwise,)))


@dataclass(frozen=True, slots=True)
class Trunk:
    """Another SIP system. ``uri``: where its calls go, such as sip:carrier.example;transport=tcp.

    ``username`` and ``password`` answer its challenges; ``register``: it is told where we are. ``caller``:
    the number that it is shown for every call; empty: the extension of the caller. ``sources``: numeric
    addresses that its calls come from, besides the very address that ours go to. ``direct``: audio of its
    calls does not pass the PBX. ``trusted``: it is in our trust domain (RFC 3325): identities go there and
    are believed from there.
    """

    name: str
    uri: str
    username: str = ""
    password: str = field(default="", repr=False)
    register: bool = False
    caller: str = ""
    sources: tuple[str, ...] = ()
    direct: bool = False
    trusted: bool = False

    def __post_init__(self) -> None:
        try:
            uri = Uri.parse(self.uri)
        except SipSyntaxError:
            uri = None
        if uri is None or not uri.is_sip or not uri.host:
            raise ValueError(
                f"The trunk {self.name} has no SIP URI such as sip:carrier.example: {self.uri!r}."
            )
        if self.register and not self.username:
            raise ValueError(f"The trunk {self.name} registers, and has no username.")


@dataclass(frozen=True, slots=True)
class OutboundRoute:
    """Numbers that go to trunks: those that begin with ``prefix`` and have ``shortest`` to ``longest``
    digits.

    ``strip`` digits are taken off in front, then ``prepend`` is put there. ``trunks`` are tried in order: the
    next when one cannot be reached or answers 5xx. ``users``: who may; empty: every account.
    """

    name: str
    trunks: tuple[str, ...]
    prefix: str = ""
    strip: int = 0
    prepend: str = ""
    shortest: int = 1
    longest: int = 32
    users: tuple[str, ...] = ()

    def takes(self, number: str, user: str) -> bool:
        """Whether it is the route of a number, for that account."""
        long_enough = self.shortest <= len(number) <= self.longest and len(number) > self.strip
        return number.startswith(self.prefix) and long_enough and (not self.users or user in self.users)

    def rewritten(self, number: str) -> str:
        """The number as the trunk gets it."""
        return self.prepend + number[self.strip :]


@dataclass(frozen=True, slots=True)
class InboundNumber:
    """Calls of trunks to ``number`` go to ``to``. ``trunk``: from that one alone; empty: from any."""

    number: str
    to: str
    trunk: str = ""


Service = RingGroup | Menu | ConferenceRoom | EchoTest | MessageCenter | ParkingSlot | Pickup | Queue
"""What has a number and is no account."""

_KINDS: dict[type, str] = {
    RingGroup: "group",
    Menu: "menu",
    ConferenceRoom: "conference",
    EchoTest: "echo",
    MessageCenter: "message center",
    ParkingSlot: "parking slot",
    Pickup: "pick-up",
    Queue: "queue",
}


def kind_of(service: Service) -> str:
    """What it is, in a word."""
    return _KINDS[type(service)]


@dataclass(frozen=True)
class PbxPlan:
    """Accounts, and all other numbers. Raises ValueError with a sentence when two things share a number.

    ``music``: what a party hears that is on hold; empty: the phones' own affair.
    """

    accounts: tuple[PbxAccount, ...] = ()
    groups: tuple[RingGroup, ...] = ()
    menus: tuple[Menu, ...] = ()
    conferences: tuple[ConferenceRoom, ...] = ()
    echoes: tuple[EchoTest, ...] = ()
    message_centers: tuple[MessageCenter, ...] = ()
    parking: tuple[ParkingSlot, ...] = ()
    pickups: tuple[Pickup, ...] = ()
    queues: tuple[Queue, ...] = ()
    music: tuple[str, ...] = ()
    trunks: tuple[Trunk, ...] = ()
    outbound: tuple[OutboundRoute, ...] = ()
    inbound: tuple[InboundNumber, ...] = ()

    def __post_init__(self) -> None:
        taken: dict[str, str] = {}
        users: set[str] = set()
        for account in self.accounts:
            if not account.user or account.user in users:
                raise ValueError(f"The account {account.user!r} has no name or is there twice.")
            users.add(account.user)
            for number in sorted({account.user, account.extension} - {""}):
                _take(taken, number, f"account {account.user!r}")
        for service in self.services:
            _take(taken, service.number, f"{kind_of(service)} {service.number!r}")
        named: dict[str, str] = {}
        for trunk in self.trunks:
            _take(named, trunk.name, f"trunk {trunk.name!r}")
        lines: dict[str, str] = {}
        for line in self.inbound:
            _take(lines, line.number, f"inbound number {line.number!r}")

    @property
    def services(self) -> Iterator[Service]:
        """Everything with a number that is no account."""
        yield from self.groups
        yield from self.menus
        yield from self.conferences
        yield from self.echoes
        yield from self.message_centers
        yield from self.parking
        yield from self.pickups
        yield from self.queues

    def service(self, number: str | None) -> Service | None:
        """What has that number, or the pick-up that it begins with."""
        if number is None:
            return None
        found = self._services.get(number)
        if found is not None:
            return found
        return next((pickup for pickup in self.pickups if number.startswith(pickup.number)), None)

    def trunk(self, name: str) -> Trunk | None:
        """The trunk of a name."""
        return next((trunk for trunk in self.trunks if trunk.name == name), None)

    def way_out(self, number: str, user: str) -> OutboundRoute | None:
        """The first route that takes a number for an account."""
        return next((route for route in self.outbound if route.takes(number, user)), None)

    def called_by(self, trunk: str, number: str) -> InboundNumber | None:
        """What a trunk means by a number; a + in front does not count."""
        wanted = number.removeprefix("+")
        lines = (line for line in self.inbound if line.trunk in ("", trunk))
        return next((line for line in lines if line.number.removeprefix("+") == wanted), None)

    def account(self, user: str) -> PbxAccount | None:
        """The account of a user."""
        return next((account for account in self.accounts if account.user == user), None)

    def with_account(self, account: PbxAccount) -> PbxPlan:
        """The same with this account added, or in place of the one with its user. Raises ValueError."""
        if self.account(account.user) is None:
            return replace(self, accounts=(*self.accounts, account))
        kept = tuple(account if other.user == account.user else other for other in self.accounts)
        return replace(self, accounts=kept)

    def without_account(self, user: str) -> PbxPlan:
        """The same without that user."""
        return replace(self, accounts=tuple(other for other in self.accounts if other.user != user))

    def problems(self) -> list[str]:
        """Sentences about numbers and users that are named and do not exist. A PBX runs all the same."""
        users = {account.user for account in self.accounts}
        found: list[str] = []
        for account in self.accounts:
            where = f"account {account.user}, forwarding"
            found += [self._nowhere(where, number) for number in account.forwarding.destinations]
        for service in self.services:
            where = f"{kind_of(service)} {service.number}"
            found += [self._nowhere(where, number) for number in service.destinations]
            found += [f"{where}: no account {user!r}." for user in _members(service) if user not in users]
        for line in self.inbound:
            found.append(self._nowhere(f"inbound number {line.number}", line.to))
        trunks = {trunk.name for trunk in self.trunks}
        named = [(f"outbound route {way.name}", name) for way in self.outbound for name in way.trunks]
        named += [(f"inbound number {line.number}", line.trunk) for line in self.inbound if line.trunk]
        found += [f"{where}: no trunk {name!r}." for where, name in named if name not in trunks]
        return [sentence for sentence in found if sentence]

    def _nowhere(self, where: str, number: str) -> str:
        kind, colon, user = number.partition(":")
        if kind == VOICEMAIL:
            known = not colon or self.account(user) is not None
            return "" if known else f"{where}: no account {user!r}."
        outside = any(not way.users and way.takes(number, "") for way in self.outbound)
        if self.service(number) is not None or number in self._numbers or outside:
            return ""
        return f"{where}: {number!r} is not a number of this PBX."

    @cached_property
    def _services(self) -> dict[str, Service]:
        return {service.number: service for service in self.services}

    @cached_property
    def _numbers(self) -> frozenset[str]:
        return frozenset(
            number for account in self.accounts for number in (account.user, account.extension) if number
        )


def _members(service: Service) -> tuple[str, ...]:
    return service.members if isinstance(service, RingGroup | Queue) else ()


def _take(taken: dict[str, str], number: str, what: str) -> None:
    if not number:
        raise ValueError(f"The {what} has no number.")
    if number in taken:
        raise ValueError(f"The number {number!r} belongs to two: {taken[number]} and {what}.")
    taken[number] = what


def _check_seconds(seconds: float, what: str) -> None:
    if not 1 <= seconds <= _MOST_SECONDS:
        raise ValueError(f"{what} for 1 to {_MOST_SECONDS:g} s, not {seconds:g} s.")
