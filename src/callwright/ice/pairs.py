"""The candidates of the peer, and the pairs that they make with ours (RFC 8445 section 6.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callwright.ice.candidate import PRFLX, Candidate, priority
from callwright.ice.events import AddressTuple

__all__ = ["FAILED", "IN_PROGRESS", "SUCCEEDED", "WAITING", "Pair", "Pairs"]

MOST_CANDIDATES = 64
"""Of the peer: those that it tells of and those that it speaks from, together."""
WAITING, IN_PROGRESS, SUCCEEDED, FAILED = "waiting", "in progress", "succeeded", "failed"


@dataclass(slots=True, eq=False)
class Pair:
    relayed: bool  # by our TURN server
    local: Candidate
    remote: Candidate
    state: str = WAITING
    rank: int = 0
    nominated: bool = False  # by the controlling side
    nominating: bool = False  # our check with USE-CANDIDATE is under way
    heard: bool = False  # the peer has sent a signed check along it
    transaction: bytes = b""
    consent: float = 0.0  # when the peer confirmed last


class Pairs:
    """`remote`: by address; `refused`: what `permits` does not; `all`: the best first."""

    def __init__(self, permits: Callable[[AddressTuple], bool]) -> None:
        self._permits = permits
        self.remote: dict[AddressTuple, Candidate] = {}
        self.refused: dict[AddressTuple, None] = {}
        self.all: list[Pair] = []

    def admits(self, address: AddressTuple) -> bool:
        """Whether it is known, or the policy permits it and there is room for one more."""
        if address in self.remote:
            return True
        if address in self.refused or len(self.remote) >= MOST_CANDIDATES:
            return False
        if not self._permits(address):
            if len(self.refused) < MOST_CANDIDATES:
                self.refused[address] = None
            return False
        return True

    def add(self, candidate: Candidate) -> bool:
        """One that the peer tells of; False for one that changes nothing."""
        known = self.remote.get(candidate.address)
        if candidate.component != 1 or (known is not None and known.kind != PRFLX):
            return False
        if not self.admits(candidate.address):
            return False
        self.remote[candidate.address] = candidate
        for pair in self.all:
            if pair.remote.address == candidate.address:
                pair.remote = candidate
        return True

    def discover(self, address: AddressTuple, rank: int | None) -> Candidate:
        """One that the peer speaks from and has not told of (RFC 8445 section 7.3.1.3)."""
        number = (rank or 0) & 0x7FFFFFFF or priority(PRFLX)
        found = self.remote[address] = Candidate(f"p{len(self.remote)}", 1, number, *address, PRFLX)
        return found

    def pair(self, remote: Candidate, local: Candidate, *, relayed: bool) -> bool:
        """Put two of a family together; False where they are not, or were so before."""
        if (":" in local.host) != (":" in remote.host) or self.find(remote.address, relayed) is not None:
            return False
        self.all.append(Pair(relayed, local, remote))
        return True

    def find(self, address: AddressTuple, relayed: bool) -> Pair | None:
        return next((p for p in self.all if p.remote.address == address and p.relayed == relayed), None)

    def rank(self, controlling: bool) -> None:
        """RFC 8445 section 6.1.2.3."""
        for pair in self.all:
            ours, theirs = pair.local.priority, pair.remote.priority
            g, d = (ours, theirs) if controlling else (theirs, ours)
            pair.rank = (min(g, d) << 32) + 2 * max(g, d) + (g > d)
        self.all.sort(key=lambda pair: -pair.rank)

    def best(self, *states: str) -> Pair | None:
        return next((pair for pair in self.all if pair.state in states), None)

    def restart(self) -> None:
        """Forget all that the peer has told."""
        self.all.clear()
        self.remote.clear()
