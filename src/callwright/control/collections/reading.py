"""The query of a URL to a `Query`. Everything that cannot be meant is named, all at once, in one Invalid."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from callwright.control.collections.model import (
    DEFAULT_LIMIT,
    MOST_ROWS,
    Compare,
    Condition,
    Every,
    Kind,
    Operator,
    Property,
    Query,
    Resource,
    Scalar,
    Some,
    Sort,
    operators_of,
)
from callwright.control.collections.patterns import normal
from callwright.control.errors import Invalid

__all__ = ["SPELLINGS", "read_condition", "read_ids", "read_query"]

#: How each operator may be written.
SPELLINGS: Mapping[str, Operator] = {
    **dict.fromkeys(("eq", "="), Operator.EQ),
    **dict.fromkeys(("ne", "neq", "<>", "!="), Operator.NE),
    **dict.fromkeys(("lt", "<"), Operator.LT),
    **dict.fromkeys(("lte", "<="), Operator.LTE),
    **dict.fromkeys(("gt", ">"), Operator.GT),
    **dict.fromkeys(("gte", ">="), Operator.GTE),
    "in": Operator.IN,
    "like": Operator.LIKE,
    "notlike": Operator.NOTLIKE,
}
PARAMETERS = ("page", "limit", "sort", "dir", "filter", "group_by", "include", "fields")

_MOST_CONDITIONS, _DEEPEST = 200, 8
_MOST_VALUES = 1_000  # of one `in`
_LONGEST_TEXT = 2_000
_MOST_IDS = 1_000
_MOST_PAGES = 10**9
_FIELDS = re.compile(r"fields\[([^\[\]]{1,64})\]")
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(Z|[+-]\d\d:?\d\d)?)?")
_WHOLE = re.compile(r"-?\d{1,19}")
_DECIMAL = re.compile(r"-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?")
_LEAST, _BEYOND = -(2**63), 2**63


def read_query(resource: Resource, given: Sequence[tuple[str, str]]) -> Query:
    """``given``: names and values of the URL's query, decoded. Raises Invalid."""
    return _Reader(resource).read(given)


def read_condition(resource: Resource, text: str) -> Condition:
    """A `filter` alone. Raises Invalid."""
    reader = _Reader(resource)
    found = reader.filter(text)
    reader.finish()
    return found


def read_ids(text: str) -> tuple[int, ...]:
    """`98,160`: of records. Raises Invalid."""
    parts = text.split(",")
    if len(parts) > _MOST_IDS:
        raise Invalid(f"{len(parts)} ids at once; at most {_MOST_IDS:,} are permitted.", field="id")
    wrong = [part for part in parts if not (part.isascii() and part.isdigit() and len(part) < 19)]
    if wrong:
        raise Invalid(f"{wrong[0][:80]!r} is not an id.", "Ids are whole numbers with commas.", field="id")
    return tuple(dict.fromkeys(int(part) for part in parts))


class _Wrong(Exception):
    """A value of another type; the text says what is permitted."""


