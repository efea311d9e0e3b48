"""Pages, filters and groups of any table, as statements with bound parameters only.

Statements are built and compiled once for each shape of a question: its values are parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    cast,
    collate,
    exists,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    type_coerce,
)

from callwright.control.collections.model import (
    Compare,
    Condition,
    Every,
    Kind,
    Operator,
    Property,
    Query,
    Resource,
    Rows,
    Sort,
)
from callwright.control.collections.patterns import fold
from callwright.control.storage.sql.database import DialectName, Executor, Statement, param

__all__ = ["Binding", "days_of", "matching", "rows_after", "rows_of"]

_Column = ColumnElement[Any]
_Truth = ColumnElement[bool]
_COUNT = "count"


@dataclass(frozen=True, eq=False)
class Binding:
    """Where the properties of a resource are. ``source``: the table, or what is joined; ``columns``: by
    property; ``scope``: what a row must be besides, from parameters of its own."""

    resource: Resource
    source: FromClause
    columns: Mapping[str, _Column]
    scope: tuple[_Truth, ...] = ()
    decode: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Slot:
    """A comparison without its values: ``names`` of its parameters, and whether null is among them."""

    property: str
    operator: Operator
    names: tuple[str, ...]
    null: bool = False


@dataclass(frozen=True)
class _Group:
    """Of slots and groups; ``every`` of them holds, or some."""

    every: bool
    of: tuple[Any, ...]


async def rows_of(
    executor: Executor, binding: Binding, query: Query, scope: Mapping[str, Any] | None = None
) -> Rows:
    """One page with its total, both of one moment. ``scope``: the parameters of the binding's own."""
    values: dict[str, Any] = dict(scope or {})
    shape = _shape(binding.resource, query.where, values)
    values |= {"limit": query.limit, "offset": query.offset}
    names = _names(binding.resource, query)
    found = await executor.all(_as_is, _page(binding, shape, query.group_by, query.sort, names), values)
    if found:
        total = int(found[0][-1])
    else:
        total = int(await executor.value(_total(binding, shape, query.group_by), values))
    return Rows(_decoded(binding, names, found), total)


def _decoded(
    binding: Binding, names: tuple[str, ...], found: list[tuple[Any, ...]]
) -> list[dict[str, object]]:
    decoders = [binding.decode.get(name) for name in names]
    return [
        {
            name: value if decode is None else decode(value)
            for name, decode, value in zip(names, decoders, row, strict=False)
        }
        for row in found
    ]


async def rows_after(
    executor: Executor,
    binding: Binding,
    where: Condition,
    after: int,
    limit: int,
    scope: Mapping[str, Any] | None = None,
) -> list[dict[str, object]]:
    """The next rows by their ids, behind the id ``after``, and without a total: for who reads them all."""
    wanted = Every((where, Compare("id", Operator.GT, after)))
    values: dict[str, Any] = dict(scope or {})
    shape = _shape(binding.resource, wanted, values)
    values |= {"limit": limit, "offset": 0}
    names = tuple(binding.resource.by_name)
    statement = _page(binding, shape, None, Sort("id"), names, counted=False)
    return _decoded(binding, names, await executor.all(_as_is, statement, values))


async def days_of(
    executor: Executor,
    binding: Binding,
    where: Condition,
    date: str,
    by: str,
    scope: Mapping[str, Any] | None = None,
) -> list[tuple[int, Any, int]]:
    """(day, value of ``by``, rows) of what matches; days count from 1970 in UTC."""
    values: dict[str, Any] = dict(scope or {})
    shape = _shape(binding.resource, where, values)
    return await executor.all(_as_is, _days(binding, shape, date, by), values)


def matching(binding: Binding, where: Condition, dialect: DialectName) -> tuple[_Truth, dict[str, Any]]:
    """The condition alone, with its parameters, for a statement of somebody else's."""
    values: dict[str, Any] = {}
    shape = _shape(binding.resource, where, values)
    return and_(true(), *binding.scope, _truth(binding, shape, dialect)), values


def _as_is(*columns: Any) -> tuple[Any, ...]:
    return columns


def _names(resource: Resource, query: Query) -> tuple[str, ...]:
    if query.group_by is not None:
        return (query.group_by, _COUNT, *(name for name in resource.summed if name != query.group_by))
    return tuple(resource.by_name)


# -- the shape of a question


def _shape(resource: Resource, where: Condition, values: dict[str, Any]) -> Any:
    if isinstance(where, Compare):
        return _slot(resource.by_name[where.property], where, values)
    return _Group(isinstance(where, Every), tuple(_shape(resource, one, values) for one in where.of))


