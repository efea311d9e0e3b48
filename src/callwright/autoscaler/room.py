"""What the workers need of the platform: its records of servers, and what is known of their agents.

`control/servers` satisfies it, and `host` wires the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Protocol, Unpack

from callwright.fleet.plan import Decision
from callwright.fleet.pool import Pool
from callwright.fleet.record import Facts, ServerRecord
from callwright.fleet.server import Event

__all__ = ["Enrolment", "Room", "Scene", "Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """What is known of the agent of one server. ``busy``: calls that it has; ``holds``: it has runs, or
    results that are not home. ``mark``: changes with each sign of life; None: there was none."""

    busy: int = 0
    holds: bool = False
    mark: float | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """How everything stands at one moment. ``servers``: all that have not stopped. ``work``: by the name of
    the server. ``waiting``: calls that wait for a place, by pool. ``listening``: agents can be heard now."""

    servers: Sequence[ServerRecord]
    pools: Mapping[str, Pool]
    work: Mapping[str, Work] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    paused: bool = False
    listening: bool = True


@dataclass(frozen=True, slots=True)
class Enrolment:
    """With what an agent becomes known: the platform's URL, a token that is good once, and the CA to trust
    (PEM; "": the system's)."""

    url: str
    token: str = field(repr=False)
    ca: str = ""


class Room(Protocol):
    async def leads(self) -> bool:
        """Whether this platform makes and ends servers now; of several on one database one does."""
        ...

    async def look(self) -> Scene: ...

    async def move(self, seen: ServerRecord, event: Event, **facts: Unpack[Facts]) -> ServerRecord | None:
        """The server after the event; None: somebody else moved it since it was seen, or the table has no
        such move."""
        ...

    async def learn(self, name: str, **facts: Unpack[Facts]) -> ServerRecord | None: ...

    async def add(self, pool: Pool, count: int, size: str, known: Set[str]) -> Sequence[str]:
        """Make so many servers, pending; their names. None of them where the pool has a server, not stopped,
        that is not among ``known``: somebody else planned meanwhile."""
        ...

    async def created_since(self, pool: str, time: float) -> Sequence[float]:
        """When servers of a pool were made since then (unix seconds), those that are gone included."""
        ...

    async def enrolment(self, server: ServerRecord) -> Enrolment:
        """A new one; an earlier one of this server is void."""
        ...

    async def drain(self, server: ServerRecord) -> None:
        """Its agent, if there is one, takes no new work."""
        ...

    async def tell(self, decision: Decision) -> None:
        """What the planner decided, for people."""
        ...
