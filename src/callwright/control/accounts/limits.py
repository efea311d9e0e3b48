"""Rate limits: a bucket of tokens for each key, in this process."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Buckets"]

_MOST_KEYS = 100_000


class Buckets:
    """``rate``: requests a second in the long run; ``burst``: how many at once. Forgets the key that was
    not seen for longest when there are too many."""

    def __init__(self, rate: float, burst: float) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a rate is above 0 and a burst at least 1")
        self.rate, self.burst = rate, burst
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when

    def take(self, key: str, now: float) -> float:
        """0 when the request may go on; else the seconds to wait before the next. ``now``: monotonic."""
        level, then = self._levels.pop(key, (self.burst, now))
        level = min(self.burst, level + max(0.0, now - then) * self.rate)
        wait = 0.0 if level >= 1 else (1 - level) / self.rate
        self._levels[key] = (level - 1 if wait == 0 else level, now)
        if len(self._levels) > _MOST_KEYS:
            self._levels.popitem(last=False)
        return wait