def _slot(known: Property, compare: Compare, values: dict[str, Any]) -> _Slot:
    given = compare.value if isinstance(compare.value, tuple) else (compare.value,)
    kept = [_kept(compare.operator, value) for value in given if value is not None]
    if kept and compare.operator is Operator.IN:  # few shapes for any number of values
        kept += [kept[-1]] * ((1 << (len(kept) - 1).bit_length()) - len(kept))
    names = []
    for value in kept:
        names.append(f"f{len(values)}")
        values[names[-1]] = value
        if known.kind is Kind.DATE and isinstance(value, float):
            values[f"{names[-1]}_end"] = value + 1.0
    return _Slot(known.name, compare.operator, tuple(names), None in given)


def _kept(operator: Operator, value: Any) -> Any:
    if operator in (Operator.LIKE, Operator.NOTLIKE):
        return fold(value)
    return int(value) if isinstance(value, bool) else value


# -- statements


@lru_cache(maxsize=512)
def _page(
    binding: Binding,
    shape: Any,
    group_by: str | None,
    sort: Sort | None,
    names: tuple[str, ...],
    counted: bool = True,
) -> Statement:
    def build(dialect: DialectName) -> Select[Any]:
        where = [*binding.scope, _truth(binding, shape, dialect)]
        key = None if group_by is None else _grouping(binding, group_by, dialect)
        total: Any = _counted(binding, where, key).scalar_subquery() if counted else literal_column("0")
        if key is None:
            columns = [binding.columns[name].label(name) for name in names]
            chosen = select(*columns, total.label("total")).select_from(binding.source).where(*where)
            ordered = chosen.order_by(*_order(binding, sort or Sort("id"), dialect))
        else:
            sums = [_sum(binding, name) for name in names[2:]]
            parts = {names[0]: key, _COUNT: func.count(), **dict(zip(names[2:], sums, strict=True))}
            columns = [part.label(f"g_{name}") for name, part in parts.items()]
            chosen = select(*columns, total.label("total")).select_from(binding.source).where(*where)
            ordered = chosen.group_by(key).order_by(*_group_order(binding, parts, group_by, sort, dialect))
        return ordered.limit(param("limit", BigInteger())).offset(param("offset", BigInteger()))

    return Statement(build)


@lru_cache(maxsize=512)
def _total(binding: Binding, shape: Any, group_by: str | None) -> Statement:
    def build(dialect: DialectName) -> Select[Any]:
        where = [*binding.scope, _truth(binding, shape, dialect)]
        return _counted(binding, where, group_by and _grouping(binding, group_by, dialect))

    return Statement(build)


@lru_cache(maxsize=128)
def _days(binding: Binding, shape: Any, date: str, by: str) -> Statement:
    def build(dialect: DialectName) -> Select[Any]:
        day = _second(binding.columns[date] / literal_column("86400.0"), dialect).label("day")
        value = binding.columns[by].label("value")
        where = [*binding.scope, _truth(binding, shape, dialect)]
        columns: list[_Column] = [day, value, func.count()]
        chosen = select(*columns).select_from(binding.source).where(*where)
        return chosen.group_by(day, value).order_by(day)

    return Statement(build)


def _counted(binding: Binding, where: list[_Truth], key: Any) -> Select[Any]:
    if key is None:
        return select(func.count()).select_from(binding.source).where(*where)
    groups = select(key.label("g")).select_from(binding.source).where(*where).group_by(key)
    return select(func.count()).select_from(groups.subquery())


def _grouping(binding: Binding, name: str, dialect: DialectName) -> _Column:
    column = binding.columns[name]
    if binding.resource.by_name[name].kind is Kind.DATE:
        return _second(column, dialect)
    return column


def _sum(binding: Binding, name: str) -> _Column:
    total = func.coalesce(func.sum(binding.columns[name]), literal_column("0"))
    return cast(total, BigInteger()) if binding.resource.by_name[name].kind is Kind.INTEGER else total


def _order(binding: Binding, sort: Sort, dialect: DialectName) -> list[_Column]:
    first = _ordered(binding, sort.property, dialect)
    nullable = binding.resource.by_name[sort.property].nullable
    order = [_directed(first, sort.descending, nullable, dialect)]
    if sort.property != "id":
        order.append(_directed(binding.columns["id"], sort.descending, False, dialect))
    return order


def _group_order(
    binding: Binding,
    parts: Mapping[str, _Column],
    group_by: str | None,
    sort: Sort | None,
    dialect: DialectName,
) -> list[_Column]:
    assert group_by is not None
    wanted = sort or Sort(group_by)
    known = binding.resource.by_name[group_by]
    key = _ordered(binding, group_by, dialect) if known.kind is Kind.TEXT else parts[group_by]
    order = []
    if wanted.property != group_by:
        order.append(_directed(parts[wanted.property], wanted.descending, False, dialect))
    order.append(_directed(key, wanted.descending, known.nullable, dialect))
    return order


