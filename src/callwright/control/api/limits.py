"""How often somebody may ask: a token bucket for each key and address, in the memory of one worker.

Workers share nothing, so each gives out its part of the rate.
"""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 10_000  # buckets that are remembered; the fullest are forgotten first


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float  # monotonic seconds of the last look


class RateLimit:
    """`rate` requests a second, `burst` at once; a rate of 0 is no limit."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, max(burst, 1.0)
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, who: str, now: float, cost: float = 1.0) -> float:
        """0 when it may go on (and `cost` is taken), else the seconds after which it may."""
        if self.rate <= 0:
            return 0.0
        bucket = self._buckets.get(who)
        if bucket is None:
            if len(self._buckets) >= _MOST:
                self._forget(now)
            bucket = self._buckets[who] = _Bucket(self.burst, now)
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.at) * self.rate)
        bucket.at = now
        if bucket.tokens < cost:
            return (cost - bucket.tokens) / self.rate
        bucket.tokens -= cost
        return 0.0

    def give_back(self, who: str, cost: float = 1.0) -> None:
        """What was taken for something that turned out well."""
        bucket = self._buckets.get(who)
        if bucket is not None:
            bucket.tokens = min(self.burst, bucket.tokens + cost)

    def empty(self, who: str, now: float) -> bool:
        """Whether nothing is left, without taking anything."""
        bucket = self._buckets.get(who)
        return bucket is not None and bucket.tokens + (now - bucket.at) * self.rate < 1.0 and self.rate > 0

    def _forget(self, now: float) -> None:
        full = [who for who, b in self._buckets.items() if b.tokens + (now - b.at) * self.rate >= self.burst]
        for who in full or list(self._buckets)[: _MOST // 2]:
            del self._buckets[who]
