"""Who uses a database: platforms together, a restore alone; in SQLite and in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from callwright.control.errors import StorageUnavailable
from callwright.control.storage.occupancy import BeingRestored, InUse, Occupancy, Reservation
from callwright.control.storage.schema import Location
from tests.kit import postgresql


@pytest.fixture(scope="module")
def server() -> Iterator[postgresql.PostgreSql]:
    postgresql.require()
    server = postgresql.PostgreSql().start()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "sqlite":
        return Location(path=tmp_path / "records" / "callwright.db")
    running: postgresql.PostgreSql = request.getfixturevalue("server")
    return Location(url=running.create("occupied"))


async def test_platforms_share_a_database_and_a_restore_has_it_alone(location: Location) -> None:
    one, other = await Occupancy.take(location), await Occupancy.take(location)
    with pytest.raises(InUse):
        await Reservation.take(location)
    await one.close()
    with pytest.raises(InUse):
        await Reservation.take(location)
    await other.close()
    restore = await Reservation.take(location)
    with pytest.raises(BeingRestored):
        await Occupancy.take(location)
    with pytest.raises(InUse):
        await Reservation.take(location)
    await restore.close()
    await (await Occupancy.take(location)).close()


@pytest.mark.peer
async def test_a_platform_has_its_database_again_when_the_server_is_back(
    server: postgresql.PostgreSql,
) -> None:
    location = Location(url=await asyncio.to_thread(server.create, "restarted"))
    told: list[str] = []
    platform = await Occupancy.take(location, on_loss=lambda: told.append("lost"), look=0.05)
    await asyncio.to_thread(server.stop)
    with pytest.raises(StorageUnavailable):
        await Reservation.take(location)
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(30):
        while True:
            try:
                await (await Reservation.take(location)).close()
            except InUse:
                break
    assert told in ([], ["lost"])  # the test was there first, for a moment
    await platform.close()


@pytest.mark.peer
async def test_a_restore_that_was_first_after_an_outage_is_told_once(server: postgresql.PostgreSql) -> None:
    location = Location(url=await asyncio.to_thread(server.create, "taken"))
    told = asyncio.Event()
    platform = await Occupancy.take(location, on_loss=told.set, look=0.5)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(30):
        while True:
            try:
                restore = await Reservation.take(location)
                break
            except InUse:  # the platform was first; once more
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)
        await told.wait()
    await restore.close()
    await platform.close()
