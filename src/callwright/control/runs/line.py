"""Whose turn it is: projects share the agents of a pool, whoever has queued how much.

Only the next few runs of a pool are offered to its agents at a time; whenever one is taken, the next is
chosen anew. First comes the project that has the fewest runs carried out there, of those that have as few the
one that was served longest ago, and within a project the oldest run. So a project that queues two thousand
runs keeps another's waiting for its turn, not for the two thousand.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from callwright.control.runs.model import Run
from callwright.control.runs.transitions import Phase

__all__ = ["Share", "Turns", "ahead_of"]


class Turns:
    """All runs that live, as they were seen last; whatever is lost is read again from the database."""

    def __init__(self) -> None:
        self._runs: dict[int, Run] = {}
        self._waiting: dict[str, dict[int, list[int]]] = {}  # pool -> project -> ids, the oldest first
        self._held: Counter[tuple[str, int]] = Counter()  # (pool, project) -> runs that an agent has
        self._of_project: Counter[int] = Counter()
        self._placed: dict[int, Run] = {}  # those that wait for servers of their own choice
        self._served: Counter[int] = Counter()  # project -> number of its last turn
        self._turns = 0

    def see(self, run: Run) -> None:
        """As it is now."""
        before = self._runs.pop(run.id, None)
        if before is not None:
            self._take_out(before)
        if run.finished:
            return
        self._runs[run.id] = run
        if run.phase == Phase.QUEUED and run.placed:
            self._placed[run.id] = run
            return
        if run.phase == Phase.QUEUED:
            insort(self._waiting.setdefault(run.pool, {}).setdefault(run.project_id, []), run.id)
            return
        self._held[run.pool, run.project_id] += 1
        self._of_project[run.project_id] += 1
        if before is None or before.phase == Phase.QUEUED:
            self._turns += 1
            self._served[run.project_id] = self._turns

    def keep_only(self, ids: set[int]) -> None:
        """The others have ended meanwhile."""
        for run_id in [run_id for run_id in self._runs if run_id not in ids]:
            self._take_out(self._runs.pop(run_id))

    def _take_out(self, run: Run) -> None:
        if run.phase != Phase.QUEUED:
            self._held[run.pool, run.project_id] -= 1
            self._of_project[run.project_id] -= 1
            return
        if self._placed.pop(run.id, None) is not None:
            return
        projects = self._waiting[run.pool]
        ids = projects[run.project_id]
        del ids[bisect_left(ids, run.id)]
        if not ids:
            del projects[run.project_id]
            if not projects:
                del self._waiting[run.pool]

    def placed(self, limits: Mapping[int, int]) -> list[list[Run]]:
        """What waits for servers of its own choice, in order, as far as the ``limits`` of projects permit:
        runs over several servers together."""
        together: dict[str, list[Run]] = {}
        for run in self._placed.values():
            together.setdefault(run.group_id or run.session_id, []).append(run)
        of_project, found = Counter(self._of_project), []
        for runs in sorted(
            together.values(), key=lambda runs: (of_project[runs[0].project_id], min(r.id for r in runs))
        ):
            project = runs[0].project_id
            if project not in limits or of_project[project] + len(runs) <= limits[project]:
                of_project[project] += len(runs)
                found.append(sorted(runs, key=lambda run: run.id))
        return found

    def held_by(self) -> tuple[Counter[str], dict[str, set[str]]]:
        """(runs that each agent has, agents that have one of the runs of a group)."""
        held: Counter[str] = Counter()
        groups: dict[str, set[str]] = {}
        for run in self._runs.values():
            if run.phase != Phase.QUEUED and run.agent_id is not None:
                held[run.agent_id] += 1
                if run.group_id is not None:
                    groups.setdefault(run.group_id, set()).add(run.agent_id)
        return held, groups

    def chosen(
        self,
        rooms: Mapping[str, int],
        limits: Mapping[int, int] | None = None,
        owners: Mapping[str, int] | None = None,
    ) -> list[Run]:
        """What is to be offered now, in order. ``rooms``: how many runs of a pool, 1 where nothing is said;
        ``limits``: runs of a project that agents may have at once; ``owners``: of pools that one project
        alone may use."""
        found: list[Run] = []
        of_project = Counter(self._of_project)
        limits, owners = limits or {}, owners or {}
        for pool, projects in sorted(self._waiting.items()):
            here = Counter({project: self._held[pool, project] for project in projects})
            served = {project: self._served[project] for project in projects}
            next_at = dict.fromkeys(projects, 0)
            for _ in range(rooms.get(pool, 1)):
                able = [
                    project
                    for project, ids in projects.items()
                    if next_at[project] < len(ids)
                    and (project not in limits or of_project[project] < limits[project])
                    and owners.get(pool, project) == project
                ]
                if not able:
                    break
                project = min(able, key=lambda one: (here[one], served[one], projects[one][next_at[one]]))
                found.append(self._runs[projects[project][next_at[project]]])
                next_at[project] += 1
                here[project] += 1
                of_project[project] += 1
        return found


@dataclass(frozen=True, slots=True)
class Share:
    """What a project has in a pool: runs that wait, and runs that agents have."""

    waiting: int
    held: int


def ahead_of(own: int, mine: Share, others: list[Share]) -> int:
    """How many runs come before one that has ``own`` older ones of its project before it, by the order of
    `Line`, as things are now."""
    level = mine.held + own
    return own + sum(min(other.waiting, max(0, level - other.held)) for other in others)
