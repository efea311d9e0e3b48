"""SQLite by the bare ``sqlite3``: one thread writes, some read; the event loop's own reads what is brief.

WAL, and a full sync for each commit: what was acknowledged outlives a power cut. Other processes (the command
line, Granian's workers) open the same file; a writer waits its turn.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from callwright.control.errors import Conflict, DomainError, StorageUnavailable
from callwright.control.storage.sql.database import DialectName, Executor, Params, Statement, current, inside

__all__ = ["SqliteDatabase", "connect"]

Row = TypeVar("Row")
Result = TypeVar("Result")
_NONE: dict[str, Any] = {}
_READERS = 2
_PATIENCE = 15.0  # seconds that a writer waits for the others


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit with the settings of the house."""
    connection = sqlite3.connect(
        path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-16000")
    # The built-in one knows ASCII only; a search must find Ä by ä as it does in PostgreSQL.
    connection.create_function("lower", 1, _lower, deterministic=True)
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    return connection


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _refusal(error: sqlite3.Error) -> DomainError:
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict(f"The record is there already, or belongs to one that is gone ({error}).")
    return StorageUnavailable(
        f"The database does not answer: {error}.", "See that the disk has room and can be written."
    )


class SqliteDatabase:
    """``path``: the file; made when it is not there (its schema is the business of migrations). ``readers``:
    threads that read."""

    def __init__(self, path: Path, *, readers: int = _READERS) -> None:
        self.path, self.readers = path, readers
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._writer = ThreadPoolExecutor(1, "sqlite-writer")
        self._reading = ThreadPoolExecutor(readers, "sqlite-reader")
        self._turn = asyncio.Lock()  # a transaction has the writer for itself

    @property
    def dialect(self) -> DialectName:
        return DialectName.SQLITE

    async def all(self, kind: Callable[..., Row], statement: Statement, params: Params = _NONE) -> list[Row]:
        transaction = current(self)
        if transaction is not None:
            return await transaction.all(kind, statement, params)
        text, values = statement.bind(DialectName.SQLITE, params)

        def work(connection: sqlite3.Connection) -> list[Row]:
            return list(itertools.starmap(kind, connection.execute(text, values).fetchall()))

        if statement.brief:
            return self._here(work, read_only=True)
        return await self._read(work)

    async def one(self, kind: Callable[..., Row], statement: Statement, params: Params = _NONE) -> Row | None:
        transaction = current(self)
        if transaction is not None:
            return await transaction.one(kind, statement, params)
        text, values = statement.bind(DialectName.SQLITE, params)

        def work(connection: sqlite3.Connection) -> Row | None:
            cursor = connection.execute(text, values)
            row = cursor.fetchone()
            cursor.close()
            return None if row is None else kind(*row)

        if statement.brief:
            return self._here(work, read_only=True)
        return await self._read(work)

    async def value(self, statement: Statement, params: Params = _NONE) -> Any:
        return await self.one(_first, statement, params)

    async def run(self, statement: Statement, params: Params = _NONE) -> int:
        transaction = current(self)
        if transaction is not None:
            return await transaction.run(statement, params)
        text, values = statement.bind(DialectName.SQLITE, params)
        async with self._turn:
            return await self._write(lambda c: c.execute(text, values).rowcount)

    async def run_many(self, statement: Statement, rows: Sequence[Params]) -> None:
        async with self.transaction() as transaction:
            await transaction.run_many(statement, rows)

    async def changed(
        self, kind: Callable[..., Row], statement: Statement, params: Params = _NONE
    ) -> list[Row]:
        transaction = current(self)
        if transaction is not None:
            return await transaction.all(kind, statement, params)
        text, values = statement.bind(DialectName.SQLITE, params)
        async with self._turn:
            return await self._write(
                lambda c: list(itertools.starmap(kind, c.execute(text, values).fetchall()))
            )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Executor]:
        outer = current(self)
        if outer is not None:
            yield outer
            return
        async with self._turn:
            try:
                await self._write(lambda c: c.execute("BEGIN IMMEDIATE"))
                begun = _Transaction(self._write)
                with inside(self, begun):
                    yield begun
                await self._write(lambda c: c.execute("COMMIT"))
            except BaseException:
                # The writer's thread does one thing after another, so this follows whatever was cut short.
                await asyncio.shield(self._write(_roll_back))
                raise

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        for executor in (self._reading, self._writer):
            await loop.run_in_executor(None, executor.shutdown)
        for connection in self._opened:
            connection.close()
        self._opened.clear()

    async def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._in(self._reading, work, read_only=True)

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._in(self._writer, work, read_only=False)

    async def _in(
        self, executor: ThreadPoolExecutor, work: Callable[[sqlite3.Connection], Result], *, read_only: bool
    ) -> Result:
        return await asyncio.get_running_loop().run_in_executor(
            executor, lambda: self._here(work, read_only=read_only)
        )

    def _here(self, work: Callable[[sqlite3.Connection], Result], *, read_only: bool) -> Result:
        """In this thread, on its own connection."""
        try:
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = connect(self.path, read_only=read_only)
                self._opened.append(connection)
            return work(connection)
        except sqlite3.Error as error:
            raise _refusal(error) from error


class _Transaction:
    def __init__(self, write: Callable[[Callable[[sqlite3.Connection], Any]], Any]) -> None:
        self._write = write

    async def all(self, kind: Callable[..., Row], statement: Statement, params: Params = _NONE) -> list[Row]:
        text, values = statement.bind(DialectName.SQLITE, params)
        rows = await self._write(lambda c: c.execute(text, values).fetchall())
        return list(itertools.starmap(kind, rows))

    async def one(self, kind: Callable[..., Row], statement: Statement, params: Params = _NONE) -> Row | None:
        rows = await self.all(kind, statement, params)
        return rows[0] if rows else None

    async def value(self, statement: Statement, params: Params = _NONE) -> Any:
        return await self.one(_first, statement, params)

    async def run(self, statement: Statement, params: Params = _NONE) -> int:
        text, values = statement.bind(DialectName.SQLITE, params)
        count: int = await self._write(lambda c: c.execute(text, values).rowcount)
        return count

    async def run_many(self, statement: Statement, rows: Sequence[Params]) -> None:
        if not rows:
            return
        bound = [statement.bind(DialectName.SQLITE, row) for row in rows]
        await self._write(lambda c: c.executemany(bound[0][0], [values for _, values in bound]))


def _first(*columns: Any) -> Any:
    return columns[0]


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
