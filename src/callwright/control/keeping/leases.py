"""Leases: whose agent was heard, and when it counts as lost.

Silence is held against an agent only while it could be heard. After the keeper itself was stopped, or the
broker or the database was away, every lease is extended first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from callwright.control.errors import StorageUnavailable
from callwright.control.runs.model import Run
from callwright.control.runs.service import Runs
from callwright.dispatch.messages.agents import HeldRun
from callwright.net.clock import Clock

__all__ = ["Leases"]

_log = logging.getLogger(__name__)

_GRACE = 5.0  # seconds beyond a lease that agents have to be heard again after an outage of ours


class Leases:
    def __init__(self, runs: Runs, *, lease: float, clock: Clock) -> None:
        self._runs, self._lease, self._clock = runs, lease, clock
        self._heard: dict[tuple[int, int], tuple[str, float]] = {}  # -> agent that holds it, when it said so
        self._looked_at: float | None = None
        self._deaf = True
        self.database_lost = False

    def hear(self, agent_id: str, held: Iterable[HeldRun]) -> None:
        now = self._clock.now()
        for run in held:
            self._heard[run.run_id, run.attempt] = (agent_id, now)

    def be_deaf(self) -> None:
        """Nobody could be heard for a while."""
        self._deaf = True

    def lose_database(self, error: StorageUnavailable) -> None:
        """Logged once, not with everything that waits for it."""
        if not self.database_lost:
            _log.error("nothing is taken from agents: %s", error.message)
        self.database_lost = self._deaf = True

    async def look(self) -> None:
        """Before anything is judged. Raises StorageUnavailable."""
        now = self._clock.now()
        if self._looked_at is not None and now - self._looked_at > max(2.0, self._lease / 3):
            self._deaf = True  # we were stopped, or waited for the database: what agents said lies unread
        self._looked_at = now
        if self._deaf:
            await self._runs.held.extend_leases(self._lease + _GRACE)
            if self.database_lost:
                _log.warning("the database is back")
            self._deaf = self.database_lost = False

    async def expire(self) -> None:
        """Raises StorageUnavailable."""
        await self._runs.held.expire_leases(self._was_heard)

    def _was_heard(self, run: Run) -> bool:
        agent_id, at = self._heard.get((run.id, run.attempt), ("", float("-inf")))
        return agent_id == run.agent_id and self._clock.now() - at < self._lease

    def keep_only(self, attempts: set[tuple[int, int]]) -> None:
        for key in self._heard.keys() - attempts:
            del self._heard[key]
