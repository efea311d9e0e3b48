"""A permitted destination, and what runs take of its caps."""

from __future__ import annotations

import msgspec

from callwright.policy.destination import Target


class TargetRow(msgspec.Struct, frozen=True):
    """A destination that an administrator permits; None is no restriction. See policy.Target."""

    id: int
    host: str | None
    network: str | None
    number: str | None
    rate: float | None
    concurrency: int | None
    minutes: float | None
    note: str
    created_by: str
    created_at: float
    country: str | None = None


class TargetUse(msgspec.Struct, frozen=True):
    """What a run may take of a target at most: calls at once, calls a second, minutes of calls."""

    target_id: int
    concurrency: int = 0
    rate: float = 0.0
    minutes: float = 0.0


def day_of(wall: float) -> int:
    """The day of UTC, counted from the epoch, whose minutes a run takes that is started then."""
    return int(wall // 86_400)


def policy_target(row: TargetRow) -> Target:
    """Raises PolicyError for a row that makes no sense."""
    return Target(row.host, row.network, row.number, row.rate, row.concurrency, row.minutes, row.country)
