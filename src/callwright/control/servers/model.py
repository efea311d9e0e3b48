"""What is counted of servers, for dashboards, and what is remembered of pools."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from callwright.fleet.plan import Decision
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import Event, State

__all__ = ["STEPS", "TIME_BOUNDS", "Decided", "Sample", "ServerRecord", "counted"]

#: Seconds that a step took, by the bounds of its histogram.
TIME_BOUNDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)

#: What a server goes through before it runs, and the states in which it does. `boot` is all of it, from the
#: moment in which the server was wanted to its first sign of life.
STEPS: Mapping[str, tuple[State, ...]] = {
    "create": (State.PENDING, State.CREATING),
    "install": (State.CREATED, State.STAGING),
}


class Decided(msgspec.Struct, frozen=True):
    """What the planner decided of a pool at a time (unix seconds)."""

    pool: str
    at: float
    decision: Decision


class Sample(msgspec.Struct, frozen=True):
    """A pool in one minute, which begins ``at`` (unix seconds).

    ``servers``: machines that exist or may exist; of these ``running``, ``coming`` and ``errored``.
    ``places``: calls at once on running servers, ``busy`` of them have a call. ``waiting``: calls without a
    place; ``waited``: seconds that the oldest of them has waited, None when none does. ``cost``: of all
    machines per hour, None where a size has no price.
    """

    pool: str
    at: float
    servers: int
    running: int
    coming: int
    errored: int
    places: int
    busy: int
    waiting: int
    waited: float | None
    cost: float | None


def counted(seen: ServerRecord, event: Event, after: ServerRecord) -> dict[str, float]:
    """What a move adds to the counters of the servers that providers make.

    ``created``, ``created_err``, ``deleted`` and ``deleted_err`` are numbers of moves; ``<step>/errors``
    those of a step; ``<step>/seconds``, ``<step>/count`` and ``<step>/le/<bound>`` make its histogram.
    """
    if not seen.ours:
        return {}
    match event:
        case Event.MADE:
            return {"created": 1} | _took("create", after.since - seen.since)
        case Event.HEARD if seen.started is None:
            return _took("install", after.since - seen.since) | _took("boot", after.since - seen.created)
        case Event.FAIL:
            step = next((name for name, states in STEPS.items() if seen.state in states), "install")
            more = {f"{step}/errors": 1.0}
            if step == "create":
                more["created_err"] = 1
            else:
                more["boot/errors"] = 1
            return more
        case Event.GONE:
            return {"deleted": 1}
        case Event.REFUSE:
            return {"deleted_err": 1}
    return {}


def _took(step: str, seconds: float) -> dict[str, float]:
    took = max(0.0, seconds)
    within = {f"{step}/le/{bound:g}": 1.0 for bound in TIME_BOUNDS if took <= bound}
    return {f"{step}/seconds": took, f"{step}/count": 1.0} | within
