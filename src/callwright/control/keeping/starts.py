"""Runs over several servers: when the last of their agents is ready, all are told the moment to begin."""

from __future__ import annotations

from collections.abc import Iterable

from callwright.control.runs.model import Run
from callwright.control.runs.service import Runs
from callwright.control.runs.transitions import Phase
from callwright.dispatch.messages.runs import Ready, ReadyAnswer
from callwright.net.clock import Clock

__all__ = ["Starts"]

_AHEAD = 1.0  # seconds from when the last one is ready, in which every agent asks some times more


class Starts:
    """What it remembers may be lost: agents ask until they know the moment. Where some have begun and it is
    not known when, the others begin at once, and what was measured tells so. ``moments``: of groups, by unix
    seconds."""

    def __init__(self, runs: Runs, clock: Clock) -> None:
        self._runs, self._clock = runs, clock
        self._ready: dict[str, set[tuple[int, int]]] = {}  # group -> (run id, attempt)
        self.moments: dict[str, float] = {}

    def keep_only(self, live: Iterable[Run]) -> None:
        """The others have ended meanwhile."""
        groups = {run.group_id for run in live}
        self._ready = {group: ready for group, ready in self._ready.items() if group in groups}
        self.moments = {group: at for group, at in self.moments.items() if group in groups}

    async def ready(self, agent_id: str, asked: Ready) -> ReadyAnswer:
        heard = self._clock.wall()
        run = await self._runs.by_id(asked.run_id)
        its_own = (run.attempt, run.agent_id) == (asked.attempt, agent_id)
        if not its_own or run.finished or run.group_id is None:
            return self._answer(heard, refused="Stopped by the platform: the run is no longer this agent's.")
        group = run.group_id
        if group not in self.moments:
            parts = await self._runs.of_group(run)
            ended = next((one for one in parts if one.finished), None)
            begun = any(one.phase == Phase.RUNNING for one in parts)
            if ended is not None and not begun:
                return self._answer(heard, refused=_not_begun(ended, len(parts)))
            ready = self._ready.setdefault(group, set())
            ready.add((run.id, run.attempt))
            if begun:
                self.moments.setdefault(group, self._clock.wall())
            elif all((one.id, one.attempt) in ready for one in parts):
                self.moments.setdefault(group, self._clock.wall() + _AHEAD)
        return self._answer(heard, start_at=self.moments.get(group))

    def _answer(self, heard: float, *, start_at: float | None = None, refused: str = "") -> ReadyAnswer:
        return ReadyAnswer(heard, self._clock.wall(), start_at, refused)


def _not_begun(ended: Run, servers: int) -> str:
    why = ended.result_description or f"run {ended.id} ended as {ended.phase}"
    return f"Not begun: all {servers} servers begin or none does, and one could not. {why}"
