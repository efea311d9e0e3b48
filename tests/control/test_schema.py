from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine

from callwright.control.errors import StorageUnavailable, UnknownSchema, Unmigrated
from callwright.control.storage import schema
from callwright.control.storage.schema import Location
from callwright.control.storage.sql import targets
from callwright.control.storage.sql.database import DialectName, Statement
from callwright.control.storage.sql.runs import reading
from callwright.control.storage.sql.runs.reading import page_statement
from callwright.control.storage.sql.tables import metadata
from callwright.control.storage.stores import open_stores
from tests.kit import postgresql


def test_the_migrations_give_the_tables_of_the_code(empty_database: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = create_engine(f"sqlite:///{empty_database}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


@pytest.mark.peer
def test_the_migrations_give_the_tables_of_the_code_on_postgresql() -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy.ext.asyncio import create_async_engine

    postgresql.require()
    server = postgresql.PostgreSql().start()

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async def work() -> None:
        url = server.create("schema")
        results = await asyncio.gather(*(schema.migrate(Location(url=url)) for _ in range(3)))
        assert {now for _, now in results} == {schema.HEAD}
        engine = create_async_engine("postgresql+asyncpg://" + url.partition("://")[2])
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
        await engine.dispose()

    try:
        asyncio.run(work())
    finally:
        server.close()


def test_the_history_is_that_of_the_migrations() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert tuple(revision.revision for revision in reversed(list(script.walk_revisions()))) == schema.HISTORY


@pytest.mark.parametrize(
    ("version", "sentence"),
    [("9999", "this Callwright knows up to"), ("0008", "from before the first release")],
)
async def test_a_schema_of_another_callwright_is_refused_and_left_as_it_is(
    tmp_path: Path, empty_database: Path, version: str, sentence: str
) -> None:
    path = tmp_path / "callwright.db"
    path.write_bytes(empty_database.read_bytes())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = path.read_bytes()
    location = Location(path=path)
    for attempt in (
        lambda: open_stores(location),
        lambda: open_stores(location, migrate=True),
        lambda: schema.migrate(location),
    ):
        with pytest.raises(UnknownSchema, match=f"{version}.*{sentence}"):
            await attempt()
    assert path.read_bytes() == before


@pytest.mark.peer
async def test_a_postgresql_of_before_the_first_release_is_refused_and_left_as_it_is() -> None:
    import asyncpg

    postgresql.require()
    server = postgresql.PostgreSql().start()
    try:
        url = server.create("older")
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE alembic_version (version_num text)")
        await connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        with pytest.raises(UnknownSchema, match="from before the first release"):
            await schema.migrate(Location(url=url))
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert await connection.fetchval(tables) == 1
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == "0001"
        await connection.close()
    finally:
        server.close()


async def test_an_empty_database_is_made_only_when_asked_for(tmp_path: Path) -> None:
    location = Location(path=tmp_path / "callwright.db")
    with pytest.raises(Unmigrated):
        await open_stores(location)
    assert list(tmp_path.iterdir()) == []
    await (await open_stores(location, migrate=True)).close()
    await (await open_stores(location)).close()
    assert await schema.migrate(location) == (schema.HEAD, schema.HEAD)


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "callwright.db"
    path.write_text("this is a letter to my aunt, who has no use for tables " * 100)
    with pytest.raises(StorageUnavailable):
        await open_stores(Location(path=path), migrate=True)
    assert path.read_text().startswith("this is a letter")


async def test_a_first_schema_of_an_earlier_day_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    location = Location(path=tmp_path / "callwright.db")
    await schema.migrate(location)
    with contextlib.closing(sqlite3.connect(tmp_path / "callwright.db")) as connection:
        connection.execute("ALTER TABLE projects DROP COLUMN keep_runs_days")
        connection.commit()
    with pytest.raises(UnknownSchema, match="schema 1, unfinished, made by a Callwright from before"):
        await open_stores(location, migrate=True)


async def test_many_may_migrate_at_once(tmp_path: Path) -> None:
    location = Location(path=tmp_path / "callwright.db")
    results = await asyncio.gather(*(schema.migrate(location) for _ in range(4)))
    assert [before for before, _ in results].count(None) >= 1
    assert {now for _, now in results} == {schema.HEAD}
    assert await schema.current(location) == schema.HEAD


def test_databases_are_named_by_url() -> None:
    data = Path("/srv/data")
    assert Location.of(data) == Location(path=data / "callwright.db")
    assert Location.of(data, "sqlite:////var/x.db") == Location(path=Path("/var/x.db"))
    assert Location.of(data, "postgres://u@h/d") == Location(url="postgresql://u@h/d")
    with pytest.raises(ValueError, match="mysql"):
        Location.of(data, "mysql://h/d")


def test_every_acknowledged_write_is_synced(tmp_path: Path) -> None:
    """WAL with a full sync: each commit reaches the disk before it is acknowledged."""
    script = """
import asyncio, sys
from pathlib import Path
from typing import Any
from callwright.control.storage.schema import Location
from callwright.control.storage.stores import open_stores

async def main():
    stores = await open_stores(Location(path=Path(sys.argv[1])), migrate=True)
    number = 0
    while True:
        await stores.runs.set_setting("n", str(number))
        print(number, flush=True)
        number += 1

asyncio.run(main())
"""
    path = tmp_path / "callwright.db"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(25)]
    process.kill()
    acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait()
    with sqlite3.connect(path) as connection:
        (kept,) = connection.execute("SELECT value FROM settings WHERE name = 'n'").fetchone()
    assert int(kept) >= acknowledged[-1]


@pytest.mark.parametrize("name", [None, "status", "phase", "project_id", "test_id", "test_name", "tag"])
def test_a_list_with_one_filter_is_read_in_the_order_of_an_index(
    empty_database: Path, name: str | None
) -> None:
    """The newest rows are found without reading all runs, and without sorting them."""
    statement = page_statement(frozenset((name,) if name else ()))
    query, values = statement.bind(DialectName.SQLITE, {"limit": 100, **({name: "1"} if name else {})})
    with contextlib.closing(sqlite3.connect(empty_database)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
    assert not [step for step in plan if "TEMP B-TREE" in step], plan
    assert [step for step in plan if step.startswith("SEARCH")] or name is None, plan
    assert not [step for step in plan if step.startswith("SCAN")] or name is None, plan


@pytest.mark.parametrize(
    ("statement", "params"),
    [
        (targets.USAGE, {"target_id": 1}),
        (reading.COUNT_QUEUED, {"project_id": 1}),
        (reading.COUNT_HELD, {"project_id": 1}),
        (reading.SHARES, {"pool": "default", "run_id": 1}),
        (reading.COUNT_LIVE, {}),
    ],
)
def test_what_each_start_of_a_run_asks_does_not_read_history(
    empty_database: Path, statement: Statement, params: dict[str, Any]
) -> None:
    """Those that live are found by their status; another index is entered with the id of one of them."""
    text, values = statement.bind(DialectName.SQLITE, params)
    with sqlite3.connect(empty_database) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    steps = [step for step in plan if step.startswith(("SEARCH", "SCAN"))]
    assert any("ix_runs_status_id (status=?)" in step for step in steps)
    for step in steps:
        assert "status=?" in step or "id=?" in step.replace("project_id=?", "").replace("target_id=?", ""), (
            plan
        )
