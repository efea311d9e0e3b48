"""What a list consists of, and what is asked of it. Times are unix seconds (float)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import msgspec

__all__ = [
    "DEFAULT_LIMIT",
    "MOST_ROWS",
    "Compare",
    "Condition",
    "Every",
    "Kind",
    "Operator",
    "Property",
    "Query",
    "Resource",
    "Rows",
    "Scalar",
    "Some",
    "Sort",
    "operators_of",
]

MOST_ROWS = 5_000  # of one page; who asks for more is given so many
DEFAULT_LIMIT = 25

Scalar = int | float | str | bool | None


class Kind(StrEnum):
    """What a property holds. Dates count in whole seconds, however exactly they are kept."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    FLAG = "flag"
    DATE = "date"
    LABELS = "labels"  # a list of texts
    IDS = "ids"  # a list of ids of other records
    OBJECT = "object"


class Operator(StrEnum):
    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    IN = "in"
    LIKE = "like"
    NOTLIKE = "notlike"


_SAME = frozenset({Operator.EQ, Operator.NE, Operator.IN})
_ORDER = frozenset({Operator.LT, Operator.LTE, Operator.GT, Operator.GTE})
_PATTERN = frozenset({Operator.LIKE, Operator.NOTLIKE})
_OPERATORS: Mapping[Kind, frozenset[Operator]] = {
    Kind.INTEGER: _SAME | _ORDER | _PATTERN,
    Kind.NUMBER: _SAME | _ORDER,
    Kind.TEXT: _SAME | _ORDER | _PATTERN,
    Kind.FLAG: _SAME,
    Kind.DATE: _SAME | _ORDER | _PATTERN,
    Kind.LABELS: _SAME | _PATTERN,
    Kind.IDS: _SAME,
    Kind.OBJECT: frozenset(),
}


def operators_of(kind: Kind) -> frozenset[Operator]:
    """Those by which a property of this kind is filtered."""
    return _OPERATORS[kind]


class Property(msgspec.Struct, frozen=True):
    """``nullable``: it may be null. ``summed``: `group_by` adds it up. ``hidden``: shown, but neither
    filtered nor sorted."""

    name: str
    kind: Kind
    nullable: bool = False
    summed: bool = False
    hidden: bool = False
    description: str = ""

    @property
    def filterable(self) -> bool:
        return not self.hidden and bool(operators_of(self.kind))

    @property
    def orderable(self) -> bool:
        return not self.hidden and self.kind not in (Kind.LABELS, Kind.IDS, Kind.OBJECT)


@dataclass(frozen=True, eq=False)
class Resource:
    """A kind of record. ``includes``: what `include=` puts beside each row, by name. Each has an `id`."""

    name: str
    properties: tuple[Property, ...]
    includes: Mapping[str, Resource] = field(default_factory=dict)

    def __deepcopy__(self, _: object) -> Resource:
        """Itself: Litestar copies the options of its routes for each application, these with them."""
        return self

    @cached_property
    def by_name(self) -> Mapping[str, Property]:
        return {one.name: one for one in self.properties}

    @property
    def filterable(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.properties if one.filterable)

    @property
    def orderable(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.properties if one.orderable)

    @property
    def summed(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.properties if one.summed)


class Compare(msgspec.Struct, frozen=True):
    """``value``: of the kind of the property; a tuple for IN; for LIKE a pattern in which a backslash stands
    only before `%`, `_` and itself. Null equals null alone, and NE and NOTLIKE hold for null: so EQ and NE
    add up to all. Of labels and ids EQ, IN and LIKE ask whether any is so."""

    property: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]


class Every(msgspec.Struct, frozen=True):
    """All of them hold; of none: always."""

    of: tuple[Condition, ...] = ()


class Some(msgspec.Struct, frozen=True):
    """One of them holds; of none: never."""

    of: tuple[Condition, ...] = ()


Condition = Compare | Every | Some


class Sort(msgspec.Struct, frozen=True):
    """Null comes first, or last when ``descending``."""

    property: str
    descending: bool = False


class Query(msgspec.Struct, frozen=True):
    """What is asked. ``page`` from 1. ``sort``: the id decides where this leaves a tie. ``group_by``: one row
    for each of its values, with `count` and the sums; then ``sort`` may name those. ``fields``: of the
    resource and of what is included, by resource; one that is not named shows all."""

    where: Condition = Every()
    sort: Sort | None = None
    page: int = 1
    limit: int = DEFAULT_LIMIT
    group_by: str | None = None
    include: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = {}

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit


class Rows(msgspec.Struct, frozen=True):
    """One page. ``total``: of all pages, at the moment the page was read."""

    rows: list[dict[str, object]]
    total: int
