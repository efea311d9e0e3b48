"""Re-tests before an alert fires, as text: `2 every 20s; 3 every 1m on all servers`.

    levels = level { ";" level }                    at most four
    level  = times "every" duration [ "on all servers" ]

A level measures again so many times, at the servers on which the condition holds or at all that test the
endpoint. The first measurement that shows the condition no longer holds ends them, and nothing is told; the
alert fires when every level has confirmed it.
"""

from __future__ import annotations

import re

import msgspec

from callwright.alerting.condition import ConditionError, seconds_text

__all__ = ["Level", "Retest", "parse_levels", "written"]

_MOST_LEVELS, _MOST_TIMES = 4, 10
_SHORTEST, _LONGEST = 10.0, 3_600.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0}
_LEVEL = re.compile(
    r"(?P<times>\d{1,3})\s+every\s+(?P<every>\d{1,5})\s*(?P<unit>[smh])(?P<wide>\s+on\s+all\s+servers?)?",
    re.IGNORECASE,
)


class Level(msgspec.Struct, frozen=True):
    """``every``: seconds between the beginnings of two re-tests. ``wide``: at every server that tests the
    endpoint, not only at those on which the condition holds."""

    times: int
    every: float
    wide: bool = False

    def __str__(self) -> str:
        where = " on all servers" if self.wide else ""
        return f"{self.times} every {seconds_text(self.every)}{where}"


class Retest(msgspec.Struct, frozen=True):
    """What is being measured again. ``level``: its place in the rule; ``done``: re-tests of this level that
    confirmed the condition; ``slot``: unix seconds, the identity of the one that is on at ``servers``."""

    level: int
    done: int
    slot: int
    servers: tuple[int, ...]


def parse_levels(text: str) -> tuple[Level, ...]:
    """Raises ConditionError. An empty text: no re-tests."""
    if not text.strip():
        return ()
    levels: list[Level] = []
    at = 0
    for part in text.split(";"):
        here = at + len(part) - len(part.lstrip())
        at += len(part) + 1
        found = _LEVEL.fullmatch(part.strip())
        if found is None:
            raise ConditionError(
                f"{part.strip()[:50]!r} is not a level of re-tests, such as `2 every 20s on all servers`.",
                here,
            )
        level = Level(
            int(found["times"]), int(found["every"]) * _UNITS[found["unit"].lower()], bool(found["wide"])
        )
        if not 1 <= level.times <= _MOST_TIMES:
            raise ConditionError(f"A level has 1 to {_MOST_TIMES} re-tests.", here)
        if not _SHORTEST <= level.every <= _LONGEST:
            raise ConditionError("Re-tests begin between 10s and 1h after each other.", here)
        levels.append(level)
        if len(levels) > _MOST_LEVELS:
            raise ConditionError(f"At most {_MOST_LEVELS} levels of re-tests are possible.", here)
    return tuple(levels)


def written(levels: tuple[Level, ...]) -> str:
    return "; ".join(str(level) for level in levels)
