"""Where a phone may send: asked before the first request leaves, and again for every address of an SDP."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.policy.destination import Decision, Destination, Purpose, Rules, decide
from callwright.policy.following import contact_allowed, media_allowed
from callwright.sip.transport import Address


class Permission:
    """The policy of the house with the rules of one command or run filled in; remembers what it decided."""

    def __init__(self, purpose: Purpose = Purpose.CALL, rules: Rules | None = None) -> None:
        self.purpose = purpose
        self.rules = rules or Rules()
        self._signalling: dict[str, Decision] = {}

    def signalling(self, host: str, user: str | None, addresses: Sequence[Address]) -> Decision:
        """May requests go to `addresses`, which `host` resolved to, for the number or name `user`?"""
        numeric = tuple(address.host for address in addresses)
        port = addresses[0].port if addresses else None
        decision = decide(self.purpose, Destination(host, numeric, port, user or ""), self.rules)
        if decision.allowed:
            for address in numeric:
                self._signalling[address] = decision
        return decision

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

    def following(self, address: str, port: int, peer: str) -> Decision:
        """May ACK, BYE and the like go to a Contact or route at `address`, which `peer` told us?"""
        return contact_allowed(
            address,
            port,
            peer=peer,
            purpose=self.purpose,
            rules=self.rules,
            signalling=self._signalling.get(peer),
        )
