"""Conditions as text: `mos < 3.9 for 3m on 2 of 3 servers`, `loss > 2 % for 5m`, `unreachable`,
`certificate < 14d`, `no data for 10m`.

    condition  = what [ "for" duration ] [ "on" quorum ]
    what       = figure operator ( number [ unit ] | "threshold" ) | "certificate" operator duration
               | "unreachable" | "no data"
    figure     = "mos" | "r_factor" | "loss" (%) | "rtt" (ms) | "jitter" (ms) | "burst_ratio"
    operator   = "<" | "<=" | ">" | ">="
    duration   = number ( "s" | "m" | "h" | "d" )
    quorum     = number [ "of" number ] ( "server" | "servers" )

`threshold` is the endpoint's own `alert_threshold`. Without `on` one server is enough; without `for` one
reading is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "FIGURES",
    "NO_DATA",
    "RANGES",
    "UNREACHABLE",
    "Condition",
    "ConditionError",
    "parse",
    "seconds_text",
]

UNREACHABLE, NO_DATA, CERTIFICATE, THRESHOLD = "unreachable", "no data", "certificate", "threshold"
#: Figures and the units in which their limits may be given.
FIGURES: Mapping[str, str] = {
    "mos": "",
    "r_factor": "",
    "loss": "%",
    "rtt": "ms",
    "jitter": "ms",
    "burst_ratio": "",
}
#: What a figure can be: a limit outside it would hold always or never.
RANGES: Mapping[str, tuple[float, float]] = {
    "mos": (1.0, 4.5),
    "r_factor": (0.0, 100.0),
    "loss": (0.0, 100.0),
}
_OPERATORS = ("<=", ">=", "<", ">")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_LONGEST = 200
_MOST_SERVERS = 1_000
_LONGEST_HOLD = 30 * 86_400.0
_TOKEN = re.compile(r"\s*(<=|>=|<|>|%|[0-9]+(?:\.[0-9]+)?|[A-Za-z_]+|\S)")


class ConditionError(ValueError):
    """A text that is no condition; the message is a sentence, ``at`` the offset of what it is about."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True, slots=True)
class Condition:
    """``what``: a figure, certificate, unreachable or no data. ``limit``: in the figure's unit, that of a
    certificate in days; None: the endpoint's threshold, or there is none. ``hold``: seconds. ``needed``
    servers, ``of`` so many."""

    what: str
    operator: str = ""
    limit: float | None = None
    hold: float = 0.0
    needed: int = 1
    of: int | None = None

    def __str__(self) -> str:
        words = [self.what]
        if self.operator:
            words.append(self.operator)
            if self.limit is None:
                words.append(THRESHOLD)
            elif self.what == CERTIFICATE:
                words.append(f"{_plain(self.limit)}d")
            else:
                words.append(_plain(self.limit))
                words += [FIGURES[self.what]] if FIGURES[self.what] else []
        if self.hold:
            words += ["for", seconds_text(self.hold)]
        if self.of is not None:
            words += ["on", str(self.needed), "of", str(self.of), "servers" if self.of > 1 else "server"]
        elif self.needed > 1:
            words += ["on", str(self.needed), "servers"]
        return " ".join(words)

    def value(self, state: str, verdict: str, figures: Mapping[str, Any]) -> float | None:
        """What a reading says of it; None: nothing. Nobody answered: the worst MOS, all lost."""
        if verdict == "invalid" or state not in ("done", "failed"):
            return None
        failed = state == "failed"
        match self.what:
            case "unreachable":
                return 1.0 if failed else 0.0
            case "no data":
                return 0.0
            case "certificate":
                shown = figures.get("certificate")
                return _number(shown.get("days_left")) if isinstance(shown, dict) else None
            case "mos":
                found = _number(figures.get("mos"))
                return 1.0 if found is None and failed else found
            case "loss":
                sent, lost = _number(figures.get("sent")), _number(figures.get("lost"))
                if sent and lost is not None:
                    return 100.0 * lost / sent
                return 100.0 if failed else None
            case "rtt" | "jitter":
                return _number(figures.get(f"{self.what}_ms"))
        return _number(figures.get(self.what))

    def holds(self, value: float | None, threshold: float | None = None) -> bool | None:
        """Whether a value fulfils it; None: it says nothing."""
        if value is None or self.what == NO_DATA:
            return None
        if self.what == UNREACHABLE:
            return value > 0
        limit = threshold if self.limit is None else self.limit
        if limit is None:
            return None
        match self.operator:
            case "<":
                return value < limit
            case "<=":
                return value <= limit
            case ">":
                return value > limit
        return value >= limit


def parse(text: str, *, bounded: bool = True) -> Condition:
    """Raises ConditionError; for a limit out of the figure's range only if ``bounded``, which one that was
    kept before there were ranges is not."""
    if len(text) > _LONGEST:
        raise ConditionError(f"A condition has at most {_LONGEST} characters.", _LONGEST)
    return _Reader(text, bounded).condition()


