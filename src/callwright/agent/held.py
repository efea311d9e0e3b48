"""An attempt that the agent answers for, from the claim until the platform has its end."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.agent.live import Live
from callwright.dispatch.messages.runs import Attempt


@dataclass(slots=True)
class HeldJob:
    """`weight`: calls at once. `running`: being carried out; else its result is on its way. `released`: being
    given back, so its lease is not to be renewed."""

    attempt: Attempt
    live: Live
    weight: int
    running: bool = True
    released: bool = False

    @property
    def key(self) -> tuple[int, int]:
        return self.attempt.run_id, self.attempt.attempt
