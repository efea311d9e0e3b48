"""Small parts of which the statements are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from inspect import Parameter, signature
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Insert, Table, func, insert

from callwright.control.storage.sql.database import DialectName, Statement, param

__all__ = [
    "as_is",
    "as_value",
    "columns",
    "contains",
    "filling",
    "in_list",
    "in_projects",
    "inserting",
    "list_values",
    "pattern",
    "project_values",
    "upsert",
    "values_of",
]


Row = TypeVar("Row")


def columns(table: Table, struct: Any, *, without: Sequence[str] = ()) -> list[ColumnElement[Any]]:
    """The columns that fill a struct, in the order of its fields."""
    return [table.c[name] for name in struct.__struct_fields__ if name not in without]


def contains(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Whether the text holds the parameter ``name``, made by `pattern`, in either case."""
    return func.lower(column).like(param(name), escape="\\")


def pattern(text: str) -> str:
    """The parameter for `contains`: percent and underscore stand for themselves."""
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def in_projects(column: ColumnElement[int], count: int) -> ColumnElement[bool]:
    """Whether the project is one of ``count``, given by `project_values`."""
    if count == 1:
        return column == param("seen_0")
    return in_list(column, "seen", count)


def project_values(visible: Sequence[int] | None) -> tuple[dict[str, int], int | None]:
    """The parameters of `in_projects`, and how many: filled up to a power of two, so that few statements
    serve all. No project at all is one that does not exist."""
    if visible is None:
        return {}, None
    return list_values("seen", visible or [-1])


def in_list(column: ColumnElement[int], name: str, count: int) -> ColumnElement[bool]:
    """Whether it is one of ``count`` numbers, given by `list_values`."""
    return column.in_([param(f"{name}_{n}") for n in range(count)])


def list_values(name: str, numbers: Sequence[int]) -> tuple[dict[str, int], int]:
    """The parameters of `in_list`, and how many: filled up to a power of two."""
    count = 1 << (len(numbers) - 1).bit_length()
    filled = [*numbers, *[numbers[-1]] * (count - len(numbers))]
    return {f"{name}_{n}": number for n, number in enumerate(filled)}, count


def inserting(table: Table, names: Iterable[str]) -> Insert:
    """INSERT of these columns, each from the parameter of its name."""
    return insert(table).values({name: param(name) for name in names})


def upsert(
    table: Table,
    key: Sequence[str],
    names: Sequence[str],
    *,
    keep: bool = False,
    unchanged: Sequence[str] = (),
) -> Statement:
    """INSERT; where ``key`` is there already the other columns are replaced, or with ``keep`` nothing is."""

    def build(dialect: DialectName) -> Insert:
        if dialect is DialectName.SQLITE:
            from sqlalchemy.dialects.sqlite import insert as dialect_insert
        else:
            from sqlalchemy.dialects.postgresql import insert as dialect_insert  # type: ignore[assignment]
        statement = dialect_insert(table).values({name: param(name) for name in names})
        if keep:
            return statement.on_conflict_do_nothing(index_elements=list(key))
        replaced = {name: statement.excluded[name] for name in names if name not in (*key, *unchanged)}
        return statement.on_conflict_do_update(index_elements=list(key), set_=replaced)

    return Statement(build)


def values_of(struct: Any, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a struct as parameters; lists and mappings as their JSON texts."""
    return {name: as_value(getattr(struct, name)) for name in struct.__struct_fields__ if name not in without}


def as_value(value: Any) -> Any:
    """What a column keeps of it: a JSON text of a list, a mapping or a struct."""
    if isinstance(value, list | tuple | dict | msgspec.Struct):
        return msgspec.json.encode(value).decode()
    return value


def filling(struct: type[Row], **kinds: Any) -> Callable[..., Row]:
    """Makes a struct of a row. The columns named in ``kinds`` are JSON texts of these types, or values of
    these enumerations; of `float`: SQLite returns whole ones of an INSERT as int. NULL is None."""
    names: tuple[str, ...] = struct.__struct_fields__  # type: ignore[attr-defined]
    made = [(names.index(name), _maker(kind)) for name, kind in kinds.items()]
    keyword_only = any(
        given.kind is Parameter.KEYWORD_ONLY for given in signature(struct).parameters.values()
    )

    def fill(*values: Any) -> Row:
        row = list(values)
        for at, make in made:
            if row[at] is not None:
                row[at] = make(row[at])
        return struct(**dict(zip(names, row, strict=True))) if keyword_only else struct(*row)

    return fill


def _maker(kind: Any) -> Callable[[Any], Any]:
    plain = kind is float or (isinstance(kind, type) and issubclass(kind, Enum))
    return kind if plain else msgspec.json.Decoder(kind).decode


def as_is(*values: Any) -> tuple[Any, ...]:
    """A row that fills no struct."""
    return values