class _Reader:
    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._errors: list[dict[str, Any]] = []
        self._conditions = 0

    def finish(self) -> None:
        if self._errors:
            first = str(self._errors[0]["message"])
            more = f" (and {len(self._errors) - 1} more)" if len(self._errors) > 1 else ""
            raise Invalid(f"{first}{more}", errors=self._errors[:50])

    def _wrong(self, field: str, message: str) -> None:
        self._errors.append({"field": field[:200], "message": message})

    def read(self, given: Sequence[tuple[str, str]]) -> Query:
        values: dict[str, str] = {}
        fields: dict[str, tuple[str, ...]] = {}
        for name, value in given:
            of = _FIELDS.fullmatch(name)
            if of is not None or name == "fields":
                key = of[1] if of is not None else self._resource.name
                if key in fields:
                    self._wrong(name, f"{name[:80]} is given twice.")
                fields[key] = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
            elif name not in PARAMETERS:
                self._wrong(
                    name, f"{name[:80]!r} is not a parameter here. Permitted: {', '.join(PARAMETERS)}."
                )
            elif name in values:
                self._wrong(name, f"{name} is given twice.")
            else:
                values[name] = value
        page = self._count(values, "page", 1, _MOST_PAGES)
        limit = self._count(values, "limit", DEFAULT_LIMIT, None)
        group_by = values.get("group_by") or None
        if group_by is not None and self._orderable(group_by, "group_by", "grouped") is None:
            group_by = None
        sort = self._sort(values, group_by)
        where = self.filter(values.get("filter", ""))
        include = self._include(values.get("include", ""))
        self._fields(fields, include)
        self.finish()
        return Query(where, sort, page, min(limit, MOST_ROWS), group_by, include, fields)

    def _count(self, values: Mapping[str, str], name: str, default: int, most: int | None) -> int:
        text = values.get(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 18) or int(text) < 1:
            self._wrong(name, f"{name} must be a whole number from 1, not {text[:40]!r}.")
            return default
        found = int(text)
        if most is not None and found > most:
            self._wrong(name, f"{name} is at most {most:,}.")
            return default
        return found

    def _orderable(self, name: str, field: str, verb: str) -> Property | None:
        found = self._resource.by_name.get(name)
        if found is None or not found.orderable:
            permitted = ", ".join(self._resource.orderable)
            what = "not a property" if found is None else f"not a property that can be {verb}"
            self._wrong(field, f"{name[:80]!r} is {what} of {self._resource.name}. Permitted: {permitted}.")
            return None
        return found

    def _sort(self, values: Mapping[str, str], group_by: str | None) -> Sort | None:
        name = values.get("sort") or group_by or "id"
        direction = values.get("dir", "ASC").upper() or "ASC"
        if direction not in ("ASC", "DESC"):
            self._wrong("dir", f"dir must be ASC or DESC, not {values['dir'][:40]!r}.")
        if group_by is not None:
            permitted = (group_by, "count", *self._resource.summed)
            if name not in permitted:
                self._wrong(
                    "sort", f"Groups are not sorted by {name[:80]!r}. Permitted: {', '.join(permitted)}."
                )
                return None
        elif self._orderable(name, "sort", "sorted by") is None:
            return None
        return Sort(name, direction == "DESC")

    def _include(self, text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        for name in names:
            if name not in self._resource.includes:
                permitted = ", ".join(self._resource.includes) or "nothing"
                what = f"{self._resource.name} include no {name[:80]!r}"
                self._wrong("include", f"{what}. Permitted: {permitted}.")
        return names

    def _fields(self, fields: Mapping[str, Sequence[str]], include: Sequence[str]) -> None:
        for of, names in fields.items():
            known = self._resource if of == self._resource.name else self._resource.includes.get(of)
            if known is None or (known is not self._resource and of not in include):
                self._wrong(f"fields[{of}]", f"{of[:80]!r} is not included here.")
                continue
            for name in names:
                if name not in known.by_name:
                    permitted = ", ".join(known.by_name)
                    self._wrong(
                        f"fields[{of}]", f"{name[:80]!r} is not a property of {of}. Permitted: {permitted}."
                    )

    # -- filter

    def filter(self, text: str) -> Condition:
        if not text:
            return Every()
        try:
            decoded = msgspec.json.decode(text.encode())
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            self._wrong("filter", f"filter is not JSON: {error}.")
            return Every()
        if isinstance(decoded, dict):
            decoded = [decoded]
        if not isinstance(decoded, list):
            self._wrong("filter", "filter must be a JSON list of conditions.")
            return Every()
        return Every(self._conditions_of(decoded, "filter", 1))

    def _conditions_of(self, entries: list[Any], where: str, depth: int) -> tuple[Condition, ...]:
        if depth > _DEEPEST:
            self._wrong(where, f"Conditions are nested deeper than {_DEEPEST} levels.")
            return ()
        found = []
        for number, entry in enumerate(entries):
            self._conditions += 1
            if self._conditions > _MOST_CONDITIONS:
                if self._conditions == _MOST_CONDITIONS + 1:
                    self._wrong(where, f"filter has more than {_MOST_CONDITIONS} conditions.")
                break
            one = self._condition(entry, f"{where}[{number}]", depth)
            if one is not None:
                found.append(one)
        return tuple(found)

    def _condition(self, entry: Any, where: str, depth: int) -> Condition | None:
        if not isinstance(entry, dict):
            self._wrong(where, 'A condition is an object: {"property": …, "operator": …, "value": …}.')
            return None
        if len(entry) == 1:
            ((key, inner),) = entry.items()
            if key in ("or", "and"):
                if not isinstance(inner, list):
                    self._wrong(where, f"{key!r} takes a list of conditions.")
                    return None
                of = self._conditions_of(inner, f"{where}.{key}", depth + 1)
                return Some(of) if key == "or" else Every(of)
        missing = [name for name in ("property", "operator", "value") if name not in entry]
        unknown = [name for name in entry if name not in ("property", "operator", "value")]
        if missing or unknown:
            what = f"has no {missing[0]!r}" if missing else f"takes no {unknown[0][:80]!r}"
            self._wrong(where, f"The condition {what}; it has property, operator and value.")
            return None
        return self._compare(entry["property"], entry["operator"], entry["value"], where)

    def _compare(self, name: Any, spelling: Any, value: Any, where: str) -> Condition | None:
        known = self._resource.by_name.get(name) if isinstance(name, str) else None
        if known is None or not known.filterable:
            permitted = ", ".join(self._resource.filterable)
            shown = str(name)[:80]
            what = f"{self._resource.name} have no property {shown!r}"
            if known is not None:
                what = f"{self._resource.name} cannot be filtered by {shown!r}"
            self._wrong(shown or where, f"{what}. Permitted: {permitted}.")
            return None
        operator = SPELLINGS.get(spelling.lower()) if isinstance(spelling, str) else None
        if operator is None:
            shown = str(spelling)[:80]
            permitted = ", ".join(SPELLINGS)
            self._wrong(known.name, f"{shown!r} is not an operator. Permitted: {permitted}.")
            return None
        if operator not in operators_of(known.kind):
            self._wrong(known.name, f"{known.name} cannot be compared by {spelling!r}: it is a {known.kind}.")
            return None
        try:
            return Compare(known.name, operator, _value(known, operator, value))
        except _Wrong as error:
            self._wrong(known.name, f"{known.name}: {error}")
            return None


def _value(known: Property, operator: Operator, value: Any) -> Scalar | tuple[Scalar, ...]:
    if operator is Operator.IN:
        if not isinstance(value, list):
            raise _Wrong(f'in takes a list, such as ["foo", "bar"], not {_shown(value)}.')
        if len(value) > _MOST_VALUES:
            raise _Wrong(f"{len(value):,} values; at most {_MOST_VALUES:,} are permitted.")
        return tuple(dict.fromkeys(None if one is None else _scalar(known.kind, one) for one in value))
    if operator in (Operator.LIKE, Operator.NOTLIKE):
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return normal(_text(value))
    if value is None and operator in (Operator.EQ, Operator.NE):
        return None
    return _scalar(known.kind, value)


def _scalar(kind: Kind, value: Any) -> Scalar:
    match kind:
        case Kind.INTEGER | Kind.IDS:
            return _whole(value)
        case Kind.NUMBER:
            return _number(value)
        case Kind.FLAG:
            if value not in (True, False) or not isinstance(value, bool | int):
                raise _Wrong(f"true or false is wanted, not {_shown(value)}.")
            return bool(value)
        case Kind.DATE:
            return _date(value)
        case _:
            # The original keeps some ids as texts, and its programs compare those with numbers.
            return _text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"a text is wanted, not {_shown(value)}.")
    if len(value) > _LONGEST_TEXT:
        raise _Wrong(f"a text of at most {_LONGEST_TEXT:,} characters is wanted; this has {len(value):,}.")
    if "\0" in value:
        raise _Wrong("the text contains a NUL character.")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value) and value.isascii():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong(f"a whole number is wanted, not {_shown(value)}.")
    if not _LEAST <= value < _BEYOND:
        raise _Wrong(f"{value} is beyond 64 bits.")
    return value


def _number(value: Any) -> float:
    if isinstance(value, str) and _DECIMAL.fullmatch(value) and value.isascii():
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong(f"a number is wanted, not {_shown(value)}.")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise _Wrong("the number is too large.")
    return found


def _date(value: Any) -> float:
    if isinstance(value, str) and value.isascii() and (parts := _DATE.fullmatch(value)) is not None:
        day, clock, zone = parts.groups()
        try:
            found = datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone or ''}")
            return float(math.floor(found.replace(tzinfo=found.tzinfo or UTC).timestamp()))
        except (ValueError, OverflowError):
            pass
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11:
        return float(math.floor(value))
    raise _Wrong(f"a date is wanted, YYYY-MM-DD HH:MM:SS or unix seconds, not {_shown(value)}.")


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:80]
