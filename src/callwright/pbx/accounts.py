"""Who may register and be called: the accounts of one PBX and the domains it answers for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from callwright.sip.uri import Uri

__all__ = ["NO_FORWARDING", "Forwarding", "PbxAccount", "PbxAccounts"]


@dataclass(frozen=True, slots=True)
class Forwarding:
    """Where calls of an account go instead: numbers of the PBX; empty: nowhere.

    ``always`` rings none of its phones. ``busy`` counts do-not-disturb and a call that was declined too,
    ``no_answer`` begins after ``after`` seconds of ringing. ``unreachable``: no phone is registered, or none
    answers; empty: as ``no_answer``.
    """

    always: str = ""
    busy: str = ""
    no_answer: str = ""
    unreachable: str = ""
    after: float = 20.0

    def __post_init__(self) -> None:
        if not 1 <= self.after <= 600:
            raise ValueError(f"Forwarding without an answer begins after 1 to 600 s, not {self.after:g} s.")

    @property
    def destinations(self) -> tuple[str, ...]:
        """All numbers that it names."""
        return tuple(filter(None, (self.always, self.busy, self.no_answer, self.unreachable)))


NO_FORWARDING = Forwarding()


@dataclass(frozen=True, slots=True)
class PbxAccount:
    """One line. ``user`` is both the user part of its address-of-record and the username of its digest.

    ``extension``: another number by which it is called. ``display_name`` is what callees see where the phone
    says none. ``direct``: audio of its calls goes from phone to phone; ``record``: its
    calls are recorded, once that was announced. ``mailbox``: messages are taken wherever the forwarding names
    no number, and kept in the ``box``, by default that of the ``user``: whoever gets the user part later does
    not get the messages. ``greeting``: the clips that callers hear before the beep, instead of our own.
    """

    user: str
    secret: str = field(repr=False)
    display_name: str = ""
    extension: str = ""
    do_not_disturb: bool = False
    forwarding: Forwarding = NO_FORWARDING
    mailbox: bool = False
    direct: bool = False
    record: bool = False
    greeting: tuple[str, ...] = ()
    box: str = ""

    @property
    def messages(self) -> str:
        """The name of its mailbox."""
        return self.box or self.user


class PbxAccounts:
    """The accounts of a PBX, looked up by user.

    ``domain`` is the digest realm and the first of the names that are ours; ``also`` are others, numeric
    addresses too, since phones are often told no more than those. ``ports``: the ports we listen on; a URI
    that names another port of the same host means somebody else. Empty: every port is ours. ``is_ours`` is
    asked about hosts that are not listed, for who listens on every address of a machine.
    """

    def __init__(
        self,
        domain: str,
        accounts: Iterable[PbxAccount],
        *,
        also: Iterable[str] = (),
        ports: Iterable[int] = (),
        is_ours: Callable[[str], bool] = lambda host: False,
    ) -> None:
        self.domain = domain
        self._domains = {_host(name) for name in (domain, *also)}
        self._ports = frozenset(ports)
        self._is_ours = is_ours
        self._accounts: dict[str, PbxAccount] = {}
        self._by_number: dict[str, PbxAccount] = {}
        self.replace(accounts)

    def __iter__(self) -> Iterator[PbxAccount]:
        return iter(self._accounts.values())

    def __len__(self) -> int:
        return len(self._accounts)

    def replace(self, accounts: Iterable[PbxAccount]) -> None:
        """From now on these alone. Raises ValueError, and changes nothing, when two share a number."""
        by_user: dict[str, PbxAccount] = {}
        by_number: dict[str, PbxAccount] = {}
        for account in accounts:
            if not account.user or account.user in by_user:
                raise ValueError(f"The account {account.user!r} has no name or is there twice.")
            by_user[account.user] = account
            for number in {account.user, account.extension} - {""}:
                if number in by_number:
                    raise ValueError(f"Two accounts have the number {number!r}.")
                by_number[number] = account
        self._accounts, self._by_number = by_user, by_number

    def dialled(self, number: str | None) -> PbxAccount | None:
        """The account that is called by a number: its user or its extension."""
        return None if number is None else self._by_number.get(number)

    def find(self, user: str | None) -> PbxAccount | None:
        """The account of a user part (case matters: RFC 3261 section 19.1.4)."""
        return None if user is None else self._accounts.get(user)

    def serves(self, uri: Uri) -> bool:
        """Whether the URI is in a domain of ours; a tel URI has none, and is."""
        if uri.scheme.lower() == "tel":
            return True
        here = uri.port is None or not self._ports or uri.port in self._ports
        if not uri.is_sip or not here:
            return False
        return _host(uri.host) in self._domains or self._is_ours(_host(uri.host))

    def addressed_by(self, uri: Uri) -> PbxAccount | None:
        """The account whose address-of-record this is: parameters, port and escapes do not count (10.3)."""
        return self.find(uri.unescaped_user) if self.serves(uri) else None


def _host(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()