def _ordered(binding: Binding, name: str, dialect: DialectName) -> _Column:
    """By code points, as SQLite does; PostgreSQL would ask the language of the database."""
    column = binding.columns[name]
    if dialect is DialectName.POSTGRESQL and binding.resource.by_name[name].kind is Kind.TEXT:
        return collate(column, "C")
    return column


def _directed(column: _Column, descending: bool, nullable: bool, dialect: DialectName) -> _Column:
    """SQLite puts null first by itself; PostgreSQL is told where one can be, so that an index serves."""
    ordered = column.desc() if descending else column.asc()
    if nullable and dialect is DialectName.POSTGRESQL:
        return ordered.nulls_last() if descending else ordered.nulls_first()
    return ordered


# -- conditions


def _truth(binding: Binding, shape: Any, dialect: DialectName) -> _Truth:
    if isinstance(shape, _Slot):
        return _comparison(binding, shape, dialect)
    parts = [_truth(binding, one, dialect) for one in shape.of]
    return and_(true(), *parts) if shape.every else or_(false(), *parts)


def _comparison(binding: Binding, slot: _Slot, dialect: DialectName) -> _Truth:
    column = binding.columns[slot.property]
    known = binding.resource.by_name[slot.property]
    if known.kind is Kind.LABELS:
        return _of_labels(column, slot, dialect)
    if slot.operator in (Operator.LIKE, Operator.NOTLIKE):
        found = _alike(_as_text(column, known.kind, dialect), slot, dialect)
        if slot.operator is Operator.LIKE:
            return found
        return or_(not_(found), column.is_(None)) if known.nullable else not_(found)
    if slot.operator in (Operator.LT, Operator.LTE, Operator.GT, Operator.GTE):
        return _by_order(_ordered(binding, slot.property, dialect), known.kind, slot)
    found = _same(column, known.kind, slot)
    if slot.operator is not Operator.NE:
        return found
    if slot.null:
        return column.is_not(None)
    return or_(not_(found), column.is_(None)) if known.nullable else not_(found)


def _same(column: _Column, kind: Kind, slot: _Slot) -> _Truth:
    if kind is Kind.DATE:
        found = or_(
            false(), *(and_(column >= param(name), column < param(f"{name}_end")) for name in slot.names)
        )
    elif len(slot.names) == 1:
        found = column == param(slot.names[0])
    elif slot.names:
        found = column.in_([param(name, column.type) for name in slot.names])
    else:
        found = false()
    return or_(found, column.is_(None)) if slot.null else found


def _by_order(column: _Column, kind: Kind, slot: _Slot) -> _Truth:
    """Of dates by whole seconds, and without a function around the column, so that an index serves."""
    (name,) = slot.names
    value = param(name)
    end = param(f"{name}_end") if kind is Kind.DATE else None
    found: _Truth
    match slot.operator:
        case Operator.LT:
            found = column < value
        case Operator.GTE:
            found = column >= value
        case Operator.LTE:
            found = column <= value if end is None else column < end
        case _:
            found = column > value if end is None else column >= end
    return found


def _as_text(column: _Column, kind: Kind, dialect: DialectName) -> _Column:
    if kind is Kind.DATE:
        second = _second(column, dialect)
        if dialect is DialectName.SQLITE:
            return func.strftime("%Y-%m-%d %H:%M:%S", second, "unixepoch")
        there = func.timezone("UTC", func.to_timestamp(second))
        return func.to_char(there, "YYYY-MM-DD HH24:MI:SS")
    return cast(column, Text()) if kind is Kind.INTEGER else column


def _second(column: _Column, dialect: DialectName) -> _Column:
    whole = column if dialect is DialectName.SQLITE else func.floor(column)
    return cast(whole, BigInteger())


def _alike(text: _Column, slot: _Slot, dialect: DialectName) -> _Truth:
    return _folded(text, dialect).like(param(slot.names[0], Text()), escape="\\")


def _folded(text: _Column, dialect: DialectName) -> _Column:
    """As `patterns.fold`. SQLite has Python's own `lower`; PostgreSQL's depends on the database's language
    unless it is told to take Unicode's."""
    lower = func.lower(text if dialect is DialectName.SQLITE else collate(text, "und-x-icu"))
    return func.replace(lower, "ς", "σ", type_=Text())


def _of_labels(column: _Column, slot: _Slot, dialect: DialectName) -> _Truth:
    if dialect is DialectName.SQLITE:
        labels: Any = func.json_each(column).table_valued("value").alias("label")
    else:
        labels = func.json_array_elements_text(cast(column, JSON())).table_valued("value").alias("label")
    label = type_coerce(labels.c.value, Text())
    if slot.operator in (Operator.LIKE, Operator.NOTLIKE):
        fits = _alike(label, slot, dialect)
    else:
        fits = or_(false(), *(label == param(name, Text()) for name in slot.names))
    found = exists(select(literal_column("1")).select_from(labels).where(fits))
    return not_(found) if slot.operator in (Operator.NE, Operator.NOTLIKE) else found
