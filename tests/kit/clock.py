"""Virtual time: nothing happens until a test says how much of it passes."""

from __future__ import annotations

from typing import Protocol


class Timed(Protocol):
    """Something that has to be woken."""

    def next_due(self) -> float | None:
        """When, in seconds of the clock; None when never."""

    def run(self, now: float) -> None:
        """Do what is due."""


class Clock:
    """`now` moves only by `advance`, from one due moment to the next."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.timed: list[Timed] = []

    def advance(self, seconds: float) -> None:
        """Let that much time pass; all that falls due on the way is done at its moment, in order."""
        end = self.now + seconds
        for _ in range(1_000_000):
            due = [when for when in (timed.next_due() for timed in self.timed) if when is not None]
            moment = min(due, default=end + 1)
            if moment > end:
                break
            self.now = max(self.now, moment)
            for timed in self.timed:
                timed.run(self.now)
        else:
            raise AssertionError("time does not pass: something is due again and again")
        self.now = end