def seconds_text(seconds: float) -> str:
    """`90s`, `3m`, `2h`, `14d`: in the largest unit that leaves a whole number."""
    for unit, size in reversed(_UNITS.items()):
        if seconds >= size and (seconds / size).is_integer():
            return f"{int(seconds / size)}{unit}"
    return f"{_plain(seconds)}s"


class _Reader:
    def __init__(self, text: str, bounded: bool) -> None:
        self._bounded = bounded
        self._tokens = [(found.group(1), found.start(1)) for found in _TOKEN.finditer(text.rstrip())]
        self._at, self._end = 0, len(text)

    def condition(self) -> Condition:
        what, at = self._take("a figure, such as mos")
        what = what.lower()
        operator, limit = "", None
        if what == "no":
            if self._peek() != "data":
                raise ConditionError("Did you mean `no data`?", at)
            self._at += 1
            what = NO_DATA
        elif what == CERTIFICATE:
            operator, limit = self._operator(), self._duration() / _UNITS["d"]
        elif what in FIGURES:
            operator, limit = self._operator(), self._limit(what)
        elif what != UNREACHABLE:
            known = ", ".join((*FIGURES, CERTIFICATE, UNREACHABLE, NO_DATA))
            raise ConditionError(f"{what[:50]!r} is nothing that is measured. Permitted: {known}.", at)
        hold = self._hold()
        if what == NO_DATA and not hold:
            raise ConditionError("`no data` needs a time: no data for 10m.", self._end)
        needed, of = self._quorum()
        if self._at < len(self._tokens):
            word, at = self._tokens[self._at]
            raise ConditionError(f"{word[:50]!r} is not expected here.", at)
        return Condition(what, operator, limit, hold, needed, of)

    def _peek(self) -> str:
        return self._tokens[self._at][0].lower() if self._at < len(self._tokens) else ""

    def _take(self, wanted: str) -> tuple[str, int]:
        if self._at >= len(self._tokens):
            raise ConditionError(f"The condition ends where {wanted} is expected.", self._end)
        found = self._tokens[self._at]
        self._at += 1
        return found

    def _operator(self) -> str:
        word, at = self._take("<, <=, > or >=")
        if word not in _OPERATORS:
            raise ConditionError(f"{word[:50]!r} is not <, <=, > or >=.", at)
        return word

    def _number(self, wanted: str) -> float:
        word, at = self._take(wanted)
        if not word[0].isdigit() or len(word) > 12:
            raise ConditionError(f"{word[:50]!r} is not {wanted}.", at)
        return float(word)

    def _limit(self, figure: str) -> float | None:
        if figure == "mos" and self._peek() == THRESHOLD:
            self._at += 1
            return None
        at = self._tokens[self._at][1] if self._at < len(self._tokens) else self._end
        limit = self._number("a number")
        least, most = RANGES.get(figure, (0.0, float("inf")))
        if self._bounded and not least <= limit <= most:
            unit = f" {FIGURES[figure]}" if FIGURES[figure] else ""
            raise ConditionError(f"{figure} is {least:g} to {most:g}{unit}, never {limit:g}.", at)
        unit = self._peek()
        if FIGURES[figure] and unit == FIGURES[figure]:
            self._at += 1
        elif FIGURES[figure] == "ms" and unit == "s":
            self._at += 1
            limit *= 1_000
        return limit

    def _duration(self) -> float:
        at = self._tokens[self._at][1] if self._at < len(self._tokens) else self._end
        number = self._number("a time, such as 3m")
        unit, unit_at = self._take("s, m, h or d")
        if unit.lower() not in _UNITS:
            raise ConditionError(f"{unit[:50]!r} is not s, m, h or d.", unit_at)
        seconds = number * _UNITS[unit.lower()]
        if not 0 < seconds <= 100 * _LONGEST_HOLD:
            raise ConditionError("The time is zero or too long.", at)
        return seconds

    def _hold(self) -> float:
        if self._peek() != "for":
            return 0.0
        self._at += 1
        seconds = self._duration()
        if seconds > _LONGEST_HOLD:
            raise ConditionError("A condition holds for 30 days at most.", self._end)
        return seconds

    def _quorum(self) -> tuple[int, int | None]:
        if self._peek() != "on":
            return 1, None
        self._at += 1
        needed, of = self._count(), None
        if self._peek() == "of":
            self._at += 1
            of = self._count()
            if needed > of:
                raise ConditionError(f"{of} servers can't have {needed} among them.", self._end)
        word, at = self._take("servers")
        if word.lower() not in ("server", "servers"):
            raise ConditionError(f"{word[:50]!r} is not servers.", at)
        return needed, of

    def _count(self) -> int:
        word, at = self._take("a number of servers")
        if not word.isdigit() or not 1 <= int(word[:12]) <= _MOST_SERVERS:
            raise ConditionError(f"{word[:50]!r} is not a number of servers.", at)
        return int(word)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(float(number))
