"""What shall happen with a call to a dialled URI, as a value that the B2BUA carries out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from callwright.pbx.accounts import PbxAccount, PbxAccounts
from callwright.pbx.plan import VOICEMAIL, Hunt, PbxPlan, RingGroup, Service, Trunk
from callwright.pbx.registrar import Binding, Registrar
from callwright.sip.uri import Uri

__all__ = [
    "NOWHERE",
    "Forward",
    "Onward",
    "Outside",
    "Refuse",
    "Ring",
    "Route",
    "Serve",
    "Strategy",
    "TakeMessage",
    "Why",
    "ring_group",
    "route",
]


class Strategy(StrEnum):
    """Ring every contact at once, or one q value after the other (RFC 3261 section 16.6)."""

    ALL = "all"
    BY_Q = "by_q"


class Why(StrEnum):
    """Why a call goes on to another number: the reasons of a Diversion header (RFC 5806 section 3)."""

    ALWAYS = "unconditional"
    BUSY = "user-busy"
    DO_NOT_DISTURB = "do-not-disturb"
    NO_ANSWER = "no-answer"
    UNREACHABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a call goes that nobody answered; empty: it is refused. ``by``: the number that says so."""

    by: str = ""
    busy: str = ""
    no_answer: str = ""
    unreachable: str = ""

    def after(self, why: Why) -> str:
        """The number that comes next."""
        match why:
            case Why.BUSY | Why.DO_NOT_DISTURB:
                return self.busy
            case Why.UNREACHABLE:
                return self.unreachable or self.no_answer
            case _:
                return self.no_answer


NOWHERE = Onward()


@dataclass(frozen=True, slots=True)
class Ring:
    """Contacts to ring; a later group rings when the one before it did not answer.

    ``account`` is the one that was dialled, None for a group of accounts. ``seconds``: how long each group of
    contacts rings; None: as long as the caller waits.
    """

    account: PbxAccount | None
    groups: tuple[tuple[Binding, ...], ...]
    seconds: float | None = None
    onward: Onward = NOWHERE


@dataclass(frozen=True, slots=True)
class Forward:
    """Go on as if another number had been dialled. ``by``: whose wish that is."""

    by: str
    to: str
    why: Why


@dataclass(frozen=True, slots=True)
class Refuse:
    """The final response to the caller, with a reason phrase that says more than the number."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Serve:
    """The PBX answers itself. ``dialled``: the number; it says more than the service for a pick-up."""

    service: Service
    dialled: str


@dataclass(frozen=True, slots=True)
class TakeMessage:
    """The PBX answers, and takes a message for that user."""

    user: str


@dataclass(frozen=True, slots=True)
class Outside:
    """Place the call by the first of these trunks that can be reached. ``number``: as they get it."""

    trunks: tuple[Trunk, ...]
    number: str


Route = Outside | Ring | Forward | Refuse | Serve | TakeMessage
"""What can happen with a call."""


def route(
    target: Uri,
    accounts: PbxAccounts,
    registrar: Registrar,
    now: float,
    *,
    plan: PbxPlan | None = None,
    strategy: Strategy = Strategy.ALL,
    rights: PbxAccount | None = None,
) -> Route:
    """The way of a call to ``target`` (the Request-URI): only to our own numbers, for we relay to nobody
    else. ``rights``: the account that may call outside by the trunks of the plan.
    """
    if not target.is_sip and target.scheme.lower() != "tel":
        return Refuse(416, "Unsupported URI Scheme")
    if not accounts.serves(target):
        return Refuse(403, f"Forbidden ({target.host} is not a domain of this PBX)")
    if target.parameter("gr") is not None:
        return _device(target, registrar, now)
    number = target.unescaped_user
    service = plan.service(number) if plan is not None else None
    if isinstance(service, RingGroup):
        return ring_group(service, accounts, registrar, now)
    if service is not None:
        return Serve(service, number or "")
    account = accounts.dialled(number)
    if account is None:
        way = plan.way_out(number or "", rights.user) if plan is not None and rights is not None else None
        if plan is None or way is None:
            return Refuse(404, "Not Found")
        trunks = tuple(trunk for name in way.trunks if (trunk := plan.trunk(name)) is not None)
        return Outside(trunks, way.rewritten(number or ""))
    return _account(account, registrar, now, strategy)


def _device(gruu: Uri, registrar: Registrar, now: float) -> Route:
    """One device of an account, by its GRUU (RFC 5627 section 6), whatever its owner wishes about calls."""
    found = registrar.device(gruu)
    if found is None:
        return Refuse(404, "Not Found (no such GRUU)")
    user, instance = found
    account = registrar.accounts.find(user)
    bindings = registrar.reachable(user, now, instance)
    if account is None or not bindings:
        return Refuse(480, "Temporarily Unavailable (that device is not registered)")
    return Ring(account, (bindings,))


def _account(account: PbxAccount, registrar: Registrar, now: float, strategy: Strategy) -> Route:
    forwarding = account.forwarding
    own = f"{VOICEMAIL}:{account.user}"
    last = own if account.mailbox else ""

    def chosen(number: str) -> str:
        return own if number == VOICEMAIL else number or last

    onward = Onward(
        account.user,
        chosen(forwarding.busy),
        chosen(forwarding.no_answer),
        chosen(forwarding.unreachable or forwarding.no_answer),
    )
    if forwarding.always:
        return Forward(account.user, chosen(forwarding.always), Why.ALWAYS)
    if account.do_not_disturb:
        if onward.busy:
            return Forward(account.user, onward.busy, Why.DO_NOT_DISTURB)
        return Refuse(486, "Busy Here (do not disturb)")
    bindings = registrar.reachable(account.user, now)
    if not bindings:
        return _unanswered(onward, Refuse(480, "Temporarily Unavailable (not registered)"))
    seconds = forwarding.after if onward.no_answer else None
    return Ring(account, _by_strategy(bindings, strategy), seconds, onward)


def ring_group(group: RingGroup, accounts: PbxAccounts, registrar: Registrar, now: float) -> Route:
    """The way of a call to the members of a group."""
    onward = Onward(group.number, group.otherwise, group.otherwise, group.otherwise)
    members = (accounts.find(user) for user in group.members)
    ready = [member for member in members if member is not None and not member.do_not_disturb]
    reachable = [found for member in ready if (found := registrar.reachable(member.user, now))]
    if not reachable:
        return _unanswered(onward, Refuse(480, "Temporarily Unavailable (no member can be reached)"))
    everybody = (tuple(binding for found in reachable for binding in found),)
    return Ring(None, tuple(reachable) if group.hunt is Hunt.IN_ORDER else everybody, group.seconds, onward)


def _unanswered(onward: Onward, refuse: Refuse) -> Route:
    to = onward.after(Why.UNREACHABLE)
    return Forward(onward.by, to, Why.UNREACHABLE) if to else refuse


def _by_strategy(bindings: Iterable[Binding], strategy: Strategy) -> tuple[tuple[Binding, ...], ...]:
    if strategy is Strategy.ALL:
        return (tuple(bindings),)
    return tuple(tuple(group) for _, group in groupby(bindings, key=lambda b: b.q))
