"""Where a phone may send: asked before the first request leaves, for every hop that a peer names, and for
every address of an SDP.

Nothing sends a request without a `PermittedHop`, and only this module makes one. The policy is asked about
the very addresses that packets will go to, whatever named them: a URI, its maddr, a proxy, DNS, a Contact, a
route.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from callwright.policy.addresses import same_place
from callwright.policy.destination import Decision, Destination, Purpose, Rules, Target, decide
from callwright.policy.following import MEDIA_PORTS, contact_allowed, media_allowed
from callwright.policy.remedy import Remedy, RemedyKind, Worded
from callwright.policy.way import named, with_maddr
from callwright.sip.transport import Address, Hop, PermittedHop
from callwright.sip.uri import Uri

__all__ = ["Directory", "NotPermitted", "Permission", "Way"]

_MOST_HOSTS = 256  # that a call remembers; a stranger may claim to be any


class NotPermitted(Exception):
    """The policy refuses: `decision`, and the text has it in words for the reader."""

    def __init__(self, decision: Decision, text: str) -> None:
        super().__init__(text)
        self.decision = decision


class Directory(Protocol):
    """Who knows addresses: DNS and the routing table."""

    async def hops(self, uri: Uri) -> Sequence[Hop]:
        """The hops to `uri.destination`, in the order to try them (RFC 3263)."""
        ...

    async def addresses(self, uri: Uri) -> Sequence[Address]:
        """The addresses of `uri.host`; none when it has none. Nothing is opened, nothing sent."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """Where a request may go: hops in the order to try them. `targets`: those whose caps hold."""

    hops: tuple[PermittedHop, ...]
    targets: tuple[Target, ...]


class Permission:
    """The policy of the house with the rules of one command or run filled in; remembers what it decided.

    `worded` puts a remedy into words for whoever reads the result; None: refusals have their reason alone.
    """

    def __init__(
        self, purpose: Purpose = Purpose.CALL, rules: Rules | None = None, worded: Worded | None = None
    ) -> None:
        self.purpose = purpose
        self.rules = rules or Rules()
        self.worded: Worded = worded or (lambda _: "")
        self._signalling: dict[str, Decision] = {}

    async def way(self, target: Uri, directory: Directory, proxy: Uri | None = None) -> Way:
        """The way of a request to `target`, by the `proxy` if there is one.

        Asks about every address that a packet may go to, and about the number at each of them. A host that
        the request names without going there (those of the Request-URI behind a proxy, any behind a maddr)
        is asked about too: by its name, and by its addresses when the name alone does not permit it. Raises
        NotPermitted, and what `directory` raises.
        """
        next_hop = proxy or target
        user = target.dialled
        hops = await directory.hops(next_hop)
        decisions = [
            self._decide(next_hop.destination, (hop.remote.host,), hop.remote.port, user) for hop in hops
        ]
        decisions = [with_maddr(decision, next_hop.destination, next_hop) for decision in decisions]
        for uri in dict.fromkeys((target, next_hop)):
            for host in named(uri):
                if not same_place(next_hop.destination, host):
                    found = await self._named(replace(uri, host=host), user, directory)
                    decisions += [with_maddr(decision, host, uri) for decision in found]
        refused = next((decision for decision in decisions if not decision.allowed), None)
        if refused is not None:
            raise self._refusal(refused)
        for hop, decision in zip(hops, decisions, strict=False):
            self._signalling[hop.remote.host] = decision
        targets = dict.fromkeys(decision.target for decision in decisions if decision.target is not None)
        return Way(tuple(_permitted(hop) for hop in hops), tuple(targets))

    def place(self, host: str, address: str, port: int | None = None) -> None:
        """May packets that are no SIP go to a numeric `address`, to which `host` resolved? Raises
        NotPermitted."""
        decision = self._decide(host, (address,), port, "")
        if not decision.allowed:
            raise self._refusal(decision)

    async def _named(self, uri: Uri, user: str, directory: Directory) -> list[Decision]:
        by_name = self._decide(uri.host, (), uri.port, user)
        if not by_name.undecided:
            return [by_name]
        found = await directory.addresses(uri)
        if not found:
            reason = (
                f"{uri.host} is not permitted by name, and DNS has no address for it that could be permitted."
            )
            return [Decision(False, reason, Remedy(RemedyKind.PERMIT_PLACE, uri.host))]
        return [self._decide(uri.host, (address.host,), address.port, user) for address in found]

    def _decide(self, host: str, addresses: tuple[str, ...], port: int | None, user: str) -> Decision:
        return decide(self.purpose, Destination(host, addresses, port, user), self.rules)

    def resolved(self, hop: Hop, host: str, user: str = "") -> PermittedHop:
        """`hop`, one of those that `host` resolved to, when a request for `user` may go there. Raises
        NotPermitted."""
        decision = self._decide(host, (hop.remote.host,), hop.remote.port, user)
        if not decision.allowed:
            raise self._refusal(decision)
        self._signalling[hop.remote.host] = decision
        return _permitted(hop)

    def led(self, hop: Hop, along: Hop, name: str = "") -> PermittedHop:
        """`hop`, where a peer wants requests of its dialog, when it may be followed there.

        `along`: the flow that the peer speaks over. `name`: what it said, where that was a name. Raises
        NotPermitted; then the requests go back along that flow.
        """
        decision = contact_allowed(
            hop.remote.host,
            hop.remote.port,
            peer=along.remote.host,
            purpose=self.purpose,
            rules=self.rules,
            signalling=self._signalling.get(along.remote.host),
            name=name,
        )
        if not decision.allowed:
            raise self._refusal(decision)
        return _permitted(hop)

    def _refusal(self, decision: Decision) -> NotPermitted:
        return NotPermitted(decision, self.said(decision))

    def said(self, decision: Decision) -> str:
        """Why, and what to do about it, for whoever reads the result."""
        remedy = self.worded(decision.remedy) if decision.remedy is not None else ""
        return f"{decision.reason} {remedy}".rstrip()

    def media(self, address: str, port: int, peer: str) -> Decision:
        """May RTP go to `address`, which the peer at numeric host `peer` asked for?"""
        return media_allowed(
            address,
            port,
            peer=peer,
            purpose=self.purpose,
            rules=self.rules,
            signalling=self._signalling.get(peer),
        )

    def gate(self, peer: str) -> Callable[[tuple[str, int]], bool]:
        """As `media`, for every address that RTP and RTCP of one call come from and go to.

        It remembers hosts, since a stranger may send from every port; the port is looked at each time.
        """
        known: dict[str, bool] = {}

        def permits(address: tuple[str, int]) -> bool:
            host, port = address
            if port not in MEDIA_PORTS:
                return False
            if host not in known:
                if len(known) >= _MOST_HOSTS:
                    return False
                known[host] = self.media(host, port, peer).allowed
            return known[host]

        return permits


def _permitted(hop: Hop) -> PermittedHop:
    return PermittedHop(hop.transport, hop.local, hop.remote, hop.name)
