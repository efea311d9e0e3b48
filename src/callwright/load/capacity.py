"""Search for the highest rate at which a goal holds: doubling until it breaks, then bisection. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Trial:
    rate: float
    passed: bool
    valid: bool = True


@dataclass(slots=True)
class CapacitySearch:
    """Ask `next_rate()`, try it, tell `tried()`; until it is None.

    `precision`: relative width of the bracket at which the search ends. The best rate is confirmed by
    `confirmations` further trials, since one trial at the knee is half luck; when one of those breaks, the
    search goes on below.
    """

    start: float = 10.0
    highest: float = 100_000.0
    precision: float = 0.05
    confirmations: int = 2
    most_trials: int = 40
    trials: list[Trial] = field(default_factory=list)
    low: float = 0.0
    high: float = math.inf
    confirmed: int = 0
    limited: bool = False
    """The generator was the bottleneck: the capacity is at least the best rate."""

    def next_rate(self) -> float | None:
        """Calls per second to try now, None when the search is over."""
        if len(self.trials) >= self.most_trials:
            return None
        if math.isinf(self.high):
            if self.low >= self.highest:
                return None if self.confirmed >= self.confirmations else self.low
            return min(self.highest, self.low * 2) if self.low else self.start
        if self.low and self.high / self.low <= 1 + self.precision:
            return None if self.confirmed >= self.confirmations else self.low
        if not self.low and self.high <= 0.1:
            return None
        # Between, evenly in ratio; from nothing downwards by quarters.
        return math.sqrt(self.low * self.high) if self.low else self.high / 4

    def tried(self, rate: float, passed: bool, *, valid: bool = True) -> None:
        """`valid` False: the generator could not keep up; the rate is out of reach, not failed."""
        self.trials.append(Trial(rate, passed, valid))
        if not valid:
            self.limited = True
        if passed and valid:
            if rate == self.low:
                self.confirmed += 1
            else:
                self.low, self.confirmed = rate, 1
            return
        if rate <= self.low:
            # It did not hold again: the knee is lower than one lucky trial said.
            held = [trial.rate for trial in self.trials if trial.passed and trial.valid and trial.rate < rate]
            self.low = max(held, default=0.0)
            self.confirmed = sum(1 for trial in self.trials if trial.passed and trial.rate == self.low)
        self.high = min(self.high, rate)

    @property
    def best(self) -> float | None:
        return self.low or None

    @property
    def confidence(self) -> str:
        """What the result rests on, in words."""
        if not self.trials:
            return "no trial was finished"
        if not self.low:
            return "the goal held at no rate that was tried"
        at_best = [trial for trial in self.trials if trial.rate == self.low]
        held = sum(1 for trial in at_best if trial.passed and trial.valid)
        text = f"held in {held} of {len(at_best)} trials at {self.low:.4g} calls/s"
        if math.isinf(self.high):
            return f"{text}; no higher rate was tried"
        broken = [trial for trial in self.trials if trial.rate == self.high]
        if any(not trial.valid for trial in broken):
            return f"{text}; at {self.high:.4g} the generator was the bottleneck, so the target may bear more"
        return f"{text}, broke at {self.high:.4g}"
