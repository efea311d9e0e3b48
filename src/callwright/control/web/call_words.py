"""Calls that are over as people read them: sentences, results, charts. Pure; rows as the API has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from callwright.control.cdrs.causes import CAUSES
from callwright.control.web.board_figures import counted, party

__all__ = [
    "RESULTS",
    "Bar",
    "DayChart",
    "Stretch",
    "bars",
    "cause",
    "date_of",
    "day_chart",
    "duration",
    "headline",
    "leg",
    "result",
    "said",
    "stretches",
    "today",
]

Row = Mapping[str, Any]

#: Disposition to its words.
RESULTS: Mapping[str, str] = {
    "ANSWERED": "answered",
    "NO ANSWER": "not answered",
    "BUSY": "busy",
    "FAILED": "failed",
}
_LEGS = {"O": "out", "I": "in", "M": "missed"}
_FOLD_FROM, _FOLD_KEEPS = 5, 2  # calls in a row with one cause; how many of them stay
_DAY = 86_400
_HEIGHT = 78.0  # of the part above the line, of 100


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows that follow one another; ``folded``: the rest of many that failed alike, with ``says`` for all."""

    rows: tuple[Row, ...]
    folded: bool = False
    says: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One value of the chart's property. ``share``: percent of the largest."""

    words: str
    href: str
    count: int
    talked: int
    share: float


@dataclass(frozen=True, slots=True)
class Column:
    """One day; what is drawn in a box of 1000 by 100, from the left: (y, height) of each part."""

    x: float
    width: float
    answered: tuple[float, float]
    other: tuple[float, float]
    failed: tuple[float, float]
    says: str
    href: str


@dataclass(frozen=True, slots=True)
class DayChart:
    """``most``: calls of the highest day above the line, ``top``: where it ends, percent from above."""

    columns: tuple[Column, ...]
    most: int
    top: float
    ticks: tuple[tuple[float, str], ...]
    says: str


def headline(by_disposition: Mapping[str, int], unit: str, *, filtered: bool = True) -> str:
    """ "12 calls: 9 answered, 2 busy, 1 failed". ``filtered``: there may be others."""
    total = sum(by_disposition.values())
    if not total:
        return f"No {unit} matches" if filtered else f"No {unit} yet"
    known = [(by_disposition.get(key, 0), words) for key, words in RESULTS.items()]
    known += [(number, key.lower()) for key, number in by_disposition.items() if key not in RESULTS]
    there = [(number, words) for number, words in known if number]
    calls = counted(total, unit)
    if len(there) == 1:
        return f"{calls}, {'all ' if total > 1 else ''}{there[0][1]}"
    return f"{calls}: {', '.join(f'{number:,} {words}' for number, words in there)}"


def result(row: Row) -> str:
    """ "Failed: Not Found"."""
    word = RESULTS.get(row["disposition"], str(row["disposition"])).capitalize()
    return f"{word}: {row['info']}" if row["disposition"] == "FAILED" and row["info"] else word


def cause(number: int) -> str:
    """ "17, user busy"."""
    return f"{number}, {CAUSES[number]}" if number in CAUSES else str(number)


def leg(kind: str) -> str:
    return _LEGS.get(kind, kind)


def stretches(rows: Sequence[Row]) -> list[Stretch]:
    """The rows with long runs of the same failure folded."""
    found: list[Stretch] = []
    for (disposition, info), alike in groupby(rows, key=lambda row: (row["disposition"], row["info"])):
        part = tuple(alike)
        if disposition == "ANSWERED" or len(part) < _FOLD_FROM:
            found.append(Stretch(part))
            continue
        kept, folded = part[:_FOLD_KEEPS], part[_FOLD_KEEPS:]
        numbers = {row["dst"] for row in folded}
        to = f", all to {numbers.pop()}" if len(numbers) == 1 else ""
        word = RESULTS.get(disposition, disposition.lower())
        says = f"{counted(len(folded), 'more call')} {word}{f' ({info})' if info else ''}{to}"
        found += [Stretch(kept), Stretch(folded, True, says)]
    return found


