"""The dead-man's switch: what an agent still may when nobody of the platform has answered it for long.

Without a word it cannot know whether it was told to stop. So for a while it places nothing new, and then it
ends what it has: a platform that is away never leaves calls up that somebody wanted ended. Any answer counts,
also one that says that nothing can be written now.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

HOLD_AFTER, END_AFTER = 2.0, 4.0
"""Leases without an answer."""
_EARLY = 1.0  # seconds: what is to have ended by a time begins to end before it


class Standing(StrEnum):
    FREE = "free"
    HOLD = "hold"  # no new call
    END = "end"  # no call at all


@dataclass(frozen=True, slots=True)
class Patience:
    """Leases without an answer after which no call is placed (`hold`), and none is kept (`end`); 0: never."""

    hold: float = HOLD_AFTER
    end: float = END_AFTER

    def standing(self, silent: float, lease: float) -> Standing:
        """`silent`: seconds since the last answer; `lease`: seconds."""
        early = min(_EARLY, lease / 4)
        if self.end and silent >= self.end * lease - early:
            return Standing.END
        if self.hold and silent >= self.hold * lease - early:
            return Standing.HOLD
        return Standing.FREE
