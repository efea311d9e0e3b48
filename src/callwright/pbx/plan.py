"""What a PBX knows of its people and numbers, as one value that is replaced whole while calls go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from callwright.pbx.accounts import PbxAccount

__all__ = ["Hunt", "PbxPlan", "RingGroup", "Service"]

_MOST_SECONDS = 600.0


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

    def __post_init__(self) -> None:
        _check_seconds(self.seconds, f"The group {self.number} rings")

    @property
    def destinations(self) -> tuple[str, ...]:
        """The numbers that it leads to."""
        return tuple(filter(None, (self.otherwise,)))


Service = RingGroup
"""What has a number and is no account."""


@dataclass(frozen=True)
class PbxPlan:
    """Accounts, and all other numbers. Raises ValueError with a sentence when two things share a number."""

    accounts: tuple[PbxAccount, ...] = ()
    groups: tuple[RingGroup, ...] = ()

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
            _take(taken, service.number, f"{_kind(service)} {service.number!r}")

    @property
    def services(self) -> Iterator[Service]:
        """Everything with a number that is no account."""
        yield from self.groups

    def service(self, number: str | None) -> Service | None:
        """What has that number."""
        return None if number is None else self._services.get(number)

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
            where = f"{_kind(service)} {service.number}"
            found += [self._nowhere(where, number) for number in service.destinations]
            found += [f"{where}: no account {user!r}." for user in _members(service) if user not in users]
        return [sentence for sentence in found if sentence]

    def _nowhere(self, where: str, number: str) -> str:
        if self.service(number) is not None or number in self._numbers:
            return ""
        return f"{where}: {number!r} is no number of this PBX."

    @cached_property
    def _services(self) -> dict[str, Service]:
        return {service.number: service for service in self.services}

    @cached_property
    def _numbers(self) -> frozenset[str]:
        return frozenset(
            number for account in self.accounts for number in (account.user, account.extension) if number
        )


def _members(service: Service) -> tuple[str, ...]:
    return service.members


def _kind(service: Service) -> str:
    return {RingGroup: "group"}[type(service)]


def _take(taken: dict[str, str], number: str, what: str) -> None:
    if not number:
        raise ValueError(f"The {what} has no number.")
    if number in taken:
        raise ValueError(f"The number {number!r} belongs to two: {taken[number]} and {what}.")
    taken[number] = what


def _check_seconds(seconds: float, what: str) -> None:
    if not 1 <= seconds <= _MOST_SECONDS:
        raise ValueError(f"{what} for 1 to {_MOST_SECONDS:g} s, not {seconds:g} s.")
