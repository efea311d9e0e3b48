from __future__ import annotations

import asyncio

import pytest

from callwright.control.errors import Conflict
from callwright.control.storage.schema import Location
from callwright.control.storage.stores import Stores, open_stores
from tests.conformance.rows import NOW


async def test_a_transaction_that_fails_leaves_nothing(stores: Stores) -> None:
    await stores.projects.add_project("there", "", NOW)
    with pytest.raises(Conflict):
        await stores.projects.add_project("there", "", NOW)
    with pytest.raises(RuntimeError):
        async with stores.database.transaction():
            raise RuntimeError
    assert [project.name for project in await stores.projects.projects()] == ["there"]


async def test_a_transaction_that_is_canceled_frees_the_database(stores: Stores) -> None:
    entered = asyncio.Event()

    async def waits() -> None:
        async with stores.database.transaction():
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(waits())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await stores.projects.add_project("after", "", NOW)).name == "after"


async def test_all_that_a_task_does_in_a_transaction_is_kept_or_nothing(stores: Stores) -> None:
    async def elsewhere() -> str | None:
        return await stores.runs.setting("inside")

    async def fails() -> None:
        async with stores.database.transaction():
            await stores.runs.set_setting("inside", "x")
            await stores.projects.add_project("inside", "", NOW)
            assert await stores.runs.setting("inside") == "x"
            async with stores.database.transaction():
                await stores.agents.add_pool("inside", NOW)
            # Another task is in no transaction, though this one started it: it sees what is committed.
            assert await asyncio.ensure_future(elsewhere()) is None
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    assert await stores.runs.setting("inside") is None
    assert await stores.projects.project("inside") is None
    assert await stores.agents.pools() == []
    async with stores.database.transaction():
        await stores.runs.set_setting("inside", "y")
        await stores.agents.add_pool("inside", NOW)
    assert await elsewhere() == "y"
    assert [pool.name for pool in await stores.agents.pools()] == ["inside"]


async def test_a_refusal_in_a_transaction_is_one_of_the_domain_where_it_happens(stores: Stores) -> None:
    await stores.projects.add_project("there", "", NOW)

    async def fails() -> None:
        async with stores.database.transaction():
            await stores.runs.set_setting("a", "b")
            with pytest.raises(Conflict, match="there already"):
                await stores.projects.add_project("there", "", NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    assert await stores.runs.setting("a") is None


async def test_a_write_that_is_canceled_while_it_waits_harms_nobody(stores: Stores) -> None:
    for _ in range(20):
        task = asyncio.ensure_future(stores.runs.set_setting("a", "b"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await stores.runs.set_setting("a", "c")
    assert await stores.runs.setting("a") == "c"


async def test_what_one_process_commits_the_other_reads(stores: Stores, location: Location) -> None:
    other = await open_stores(location, connections=2)
    try:
        await stores.runs.set_setting("seen", "yes")
        assert await other.runs.setting("seen") == "yes"
        await asyncio.gather(
            *(store.runs.set_setting(f"{n}", "x") for n in range(20) for store in (stores, other))
        )
        assert await stores.runs.setting("19") == "x"
    finally:
        await other.close()


async def test_any_text_comes_back_as_it_was(stores: Stores) -> None:
    for text in ("", "Zoë 😀 \u2028", "'; DROP TABLE runs; --", "line\nline\r\n\ttab", "%_\\"):
        await stores.runs.set_setting("text", text)
        assert await stores.runs.setting("text") == text
