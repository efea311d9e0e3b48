"""What shall happen with a call to a dialled URI, as a value that the B2BUA carries out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from callwright.pbx.accounts import PbxAccount, PbxAccounts
from callwright.pbx.registrar import Binding, Registrar
from callwright.sip.uri import Uri

__all__ = [
    "Conference",
    "Mailbox",
    "Play",
    "Queue",
    "Refuse",
    "Ring",
    "Route",
    "Strategy",
    "Trunk",
    "route",
]


class Strategy(StrEnum):
    """Ring every contact at once, or one q value after the other (RFC 3261 section 16.6)."""

    ALL = "all"
    BY_Q = "by_q"


@dataclass(frozen=True, slots=True)
class Ring:
    """Contacts of the account that was dialled; a later group rings when the one before it did not answer."""

    account: PbxAccount
    groups: tuple[tuple[Binding, ...], ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """The final response to the caller, with a reason phrase that says more than the number."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Play:
    """Answer, and play an announcement or a menu; `name` says which."""

    name: str


@dataclass(frozen=True, slots=True)
class Queue:
    """Let the caller wait until somebody of that queue is free."""

    name: str


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Take a message for the account."""

    account: PbxAccount


@dataclass(frozen=True, slots=True)
class Conference:
    """Put the caller into that room."""

    name: str


@dataclass(frozen=True, slots=True)
class Trunk:
    """Place the call outside, by that trunk."""

    name: str
    number: str


Route = Ring | Play | Queue | Mailbox | Conference | Trunk | Refuse
"""What can happen with a call."""


def route(
    target: Uri, accounts: PbxAccounts, registrar: Registrar, now: float, *, strategy: Strategy = Strategy.ALL
) -> Route:
    """The way of a call to ``target`` (the Request-URI): only to our own accounts, for we relay to nobody
    else.
    """
    if not target.is_sip and target.scheme.lower() != "tel":
        return Refuse(416, "Unsupported URI Scheme")
    if not accounts.serves(target):
        return Refuse(403, f"Forbidden ({target.host} is not a domain of this PBX)")
    account = accounts.addressed_by(target)
    if account is None:
        return Refuse(404, "Not Found")
    bindings = registrar.bindings(account.user, now)
    if not bindings:
        return Refuse(480, "Temporarily Unavailable (not registered)")
    if strategy is Strategy.ALL:
        return Ring(account, (bindings,))
    return Ring(account, tuple(tuple(group) for _, group in groupby(bindings, key=lambda b: b.q)))
