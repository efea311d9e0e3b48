"""Who guesses passwords is slowed, and an address that guesses for many accounts is banned for a while.

A machine without a clock. It is asked before credentials are judged (`wait`), and told what they were worth
(`wrong`, `right`). It knows nothing of which accounts there are, so names that nobody has are slowed alike.
What it remembers is bounded, and forgotten by itself.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeVar

from callwright.policy.addresses import bare, numeric

__all__ = ["Ban", "GuardLimits", "GuessGuard", "parse_place", "place_of"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_K = TypeVar("_K")
_V = TypeVar("_V")
_STRANGERS_PREFIX = 64  # bits of an IPv6 address that one customer cannot choose (RFC 6177)


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """Wrong passwords that cost no time, then the longest wait after one, in seconds, for an account (from
    anywhere) and for a source (for any account); when wrong ones are forgotten; how many accounts one address
    tries before it is banned, and for how long; how much is remembered."""

    free_of_account: int = 3
    longest_of_account: float = 60.0
    free_of_source: int = 10
    longest_of_source: float = 4.0
    first_wait: float = 1.0
    forgotten_after: float = 900.0
    accounts_before_ban: int = 10
    ban_for: float = 3_600.0
    most_sources: int = 4_096
    most_accounts: int = 16_384
    most_friends: int = 16_384
    most_bans: int = 4_096


@dataclass(frozen=True, slots=True)
class Ban:
    """``source``: an address, or a network of IPv6. ``accounts``: how many it tried. Monotonic seconds."""

    source: str
    accounts: int
    since: float
    until: float


@dataclass(slots=True)
class _Tries:
    wrong: int = 0
    last: float = 0.0
    next_at: float = 0.0
    accounts: set[str] = field(default_factory=set)


def parse_place(text: str) -> Network:
    """An address or a network. Raises ValueError with a sentence."""
    try:
        return ipaddress.ip_network(bare(text), strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is neither an address nor a network such as 192.0.2.0/24") from None


class GuessGuard:
    """``is_ours``: whether an address is this machine's own or of an agent of ours; loopback always is. Those
    and ``permitted`` are slowed as all are, and never banned."""

    def __init__(
        self,
        limits: GuardLimits | None = None,
        *,
        is_ours: Callable[[str], bool] = lambda host: False,
        permitted: Iterable[str] = (),
    ) -> None:
        self.limits = limits or GuardLimits()
        self._is_ours = is_ours
        self._permitted: dict[Network, None] = {parse_place(text): None for text in permitted}
        self._sources: OrderedDict[str, _Tries] = OrderedDict()
        self._accounts: OrderedDict[str, _Tries] = OrderedDict()
        self._friends: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._bans: OrderedDict[str, Ban] = OrderedDict()

    # -- for who judges credentials

    def banned(self, source: str, now: float) -> bool:
        """Whether this address is answered 403 whatever it says."""
        ban = self._bans.get(place_of(source))
        return ban is not None and now < ban.until

    def wait(self, source: str, account: str, now: float) -> float:
        """Seconds until credentials for that account may be judged that come from there.

        An address from which the account has given the right password last does not wait for what others do.
        """
        place, account = place_of(source), _key(account)
        if (place, account) in self._friends:
            return 0.0
        return max(0.0, *(tries.next_at - now for tries in self._tries(place, account, now)), 0.0)

    def right(self, source: str, account: str) -> None:
        """The password was right."""
        place, account = place_of(source), _key(account)
        _put(self._friends, (place, account), None, self.limits.most_friends)
        tries = self._sources.get(place)
        if tries is not None:
            tries.accounts.discard(account)

    def wrong(self, source: str, account: str, now: float, *, certain: bool = True) -> Ban | None:
        """The password was wrong. Gives the ban that comes of it.

        ``certain``: the source has answered a challenge that went there, so nobody else spoke in its name.
        """
        limits, place, account = self.limits, place_of(source), _key(account)
        self._friends.pop((place, account), None)
        by_source = self._noted(self._sources, place, limits.most_sources, now)
        by_account = self._noted(self._accounts, account, limits.most_accounts, now)
        by_account.next_at = now + self._pause(
            by_account.wrong, limits.free_of_account, limits.longest_of_account
        )
        by_source.next_at = now + self._pause(
            by_source.wrong, limits.free_of_source, limits.longest_of_source
        )
        if not certain:
            return None
        by_source.accounts.add(account)
        if len(by_source.accounts) < limits.accounts_before_ban:
            return None
        tried = len(by_source.accounts)
        if self.is_permitted(source):
            by_source.accounts.clear()  # it is slowed, and no more is counted
            return None
        del self._sources[place]
        ban = Ban(place, tried, now, now + limits.ban_for)
        _put(self._bans, place, ban, limits.most_bans)
        return ban

    # -- for who looks after it

    def is_permitted(self, source: str) -> bool:
        """Whether an address is never banned."""
        address = numeric(bare(source))
        if address is None or address.is_loopback or self._is_ours(source):
            return True
        return any(address.version == one.version and address in one for one in self._permitted)

    @property
    def permitted(self) -> list[str]:
        """What a person has permitted."""
        return [_shown(network) for network in self._permitted]

    def bans(self, now: float) -> list[Ban]:
        """Those that hold, oldest first."""
        return [ban for ban in self._bans.values() if now < ban.until]

    def permit(self, text: str, now: float) -> list[Ban]:
        """Never ban these addresses; gives the bans that ended. Raises ValueError with a sentence."""
        place = parse_place(text)
        self._permitted[place] = None
        return self._end(place, now)

    def release(self, text: str, now: float) -> list[Ban]:
        """End the bans of these addresses, and forget what they did; gives the bans. Raises ValueError."""
        place = parse_place(text)
        for source in [one for one in self._sources if _within(one, place)]:
            del self._sources[source]
        return self._end(place, now)

    def next_wake(self) -> float | None:
        """When a ban ends by itself."""
        return min((ban.until for ban in self._bans.values()), default=None)

    def expire(self, now: float) -> list[Ban]:
        """Forget the bans that are over; gives them."""
        over = [ban for ban in self._bans.values() if ban.until <= now]
        for ban in over:
            del self._bans[ban.source]
        return over

    @property
    def remembered(self) -> int:
        """Entries, for who watches the memory."""
        return len(self._sources) + len(self._accounts) + len(self._friends) + len(self._bans)

    # -- inside

    def _end(self, place: Network, now: float) -> list[Ban]:
        ended = [ban for ban in self._bans.values() if _within(ban.source, place)]
        for ban in ended:
            del self._bans[ban.source]
        return [ban for ban in ended if now < ban.until]

    def _tries(self, place: str, account: str, now: float) -> list[_Tries]:
        found = (self._sources.get(place), self._accounts.get(account))
        return [tries for tries in found if tries is not None and self._counts(tries, now)]

    def _counts(self, tries: _Tries, now: float) -> bool:
        return now - tries.last < self.limits.forgotten_after

    def _noted(self, table: OrderedDict[str, _Tries], key: str, most: int, now: float) -> _Tries:
        tries = table.get(key)
        if tries is None or not self._counts(tries, now):
            tries = _Tries()
        tries.wrong += 1
        tries.last = now
        _put(table, key, tries, most)
        return tries

    def _pause(self, wrong: int, free: int, longest: float) -> float:
        if wrong <= free:
            return 0.0
        return min(longest, self.limits.first_wait * 2.0 ** min(wrong - free - 1, 30))


def _put(table: OrderedDict[_K, _V], key: _K, value: _V, most: int) -> None:
    """The newest is last; the oldest make room."""
    table[key] = value
    table.move_to_end(key)
    while len(table) > most:
        table.popitem(last=False)


def _key(account: str) -> str:
    """What is remembered of a name, which may be as long as a message."""
    octets = account.encode("utf-8", "surrogateescape")
    return octets.decode("latin-1") if len(octets) <= 32 else blake2b(octets, digest_size=16).hexdigest()


def place_of(source: str) -> str:
    """What one stranger is: an address of IPv4, a network of IPv6."""
    address = numeric(bare(source))
    if address is None:
        return source
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return _shown(ipaddress.ip_network((int(address), _STRANGERS_PREFIX), strict=False))
    return str(address)


def _shown(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _within(source: str, place: Network) -> bool:
    """Whether a ban is of these addresses; of one within its network, too."""
    try:
        network = ipaddress.ip_network(source)
    except ValueError:
        return False
    return network.version == place.version and network.overlaps(place)
