"""What the stores say while their database is away or full, and that they go on afterwards."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from callwright.control.errors import StorageUnavailable
from callwright.control.storage import schema
from callwright.control.storage.schema import Location
from callwright.control.storage.stores import Stores, open_stores
from tests.kit import postgresql


async def write_until_refused(stores: Stores) -> None:
    for _ in range(1000):  # the server's own children notice a little later
        await stores.runs.set_setting("b", "2")


@pytest.mark.peer
async def test_a_database_that_was_killed_is_used_again_when_it_is_back() -> None:
    postgresql.require()
    server = await asyncio.to_thread(lambda: postgresql.PostgreSql(durable=True).start())
    try:
        location = Location(url=await asyncio.to_thread(server.create, "outage"))
        await schema.migrate(location)
        stores = await open_stores(location, connections=4)
        await stores.runs.set_setting("a", "1")
        server.kill()
        with pytest.raises(StorageUnavailable):
            await write_until_refused(stores)
        with pytest.raises(StorageUnavailable):
            async with stores.database.transaction():
                pass
        with pytest.raises(StorageUnavailable):
            await open_stores(location)
        await asyncio.to_thread(server.start)
        assert await stores.runs.setting("a") == "1"
        await stores.runs.set_setting("b", "3")
        assert await stores.runs.setting("b") == "3"
        await stores.close()
    finally:
        await asyncio.to_thread(server.close)


_FILL = """
import asyncio, json, resource, signal, sys
from pathlib import Path
from callwright.control.errors import StorageUnavailable
from callwright.control.storage.schema import Location
from callwright.control.storage.stores import open_stores

async def main():
    stores = await open_stores(Location(path=Path(sys.argv[1])))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    kept, refusal = 0, None
    for number in range(1000):
        try:
            await stores.runs.set_setting(str(number), "x" * 10_000)
            kept += 1
        except StorageUnavailable as error:
            refusal = error.message
            break
    reads = await stores.runs.setting("0")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await stores.runs.set_setting("after", "yes")
    values = [await stores.runs.setting(str(number)) for number in range(kept)]
    print(json.dumps([kept, refusal, len(reads), sum(value is not None for value in values)]))
    await stores.close()

asyncio.run(main())
"""


def test_a_full_disk_is_told_loses_nothing_and_is_survived(tmp_path: Path) -> None:
    path = tmp_path / "callwright.db"
    asyncio.run(schema.migrate(Location(path=path)))
    done = subprocess.run(
        [sys.executable, "-c", _FILL, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    kept, refusal, readable, found = json.loads(done.stdout)
    assert 0 < kept == found
    assert "does not answer" in refusal
    assert readable == 10_000