def bars(
    groups: Sequence[Row], name: str, words: Callable[[Any], str], href: Callable[[Any], str]
) -> list[Bar]:
    most = max((int(row["count"]) for row in groups), default=0)
    return [
        Bar(
            words(row[name]),
            href(row[name]),
            int(row["count"]),
            int(row.get("billsec") or 0),
            100 * row["count"] / most,
        )
        for row in groups
    ]


def day_chart(
    tally: Sequence[tuple[int, str, int]], first: int, last: int, href: Callable[[str, str], str]
) -> DayChart | None:
    """Calls per day by disposition, failed ones below the line in the same scale; None without any.

    ``first``, ``last``: days from 1970; ``href``: of the list between two dates.
    """
    days: dict[int, dict[str, int]] = {}
    for day, disposition, count in tally:
        days.setdefault(day, {})[disposition] = count
    if not days:
        return None
    up = max(sum(n for word, n in day.items() if word != "FAILED") for day in days.values())
    down = max(day.get("FAILED", 0) for day in days.values())
    most = max(up, 1)
    scale = min(_HEIGHT / most, (100 - _HEIGHT - 1.5) / down if down else _HEIGHT / most)
    step = 1000 / (last - first + 1)
    columns = []
    for day in range(first, last + 1):
        there = days.get(day, {})
        answered, failed = there.get("ANSWERED", 0), there.get("FAILED", 0)
        other = sum(there.values()) - answered - failed
        date = _date(day)
        parts = ((answered, "answered"), (other, "busy or not answered"), (failed, "failed"))
        told = [f"{number:,} {word}" for number, word in parts if number]
        columns.append(
            Column(
                (day - first) * step + step * 0.06,
                step * 0.88,
                (_HEIGHT - answered * scale, answered * scale),
                (_HEIGHT - (answered + other) * scale, other * scale),
                (_HEIGHT + 1.5, failed * scale),
                f"{date:%-d %b}: {', '.join(told) or 'no call'}",
                href(f"{date:%Y-%m-%d}", f"{_date(day + 1):%Y-%m-%d}"),
            )
        )
    total = sum(sum(day.values()) for day in days.values())
    lost = sum(day.get("FAILED", 0) for day in days.values())
    says = f"{counted(total, 'call')} from {_date(first):%-d %b} to {_date(last):%-d %b}, {lost:,} failed"
    ticks = [(step * (n + 0.5) / 10, f"{_date(first + n):%-d %b}") for n in _ticked(last - first)]
    return DayChart(tuple(columns), up, _HEIGHT - up * scale, tuple(ticks), says)


def said(row: Row) -> str:
    """One call in one sentence."""
    caller, callee = party(row["src"], row["src_name"]).words, party(row["dst"], row["dst_name"]).words
    match row["disposition"]:
        case "ANSWERED":
            return f"{caller} talked with {callee} for {duration(row['billsec'])}."
        case "BUSY":
            return f"{caller} called {callee}, who was busy or declined."
        case "NO ANSWER":
            return f"{caller} called {callee} for {duration(row['duration'])}, and nobody answered."
    why = f": {row['info']}" if row["info"] else ""
    return f"{caller} called {callee}, and the call failed{why}."


def duration(seconds: int) -> str:
    """ "12 s", "4:12 min", "1:02:03 h"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, of_hour = divmod(minutes, 60)
    if hours:
        return f"{hours}:{of_hour:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


def today(now: float) -> int:
    """Days from 1970."""
    return int(now // _DAY)


def date_of(day: int) -> str:
    return f"{_date(day):%Y-%m-%d}"


def _date(day: int) -> datetime:
    return datetime.fromtimestamp(day * _DAY, UTC)


def _ticked(last: int) -> list[int]:
    """At most five days on the axis, the first and the last among them."""
    steps = min(4, last)
    return sorted({round(last * n / steps) for n in range(steps + 1)}) if steps else [0]
