"""What a run does now, for people who watch; any of it may be lost."""

from __future__ import annotations

from typing import Any

import msgspec


class Progress(msgspec.Struct, frozen=True):
    """What happens now: lossy, for people who watch. `at`: seconds since the run began.

    `kind`: state {call, party, state, code} · registration {id, registered} · metrics {calls: […]} ·
    phase {phase} · note {text}.
    """

    session_id: str
    run_id: int
    attempt: int
    at: float
    kind: str
    data: dict[str, Any] = {}


class SoFarRequest(msgspec.Struct, frozen=True):
    """What was told of this run until now? The answer is a `SoFarAnswer`."""

    session_id: str


class SoFarAnswer(msgspec.Struct, frozen=True):
    """`events` as they were told, oldest first; the newest of them where all would be too much."""

    events: tuple[Progress, ...] = ()
