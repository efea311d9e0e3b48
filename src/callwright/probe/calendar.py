"""What time it is at the platform, kept by our own monotonic clock."""

from __future__ import annotations

_STEP = 5.0
"""Seconds: a greater difference is a clock that somebody set, or an answer that lay somewhere."""
_FOLLOW = 0.05
"""Seconds by which a smaller one is followed with each answer."""
_PERSISTENT = 600.0
"""Seconds after which a clock that was set is believed."""


class Calendar:
    """`offset`: unix seconds less monotonic ones, from our own calendar until the platform has told its own.
    Neither a clock of ours that is set nor one of the platform that jumps for a while moves it."""

    def __init__(self, offset: float) -> None:
        self.offset = offset
        self._told = False
        self._differs_since: float | None = None
        self._difference = 0.0

    def hear(self, unix: float, asked: float, heard: float) -> None:
        """The platform said `unix` in an answer that took from `asked` to `heard`, monotonic."""
        observed = unix - (asked + heard) / 2
        if not self._told:
            self._told, self.offset = True, observed
            return
        difference = observed - self.offset
        if abs(difference) <= _STEP:
            self._differs_since = None
            self.offset += max(-_FOLLOW, min(_FOLLOW, difference))
            return
        if self._differs_since is None or abs(difference - self._difference) > _STEP:
            self._differs_since, self._difference = heard, difference
        elif heard - self._differs_since >= _PERSISTENT:
            self._differs_since, self.offset = None, observed
