"""Readings of monitors, from an agent to the platform."""

from __future__ import annotations

from typing import Any

import msgspec


class Reading(msgspec.Struct, frozen=True):
    """What came of one slot of a monitor. The pair (`monitor_id`, `slot`) is its identity: the platform keeps
    the first reading of a pair and answers a repeated one as if it were new.

    `slot`: unix seconds of the planned start. `state`: done (measured), failed (no answer, or a refusal),
    missed (not run; `reason` says why) or unknown. `at`: unix seconds of the actual start, None: there was
    none. `figures`: name to value, in the words and units of a call's quality; null is unknown.
    """

    monitor_id: int
    slot: int
    state: str
    at: float | None = None
    reason: str = ""
    figures: dict[str, Any] = {}


class Readings(msgspec.Struct, frozen=True):
    """A batch, accepted whole or not at all. Answered by a `wire.Answer`, and repeated until it is."""

    readings: tuple[Reading, ...]
