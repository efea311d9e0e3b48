"""What the fleet did and how it fared: the planner's decisions, and each minute a count of every pool."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.control.servers.model import Decided, Sample
from callwright.control.servers.store import HistoryStore
from callwright.fleet.plan import Decision
from callwright.net.clock import Clock

__all__ = ["DECISION_DAYS", "SAMPLE_DAYS", "History"]

DECISION_DAYS = 31.0
SAMPLE_DAYS = 7.0
_DAY = 86_400.0


class History:
    """Of pools by name; whoever asks must know that it may see them."""

    def __init__(self, store: HistoryStore, *, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def note(self, decision: Decision) -> None:
        """What the planner decided now."""
        await self._store.add_decided(Decided(decision.pool, self._clock.wall(), decision))

    async def decided(self, pool: str, limit: int = 20) -> Sequence[Decided]:
        """The newest first."""
        return await self._store.decided(pool, limit)

    async def keep(self, samples: Sequence[Sample]) -> None:
        """A second count of the same pool and minute is ignored."""
        await self._store.add_samples(samples)

    async def samples(self, since: float, pool: str | None = None) -> Sequence[Sample]:
        """By time; ``pool`` None: of all."""
        return await self._store.samples(since, pool)

    async def forget_old(self) -> None:
        now = self._clock.wall()
        await self._store.forget_history(now - DECISION_DAYS * _DAY, now - SAMPLE_DAYS * _DAY)
