"""How a cell of the matrix stands: what its newest slot came to, or why nothing is known."""

from __future__ import annotations

from enum import StrEnum

from callwright.control.monitors.model import Latest, SlotState

__all__ = ["Newest", "newest", "stale"]

_LATE = 30.0  # seconds that a reading may take from an agent to us


class Newest(StrEnum):
    MEASURED = "measured"
    FAILED = "failed"  # nothing answered, or it was refused
    # And why there is no data:
    NEW = "new"  # no slot has ended yet
    MISSED = "missed"
    UNKNOWN = "unknown"
    INVALID = "invalid"  # the agent spoilt its own measurement
    STALE = "stale"  # nothing came for two slots

    @property
    def known(self) -> bool:
        return self in (Newest.MEASURED, Newest.FAILED)


def stale(slot: float, interval: float, now: float) -> bool:
    """Whether a slot says nothing of now any more: the next one, and one more, should have come. Unix
    seconds."""
    return now - slot > 2 * interval + _LATE


def newest(latest: Latest, now: float) -> Newest:
    """``now``: unix seconds."""
    if latest.slot is None:
        return Newest.NEW
    if stale(latest.slot, latest.interval, now):
        return Newest.STALE
    if latest.verdict == "invalid":
        return Newest.INVALID
    match latest.state:
        case SlotState.DONE:
            return Newest.MEASURED
        case SlotState.FAILED:
            return Newest.FAILED
        case SlotState.MISSED:
            return Newest.MISSED
    return Newest.UNKNOWN
