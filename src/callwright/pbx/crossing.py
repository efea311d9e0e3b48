"""One relayed stream, pure: what comes from one side goes to the other, if it comes from who it should.

The source of a side is latched on its first valid packet (a NAT may have changed what the description says)
and anew only when an offer and answer change the description.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Crossing", "Endpoint", "Tally"]

AddressTuple = tuple[str, int]
_RTP_VERSION = 2
_RTP_HEADER = 12
_RTCP_HEADER = 8


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a side receives by its description, None where it may not or cannot be sent to; and the hosts
    that its packets may come from."""

    rtp: AddressTuple | None
    rtcp: AddressTuple | None
    hosts: frozenset[str]


@dataclass(slots=True)
class Tally:
    """Packets that went on, from one side."""

    rtp: int = 0
    rtcp: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Party:
    endpoint: Endpoint
    rtp: AddressTuple | None = None  # latched
    rtcp: AddressTuple | None = None


@dataclass(slots=True)
class Crossing:
    """Sides 0 and 1. `heard_at`: when the last packet of either came, monotonic seconds."""

    tallies: tuple[Tally, Tally] = field(default_factory=lambda: (Tally(), Tally()))
    heard_at: float | None = None
    _parties: list[_Party | None] = field(default_factory=lambda: [None, None])

    def describe(self, side: int, endpoint: Endpoint) -> None:
        """What offer and answer say of a side. The latch stays where nothing changed."""
        party = self._parties[side]
        if party is None or party.endpoint != endpoint:
            self._parties[side] = _Party(endpoint)  # replaced whole: another thread may be routing

    def route(
        self, side: int, is_rtcp: bool, data: bytes, source: AddressTuple, now: float
    ) -> AddressTuple | None:
        """Where a packet that came from `side` goes; None: nowhere."""
        party, other = self._parties[side], self._parties[1 - side]
        tally = self.tallies[side]
        if party is None or not _admit(party, is_rtcp, data, source):
            tally.refused += 1
            return None
        self.heard_at = now
        if is_rtcp:
            tally.rtcp += 1
            return None if other is None else other.rtcp or other.endpoint.rtcp
        tally.rtp += 1
        return None if other is None else other.rtp or other.endpoint.rtp


def _admit(party: _Party, is_rtcp: bool, data: bytes, source: AddressTuple) -> bool:
    latched = party.rtcp if is_rtcp else party.rtp
    if latched is not None:
        return source == latched
    shortest = _RTCP_HEADER if is_rtcp else _RTP_HEADER
    if source[0] not in party.endpoint.hosts or len(data) < shortest or data[0] >> 6 != _RTP_VERSION:
        return False
    if is_rtcp:
        party.rtcp = source
    else:
        party.rtp = source
    return True
