"""The version of a database's schema: read before anything else, moved forward by Alembic alone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callwright.control.errors import StorageUnavailable, UnknownSchema

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["HEAD", "HISTORY", "Location", "check", "current", "migrate"]

#: Every version from the first to the newest, as in migrations/versions.
HISTORY = ("1",)
HEAD = HISTORY[-1]
#: What a version is called whose tables are not all those of this program.
_UNFINISHED = ", unfinished"
#: From "0001" on, until the first release; nothing brings these forward.
_UNRELEASED = re.compile(rf"000\d|\d+{_UNFINISHED}")

_MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 0x63616C6C  # "call": one migration at a time


@dataclass(frozen=True, slots=True)
class Location:
    """Where the records are: the file of SQLite, or the URL of a PostgreSQL database."""

    path: Path | None = None
    url: str | None = None

    @classmethod
    def of(cls, data: Path, database: str | None = None) -> Location:
        """``database``: postgresql://…, sqlite:///path, or nothing for ``<data>/callwright.db``."""
        if not database:
            return cls(path=data / "callwright.db")
        scheme, _, rest = database.partition("://")
        if scheme in ("postgresql", "postgres"):
            return cls(url=f"postgresql://{rest}")
        if scheme == "sqlite":
            return cls(path=Path(rest.removeprefix("/")))
        raise ValueError(
            f"{scheme or database!r} is not a database that Callwright knows. Permitted: postgresql://…, sqlite:///…"
        )


async def current(location: Location) -> str | None:
    """The version that is there; None for an empty or absent database. Changes nothing."""
    if location.path is not None:
        return await asyncio.to_thread(_sqlite_version, location.path)
    import asyncpg

    from callwright.control.storage.sql.postgres import refusals

    with refusals():
        connection = await asyncpg.connect(location.url, timeout=10)
        try:
            if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
                return None
            version: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
            named = await connection.fetch(
                "SELECT table_name, column_name FROM information_schema.columns "
                "WHERE table_schema = current_schema()"
            )
            return _named(version, {(table, column) for table, column in named})
        finally:
            await connection.close()


def check(version: str | None) -> bool:
    """Whether ``version`` is the one this program works with; False when it is older, or nothing is there.

    Raises UnknownSchema for one that is not known here.
    """
    if version is not None and _UNRELEASED.fullmatch(version):
        raise UnknownSchema(
            f"The database has schema {version}, made by a Callwright from before the first release. This "
            "Callwright cannot bring it forward, and left it untouched.",
            "Export its tests with the Callwright that made it, and import them into a new data folder.",
        )
    if version is not None and version not in HISTORY:
        raise UnknownSchema(
            f"The database has schema {version}; this Callwright knows up to {HEAD}. It was left untouched.",
            "Start the newer Callwright again, or restore a backup of before.",
        )
    return version == HEAD


async def migrate(location: Location) -> tuple[str | None, str]:
    """Brings the schema to HEAD; returns (version before, version now). Raises UnknownSchema first."""
    before = await current(location)
    if check(before):
        return before, HEAD
    if location.path is not None:
        await asyncio.to_thread(_migrate_sqlite, location.path)
    else:
        await _migrate_postgres(str(location.url))
    return before, HEAD


def _sqlite_version(path: Path) -> str | None:
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        # Not mode=ro: a database in WAL mode that was not closed properly must be recovered to be read.
        connection = sqlite3.connect(path, timeout=15)
        try:
            named = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            if connection.execute(named).fetchone() is None:
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            rows = connection.execute(
                "SELECT m.name, c.name FROM sqlite_master m, pragma_table_xinfo(m.name) c "
                "WHERE m.type = 'table'"
            )
            return _named(row[0] if row else None, {(table, column) for table, column in rows})
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StorageUnavailable(f"{path} cannot be read as a database: {error}.") from error


def _named(version: str | None, there: set[tuple[str, str]]) -> str | None:
    """The first schema grows until it is released: one of an earlier day lacks columns."""
    from callwright.control.storage.sql.tables import metadata

    if version != HEAD:
        return version
    wanted = {(table.name, column.name) for table in metadata.tables.values() for column in table.columns}
    return version if wanted <= there else f"{version}{_UNFINISHED}"


def _migrate_sqlite(path: Path) -> None:
    from sqlalchemy import create_engine, event

    path.parent.mkdir(parents=True, exist_ok=True)
    with _file_lock(path.with_name(path.name + ".migrate")):
        if check(_sqlite_version(path)):
            return
        engine = create_engine(f"sqlite:///{path}")
        try:
            # The driver would commit before DDL by itself; so the transaction is ours.
            event.listen(engine, "connect", _manual_transactions)
            event.listen(engine, "begin", _begin_exclusively)
            with _refusals(str(path)), engine.connect() as connection:
                _upgrade(connection)
                connection.commit()
        finally:
            engine.dispose()


def _manual_transactions(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin_exclusively(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


async def _migrate_postgres(url: str) -> None:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine("postgresql+asyncpg://" + url.partition("://")[2], poolclass=NullPool)
    try:
        with _refusals("The database"):
            async with engine.begin() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
                await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


@contextlib.contextmanager
def _refusals(where: str) -> Iterator[None]:
    """What the machine or the server of the database refuses; bugs of ours stay what they are."""
    from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

    try:
        yield
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if state == "42501":  # insufficient_privilege
            remedy = "Make the role the owner of the database: ALTER DATABASE name OWNER TO role."
        elif isinstance(error, IntegrityError | ProgrammingError) or not (
            isinstance(error, OperationalError) or state[:2] in ("08", "53", "57", "58")
        ):
            raise
        else:
            remedy = "See that the disk has room and can be written. Nothing was changed; start it again."
        raise StorageUnavailable(
            f"{where} could not be brought to the schema {HEAD}: {error.orig}.", remedy
        ) from error


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
