"""The port to a relational database, and statements compiled once for its dialect.

SQLAlchemy builds and compiles; the bare driver executes and fills structs: on lists that programs poll,
that is three times as fast as going through its result layer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from sqlalchemy import BindParameter, ClauseElement, bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from callwright.control.errors import Invalid

__all__ = ["Database", "DialectName", "Executor", "Statement", "current", "inside", "param"]

Row = TypeVar("Row")
Params = Mapping[str, Any]

_MAX_INTEGER = 2**63
_PREFIX = "p_"  # SQLAlchemy keeps the names of columns for itself


class DialectName(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


def param(name: str, type_: TypeEngine[Any] | type[TypeEngine[Any]] | None = None) -> BindParameter[Any]:
    """A value that is given at execution, by this name."""
    return bindparam(_PREFIX + name, type_=type_)


def _dialect(name: DialectName) -> Dialect:
    if name is DialectName.SQLITE:
        from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

        return SQLiteDialect_pysqlite(paramstyle="qmark")
    from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

    return PGDialect_asyncpg()  # type: ignore[no-untyped-call]


_DIALECTS: dict[DialectName, Dialect] = {}


class Statement:
    """A statement of SQLAlchemy Core, or a function that builds it where the dialects differ.

    Compiled at its first use; then executing it costs one pass over the names of its parameters.

    `brief`: reads few rows in the order of an index, so that an embedded database is faster asked at once
    than from a thread: there each row costs more to hand over than to read.

    `shared`: reads little, and many ask it with the same values at once: those who wait for a server share
    its next answer, see SharedReadings.
    """

    __slots__ = ("_build", "_compiled", "brief", "shared")

    def __init__(
        self,
        build: ClauseElement | Callable[[DialectName], ClauseElement],
        *,
        brief: bool = False,
        shared: bool = False,
    ) -> None:
        self._build = build
        self.brief, self.shared = brief, shared
        self._compiled: dict[DialectName, tuple[str, tuple[str, ...], dict[str, Any]]] = {}

    def sql(self, dialect: DialectName) -> str:
        return self._for(dialect)[0]

    def bind(self, dialect: DialectName, params: Params) -> tuple[str, list[Any]]:
        """The text and its values in order.

        Raises KeyError for a value that is missing, Invalid for one that no database keeps: a NUL or half
        a surrogate pair in a text, a whole number beyond 64 bits.
        """
        text, names, constants = self._for(dialect)
        values = [params[name] if name in params else constants[name] for name in names]
        for name, value in zip(names, values, strict=True):
            kind = type(value)
            if kind is str:
                _check_text(name, value)
            elif kind is int and not -_MAX_INTEGER <= value < _MAX_INTEGER:
                raise Invalid(f"{name}: {value} is beyond 64 bits.", field=name)
        return text, values

    def _for(self, dialect: DialectName) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        found = self._compiled.get(dialect)
        if found is None:
            found = self._compiled[dialect] = self._compile(dialect)
        return found

    def _compile(self, name: DialectName) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        if name not in _DIALECTS:
            _DIALECTS[name] = _dialect(name)
        build = self._build
        clause = build if isinstance(build, ClauseElement) else build(name)
        compiled: Any = clause.compile(dialect=_DIALECTS[name])
        names = tuple(key.removeprefix(_PREFIX) for key in compiled.positiontup or ())
        constants = {
            key: bind.value
            for key, bind in compiled.binds.items()
            if not key.startswith(_PREFIX) and not bind.required
        }
        return compiled.string, names, constants


def _check_text(name: str, value: str) -> None:
    if "\0" in value:
        raise Invalid(f"{name} holds a NUL character, which no text here may.", field=name)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Invalid(f"{name} holds half a character (a lone surrogate).", field=name) from None


class Executor(Protocol):
    """What a database and a transaction on it both do. Each statement on its own is committed at once.

    All raise StorageUnavailable when the database does not answer or is full, Conflict when a record is there
    already, Invalid for a value no database keeps.
    """

    async def all(self, kind: Callable[..., Row], statement: Statement, params: Params = ...) -> list[Row]:
        """Every row, as ``kind(*columns)``."""
        ...

    async def one(self, kind: Callable[..., Row], statement: Statement, params: Params = ...) -> Row | None:
        """The first row."""
        ...

    async def value(self, statement: Statement, params: Params = ...) -> Any:
        """The first column of the first row; None when there is none."""
        ...

    async def run(self, statement: Statement, params: Params = ...) -> int:
        """How many rows it changed."""
        ...

    async def run_many(self, statement: Statement, rows: Sequence[Params]) -> None: ...


class Database(Executor, Protocol):
    @property
    def dialect(self) -> DialectName: ...

    def transaction(self) -> AbstractAsyncContextManager[Executor]:
        """All or nothing; it may write from its first statement on, and is durable when it is left.

        Everything that the same task asks of this database meanwhile belongs to it, another transaction too:
        so a service holds a change and its audit entry together. An exception that comes out of a statement
        must leave the transaction as well.
        """
        ...

    async def changed(
        self, kind: Callable[..., Row], statement: Statement, params: Params = ...
    ) -> list[Row]:
        """As ``all``, for a statement that writes and returns rows."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class _Open:
    owner: object
    executor: Executor
    task: asyncio.Task[Any] | None


_open: ContextVar[_Open | None] = ContextVar("transaction", default=None)


def current(owner: object) -> Executor | None:
    """The transaction on this database that the current task is in; a task that it started is in none."""
    found = _open.get()
    if found is None or found.owner is not owner or found.task is not asyncio.current_task():
        return None
    return found.executor


@contextmanager
def inside(owner: object, executor: Executor) -> Iterator[None]:
    """Makes the transaction the current one of this task."""
    before = _open.get()
    _open.set(_Open(owner, executor, asyncio.current_task()))
    try:
        yield
    finally:
        _open.set(before)
