"""May this go there? ``decide`` is pure, and a refusal has its remedy as a value.

The order of the questions is the policy: what nobody may do; numbers that hurt; our own PBX; what a person
typed; what a flag or the targets file names; what is near (loopback, private ranges). All else is refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from callwright.policy.addresses import Address, bare, impossible, is_inside, is_private, numeric, plain
from callwright.policy.numbering import is_country
from callwright.policy.numbers import LONGEST, danger, number_matches
from callwright.policy.remedy import Remedy, RemedyKind

__all__ = [
    "Decision",
    "Destination",
    "Ground",
    "PolicyError",
    "Purpose",
    "Rules",
    "Target",
    "decide",
    "parse_allow",
]


class PolicyError(ValueError):
    """A rule that cannot be read; the text is a sentence."""


class Purpose(StrEnum):
    CALL = "call"
    REGISTER = "register"
    OPTIONS = "options"
    RUN = "run"
    MEDIA = "media"
    LOAD = "load"


class Ground(StrEnum):
    """Why something is allowed."""

    OWN = "own"  # our embedded PBX
    TYPED = "typed"  # a person named it on the command line
    TARGET = "target"  # --allow or the targets file
    LOOPBACK = "loopback"
    PRIVATE = "private"
    PEER = "peer"  # media: where the signalling comes from
    CALLEE = "callee"  # media: where the answer of a typed call sends us


@dataclass(frozen=True, slots=True)
class Destination:
    """Where something wants to go.

    ``host``: as typed, name or numeric. ``addresses``: numeric, all that the name resolved to (empty: not
    resolved yet). ``user``: the number or user part that is dialled; empty when nothing is dialled
    (REGISTER, OPTIONS).
    """

    host: str
    addresses: tuple[str, ...] = ()
    port: int | None = None
    user: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A destination somebody permits, with caps: a host or a network, maybe with a number; or a number alone.

    ``host``: a name (``*.example.com``: all below it). ``number``: only this number, ``*`` and ``?`` as
    wildcards. Alone it permits a dangerous number at hosts that are permitted otherwise. Caps: ``rate``
    calls per second, ``concurrency`` calls at once, ``minutes`` of calls in a day; None is no cap.
    ``country``: where its numbers are dialled (ISO 3166-1, two letters): emergency and premium numbers that
    only this country has are refused there; None: they are numbers like others.
    """

    host: str | None = None
    network: str | None = None
    number: str | None = None
    rate: float | None = None
    concurrency: int | None = None
    minutes: float | None = None
    country: str | None = None

    def __post_init__(self) -> None:
        if self.host is not None and self.network is not None:
            raise PolicyError("A target has a host or a network, not both.")
        if self.host is None and self.network is None and self.number is None:
            raise PolicyError("A target needs a host, a network or a number.")
        if self.network is not None:
            try:
                ipaddress.ip_network(self.network, strict=False)
            except ValueError:
                raise PolicyError(f"{self.network!r} is not a network such as 192.0.2.0/24.") from None
        for name, cap in (("rate", self.rate), ("concurrency", self.concurrency), ("minutes", self.minutes)):
            if cap is not None and not cap > 0:
                raise PolicyError(f"The cap {name} of a target is above 0, not {cap}.")
        if self.country is not None:
            self._check_country(self.country)

    def _check_country(self, text: str) -> None:
        if not self.permits_places:
            raise PolicyError("A country belongs to a host or a network; a number alone has none.")
        country = text.upper()
        if not is_country(country):
            hint = " Great Britain is GB." if country == "UK" else ""
            raise PolicyError(f"{text!r} is not a country: use two letters of ISO 3166, such as AT.{hint}")
        object.__setattr__(self, "country", country)

    @property
    def permits_places(self) -> bool:
        return self.host is not None or self.network is not None

    def at(self, host: str, address: Address | None) -> bool:
        """Whether the target means this place; ``address`` None: by name only."""
        if self.host is not None:
            literal = numeric(bare(self.host))
            if literal is not None:
                return literal == address
            wanted, name = _name(self.host), _name(host)
            return name.endswith(wanted[1:]) if wanted.startswith("*.") else name == wanted
        if self.network is not None and address is not None:
            return address in ipaddress.ip_network(self.network, strict=False)
        return False


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds here.

    ``typed``: hosts a person typed for this very command (destination, proxy). ``targets``: of ``--allow``
    and the targets file. ``own``: (numeric host, port) of our embedded PBX. ``local``: other addresses of
    this machine. ``embedded``: one person's machine; False: strangers give the orders, so what is near
    needs a network of its own. ``media``: where media of calls that come in may go besides where they come
    from.
    """

    typed: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    own: tuple[tuple[str, int], ...] = ()
    local: tuple[str, ...] = ()
    embedded: bool = True
    media: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """``reason``: a sentence; ``remedy``: what to do about a refusal, None where there is nothing.

    ``undecided``: refused only because the name has no addresses yet; ask again after DNS. ``target``:
    whose caps hold.
    """

    allowed: bool
    reason: str
    remedy: Remedy | None = None
    ground: Ground | None = None
    target: Target | None = None
    undecided: bool = False


def parse_allow(text: str) -> Target:
    """The argument of ``--allow``: a name, ``*.name``, an address or a network in CIDR notation."""
    word = text.strip().removeprefix("[").removesuffix("]")
    try:
        return Target(network=str(ipaddress.ip_network(word, strict=False)))
    except ValueError:
        pass
    last_label = word.rstrip(".").rpartition(".")[2]
    if not word or any(character in word for character in "/:@ ,") or last_label.isdigit():
        raise PolicyError(f"--allow takes a host or a network such as 192.0.2.0/24, not {text!r}.")
    return Target(host=word)


def decide(purpose: Purpose, destination: Destination, rules: Rules) -> Decision:
    """May we signal to this destination? With several addresses only if every one is permitted."""
    if destination.port is not None and not 1 <= destination.port <= 65535:
        reason = f"Port {destination.port} does not exist."
        return Decision(False, reason, Remedy(RemedyKind.CORRECT_PORT))
    if len(destination.user) > LONGEST:
        return Decision(False, f"A user part has at most {LONGEST} characters, not {len(destination.user)}.")
    host = bare(destination.host)
    literal = numeric(host)
    try:
        addresses = [plain(ipaddress.ip_address(bare(text))) for text in destination.addresses]
    except ValueError:
        return Decision(
            False, f"{host} resolved to something that is not an address: {', '.join(destination.addresses)}."
        )
    if literal is not None:
        addresses.append(literal)
    elif not addresses and _name(host) == "localhost":
        addresses = [ipaddress.IPv4Address("127.0.0.1")]
    for address in addresses:
        unreachable = impossible(address)
        if unreachable:
            return Decision(False, f"{_shown(host, address)} is {unreachable}; no call goes there.")
    own = bool(addresses) and all(_is_own(address, destination.port, rules) for address in addresses)
    refused = None if own else _refused_number(purpose, destination, host, addresses, rules)
    if refused is not None:
        return refused
    if own:
        return Decision(True, "It is the built-in PBX.", ground=Ground.OWN)
    if not addresses:
        return _by_name(purpose, destination, host, rules)
    decisions = [_place(purpose, destination, host, address, rules) for address in addresses]
    return next((decision for decision in decisions if not decision.allowed), decisions[0])


# -- the questions, one each

_TYPED = (Purpose.CALL, Purpose.REGISTER, Purpose.OPTIONS)


def _refused_number(
    purpose: Purpose, destination: Destination, host: str, addresses: Sequence[Address], rules: Rules
) -> Decision | None:
    if purpose in (Purpose.REGISTER, Purpose.OPTIONS, Purpose.MEDIA) or not destination.user:
        return None
    kind, country = _kind(destination, host, addresses, rules)
    if kind is None:
        return None
    for target in rules.targets:
        if target.number is None or not number_matches(target.number, destination.user, kind=kind):
            continue
        if not target.permits_places:
            return None
        if target.at(host, None) or (addresses and all(target.at(host, a) for a in addresses)):
            return None
    where = f" in {country}" if country else ""
    plain = unquote(destination.user)
    dialled = plain if plain.isprintable() else destination.user
    return Decision(
        False,
        f"{dialled} {_DANGERS[kind]}{where}; it is called only on the built-in PBX.",
        Remedy(RemedyKind.PERMIT_NUMBER, host, "".join(destination.user.split())),
    )


_DANGERS = {
    "emergency": "is an emergency number",
    "emergency prefix": "begins with an emergency number",
    "premium": "is a premium-rate number",
    "satellite": "is a satellite number",
}


def _kind(
    destination: Destination, host: str, addresses: Sequence[Address], rules: Rules
) -> tuple[str | None, str | None]:
    """What the number is, and the country in which alone it is that."""
    kind = danger(destination.user)
    if kind is not None:
        return kind, None
    for country in dict.fromkeys(target.country for target in rules.targets if target.country):
        here = [target for target in rules.targets if target.country == country]
        if any(target.at(host, address) for target in here for address in (None, *addresses)):
            kind = danger(destination.user, country)
            if kind is not None:
                return kind, country
    return None, None


def _by_name(purpose: Purpose, destination: Destination, host: str, rules: Rules) -> Decision:
    """Before DNS: only what is permitted by its name can be said."""
    if _is_typed(purpose, host, rules):
        return Decision(True, "A person typed it.", ground=Ground.TYPED)
    target = target_for(host, None, destination.user, rules)
    if target is not None:
        return Decision(True, f"{host} is permitted by name.", ground=Ground.TARGET, target=target)
    return Decision(
        False,
        f"{host} is not permitted by name, and has no address yet.",
        Remedy(RemedyKind.PERMIT_PLACE, host),
        undecided=True,
    )


def _place(purpose: Purpose, destination: Destination, host: str, address: Address, rules: Rules) -> Decision:
    near = _near(address)
    by_name = rules.embedded or not is_inside(address)  # a stranger's name may not lead into our network
    if by_name and _is_typed(purpose, host, rules):
        return Decision(True, "A person typed it.", ground=Ground.TYPED)
    target = target_for(host if by_name else "", address, destination.user, rules)
    if target is not None:
        named = target.host or target.network
        return Decision(
            True, f"{_shown(host, address)} is permitted as {named}.", None, Ground.TARGET, target
        )
    if rules.embedded and near is Ground.LOOPBACK:
        return Decision(True, f"{_shown(host, address)} is this machine.", ground=Ground.LOOPBACK)
    if rules.embedded and near is Ground.PRIVATE and purpose is not Purpose.LOAD:
        return Decision(True, f"{_shown(host, address)} is in a private range.", ground=Ground.PRIVATE)
    allowed_so_far = (
        "load goes only to this machine and to what is named"
        if purpose is Purpose.LOAD
        else "only loopback, private ranges and what is named are"
    )
    if purpose in _TYPED:
        refused = (
            f"{_shown(host, address)} was not named on the command line, and is neither loopback nor private."
        )
        return Decision(False, refused, Remedy(RemedyKind.TYPE_PLACE, str(address)))
    return Decision(
        False,
        f"{_shown(host, address)} is not permitted: {allowed_so_far}.",
        Remedy(RemedyKind.PERMIT_PLACE, str(address)),
    )


def _is_typed(purpose: Purpose, host: str, rules: Rules) -> bool:
    if purpose not in _TYPED:
        return False
    literal = numeric(host)
    return any(
        _name(bare(typed)) == _name(host) or (literal is not None and numeric(bare(typed)) == literal)
        for typed in rules.typed
    )


def target_for(host: str, address: Address | None, user: str, rules: Rules) -> Target | None:
    for target in rules.targets:
        if not (target.permits_places and target.at(host, address)):
            continue
        if target.number is None or (user and number_matches(target.number, user, kind=danger(user))):
            return target
    return None


def _is_own(address: Address, port: int | None, rules: Rules) -> bool:
    return any(numeric(host) == address and own == (port or 5060) for host, own in rules.own)


def _near(address: Address) -> Ground | None:
    if address.is_loopback:
        return Ground.LOOPBACK
    return Ground.PRIVATE if is_private(address) else None


def _name(host: str) -> str:
    return host.lower().removesuffix(".")


def _shown(host: str, address: Address) -> str:
    return host if numeric(host) == address else f"{host} ({address})"
