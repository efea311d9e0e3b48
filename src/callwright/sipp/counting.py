"""What a run of a scenario counts."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Counts", "Durations", "StepCounts"]

_FINE = math.log(1.008)


class Durations:
    """Seconds, kept in buckets within 0.8 % of each; the least, the most and the sum exactly."""

    __slots__ = ("_buckets", "count", "least", "most", "total")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count, self.total, self.least, self.most = 0, 0.0, math.inf, 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.total += seconds
        self.least, self.most = min(self.least, seconds), max(self.most, seconds)
        self._buckets[round(math.log(max(seconds, 1e-7)) / _FINE)] += 1

    def percentile(self, percent: float) -> float | None:
        """The value that so many percent do not exceed; None: nothing was measured."""
        if not self.count:
            return None
        rank, seen = max(1, math.ceil(self.count * percent / 100)), 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(max(math.exp(bucket * _FINE), self.least), self.most)
        return self.most

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


@dataclass(slots=True)
class StepCounts:
    """`done`: sent, received or waited for; the others only where they can be."""

    done: int = 0
    resent: int = 0
    repeated: int = 0
    unexpected: int = 0
    late: int = 0
    lost: int = 0


@dataclass(slots=True)
class Counts:
    """`failures`: by outcome; `rtp_withheld`: packets that the policy did not let out."""

    steps: list[StepCounts]
    attempted: int = 0
    succeeded: int = 0
    canceled: int = 0
    active: int = 0
    peak: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    received: int = 0
    resent: int = 0
    repeated: int = 0
    malformed: int = 0
    stray: int = 0
    send_errors: int = 0
    rtp_sent: int = 0
    rtp_received: int = 0
    rtp_withheld: int = 0
    response_times: dict[str, Durations] = field(default_factory=dict)
    length: Durations = field(default_factory=Durations)
    lateness: Durations = field(default_factory=Durations)
    """Of our own timers: how much later than it was due something was done."""

    @property
    def failed(self) -> int:
        return sum(self.failures.values())
