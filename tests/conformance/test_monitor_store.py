"""Endpoints, VoIP tests, plans and readings, on every database."""

from __future__ import annotations

import msgspec
import pytest

from callwright.control.errors import Conflict
from callwright.control.monitors.history import Tally
from callwright.control.monitors.model import (
    Category,
    Endpoint,
    Figures,
    Latest,
    SlotState,
    StoredReading,
    VoipTest,
)
from callwright.control.storage.stores import Stores
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import State
from tests.conformance.rows import NOW


async def a_server(stores: Stores, name: str) -> int:
    row = ServerRecord(
        number=0,
        name=name,
        label=name,
        provider="private",
        pool="default",
        state=State.RUNNING,
        created=NOW,
        updated=NOW,
        since=NOW,
    )
    return (await stores.servers.add_server(row)).number


async def an_endpoint(stores: Stores, name: str = "trunk", project: str = "p") -> Endpoint:
    owner = await stores.projects.project(project) or await stores.projects.add_project(project, "", NOW)
    row = Endpoint(
        id=0,
        project_id=owner.id,
        name=name,
        ip_address="192.0.2.1",
        port=5060,
        description="",
        category=Category.SIP,
        interval=60,
        alert_threshold=3.9,
        alert_ids=(2, 1),
        uri="",
        credentials="",
        transport="udp",
        created_at=NOW,
        deleted_at=None,
    )
    return await stores.monitors.add_endpoint(row)


def a_test(endpoint: Endpoint, server_id: int) -> VoipTest:
    return VoipTest(
        id=0,
        endpoint_id=endpoint.id,
        server_id=server_id,
        codec="g711",
        num_tests=25,
        interpacket_ms=100.0,
        created_at=NOW,
        deleted_at=None,
        mos=None,
        updated_at=None,
        slot=None,
        state="",
        reason="",
        verdict="",
        figures={},
    )


def a_reading(
    test: VoipTest, slot: int, state: SlotState = SlotState.DONE, **figures: object
) -> StoredReading:
    return StoredReading(test.id, slot, state, slot + 0.25, "", "passed", figures)


async def test_an_endpoint_is_kept_as_it_is_and_seen_in_its_project_alone(stores: Stores) -> None:
    one, other = await an_endpoint(stores), await an_endpoint(stores, "pbx", project="q")
    assert await stores.monitors.endpoint(one.id) == one
    assert await stores.monitors.endpoints(None) == [one, other]
    assert await stores.monitors.endpoints([other.project_id]) == [other]
    assert await stores.monitors.endpoints([]) == []
    changed = msgspec.structs.replace(one, name="Trunk", alert_ids=(), deleted_at=NOW + 1)
    assert await stores.monitors.replace_endpoint(changed) == changed
    assert await stores.monitors.endpoint(one.id) == changed


async def test_a_server_tests_an_endpoint_once(stores: Stores) -> None:
    endpoint, server = await an_endpoint(stores), await a_server(stores, "fra-1")
    added = await stores.monitors.add_voip_test(a_test(endpoint, server))
    with pytest.raises(Conflict):
        await stores.monitors.add_voip_test(a_test(endpoint, server))
    assert await stores.monitors.voip_tests(endpoint.id) == [added] == await stores.monitors.voip_tests()
    assert await stores.monitors.voip_test(added.id) == added


async def test_a_plan_holds_what_lives_and_its_revision_grows_with_each_change(stores: Stores) -> None:
    fra, syd = await a_server(stores, "fra-1"), await a_server(stores, "syd-1")
    endpoints = [await an_endpoint(stores, name) for name in ("a", "b", "c")]
    tests = [await stores.monitors.add_voip_test(a_test(one, fra)) for one in endpoints]
    await stores.monitors.add_voip_test(a_test(endpoints[0], syd))
    await stores.monitors.replace_endpoint(msgspec.structs.replace(endpoints[1], deleted_at=NOW))
    planned = await stores.monitors.planned(fra, 0, 10)
    assert [(one.voip_test_id, one.name) for one in planned] == [(tests[0].id, "a"), (tests[2].id, "c")]
    assert (await stores.monitors.planned(fra, tests[0].id, 10)) == planned[1:]
    assert (await stores.monitors.planned(fra, 0, 1)) == planned[:1]
    await stores.monitors.replace_voip_test(msgspec.structs.replace(tests[0], deleted_at=NOW))
    assert (await stores.monitors.planned(fra, 0, 10)) == planned[1:]
    assert await stores.monitors.revision(fra) is None
    await stores.monitors.bump([fra, fra, syd])
    await stores.monitors.bump([fra])
    assert (await stores.monitors.revision(fra), await stores.monitors.revision(syd)) == (2, 1)


async def test_the_first_reading_of_a_slot_stays_and_the_newest_slot_is_the_latest(stores: Stores) -> None:
    test = await stores.monitors.add_voip_test(
        a_test(await an_endpoint(stores), await a_server(stores, "fra-1"))
    )
    first = a_reading(test, 1_000_020, mos=4.2, sent=25)
    await stores.monitors.add_readings([first, a_reading(test, 999_960, mos=3.0)])
    await stores.monitors.add_readings([a_reading(test, 1_000_020, mos=1.5)])
    rows = await stores.monitors.readings(test.id, 999_900, 1_000_080)
    assert rows == [a_reading(test, 999_960, mos=3.0), first]
    assert await stores.monitors.readings(test.id, 999_960.5, 1_000_020) == []
    latest = await stores.monitors.voip_test(test.id)
    assert latest is not None
    assert (latest.mos, latest.updated_at, latest.slot, latest.state) == (
        4.2,
        1_000_020.25,
        1_000_020,
        "done",
    )


