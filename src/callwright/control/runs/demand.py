"""What runs need of the fleet: places for calls, by pool."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from callwright.control.runs.transitions import Phase

__all__ = ["Demand", "carried", "oldest", "waiting"]


class Demand(msgspec.Struct, frozen=True):
    """Runs alike that have not ended. ``agent_id`` None: no agent has them; ``weight``: calls at once that
    they may hold together; ``since``: when the oldest was ordered (unix seconds)."""

    pool: str
    project_id: int
    phase: str
    agent_id: str | None
    runs: int
    weight: int
    since: float = 0.0


def carried(demands: Iterable[Demand]) -> Mapping[str, int]:
    """Calls at once by agent, of the runs that agents have."""
    found: Counter[str] = Counter()
    for one in demands:
        if one.agent_id is not None and one.phase != Phase.QUEUED:
            found[one.agent_id] += one.weight
    return found


def oldest(demands: Iterable[Demand]) -> Mapping[str, float]:
    """When the run that waits longest was ordered, by pool."""
    found: dict[str, float] = {}
    for one in demands:
        if one.phase == Phase.QUEUED:
            found[one.pool] = min(one.since, found.get(one.pool, one.since))
    return found


def waiting(
    demands: Iterable[Demand],
    limits: Mapping[int, int] | None = None,
    owners: Mapping[str, int] | None = None,
) -> Mapping[str, int]:
    """Calls that wait for a place, by pool. A server would not help a run whose project has as many as it may
    have (``limits``: runs at once, by project), or whose pool belongs to another (``owners``)."""
    limits, owners, seen = limits or {}, owners or {}, list(demands)
    held: Counter[int] = Counter()
    for one in seen:
        if one.phase != Phase.QUEUED:
            held[one.project_id] += one.runs
    found: Counter[str] = Counter()
    for one in seen:
        if one.phase != Phase.QUEUED or owners.get(one.pool, one.project_id) != one.project_id:
            continue
        able = one.runs
        if one.project_id in limits:
            able = max(0, min(able, limits[one.project_id] - held[one.project_id]))
        found[one.pool] += math.ceil(one.weight * able / one.runs)
    return {pool: calls for pool, calls in found.items() if calls}
