"""Rules and incidents. Times are unix seconds (float)."""

from __future__ import annotations

import msgspec

from callwright.alerting.cause import Cause
from callwright.alerting.condition import Condition, parse
from callwright.alerting.windows import Window

__all__ = ["Alert", "Child", "Entry", "Incident"]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """``condition`` and ``recovery`` are texts, see `alerting.condition`; ``recovery`` empty: it is over when
    the condition has not held for as long as it had to. ``reminder``: seconds, None: no reminders.
    ``retests``: a text as well, see `alerting.retest`; empty: none. ``channel_ids``: who is told of it; None:
    every channel of the project that hears of incidents."""

    id: int
    project_id: int
    name: str
    condition: str
    recovery: str
    reminder: float | None
    windows: tuple[Window, ...]
    snoozed_until: float | None
    created_at: float
    deleted_at: float | None
    channel_ids: tuple[int, ...] | None = None
    retests: str = ""

    @property
    def rule(self) -> tuple[Condition, Condition | None]:
        recovery = parse(self.recovery, bounded=False) if self.recovery else None
        return parse(self.condition, bounded=False), recovery


class Child(msgspec.Struct, frozen=True):
    """One alert of one endpoint that belongs to an incident. ``ended_at`` None: it fires."""

    alert_id: int
    endpoint_id: int
    began_at: float
    ended_at: float | None = None


class Entry(msgspec.Struct, frozen=True):
    """A fact of an incident's story. ``kind``: fired, confirmed (by re-tests), reminded, recovered, set
    aside, or acknowledged by ``who``."""

    at: float
    kind: str
    alert_id: int | None = None
    endpoint_id: int | None = None
    servers: tuple[int, ...] = ()
    who: str = ""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One cause, and all that fires because of it."""

    id: int
    project_id: int
    cause: Cause
    started_at: float
    ended_at: float | None
    acknowledged_at: float | None
    acknowledged_by: str
    children: tuple[Child, ...]
    story: tuple[Entry, ...]