async def test_a_slot_that_was_not_run_changes_the_state_and_leaves_the_mos(stores: Stores) -> None:
    test = await stores.monitors.add_voip_test(
        a_test(await an_endpoint(stores), await a_server(stores, "fra-1"))
    )
    await stores.monitors.add_readings([a_reading(test, 1_000_020, mos=4.2)])
    missed = StoredReading(test.id, 1_000_080, SlotState.MISSED, None, "cut off", "", {})
    await stores.monitors.add_readings([missed])
    latest = await stores.monitors.voip_test(test.id)
    assert latest is not None
    assert (latest.mos, latest.updated_at, latest.state, latest.reason) == (
        4.2,
        1_000_020.25,
        "missed",
        "cut off",
    )
    assert await stores.monitors.voip_tests_of(test.server_id, [test.id, 99]) == {test.id}
    assert await stores.monitors.voip_tests_of(99, [test.id]) == set()


async def test_the_newest_slots_of_what_goes_on_are_read_at_once(stores: Stores) -> None:
    fra, syd = await a_server(stores, "fra-1"), await a_server(stores, "syd-1")
    one, gone = await an_endpoint(stores, "one"), await an_endpoint(stores, "gone")
    other = await an_endpoint(stores, "other", project="q")
    tests = [await stores.monitors.add_voip_test(a_test(one, server)) for server in (syd, fra)]
    for endpoint in (gone, other):
        await stores.monitors.add_voip_test(a_test(endpoint, fra))
    await stores.monitors.replace_endpoint(msgspec.structs.replace(gone, deleted_at=NOW))
    await stores.monitors.add_readings(
        [a_reading(tests[1], 1_000_020, mos=4.2, loss_pct=1, rtt_ms="fast", sip_code=200, extra=[1])]
    )
    found = await stores.monitors.latest([one.project_id])
    assert [(row.endpoint_id, row.server_id, row.slot) for row in found] == [
        (one.id, fra, 1_000_020),
        (one.id, syd, None),
    ]
    assert found[0] == Latest(
        voip_test_id=tests[1].id,
        endpoint_id=one.id,
        server_id=fra,
        interval=60,
        updated_at=1_000_020.25,
        slot=1_000_020,
        state="done",
        reason="",
        verdict="passed",
        figures=Figures(mos=4.2, loss_pct=1.0, sip_code=200),
    )
    test = await stores.monitors.voip_test(tests[1].id)
    assert test is not None
    assert Latest.of(test, 60) == found[0], "what is no figure counts as not measured"
    assert {row.endpoint_id for row in await stores.monitors.latest(None)} == {one.id, other.id}
    await stores.monitors.replace_voip_test(msgspec.structs.replace(tests[0], deleted_at=NOW))
    assert [row.server_id for row in await stores.monitors.latest([one.project_id])] == [fra]


async def test_a_tally_is_read_whole_or_with_the_spread_of_one_figure(stores: Stores) -> None:
    whole = Tally({"done": 3}, {"sent": 75}, {"mos": {441: 3}, "rtt_ms": {-1: 1, 390: 2}})
    await stores.monitors.put_tallies(7, 60, {60: whole, 120: Tally()})
    assert await stores.monitors.tallies(7, 60, 0, 180) == {60: whole, 120: Tally()}
    narrow = msgspec.structs.replace(whole, spread={"rtt_ms": {-1: 1, 390: 2}})
    assert await stores.monitors.tallies(7, 60, 0, 180, "rtt_ms") == {60: narrow, 120: Tally()}
    assert (await stores.monitors.tallies(7, 60, 0, 180, "jitter_ms"))[60].spread == {}


async def test_slots_with_another_path_are_found_among_many(stores: Stores) -> None:
    endpoint = await an_endpoint(stores)
    servers = [await a_server(stores, name) for name in ("fra-1", "syd-1", "sin-1")]
    tests = [await stores.monitors.add_voip_test(a_test(endpoint, server)) for server in servers]
    path = {"fingerprint": "ab", "changed": True, "hops": []}
    await stores.monitors.add_readings(
        [
            a_reading(tests[0], 1_000_000, path=path),
            a_reading(tests[0], 1_000_060, path={**path, "changed": False}),
            a_reading(tests[1], 1_000_020, changed=True),
            a_reading(tests[2], 1_000_030, changed=True),
            a_reading(tests[0], 1_000_120, path=path),
        ]
    )
    found = await stores.monitors.changes([tests[0].id, tests[1].id], 1_000_000, 1_000_120)
    assert [(one.voip_test_id, one.slot) for one in found] == [
        (tests[0].id, 1_000_000),
        (tests[1].id, 1_000_020),
    ]
    assert await stores.monitors.changes([], 0, 2_000_000) == []
