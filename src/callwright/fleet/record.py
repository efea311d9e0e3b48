"""What is known of one server, and what a move makes of it.

The workers of the fleet, the planner, the API and the database share this value. `moved` is the only way to
another state; the store writes its outcome where `revision` is still the one that was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

import msgspec

from callwright.fleet.server import MOVES, Event, State

__all__ = ["EMBEDDED", "ENROLLED", "PRIVATE", "Facts", "NoSuchMove", "ServerRecord", "moved"]

#: The agent that the platform starts itself, and one that a person enrolled: no provider made them.
EMBEDDED = "embedded"
PRIVATE = "private"
ENROLLED = frozenset({EMBEDDED, PRIVATE})


class ServerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Times are unix seconds; None: not yet.

    ``name`` is the key and never changes; ``label`` begins as the same and is whatever a person calls it.
    ``number``: by which `/api/v3` knows it. ``machine``: by which its provider knows it, "" before there is
    one. ``platform``: ``linux/amd64``. ``ip_address``: what a person set in its place, None: ``address``.
    ``attempts``: how often the provider refused what its state waits for, creating or destroying.
    ``since``: when it entered its state. ``revision`` grows with each move. ``place``, ``country`` and
    ``network`` serve placement. ``forgotten``: a person removed it by force; it is listed no more, and its
    machine is destroyed all the same.
    """

    number: int
    name: str
    label: str
    provider: str
    pool: str
    state: State
    created: float
    updated: float
    since: float
    revision: int = 0
    machine: str = ""
    image: str = ""
    region: str = ""
    size: str = ""
    platform: str = ""
    address: str = ""
    capacity: int = 0
    error: str = ""
    attempts: int = 0
    started: float | None = None
    stopped: float | None = None
    agent_id: str | None = None
    version: str = ""
    ip_address: str | None = None
    description: str | None = None
    last_login_at: float | None = None
    last_login_ip: str = ""
    deleted_at: float | None = None
    place: str = ""
    country: str = ""
    network: str = ""
    labels: Mapping[str, str] = {}
    forgotten: bool = False

    @property
    def ours(self) -> bool:
        """Whether a provider made it, so that it counts in its pool and may be ended."""
        return self.provider not in ENROLLED

    @property
    def private(self) -> bool:
        """Whether a person enrolled it; all others are of the community."""
        return self.provider == PRIVATE

    @property
    def host(self) -> str:
        """Its address as a person set it, or as it was seen."""
        return self.address if self.ip_address is None else self.ip_address


class Facts(TypedDict, total=False):
    """What may be learned of a server, with a move or without one."""

    label: str
    machine: str
    image: str
    region: str
    size: str
    platform: str
    address: str
    capacity: int
    error: str
    attempts: int
    agent_id: str | None
    version: str
    ip_address: str | None
    description: str | None
    last_login_at: float | None
    last_login_ip: str
    deleted_at: float | None
    place: str
    country: str
    network: str
    labels: Mapping[str, str]
    forgotten: bool


class NoSuchMove(ValueError):
    """The table has no such event for a server in this state."""


def moved(server: ServerRecord, event: Event, now: float, **facts: Unpack[Facts]) -> ServerRecord:
    """The server after an event. ``error`` is empty unless the event brings one; ``attempts`` counts what the
    provider refused, from nothing with each step that worked. Raises NoSuchMove."""
    move = next((one for one in MOVES if one.event is event), None)
    if move is None or server.state not in move.leaves:
        raise NoSuchMove(f"The server {server.name} is {server.state}: {event} does not apply.")
    changes: dict[str, Any] = {"error": server.error, "attempts": server.attempts}
    if event in (Event.RETRY, Event.REFUSE):
        changes["attempts"] = server.attempts + 1
    elif event in (Event.MADE, Event.HEARD, Event.FAIL, Event.LOST):
        changes["attempts"] = 0
    if event in (Event.MADE, Event.HEARD, Event.GONE):
        changes["error"] = ""
    if move.enters is State.RUNNING and server.started is None:
        changes["started"] = now
    if move.enters is State.STOPPED:
        changes["stopped"] = now
        changes["deleted_at"] = server.deleted_at or now
    changes |= facts
    return msgspec.structs.replace(
        server, state=move.enters, since=now, updated=now, revision=server.revision + 1, **changes
    )
