"""PostgreSQL by the bare asyncpg: a pool, its prepared statements, structs from the driver's records."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import asyncpg

from callwright.control.errors import Conflict, StorageUnavailable
from callwright.control.storage.sql.database import DialectName, Executor, Params, Statement, current, inside
from callwright.control.storage.sql.sharing import SharedReadings

__all__ = ["PostgresDatabase", "refusals"]

Row = TypeVar("Row")
_NONE: dict[str, Any] = {}
_PG = DialectName.POSTGRESQL
_COMMAND_TIMEOUT = 30.0  # seconds
#: The last is what the driver says of a connection that broke in the middle of something.
_BROKEN = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@contextmanager
def refusals() -> Iterator[None]:
    """What the driver raises, as refusals of the domain."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Conflict(f"The record is there already, or belongs to one that is gone ({error}).") from error
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.PostgresSyntaxError):
        raise  # bugs of ours
    except (*_BROKEN, asyncpg.PostgresError, TimeoutError) as error:
        raise StorageUnavailable(
            f"The database does not answer: {error or type(error).__name__}.",
            "See that PostgreSQL runs, takes connections and has room.",
        ) from error


class PostgresDatabase:
    """Opened by ``await PostgresDatabase.open(url)``. A connection that broke is replaced at the next use."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._shared = SharedReadings(self._fetch)

    @classmethod
    async def open(cls, url: str, *, connections: int = 10) -> PostgresDatabase:
        with refusals():
            pool = await asyncpg.create_pool(
                url,
                min_size=0,  # kept at a floor, an outage would be logged over and over
                max_size=connections,
                command_timeout=_COMMAND_TIMEOUT,
                timeout=10,
                statement_cache_size=500,
                reset=_nothing_to_reset,
                server_settings={"application_name": "callwright", "jit": "off"},
            )
        return cls(pool)

    @property
    def dialect(self) -> DialectName:
        return _PG

    async def all(self, kind: Callable[..., Row], statement: Statement, params: Params = _NONE) -> list[Row]:
        transaction = current(self)
        if transaction is not None:
            return await transaction.all(kind, statement, params)
        text, values = statement.bind(_PG, params)
        with refusals():
            rows = await (self._shared if statement.shared else self._fetch)(text, *values)
        return list(itertools.starmap(kind, rows))

    async def changed(
        self, kind: Callable[..., Row], statement: Statement, params: Params = _NONE
    ) -> list[Row]:
        transaction = current(self)
        if transaction is not None:
            return await transaction.all(kind, statement, params)
        text, values = statement.bind(_PG, params)
        with refusals():
            rows = await self._pool.fetch(text, *values)
        return list(itertools.starmap(kind, rows))

    async def one(self, kind: Callable[..., Row], statement: Statement, params: Params = _NONE) -> Row | None:
        transaction = current(self)
        if transaction is not None:
            return await transaction.one(kind, statement, params)
        if statement.shared:
            found = await self.all(kind, statement, params)
            return found[0] if found else None
        text, values = statement.bind(_PG, params)
        with refusals():
            row = await self._again(lambda: self._pool.fetchrow(text, *values))
        return None if row is None else kind(*row)

    async def value(self, statement: Statement, params: Params = _NONE) -> Any:
        transaction = current(self)
        if transaction is not None:
            return await transaction.value(statement, params)
        text, values = statement.bind(_PG, params)
        with refusals():
            return await self._again(lambda: self._pool.fetchval(text, *values))

    async def run(self, statement: Statement, params: Params = _NONE) -> int:
        transaction = current(self)
        if transaction is not None:
            return await transaction.run(statement, params)
        text, values = statement.bind(_PG, params)
        with refusals():
            return _count(await self._pool.execute(text, *values))

    async def run_many(self, statement: Statement, rows: Sequence[Params]) -> None:
        async with self.transaction() as transaction:
            await transaction.run_many(statement, rows)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Executor]:
        outer = current(self)
        if outer is not None:
            yield outer
            return
        with refusals():
            async with self._pool.acquire() as connection, connection.transaction():
                begun = _Transaction(connection)
                with inside(self, begun):
                    yield begun

    async def close(self) -> None:
        try:
            async with asyncio.timeout(5):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def _fetch(self, text: str, *values: Any) -> Any:
        return await self._again(lambda: self._pool.fetch(text, *values))

    @staticmethod
    async def _again(read: Callable[[], Any]) -> Any:
        """A reading may be repeated: the connections of before a restart of the server are found dead."""
        try:
            return await read()
        except (*_BROKEN, asyncpg.PostgresConnectionError):
            return await read()


class _Transaction:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def all(self, kind: Callable[..., Row], statement: Statement, params: Params = _NONE) -> list[Row]:
        text, values = statement.bind(_PG, params)
        with refusals():
            return list(itertools.starmap(kind, await self._connection.fetch(text, *values)))

    async def one(self, kind: Callable[..., Row], statement: Statement, params: Params = _NONE) -> Row | None:
        text, values = statement.bind(_PG, params)
        with refusals():
            row = await self._connection.fetchrow(text, *values)
        return None if row is None else kind(*row)

    async def value(self, statement: Statement, params: Params = _NONE) -> Any:
        text, values = statement.bind(_PG, params)
        with refusals():
            return await self._connection.fetchval(text, *values)

    async def run(self, statement: Statement, params: Params = _NONE) -> int:
        text, values = statement.bind(_PG, params)
        with refusals():
            return _count(await self._connection.execute(text, *values))

    async def run_many(self, statement: Statement, rows: Sequence[Params]) -> None:
        if rows:
            bound = [statement.bind(_PG, row) for row in rows]
            with refusals():
                await self._connection.executemany(bound[0][0], [values for _, values in bound])


async def _nothing_to_reset(_: Any) -> None:
    """Nothing here changes a session, so the usual round trip when a connection goes back is saved."""


def _count(tag: str) -> int:
    """Of a command tag such as ``UPDATE 3``."""
    last = tag.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
