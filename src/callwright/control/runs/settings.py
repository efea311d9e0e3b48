"""How long runs wait, are tried and are kept."""

from __future__ import annotations

import dataclasses

__all__ = ["RunSettings"]


@dataclasses.dataclass(frozen=True, slots=True)
class RunSettings:
    """Seconds, unless said otherwise. ``embedded``: one person's installation, so what is near is permitted
    without a target of its own."""

    embedded: bool = True
    queue_patience: float = 600.0
    grace: float = 60.0  # beyond what the document may last
    attempts: int = 3
    queue_length: int = 10_000
    project_queue_length: int = 5_000  # of a project that has no limit of its own
    idempotency_kept: float = 86_400.0
