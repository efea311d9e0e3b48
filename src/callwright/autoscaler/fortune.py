"""How a pool fared with its provider of late: what the planner's back-off and the choice of a size look at.

It is kept in memory: after a restart one more creation finds out.
"""

from __future__ import annotations

from collections.abc import Mapping

from callwright.fleet.pool import Pool

__all__ = ["OUT_OF_STOCK_SECONDS", "Fortune"]

OUT_OF_STOCK_SECONDS = 600.0


class Fortune:
    def __init__(self) -> None:
        self._failures: dict[str, tuple[int, float]] = {}
        self._empty: dict[tuple[str, str, str], float] = {}  # provider, region, size -> until when

    def failed(self, pool: str, now: float) -> None:
        self._failures[pool] = self._failures.get(pool, (0, 0.0))[0] + 1, now

    def worked(self, pool: str) -> None:
        self._failures.pop(pool, None)

    def failures(self, pool: str) -> tuple[int, float]:
        """(since the last creation that worked, when the last one was)."""
        return self._failures.get(pool, (0, 0.0))

    def out_of_stock(self, pool: Pool, size: str, now: float) -> None:
        self._empty[pool.provider, pool.region, size] = now + OUT_OF_STOCK_SECONDS

    def stock(self, pool: Pool) -> Mapping[str, float]:
        """Sizes that are out of stock, and until when that is believed."""
        place = (pool.provider, pool.region)
        return {size: until for (*where, size), until in self._empty.items() if tuple(where) == place}

    def size(self, pool: Pool, now: float) -> str | None:
        """The first that may be there; None: none is."""
        empty = self.stock(pool)
        return next((size for size in pool.sizes if empty.get(size, 0.0) <= now), None)
