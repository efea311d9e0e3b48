"""What waits in the spool for the platform, and its bound: evidence goes, oldest first; results never do.

Only files of runs that have ended count and go: those of a run that is on come on top, and count at its end.
"""

from __future__ import annotations

import asyncio
import logging

from callwright.agent.spool import Entry
from callwright.dispatch.messages.agents import SpoolState

_log = logging.getLogger(__name__)

DEFAULT_LIMIT = 10 * 1024**3
"""Octets."""


class Waiting:
    """`limit`: octets of evidence that may wait at once; 0 without."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.dropped = 0
        """Files, since the agent began."""
        self._sizes: dict[Entry, int] = {}  # the oldest first
        self._turn = asyncio.Lock()

    @property
    def octets(self) -> int:
        return sum(self._sizes.values())

    @property
    def state(self) -> SpoolState:
        return SpoolState(self.octets, self.limit, len(self._sizes), self.dropped)

    async def add(self, entry: Entry) -> None:
        """A run that has ended; makes room for its evidence, be it by its own."""
        loop = asyncio.get_running_loop()
        self._sizes[entry] = 0  # now, so that the order is that of their ends
        self._sizes[entry] = await loop.run_in_executor(None, entry.weigh)
        async with self._turn:
            for oldest in list(self._sizes):
                beyond = self.octets - self.limit
                if not self.limit or beyond <= 0:
                    return
                if self._sizes.get(oldest):
                    await self._shed(oldest, beyond)

    async def _shed(self, entry: Entry, beyond: int) -> None:
        loop = asyncio.get_running_loop()
        files, octets = await loop.run_in_executor(None, entry.shed, beyond)
        self.dropped += files
        self.sent(entry, octets)
        if files:
            _log.warning(
                "%d files (%d octets) of run %d were dropped: more than %d octets wait for the platform. "
                "Its result is kept; --spool-limit sets how much may wait",
                files,
                octets,
                entry.attempt.run_id,
                self.limit,
            )

    def sent(self, entry: Entry, octets: int) -> None:
        """So much less of it lies here."""
        if entry in self._sizes:
            self._sizes[entry] = max(0, self._sizes[entry] - octets)

    def remove(self, entry: Entry) -> None:
        self._sizes.pop(entry, None)
