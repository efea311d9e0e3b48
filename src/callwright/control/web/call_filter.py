"""What is asked of the call history, in its address and as chips: the API's own `filter`, in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import msgspec

from callwright.control.cdrs.model import CDRS
from callwright.control.collections.model import (
    Compare,
    Condition,
    Every,
    Kind,
    Operator,
    Property,
    Some,
    Sort,
    operators_of,
)
from callwright.control.collections.reading import SPELLINGS, read_condition
from callwright.control.errors import Invalid

__all__ = [
    "GROUPS",
    "OPERATORS",
    "Asked",
    "Chip",
    "after_row",
    "chips",
    "condition_of",
    "named",
    "properties",
    "spans",
]

#: What the chart may count by; "day" is the page's own, all others are properties.
GROUPS: Mapping[str, str] = {
    "day": "day",
    "disposition": "result",
    "user_id": "user",
    "dst": "number reached",
    "src": "number calling",
    "t_cause": "cause",
    "src_codec": "codec",
    "type": "leg",
}
#: As the form offers them, with how the API spells them; the last two compare with null.
OPERATORS: Mapping[str, str] = {
    "=": "is",
    "<>": "is not",
    "in": "is one of",
    "like": "contains",
    "notlike": "does not contain",
    ">=": "is at least",
    ">": "is above, or after",
    "<=": "is at most",
    "<": "is below, or before",
    "known": "is known",
    "unknown": "is not known",
}
_NAMES: Mapping[str, str] = {
    "calldate": "Time",
    "disposition": "Result",
    "src": "Number calling",
    "src_name": "Name calling",
    "dst": "Number reached",
    "dst_name": "Name reached",
    "destination": "Number dialled",
    "billsec": "Talked, s",
    "duration": "Duration, s",
    "pdd": "Time to ring, s",
    "type": "Leg",
    "t_cause": "Cause (Q.850)",
    "info": "Reason",
    "mos": "MOS",
    "loss": "Loss",
    "jitter": "Jitter",
    "labels": "Label",
    "src_codec": "Codec of the caller",
    "dst_codec": "Codec of the callee",
    "src_ua": "Phone of the caller",
    "dst_ua": "Phone of the callee",
    "call_id": "Call-ID",
}
_SORT = "calldate"

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """``entries``: of the API's `filter`, each as it was written."""

    entries: tuple[Entry, ...] = ()
    sort: str = _SORT
    descending: bool = True
    group_by: str = "day"

    @classmethod
    def read(cls, given: Mapping[str, str], usual: Sequence[Entry] = ()) -> Asked:
        """Of an address; ``usual``: the filter of one that has none. Raises Invalid."""
        text = given.get("filter", "")
        if text:
            read_condition(CDRS, text)
            decoded = msgspec.json.decode(text.encode())
            entries = tuple(decoded if isinstance(decoded, list) else [decoded])
        else:
            entries = tuple(usual)
        sort, group_by = given.get("sort") or _SORT, given.get("group_by") or "day"
        if sort not in CDRS.orderable:
            raise Invalid(f"Calls are not sorted by {sort[:80]!r}.", "Choose a column of the table.")
        if group_by not in GROUPS:
            permitted = ", ".join(GROUPS)
            raise Invalid(f"The chart does not count by {group_by[:80]!r}.", f"It counts by {permitted}.")
        return cls(entries, sort, given.get("dir", "DESC").upper() != "ASC", group_by)

    @property
    def filter(self) -> str:
        return msgspec.json.encode(self.entries).decode()

    @property
    def query(self) -> str:
        """What stands behind the question mark, always written alike."""
        asked = {"filter": self.filter}
        if (self.sort, self.descending) != (_SORT, True):
            asked |= {"sort": self.sort, "dir": "DESC" if self.descending else "ASC"}
        if self.group_by != "day":
            asked["group_by"] = self.group_by
        return urlencode(asked)

    @property
    def address(self) -> str:
        return f"/calls?{self.query}"

    @property
    def condition(self) -> Condition:
        return read_condition(CDRS, self.filter)

    @property
    def order(self) -> Sort:
        return Sort(self.sort, self.descending)

    @property
    def of_api(self) -> str:
        """The same list as a request of the API, to be read and copied; curl encodes it."""
        group = f"&group_by={self.group_by}" if self.group_by in CDRS.by_name else ""
        order = f"&sort={self.sort}&dir={'DESC' if self.descending else 'ASC'}"
        return f"GET /v1.2/voipstudio/cdrs?filter={self.filter}" + (group or order)

    def sorted_by(self, name: str) -> Asked:
        """By that column; by the same one again the other way round."""
        return replace(self, sort=name, descending=not self.descending if name == self.sort else True)

    def with_entry(self, entry: Entry, *, joined: bool = False) -> Asked:
        """``joined``: the last entry or this one."""
        if not joined or not self.entries:
            return self if entry in self.entries else replace(self, entries=(*self.entries, entry))
        *rest, last = self.entries
        before = last["or"] if isinstance(last.get("or"), list) else [last]
        return replace(self, entries=(*rest, {"or": [*before, entry]}))

    def without(self, number: int, part: int | None = None) -> Asked:
        """Without an entry, or one part of an `or`."""
        entry = self.entries[number]
        left: tuple[Entry, ...] = ()
        if part is not None:
            parts = [one for n, one in enumerate(entry["or"]) if n != part]
            left = tuple(parts) if len(parts) == 1 else ({"or": parts},)
        return replace(self, entries=(*self.entries[:number], *left, *self.entries[number + 1 :]))

    def in_time(self, since: str, until: str) -> Asked:
        """At that time and no other; dates as the API writes them."""
        kept = [entry for entry in self.entries if entry.get("property") != "calldate"]
        between = [_entry("calldate", ">=", since), _entry("calldate", "<", until)]
        return replace(self, entries=(*kept, *between))


