"""Which address audio comes from: that of the SDP in force, or another that has proved to be the far end's.

One stray packet proves nothing. Another address takes over when the same stream goes on there (a NAT has
rebound, a relay has handed over), or when several packets in order came from it while nothing came from where
audio comes from now. The SDP's own address needs no proof. Who asks has asked the policy before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

AddressTuple = tuple[str, int]
Held = tuple[bytes, float]

PROOF = 5  # packets in order from an address that the SDP does not name
GOES_ON = 2  # packets in order of a stream that is known, or from the SDP's address
QUIET = 0.5  # seconds without a packet after which the present source is silent
_CANDIDATES = 4
_IN_ORDER = 100  # how far the number may move between two packets of a candidate
_AHEAD = 3000  # and ahead of the stream that it goes on with: MAX_DROPOUT of RFC 3550 A.1


@dataclass(slots=True)
class _Candidate:
    ssrc: int
    number: int
    count: int
    heard: float | None  # when the present source was heard last
    held: deque[Held] = field(default_factory=lambda: deque(maxlen=PROOF))


class Latch:
    """`source`: where audio comes from now, None until it does."""

    __slots__ = ("_candidates", "_described_at", "_former", "_translated", "remote", "source")

    def __init__(self, remote: AddressTuple | None) -> None:
        """`remote`: of the SDP; None before it came, or where audio may not go there.

        Without one the first address that talks is taken for it.
        """
        self.remote = remote
        self.source: AddressTuple | None = None
        self._described_at: float | None = None  # when the SDP moved it last
        self._former: AddressTuple | None = None  # where it came from before that
        self._translated = False  # the far end has been known to speak from where its SDP does not say
        self._candidates: dict[AddressTuple, _Candidate] = {}

    def moved(self, remote: AddressTuple | None, now: float | None) -> Latch:
        """The latch after an offer and answer that name another address, which is in force from now on."""
        latch = Latch(remote)
        if self.remote is not None:
            latch._former = self.source or self.remote
            latch._described_at = now
        latch._translated = self._translated
        return latch

    def consider(
        self,
        data: bytes,
        source: AddressTuple,
        now: float,
        *,
        ssrc: int | None,
        highest: int,
        heard: float | None,
    ) -> list[Held] | None:
        """A valid packet that is not of `self.source`. None: a stray, as far as is known; else the packets
        that make the proof, with their arrivals, this one last: `source` is latched.

        `ssrc`, `highest`: of the stream so far; `heard`: when its last packet came.
        """
        number, theirs = int.from_bytes(data[2:4], "big"), int.from_bytes(data[8:12], "big")
        same = theirs == ssrc
        ahead = 0 < (number - highest) & 0xFFFF < _AHEAD
        if self.source is not None and same and not ahead:
            return None  # late, or a copy of what has come
        since = max((at for at in (heard, self._described_at) if at is not None), default=None)
        silent = since is None or now - since >= QUIET
        named = source == self.remote or (self.remote is None and self.source is None)
        candidate = self._candidate(source, number, theirs, heard, alone=not named)
        candidate.held.append((data, now))
        if named:
            proven = self.source is None or silent or candidate.count >= GOES_ON
        elif self.source is not None and same:
            proven = candidate.count >= GOES_ON
        else:
            unknown = self._described_at is None or (self._translated and source != self._former)
            proven = candidate.count >= PROOF and (silent or (unknown and self.source is None))
        if not proven:
            return None
        proof = [candidate.held[-1]] if named and candidate.count == 1 else list(candidate.held)
        self._candidates.clear()
        self._translated |= source != self.remote
        self.source = source
        return proof

    def _candidate(
        self, source: AddressTuple, number: int, ssrc: int, heard: float | None, *, alone: bool
    ) -> _Candidate:
        """The one of this address, begun anew where its packets are not in order, or (`alone`) not the only
        ones that come."""
        found = self._candidates.get(source)
        if found is not None and found.ssrc == ssrc and not (alone and found.heard != heard):
            step = (number - found.number) & 0xFFFF
            if 0 < step <= _IN_ORDER:
                found.number, found.count = number, found.count + 1
                return found
        if found is None and len(self._candidates) >= _CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
        found = self._candidates[source] = _Candidate(ssrc, number, 1, heard)
        return found
