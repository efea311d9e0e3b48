"""The way to a host, hop by hop: datagrams whose hop limit runs out, and who says so.

Each datagram goes to a port of its own, by which its error is known: a router need quote no more than that
(RFC 792).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from statistics import median

from callwright.outcome.terms import Blame, Verdict
from callwright.probe.result import Hop, ProbeResult, State

FIRST_PORT = 33_434
"""Where traceroute has always sent to; nothing listens there."""
_SILENT = 5
"""Hops in a row that keep silent, after which nothing more is sent."""


@dataclass(frozen=True, slots=True)
class Steps:
    """`spacing`: seconds from one datagram to the next, since routers answer few a second; `wait`: after the
    last one."""

    hops: int = 30
    each: int = 3
    spacing: float = 0.05
    wait: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.hops <= 64 or not 1 <= self.each <= 10:
            raise ValueError("a path has 1 to 64 hops, with 1 to 10 packets each")


@dataclass(frozen=True, slots=True)
class HopPacket:
    """A datagram to be sent to `port` with the hop limit `ttl`."""

    ttl: int
    port: int
    data: bytes


@dataclass(slots=True)
class _Sent:
    ttl: int
    at: float
    came: float | None = None
    address: str | None = None


class PathTrace:
    """Begins at `now`."""

    def __init__(self, steps: Steps, now: float) -> None:
        self.steps = steps
        self._due = now
        self._sent: list[_Sent] = []
        self._reached: int | None = None  # the least hop limit with which the host itself answered
        self._refused: str | None = None
        self._ready: list[HopPacket] = []
        self._over = False

    # -- the verbs

    def wake(self, now: float) -> None:
        while not self._is_sent() and self._due <= now:
            ttl = len(self._sent) // self.steps.each + 1
            self._ready.append(HopPacket(ttl, FIRST_PORT + len(self._sent), bytes(32)))
            self._sent.append(_Sent(ttl, now))
            self._due += self.steps.spacing
        if self._is_sent() and (now >= self._ends or self._all_came):
            self._over = True

    def next_wake(self) -> float | None:
        if self._over:
            return None
        return self._ends if self._is_sent() else self._due

    def transmissions(self) -> list[HopPacket]:
        ready, self._ready = self._ready, []
        return ready

    def answered(self, port: int, address: str, now: float, *, reached: bool) -> None:
        """The datagram to `port` came back from `address`; `reached`: from the host itself, or from who ends
        the way there."""
        index = port - FIRST_PORT
        if not 0 <= index < len(self._sent) or self._sent[index].came is not None:
            return
        sent = self._sent[index]
        sent.came, sent.address = now, address
        if reached and (self._reached is None or sent.ttl < self._reached):
            self._reached = sent.ttl

    def refused(self, reason: str) -> None:
        """Nothing can be sent; a sentence."""
        self._refused, self._over = self._refused or reason, True

    @property
    def over(self) -> bool:
        return self._over

    @property
    def _ends(self) -> float:
        return self._sent[-1].at + self.steps.wait

    def _is_sent(self) -> bool:
        """Whether nothing more is to be sent."""
        done = len(self._sent) // self.steps.each
        if len(self._sent) % self.steps.each:
            return False
        if done >= self.steps.hops or (self._reached is not None and done >= self._reached):
            return True
        last = [one for one in self._sent if one.ttl > done - _SILENT]
        return done >= _SILENT and not any(one.came is not None for one in last) and self._waited(last)

    def _waited(self, last: list[_Sent]) -> bool:
        """The first of them has had about as long as the last one will have."""
        steps = self.steps
        return self._due - last[0].at >= min(steps.wait, (_SILENT - 1) * steps.each * steps.spacing)

    @property
    def _all_came(self) -> bool:
        wanted = [one for one in self._sent if self._reached is None or one.ttl <= self._reached]
        return all(one.came is not None for one in wanted)

    # -- what came of it

    def hops(self) -> tuple[Hop, ...]:
        """Until the host, or the last one that answered."""
        last = self._reached or max((one.ttl for one in self._sent if one.came is not None), default=0)
        return tuple(self._hop(ttl) for ttl in range(1, last + 1))

    def _hop(self, ttl: int) -> Hop:
        sent = [one for one in self._sent if one.ttl == ttl]
        came = [one for one in sent if one.came is not None]
        names = Counter(one.address for one in came)
        trips = [(one.came - one.at) * 1000 for one in came if one.came is not None]
        return Hop(
            ttl,
            names.most_common(1)[0][0] if names else None,
            len(sent),
            len(came),
            median(trips) if trips else None,
        )

    def result(self, target: str, address: str | None, started_at: float) -> ProbeResult:
        hops = self.hops()
        begun = ProbeResult(
            kind="path",
            target=target,
            address=address,
            started_at=started_at,
            hops=hops,
            fingerprint=fingerprint(hops),
        )
        known = [hop for hop in hops if hop.address is not None]
        if self._reached is not None:
            last = hops[-1]
            reason = f"{_count(len(hops))} to {last.address}."
            return begun.ended(State.DONE, Verdict.PASSED, None, reason, last.rtt_ms)
        if self._refused is not None:
            return begun.ended(State.FAILED, Verdict.FAILED, Blame.NETWORK, self._refused, None)
        reason = "Nobody on the way answered."
        if known:
            reason = (
                f"The way is known as far as hop {known[-1].ttl}, {known[-1].address}; beyond it, silence."
            )
        return begun.ended(State.FAILED, Verdict.FAILED, Blame.NETWORK, reason, None)


def fingerprint(hops: tuple[Hop, ...]) -> str | None:
    """The same for the same routers in the same order; None: nothing is known of the way."""
    if not any(hop.address for hop in hops):
        return None
    return hashlib.sha256("\n".join(hop.address or "*" for hop in hops).encode()).hexdigest()[:16]


def _count(hops: int) -> str:
    return f"{hops} hop{'' if hops == 1 else 's'}"