@dataclass(frozen=True, slots=True)
class Chip:
    """``parts``: of an `or`, each with its own address; ``href``: the list without it."""

    text: str
    href: str
    parts: tuple[Chip, ...] = ()


def chips(asked: Asked) -> list[Chip]:
    found = []
    for number, entry in enumerate(asked.entries):
        parts: tuple[Chip, ...] = ()
        if isinstance(entry.get("or"), list) and len(entry["or"]) > 1:
            parts = tuple(
                Chip(named(part), asked.without(number, n).address) for n, part in enumerate(entry["or"])
            )
        found.append(Chip(named(entry), asked.without(number).address, parts))
    return found


def named(entry: Entry) -> str:
    """As a chip says it, in the words of the API."""
    for key in ("or", "and"):
        if isinstance(entry.get(key), list):
            parts = f" {key} ".join(named(one) for one in entry[key])
            return f"({parts})" if parts else f"{key} of nothing"
    value = entry["value"]
    shown = ", ".join(map(_shown, value)) if isinstance(value, list) else _shown(value)
    return f"{entry['property']} {entry['operator']} {shown}"


def condition_of(name: str, operator: str, text: str) -> Entry:
    """An entry from what was typed into the form. Raises Invalid."""
    if operator in ("known", "unknown"):
        entry = _entry(name, "<>" if operator == "known" else "=", None)
    elif operator == "in":
        values = [_typed(name, part.strip()) for part in text.split(",") if part.strip()]
        entry = _entry(name, "in", values)
    else:
        entry = _entry(name, operator, _typed(name, text.strip()))
    if operator not in ("known", "unknown") and not text.strip():
        raise Invalid("The filter has no value.", "Write one, or choose “is not known”.", field="value")
    read_condition(CDRS, msgspec.json.encode([entry]).decode())
    return entry


def properties() -> list[tuple[str, str, str]]:
    """(name, words, operators with blanks) of all that can be asked for; those that people ask for first."""
    order = [*_NAMES, *(name for name in CDRS.filterable if name not in _NAMES)]
    return [(name, _NAMES.get(name, name), " ".join(_permitted(CDRS.by_name[name]))) for name in order]


def spans(asked: Asked) -> tuple[float | None, float | None]:
    """From when, until when; unix seconds, None: open. Only what holds for every call counts."""
    since, until = None, None
    condition = asked.condition
    for one in condition.of if isinstance(condition, Every) else ():
        if not isinstance(one, Compare) or one.property != "calldate" or not isinstance(one.value, float):
            continue
        if one.operator in (Operator.GT, Operator.GTE, Operator.EQ):
            since = max(one.value, since or one.value)
        if one.operator in (Operator.LT, Operator.LTE, Operator.EQ):
            until = min(one.value, until or one.value)
    return since, until


def after_row(order: Sort, row: Mapping[str, Any]) -> Condition:
    """What comes after that row in a list of this order: so a new call moves no page."""
    value, number, down = row[order.property], row["id"], order.descending
    beyond = Compare("id", Operator.LT if down else Operator.GT, number)
    if order.property == "id":
        return beyond
    known = CDRS.by_name[order.property]
    null = Compare(order.property, Operator.EQ, None)
    if value is None:  # null is last when descending, else first
        tied = Every((null, beyond))
        return tied if down else Some((tied, Compare(order.property, Operator.NE, None)))
    if known.kind is Kind.DATE:  # EQ is true of the whole second
        following = math.nextafter(value, math.inf)
        at_least, less = Compare(known.name, Operator.GTE, value), Compare(known.name, Operator.LT, following)
        tied = Every((at_least, less, beyond))
        further = (
            Compare(known.name, Operator.LT, value)
            if down
            else msgspec.structs.replace(at_least, value=following)
        )
    else:
        tied = Every((Compare(known.name, Operator.EQ, value), beyond))
        further = Compare(known.name, Operator.LT if down else Operator.GT, value)
    return Some((further, tied, *([null] if known.nullable and down else [])))


# -- inside


def _entry(name: str, operator: str, value: Any) -> Entry:
    return {"property": name, "operator": operator, "value": value}


def _permitted(known: Property) -> list[str]:
    there = operators_of(known.kind)
    words = [word for word in OPERATORS if word in SPELLINGS and SPELLINGS[word] in there]
    return words + (["known", "unknown"] if known.nullable else [])


def _typed(name: str, text: str) -> Any:
    """Numbers as numbers, so that the filter reads as a program would write it."""
    known = CDRS.by_name.get(name)
    if known is None or known.kind not in (Kind.INTEGER, Kind.NUMBER):
        return text
    try:
        found = float(text)
    except ValueError:
        return text
    if not math.isfinite(found) or abs(found) >= 2**53:
        return text
    return int(found) if found.is_integer() else found


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else "''" if value == "" else str(value)
