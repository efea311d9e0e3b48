"""How many calls a second, when: a constant rate, a ramp, steps, or one after another. Pure numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MOST_RATE = 1_000_000.0


class PlanError(ValueError):
    """A plan that cannot be read; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`seconds` in which the rate goes evenly from `start` to `end`, in calls per second; inf has no end."""

    start: float
    end: float
    seconds: float = math.inf

    @property
    def in_words(self) -> str:
        if self.start != self.end:
            return f"{self.start:g} to {self.end:g} calls/s in {self.seconds:g} s"
        return f"{self.start:g} calls/s" + (f" for {self.seconds:g} s" if math.isfinite(self.seconds) else "")

    def rate_at(self, elapsed: float) -> float:
        if not math.isfinite(self.seconds) or self.start == self.end:
            return self.start
        return self.start + (self.end - self.start) * min(1.0, max(0.0, elapsed / self.seconds))


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages one after another. `calls` ends it sooner; 0 is without limit."""

    stages: tuple[Stage, ...]
    calls: int = 0
    concurrent: int = 0

    def __post_init__(self) -> None:
        if not self.stages:
            raise PlanError("A plan has at least one stage.")

    @property
    def seconds(self) -> float:
        """Until no more calls are placed, inf without an end."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def in_words(self) -> str:
        """ "5 calls/s for 60 s", "10 to 200 calls/s in 30 s, then 200 calls/s"."""
        return ", then ".join(stage.in_words for stage in self.stages)

    @property
    def highest(self) -> float:
        return max(max(stage.start, stage.end) for stage in self.stages)

    def stage_at(self, elapsed: float) -> int:
        """Index of the stage, len(stages) after the last."""
        for index, stage in enumerate(self.stages):
            if elapsed < stage.seconds:
                return index
            elapsed -= stage.seconds
        return len(self.stages)

    def rate_at(self, elapsed: float) -> float:
        """Calls per second at so many seconds from the beginning; 0 after the end."""
        for stage in self.stages:
            if elapsed < stage.seconds:
                return stage.rate_at(elapsed)
            elapsed -= stage.seconds
        return 0.0


def _number(text: str, what: str, *, least: float = 0.0, most: float = MOST_RATE) -> float:
    try:
        value = float(text)
    except ValueError:
        raise PlanError(f"{what} is a number, not {text!r}.") from None
    if not (math.isfinite(value) and least <= value <= most):
        raise PlanError(f"{what} is between {least:g} and {most:g}, not {text}.")
    return value


def parse_ramp(text: str) -> Stage:
    """`FROM:TO:SECONDS` of --ramp."""
    words = text.split(":")
    if len(words) != 3:
        raise PlanError(f"--ramp takes FROM:TO:SECONDS such as 10:200:60, not {text!r}.")
    start = _number(words[0], "The rate that a ramp begins with")
    end = _number(words[1], "The rate that a ramp ends with")
    return Stage(start, end, _number(words[2], "The time of a ramp", least=0.001, most=1e7))


def parse_steps(text: str) -> tuple[Stage, ...]:
    """`RATE,RATE,…:SECONDS` of --steps: each rate for so many seconds."""
    rates, colon, seconds = text.rpartition(":")
    if not colon or not rates:
        raise PlanError(f"--steps takes RATE,RATE,...:SECONDS such as 10,50,100:30, not {text!r}.")
    each = _number(seconds, "The time of a step", least=0.001, most=1e7)
    found = [_number(word, "The rate of a step", least=0.001) for word in rates.split(",")]
    return tuple(Stage(rate, rate, each) for rate in found)


def make_plan(
    *,
    rate: float | None = None,
    ramp: str | None = None,
    steps: str | None = None,
    calls: int = 0,
    concurrent: int = 0,
    seconds: float | None = None,
) -> Plan:
    """The plan of the flags. A ramp stays at its last rate when `seconds` or `calls` go on after it.

    Without any rate: one call if nothing else is said, else as fast as `concurrent` permits.
    Raises PlanError.
    """
    given = [
        name for name, value in (("--rate", rate), ("--ramp", ramp), ("--steps", steps)) if value is not None
    ]
    if len(given) > 1:
        raise PlanError(f"{' and '.join(given)} exclude each other.")
    if calls < 0 or concurrent < 0:
        raise PlanError("--calls and --concurrent are not negative.")
    if seconds is not None and seconds <= 0:
        raise PlanError("--for is more than 0 seconds.")
    stages: Sequence[Stage]
    if ramp is not None:
        first = parse_ramp(ramp)
        rest = (seconds - first.seconds) if seconds is not None else (math.inf if calls else 0.0)
        stages = [first, Stage(first.end, first.end, rest)] if rest > 0 else [first]
    elif steps is not None:
        stages = parse_steps(steps)
    else:
        if rate is None:
            rate = 10_000.0 if concurrent else 1.0
            if not calls and seconds is None and not concurrent:
                calls = 1
        rate = _number(str(rate), "--rate", least=0.001)
        stages = [Stage(rate, rate, seconds if seconds is not None else math.inf)]
    return Plan(tuple(stages), calls, concurrent)
