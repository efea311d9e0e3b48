"""Servers: moves by compare-and-set, counters and the settings of pools, on every database."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from callwright.control.errors import Conflict
from callwright.control.storage.stores import Stores
from callwright.fleet.pool import Pool
from callwright.fleet.record import ServerRecord, moved
from callwright.fleet.server import Event, State
from tests.conformance.rows import NOW


def a_server(name: str, **more: object) -> ServerRecord:
    facts: dict[str, object] = {
        "label": name,
        "provider": "process",
        "pool": "default",
        "state": State.PENDING,
    }
    facts |= {"created": NOW, "updated": NOW, "since": NOW} | more
    return ServerRecord(number=0, name=name, **facts)  # type: ignore[arg-type]


async def test_a_server_is_kept_as_it_is_and_found_by_name_number_and_agent(stores: Stores) -> None:
    kept = await stores.servers.add_server(a_server("one", agent_id="a1", labels={"site": "x"}))
    assert msgspec.structs.replace(kept, number=0) == a_server("one", agent_id="a1", labels={"site": "x"})
    for found in (
        await stores.servers.server("one"),
        await stores.servers.server_numbered(kept.number),
        await stores.servers.server_of_agent("a1"),
    ):
        assert found == kept
    with pytest.raises(Conflict):
        await stores.servers.add_server(a_server("one"))
    assert await stores.servers.server("two") is None


async def test_of_two_moves_that_saw_the_same_server_one_is_written(stores: Stores) -> None:
    seen = await stores.servers.add_server(a_server("one"))
    await stores.servers.learn("one", {"label": "Berlin"}, NOW + 1)
    results = await asyncio.gather(
        stores.servers.write_move(seen, moved(seen, Event.ALLOCATE, NOW + 2)),
        stores.servers.write_move(seen, moved(seen, Event.RETIRE, NOW + 2)),
    )
    (won,) = [one for one in results if one is not None]
    assert (won.revision, won.label) == (1, "Berlin")
    assert await stores.servers.server("one") == won
    assert not await stores.servers.remove_server(seen)
    assert await stores.servers.remove_server(won)


async def test_lists_are_by_age_and_the_spending_bound_counts_what_providers_made(stores: Stores) -> None:
    await stores.servers.add_server(a_server("new", created=NOW + 5))
    await stores.servers.add_server(a_server("old", state=State.STOPPED))
    await stores.servers.add_server(a_server("mine", provider="private", state=State.RUNNING))
    assert [one.name for one in await stores.servers.servers()] == ["old", "mine", "new"]
    states = (State.PENDING, State.RUNNING)
    assert [one.name for one in await stores.servers.servers(states)] == ["mine", "new"]
    assert await stores.servers.created_since("default", NOW - 1) == [NOW, NOW + 5]


async def test_counters_add_up_and_the_pause_is_kept(stores: Stores) -> None:
    await stores.servers.count({"created": 1})
    await stores.servers.count({"created": 2, "create/seconds": 0.5})
    assert await stores.servers.counts() == {"created": 3.0, "create/seconds": 0.5}
    await stores.servers.set_paused(True)
    assert await stores.servers.paused()
    await stores.servers.set_paused(False)
    assert not await stores.servers.paused()


async def test_a_pool_makes_nothing_until_it_is_set_up(stores: Stores) -> None:
    await stores.agents.add_pool("lab", NOW)
    assert await stores.servers.fleet_pools() == [Pool("lab", maximum=0)]
    wanted = Pool("lab", sizes=("s", "m"), maximum=4, labels={"a": "b"}, max_created_per_hour=None)
    await stores.servers.put_fleet_pool(wanted)
    assert await stores.servers.fleet_pool("lab", lock=True) == wanted
    assert await stores.servers.fleet_pool("other") is None
