"""May this go there? ``decide`` for signalling, ``media_allowed`` for RTP: pure, with a remedy in the answer.

The order of the questions is the policy: what nobody may do; numbers that hurt; our own PBX; what a person
typed; what a flag or the targets file names; what is near (loopback, private ranges). All else is refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from callwright.policy.numbers import danger, number_matches

__all__ = [
    "Decision",
    "Destination",
    "Ground",
    "PolicyError",
    "Purpose",
    "Rules",
    "Target",
    "decide",
    "media_allowed",
    "parse_allow",
]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PRIVATE = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052 section 2.1
_COMPATIBLE = ipaddress.ip_network("::/96")  # RFC 4291 section 2.5.5.1, deprecated and still routed by some
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_RESERVED = ipaddress.ip_network("240.0.0.0/4")  # holds the broadcast address too


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
    """

    host: str | None = None
    network: str | None = None
    number: str | None = None
    rate: float | None = None
    concurrency: int | None = None
    minutes: float | None = None

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

    @property
    def permits_places(self) -> bool:
        return self.host is not None or self.network is not None

    def at(self, host: str, address: _Address | None) -> bool:
        """Whether the target means this place; ``address`` None: by name only."""
        if self.host is not None:
            literal = _numeric(_bare(self.host))
            if literal is not None:
                return literal == address
            wanted, name = _name(self.host), _name(host)
            return name.endswith(wanted[1:]) if wanted.startswith("*.") else name == wanted
        if self.network is not None and address is not None:
            network = ipaddress.ip_network(self.network, strict=False)
            return address.version == network.version and address in network
        return False


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds here.

    ``typed``: hosts a person typed for this very command (destination, proxy). ``targets``: of ``--allow``
    and the targets file. ``own``: (numeric host, port) of our embedded PBX. ``local``: other addresses of
    this machine. ``embedded``: one person's machine; False: strangers give the orders, so what is near
    needs a network of its own.
    """

    typed: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    own: tuple[tuple[str, int], ...] = ()
    local: tuple[str, ...] = ()
    embedded: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """``reason``: a sentence; ``remedy``: what to do about a refusal, or empty where there is nothing.

    ``undecided``: refused only because the name has no addresses yet; ask again after DNS. ``target``:
    whose caps hold.
    """

    allowed: bool
    reason: str
    remedy: str = ""
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
    if not word or any(character in word for character in "/:@ ,"):
        raise PolicyError(f"--allow takes a host or a network such as 192.0.2.0/24, not {text!r}.")
    return Target(host=word)


def decide(purpose: Purpose, destination: Destination, rules: Rules) -> Decision:
    """May we signal to this destination? With several addresses only if every one is permitted."""
    if destination.port is not None and not 1 <= destination.port <= 65535:
        return Decision(False, f"Port {destination.port} does not exist.", "Use a port from 1 to 65535.")
    host = _bare(destination.host)
    literal = _numeric(host)
    try:
        addresses = [_plain(ipaddress.ip_address(_bare(text))) for text in destination.addresses]
    except ValueError:
        return Decision(False, f"{host} resolved to what is no address: {', '.join(destination.addresses)}.")
    if literal is not None:
        addresses.append(literal)
    elif not addresses and _name(host) == "localhost":
        addresses = [ipaddress.IPv4Address("127.0.0.1")]
    for address in addresses:
        impossible = _impossible(address)
        if impossible:
            return Decision(False, f"{_shown(host, address)} is {impossible}; no call goes there.")
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


def media_allowed(
    address: str,
    port: int,
    *,
    peer: str,
    purpose: Purpose,
    rules: Rules,
    signalling: Decision | None = None,
) -> Decision:
    """May RTP go to this address of an SDP? ``peer``: the numeric address signalling comes from.

    ``signalling``: the decision that let us call the peer; None for a call that came in. Only a call that a
    person typed may be sent to a public address that is not the peer's own. Names are resolved before they
    are asked about.
    """
    there, speaker = _numeric(_bare(address)), _numeric(_bare(peer))
    if there is None or speaker is None:
        return Decision(False, f"{address} is not a numeric address; media goes to no other.")
    impossible = _impossible(there)
    if impossible:
        return Decision(False, f"The peer wants media at {address}, which is {impossible}.")
    if not 1024 <= port <= 65535:
        return Decision(False, f"The peer wants media at port {port}; media goes to ports 1024 to 65535.")
    if there == speaker:
        return Decision(True, "Media goes where signalling goes.", ground=Ground.PEER)
    target = _target_for(address, there, "", rules)
    if target is not None:
        return Decision(True, f"{address} is permitted by name.", ground=Ground.TARGET, target=target)
    here = speaker.is_loopback or any(_numeric(own) == speaker for own in (*rules.local, *_hosts(rules)))
    if there.is_loopback or any(_numeric(own) == there for own in (*rules.local, *_hosts(rules))):
        if here:
            return Decision(True, f"{address} and the peer are both on this machine.", ground=Ground.LOOPBACK)
        if there.is_loopback:
            return Decision(
                False,
                f"The peer {peer} wants media at {address}, which is this machine itself.",
                "Correct the address that the peer puts into its SDP.",
            )
    if there.is_link_local and not (speaker.is_link_local or speaker.is_loopback):
        return _media_refusal(address, peer, "a link-local address")
    if _is_private(there):
        if rules.embedded or (signalling is not None and _is_private(speaker)):
            return Decision(True, f"{address} is in a private range.", ground=Ground.PRIVATE)
        return _media_refusal(address, peer, "an address in a private range")
    typed = signalling is not None and signalling.allowed and signalling.ground is Ground.TYPED
    if typed and purpose is Purpose.CALL and not there.is_link_local:
        return Decision(True, "The callee of a typed call wants it there.", ground=Ground.CALLEE)
    if there.is_link_local:
        return Decision(True, f"{address} is on the peer's own link.", ground=Ground.PEER)
    return _media_refusal(address, peer, "neither the peer itself nor permitted")


# -- the questions, one each


def _impossible(address: _Address) -> str | None:
    """What nobody may reach, whatever the rules say."""
    if address.is_multicast:
        return "a multicast address"
    if isinstance(address, ipaddress.IPv4Address):
        if address in _THIS_NETWORK:
            return (
                "the unspecified address" if address.is_unspecified else "an address of no host (0.0.0.0/8)"
            )
        if address in _RESERVED:
            broadcast = int(address) == 2**32 - 1
            return "the broadcast address" if broadcast else "a reserved address"
    return "the unspecified address" if address.is_unspecified else None


def _refused_number(
    purpose: Purpose, destination: Destination, host: str, addresses: Sequence[_Address], rules: Rules
) -> Decision | None:
    if purpose in (Purpose.REGISTER, Purpose.OPTIONS, Purpose.MEDIA) or not destination.user:
        return None
    kind = danger(destination.user)
    if kind is None:
        return None
    for target in rules.targets:
        if target.number is None or not number_matches(target.number, destination.user, kind=kind):
            continue
        if not target.permits_places:
            return None
        if target.at(host, None) or (addresses and all(target.at(host, a) for a in addresses)):
            return None
    article = "an emergency number" if kind == "emergency" else "a premium-rate number"
    return Decision(
        False,
        f"{destination.user} is {article}; it is called only on the built-in PBX.",
        f'If it is safe there, name the number itself in the targets file: number: "{destination.user}".',
    )


def _by_name(purpose: Purpose, destination: Destination, host: str, rules: Rules) -> Decision:
    """Before DNS: only what is permitted by its name can be said."""
    if _is_typed(purpose, host, rules):
        return Decision(True, "A person typed it.", ground=Ground.TYPED)
    target = _target_for(host, None, destination.user, rules)
    if target is not None:
        return Decision(True, f"{host} is permitted by name.", ground=Ground.TARGET, target=target)
    return Decision(
        False, f"{host} is not permitted by name, and has no address yet.", _flag(host), undecided=True
    )


def _place(
    purpose: Purpose, destination: Destination, host: str, address: _Address, rules: Rules
) -> Decision:
    near = _near(address)
    by_name = rules.embedded or near is None  # a stranger's name may not lead into our own network
    if by_name and _is_typed(purpose, host, rules):
        return Decision(True, "A person typed it.", ground=Ground.TYPED)
    target = _target_for(host if by_name else "", address, destination.user, rules)
    if target is not None:
        named = target.host or target.network
        return Decision(True, f"{_shown(host, address)} is permitted as {named}.", "", Ground.TARGET, target)
    if rules.embedded and near is Ground.LOOPBACK:
        return Decision(True, f"{_shown(host, address)} is this machine.", ground=Ground.LOOPBACK)
    if rules.embedded and near is Ground.PRIVATE and purpose is not Purpose.LOAD:
        return Decision(True, f"{_shown(host, address)} is in a private range.", ground=Ground.PRIVATE)
    allowed_so_far = (
        "load goes only to this machine and to what is named"
        if purpose is Purpose.LOAD
        else "only loopback, private ranges and what is named are"
    )
    return Decision(
        False, f"{_shown(host, address)} is not permitted: {allowed_so_far}.", _flag(str(address))
    )


def _is_typed(purpose: Purpose, host: str, rules: Rules) -> bool:
    if purpose not in (Purpose.CALL, Purpose.REGISTER, Purpose.OPTIONS):
        return False
    literal = _numeric(host)
    return any(
        _name(_bare(typed)) == _name(host) or (literal is not None and _numeric(_bare(typed)) == literal)
        for typed in rules.typed
    )


def _target_for(host: str, address: _Address | None, user: str, rules: Rules) -> Target | None:
    for target in rules.targets:
        if not (target.permits_places and target.at(host, address)):
            continue
        if target.number is None or (user and number_matches(target.number, user, kind=danger(user))):
            return target
    return None


def _is_own(address: _Address, port: int | None, rules: Rules) -> bool:
    return any(_numeric(host) == address and own == (port or 5060) for host, own in rules.own)


def _near(address: _Address) -> Ground | None:
    if address.is_loopback:
        return Ground.LOOPBACK
    return Ground.PRIVATE if _is_private(address) else None


def _is_private(address: _Address) -> bool:
    return any(address.version == network.version and address in network for network in _PRIVATE)


def _hosts(rules: Rules) -> tuple[str, ...]:
    return tuple(host for host, _ in rules.own)


def _numeric(text: str) -> _Address | None:
    try:
        return _plain(ipaddress.ip_address(text))
    except ValueError:
        return None


def _plain(address: _Address) -> _Address:
    """The IPv4 address inside an IPv6 one, where packets would go to it; else the address itself, without
    scope.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return ipaddress.IPv6Address(int(address)) if address.scope_id else address


def _bare(host: str) -> str:
    return host.strip().removeprefix("[").removesuffix("]")


def _name(host: str) -> str:
    return host.lower().removesuffix(".")


def _shown(host: str, address: _Address) -> str:
    return host if _numeric(host) == address else f"{host} ({address})"


def _flag(place: str) -> str:
    return f"Add --allow {place} if you may test it."


def _media_refusal(address: str, peer: str, what: str) -> Decision:
    return Decision(False, f"The peer {peer} wants media at {address}: {what}.", _flag(address))
