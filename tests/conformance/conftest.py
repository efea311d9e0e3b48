"""One suite, every adapter: stores on SQLite and PostgreSQL, brokers in memory and NATS."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from callwright.control.storage import schema
from callwright.control.storage.schema import Location
from callwright.control.storage.sql.tables import metadata
from callwright.control.storage.stores import Stores, open_stores
from callwright.dispatch.broker import Broker
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.nats import NatsBroker
from callwright.host.nats_server import NatsServer
from tests.kit import postgresql, swift


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(schema.migrate(Location(path=path)))
    return path


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    postgresql.require()
    server = postgresql.PostgreSql().start()
    try:
        url = server.create("conformance")
        asyncio.run(schema.migrate(Location(url=url)))
        yield url
    finally:
        server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    """An empty database with the schema."""
    if request.param == "sqlite":
        path = tmp_path / "callwright.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return Location(path=path)
    url = request.getfixturevalue("postgres_url")
    asyncio.run(_empty(url))
    return Location(url=url)


@pytest.fixture
async def stores(location: Location) -> AsyncIterator[Stores]:
    opened = await open_stores(location, connections=8)
    yield opened
    await opened.close()


async def _empty(url: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        names = ", ".join(f'"{name}"' for name in metadata.tables)
        await connection.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[swift.Swift]:
    """An S3 server with the bucket `evidence`."""
    swift.require()
    server = swift.Swift()
    try:
        server.start().client().create_bucket(Bucket="evidence")
        yield server
    finally:
        server.close()


@pytest.fixture(params=["memory", "nats"])
async def brokers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Broker, Broker]]:
    """The platform's connection and an agent's."""
    if request.param == "memory":
        shared = MemoryBroker(redeliver_after=0.5)
        yield shared, shared
        await shared.close()
        return
    server = NatsServer(tmp_path / "nats")
    await server.start()
    platform = await NatsBroker.connect(server.url, **server.credentials(), redeliver_after=0.5)
    account = await server.account("7", "lab")
    agent = await NatsBroker.connect(account.nats_url, user=account.user, password=account.password)
    yield platform, agent
    await agent.close()
    await platform.close()
    await server.close()
