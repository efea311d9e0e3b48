"""Agents and pools. Times are unix seconds (float)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from callwright.dispatch.messages.agents import SpoolState
from callwright.dispatch.messages.protocol import PROTOCOL, mismatch


class AgentState(StrEnum):
    ACTIVE = "active"
    DRAINING = "draining"  # finishes what it has, takes nothing new
    REVOKED = "revoked"  # may do nothing any more


class Pool(msgspec.Struct, frozen=True):
    """``project_id`` None: runs of every project may use it."""

    id: int
    name: str
    created_at: float
    project_id: int | None = None


class Agent(msgspec.Struct, frozen=True):
    """``busy``: calls now, of ``capacity`` at once. ``nkey``: public NKEY, the agent's identity at the
    broker. ``spool``: what waits at it for the platform, as it said last. ``protocol``: the number that it
    speaks, None before it has said so. ``server``: the fleet's server that it was made for, None: a person
    enrolled it. ``address``: from which it came last over HTTP."""

    id: str
    name: str
    pool: str
    labels: dict[str, str]
    version: str
    capacity: int
    busy: int
    codecs: tuple[str, ...]
    nkey: str
    state: str
    enrolled_at: float
    last_seen_at: float | None
    spool: SpoolState = SpoolState()
    protocol: int | None = None
    server: str | None = None
    address: str = ""

    @property
    def mismatch(self) -> str:
        """What is to be upgraded before it can work here, a sentence; empty when nothing is."""
        return "" if self.protocol is None else mismatch(self.protocol, PROTOCOL)

    def alive(self, wall: float, patience: float = 15.0) -> bool:
        """Whether it was heard within ``patience`` seconds. A time to come is of a clock that was set back
        since: who lives is heard again soon."""
        return self.last_seen_at is not None and abs(wall - self.last_seen_at) <= patience


class AgentInfo(msgspec.Struct, frozen=True):
    """What an agent says of itself at enrolment and with each heartbeat."""

    version: str = ""
    capacity: int = 1
    busy: int = 0
    codecs: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    nkey: str = ""
    spool: SpoolState | None = None
    protocol: int | None = None


class Enrolment(msgspec.Struct, frozen=True):
    """A single-use token as it is listed; the token itself is shown once. ``server``: whose agent it
    makes."""

    id: int
    pool: str
    created_at: float
    expires_at: float
    used_at: float | None
    agent_id: str | None
    server: str | None = None
