"""Servers: moves by compare-and-set, counters and the settings of pools, on every database."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from callwright.control.errors import Conflict
from callwright.control.servers.model import Decided, Sample
from callwright.control.storage.stores import Stores
from callwright.fleet.plan import Bound, Cause, Decision
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


async def test_decisions_are_kept_as_values_the_newest_first(stores: Stores) -> None:
    first = Decision("eu", Cause.WAITING, create=2, retire=("a",), bound=Bound.MAXIMUM, again_at=1.5)
    for number, decision in enumerate((first, Decision("us", Cause.IDLE), Decision("eu", Cause.IDLE))):
        await stores.history.add_decided(Decided(decision.pool, NOW + number, decision))
    assert await stores.history.decided("eu", 5) == [
        Decided("eu", NOW + 2, Decision("eu", Cause.IDLE)),
        Decided("eu", NOW, first),
    ]
    assert [one.at for one in await stores.history.decided("eu", 1)] == [NOW + 2]


async def test_samples_are_kept_once_a_minute_and_forgotten_when_they_are_old(stores: Stores) -> None:
    def sample(pool: str, at: float, **more: float | None) -> Sample:
        facts: dict[str, Any] = {"running": 1, "coming": 0, "errored": 0, "places": 10, "busy": 3}
        facts |= {"servers": 1, "waiting": 0, "waited": None, "cost": None} | more
        return Sample(pool, at, **facts)

    kept = [sample("eu", NOW), sample("us", NOW, waited=2.5, cost=0.25), sample("eu", NOW + 60)]
    await stores.history.add_samples(kept)
    await stores.history.add_samples([sample("eu", NOW, running=9)])
    assert await stores.history.samples(NOW) == kept
    assert await stores.history.samples(NOW, "us") == [kept[1]]
    assert await stores.history.samples(NOW + 1) == [kept[2]]
    await stores.history.add_decided(Decided("eu", NOW, Decision("eu", Cause.IDLE)))
    await stores.history.forget_history(NOW, NOW + 60)
    assert await stores.history.samples(0.0) == [kept[2]]
    assert len(await stores.history.decided("eu", 9)) == 1
