"""What happens to servers, for whoever listens: the fleet's workers, pages, alerts."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["ServerNews", "What"]


class What(StrEnum):
    ORDERED = "ordered"  # it is wanted; nothing exists yet
    CREATED = "created"  # its provider made the machine
    RUNNING = "running"  # its agent is heard, for the first time or again
    ERRORED = "errored"  # it could not be made or destroyed, or it is lost
    DESTROYED = "destroyed"  # its machine is gone
    CHANGED = "changed"  # any other move


class ServerNews(msgspec.Struct, frozen=True):
    """``at``: unix seconds. ``state``: after it happened. ``error``: a sentence, empty when all is well.
    ``private``: a person enrolled it."""

    what: What
    server: str
    pool: str
    provider: str
    state: str
    at: float
    error: str = ""
    private: bool = False
