"""What a load leaves behind in `run.json`: the same figures as `callwright load --json`, judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Figures = Mapping[str, Any]
"""Percentiles and the like; what was not measured is None."""


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """The calls of one load action. `answered` + `failed` + `canceled` = `attempted`.

    `seconds` has a list for each column, a value a second (or a longer stretch, where there were many):
    `at` and `lateness_p99` and the like as in the CSV of `callwright load --report`.
    """

    verdict: str = "error"
    blame: str | None = "platform"
    reason: str = "The load was not judged."
    id: str = ""
    address: str | None = None
    party: str | None = None
    role: str = "caller"  # or "answerer"
    target: str | None = None
    local: str | None = None
    duration_ms: float | None = None
    attempted: int = 0
    answered: int = 0
    canceled: int = 0
    failed: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)  # by status, or "timeout", "no_media", …
    asr_pct: float | None = None
    concurrent_peak: int = 0
    rate: Figures = field(default_factory=dict)  # calls a second: asked_max, reached_max, mean
    pdd_ms: Figures = field(default_factory=dict)
    setup_ms: Figures = field(default_factory=dict)
    bye_ms: Figures = field(default_factory=dict)
    media: Figures = field(default_factory=dict)  # streams, packets, jitter_ms, loss_pct, mos
    messages: Figures = field(default_factory=dict)
    generator: Figures = field(default_factory=dict)  # our own state: limited_seconds, lateness_ms, drops, …
    conditions: tuple[Figures, ...] = ()  # text, value, violated
    worst_calls: tuple[Figures, ...] = ()
    seconds: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def judged(self, verdict: str, blame: str | None, reason: str) -> LoadOutcome:
        return dataclasses.replace(self, verdict=verdict, blame=blame, reason=reason)
