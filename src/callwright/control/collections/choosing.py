"""The answer to a question about rows that are in no database, such as calls that are up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from callwright.control.collections.model import (
    Compare,
    Condition,
    Every,
    Kind,
    Operator,
    Query,
    Resource,
    Rows,
    Some,
    Sort,
)
from callwright.control.collections.patterns import fold, matcher

__all__ = ["chosen"]

Row = dict[str, Any]


def chosen(resource: Resource, rows: Sequence[Row], query: Query) -> Rows:
    """The page and the total. A row has every property of the resource."""
    found = [row for row in rows if _holds(resource, row, query.where)]
    if query.group_by is not None:
        found = _groups(resource, found, query.group_by)
        tie = query.group_by
    else:
        tie = "id"
    sort = query.sort or Sort(tie)
    found.sort(key=lambda row: (_rank(row[sort.property]), _rank(row[tie])), reverse=sort.descending)
    return Rows(found[query.offset : query.offset + query.limit], len(found))


def _holds(resource: Resource, row: Row, where: Condition) -> bool:
    if isinstance(where, Every):
        return all(_holds(resource, row, one) for one in where.of)
    if isinstance(where, Some):
        return any(_holds(resource, row, one) for one in where.of)
    kind = resource.by_name[where.property].kind
    value, operator = row[where.property], where.operator
    if operator in (Operator.NE, Operator.NOTLIKE):
        positive = Operator.EQ if operator is Operator.NE else Operator.LIKE
        return not _holds(resource, row, Compare(where.property, positive, where.value))
    if kind in (Kind.LABELS, Kind.IDS):
        return any(_fits(one, Kind.TEXT, operator, where.value) for one in value)
    return _fits(value, kind, operator, where.value)


def _fits(value: Any, kind: Kind, operator: Operator, wanted: Any) -> bool:
    if kind is Kind.DATE and value is not None:
        value = math.floor(value)
    if operator is Operator.IN:
        return value in wanted
    if operator is Operator.EQ:
        return bool(value == wanted)
    if value is None:
        return False
    if operator is Operator.LIKE:
        shown = str(value)
        if kind is Kind.DATE:
            shown = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return matcher(wanted).fullmatch(fold(shown)) is not None
    compared: dict[Operator, Callable[[Any, Any], bool]] = {
        Operator.LT: lambda a, b: a < b,
        Operator.LTE: lambda a, b: a <= b,
        Operator.GT: lambda a, b: a > b,
        Operator.GTE: lambda a, b: a >= b,
    }
    return compared[operator](value, wanted)


def _rank(value: Any) -> tuple[bool, Any]:
    return (value is not None, 0 if value is None else value)


def _groups(resource: Resource, rows: list[Row], name: str) -> list[Row]:
    kind = resource.by_name[name].kind
    found: dict[Any, Row] = {}
    for row in rows:
        value = row[name]
        if kind is Kind.DATE and value is not None:
            value = math.floor(value)
        sums = {one: 0 for one in resource.summed if one != name}
        group = found.setdefault(value, {name: value, "count": 0, **sums})
        group["count"] += 1
        for one in sums:
            group[one] += row[one] or 0
    return list(found.values())
