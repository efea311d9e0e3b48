"""Each fault of a provider, each jump of a clock, each change at the wrong moment: what becomes of it, and
what is said of it."""

from __future__ import annotations

import asyncio
import dataclasses

from callwright.autoscaler.provider import Order
from callwright.fleet.server import Event, State
from tests.autoscaler.world import World
from tests.kit.machines import Fault
from tests.kit.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_pool_fills_to_its_minimum_at_once() -> None:
    world = World()
    world.add_pool(minimum=3)
    world.platform()
    await world.until(lambda: world.running() == 3, 60)
    assert world.told == ["started 3: 0 servers, minimum 3"]
    assert sorted(world.cloud.tags()) == sorted(world.names(State.RUNNING))
    await world.kill()


@in_virtual_time
async def test_work_that_waits_makes_servers_which_end_when_they_were_idle() -> None:
    world = World()
    world.add_pool(capacity=10, idle_seconds=120.0, min_age_seconds=0.0)
    world.platform()
    world.waiting["lab"] = 40
    await world.until(lambda: world.running() == 4, 120)
    world.waiting["lab"] = 0
    world.busy = dict.fromkeys(world.names(State.RUNNING), 10)
    await asyncio.sleep(300)
    assert world.running() == len(world.cloud.machines) == 4
    world.busy.clear()
    await asyncio.sleep(100)
    assert world.running() == 4
    await world.until(lambda: not world.cloud.machines, 120)
    await world.until(world.settled, 10)
    assert set(world.drained) == set(world.rows)
    assert len(world.cloud.created) == 4
    await world.kill()


@in_virtual_time
async def test_a_provider_that_fails_is_asked_three_times_and_then_again_later() -> None:
    world = World()
    world.add_pool(minimum=1)
    world.cloud.faults.add(Fault.FAILS)
    world.platform()
    await world.until(lambda: world.names(State.ERROR), 120)
    (errored,) = world.names(State.ERROR)
    assert world.rows[errored].error == "quota exceeded"
    assert [event for name, event in world.moves if name == errored].count(Event.RETRY) == 2
    world.cloud.faults.clear()
    await world.until(world.settled, 600)
    assert world.state(errored) is State.STOPPED
    await world.kill()


@in_virtual_time
async def test_a_provider_that_keeps_failing_is_asked_ever_more_rarely() -> None:
    world = World()
    world.add_pool(minimum=5, max_created_per_hour=None)
    world.cloud.faults.add(Fault.FAILS)
    world.platform()
    await asyncio.sleep(3600)
    assert len(world.rows) < 25
    assert (
        "did not start 5 (0 servers, minimum 5): the provider failed, and is asked again later" in world.told
    )
    await world.kill()


@in_virtual_time
async def test_a_provider_that_hangs_is_given_up_after_its_deadline() -> None:
    world = World()
    world.add_pool(minimum=1)
    world.cloud.faults.add(Fault.HANGS)
    world.platform()
    await asyncio.sleep(310)
    assert world.errors == ["the provider did not answer within 300 s"]
    world.cloud.faults.clear()
    await world.until(world.settled, 600)
    assert len(world.cloud.created) == 1
    await world.kill()


@in_virtual_time
async def test_a_machine_whose_request_was_given_up_and_that_came_late_is_not_doubled() -> None:
    world = World()
    world.add_pool(minimum=1)
    world.cloud.faults.add(Fault.LATE)
    world.cloud.late = 310.0
    world.platform()
    await asyncio.sleep(305)
    world.cloud.faults.clear()
    await world.until(world.settled, 900)
    await asyncio.sleep(30)
    assert world.settled()
    await world.kill()


@in_virtual_time
async def test_a_provider_that_makes_the_machine_and_answers_an_error_is_believed_by_its_list() -> None:
    world = World()
    world.add_pool(minimum=2)
    world.cloud.faults.add(Fault.LIES)
    world.platform()
    await world.until(world.settled, 120)
    assert len(world.cloud.created) == 2
    assert all(row.machine.startswith("i-") for row in world.rows.values())
    assert Event.RETRY not in [event for _, event in world.moves]
    await world.kill()


@in_virtual_time
async def test_a_provider_that_forgets_a_machine_loses_its_server_which_is_replaced() -> None:
    world = World()
    world.add_pool(minimum=2)
    world.platform()
    await world.until(world.settled, 120)
    lost = world.names(State.RUNNING)[0]
    world.cloud.forget(lost)
    await world.until(lambda: world.state(lost) is State.ERROR, 60)
    assert world.rows[lost].error.startswith("lost: not heard for 25 s")
    await world.until(lambda: world.running() == 2, 60)
    await world.until(lambda: world.state(lost) is State.STOPPED, 120)
    assert world.settled()
    await world.kill()


@in_virtual_time
async def test_a_size_that_is_out_of_stock_is_followed_by_the_next_one() -> None:
    world = World()
    world.add_pool(minimum=2, sizes=("large", "medium", "small"))
    world.cloud.out_of_stock = {"large", "medium"}
    world.platform()
    await world.until(world.settled, 120)
    assert set(world.cloud.sizes.values()) == {"small"}
    assert world.errors[0] == "no large is left"
    assert not world.names(State.ERROR)
    assert {row.size for row in world.rows.values()} == {"small"}
    await world.kill()


@in_virtual_time
async def test_a_pool_whose_sizes_are_all_out_of_stock_says_so_and_asks_again_later() -> None:
    world = World()
    world.add_pool(minimum=1, sizes=("large", "small"), region="fra1")
    world.cloud.out_of_stock = {"large", "small"}
    world.platform()
    await world.until(lambda: world.names(State.ERROR), 120)
    assert world.errors[-1] == "out of stock: the provider has none of large, small in fra1"
    await asyncio.sleep(60)
    assert "did not start 1 (0 servers, minimum 1): the provider has no size in stock" in world.told
    world.cloud.out_of_stock = set()
    await world.until(world.settled, 900)
    await world.kill()


@in_virtual_time
async def test_a_provider_that_refuses_to_destroy_is_asked_with_back_off_and_never_blocks_the_pool() -> None:
    world = World()
    world.add_pool(minimum=1, maximum=3)
    world.platform()
    await world.until(world.settled, 120)
    (name,) = world.names(State.RUNNING)
    world.cloud.faults.add(Fault.REFUSES)
    world.delete(name)
    await world.until(lambda: world.state(name) is State.ERROR, 600)
    assert world.rows[name].error == "it could not be destroyed: termination protection is on"
    assert world.running() == 1  # another one
    await asyncio.sleep(2000)
    assert world.rows[name].attempts >= 2
    assert world.running() == 1
    world.cloud.faults.clear()
    await world.until(world.settled, 3600)
    await world.kill()


@in_virtual_time
async def test_a_destruction_that_was_accepted_and_not_done_is_noticed() -> None:
    world = World()
    world.add_pool(minimum=1)
    world.platform()
    await world.until(world.settled, 120)
    (name,) = world.names(State.RUNNING)
    world.cloud.faults.add(Fault.SILENT)
    world.delete(name)
    await world.until(lambda: world.state(name) is State.ERROR, 600)
    assert world.rows[name].error == (
        "it could not be destroyed: the provider accepted that, and still lists its machine"
    )
    world.cloud.faults.clear()
    await world.until(world.settled, 3600)
    await world.kill()


@in_virtual_time
async def test_an_agent_that_never_comes_up_fails_its_server_which_is_destroyed() -> None:
    world = World(boot=1e9)
    world.add_pool(minimum=1)
    world.platform()
    await world.until(lambda: world.names(State.ERROR), 700)
    assert world.errors == ["no agent enrolled within 600 s"]
    world.boot = 10.0
    await world.until(world.settled, 900)
    await world.kill()


@in_virtual_time
async def test_a_pool_of_an_unknown_provider_says_which_there_are() -> None:
    world = World(provider="moon")
    world.add_pool(minimum=1)
    world.platform()
    await world.until(lambda: world.names(State.ERROR), 30)
    assert world.errors[0] == "no provider 'moon' is set up; those that are: memory, other"
    await world.kill()


@in_virtual_time
async def test_a_calendar_that_jumps_an_hour_loses_and_ends_nobody() -> None:
    world = World(boot=60.0)
    world.add_pool(minimum=2, maximum=5, max_created_per_hour=4, idle_seconds=1800.0)
    world.platform()
    await asyncio.sleep(10)
    assert len(world.names(State.STAGING)) == 2
    for jump in (3600.0, -7200.0, 3600.0):
        world.clock.offset += jump
        await asyncio.sleep(30)
    await world.until(world.settled, 60)
    world.waiting["lab"] = 1000
    await asyncio.sleep(5)
    world.clock.offset += 3600.0
    await asyncio.sleep(60)
    assert len(world.rows) == 4, "the bound on spending holds although the calendar went on by an hour"
    assert world.errors == []
    await world.kill()


@in_virtual_time
async def test_a_process_that_was_suspended_for_an_hour_counts_nobody_as_lost() -> None:
    world = World()
    world.add_pool(minimum=2)
    platform = world.platform()
    await world.until(world.settled, 120)
    world.leader = "somebody else"  # no round of ours, as if suspended
    world.dead = set(world.names())
    await asyncio.sleep(3600)
    world.leader = platform
    await asyncio.sleep(20)
    world.dead = set()
    await asyncio.sleep(60)
    assert world.errors == []
    assert world.settled()
    await world.kill()


@in_virtual_time
async def test_nobody_is_lost_while_the_platform_does_not_listen() -> None:
    world = World()
    world.add_pool(minimum=1)
    world.platform()
    await world.until(world.settled, 120)
    world.listening, world.dead = False, set(world.names())
    await asyncio.sleep(600)
    assert world.settled()
    world.listening = True
    await world.until(lambda: world.names(State.ERROR), 60)
    await world.kill()


@in_virtual_time
async def test_a_server_that_is_heard_again_runs_again_and_is_not_destroyed() -> None:
    world = World()
    world.add_pool(minimum=1, maximum=2, idle_seconds=1e6)
    world.platform()
    await world.until(world.settled, 120)
    (name,) = world.names(State.RUNNING)
    world.dead.add(name)
    await world.until(lambda: world.state(name) is State.ERROR, 60)
    world.dead.clear()
    await world.until(lambda: world.state(name) is State.RUNNING, 30)
    assert world.rows[name].error == ""
    await world.kill()


@in_virtual_time
async def test_a_lost_server_that_a_person_enrolled_is_neither_replaced_nor_destroyed() -> None:
    world = World()
    world.add_pool(minimum=0)
    name = world.create(provider="private", state=State.RUNNING, name="branch-office")
    world.platform()
    await asyncio.sleep(60)
    world.dead.add(name)
    await world.until(lambda: world.state(name) is State.ERROR, 60)
    await asyncio.sleep(3600)
    assert world.state(name) is State.ERROR
    assert world.names() == [name]
    world.dead.clear()
    await world.until(lambda: world.state(name) is State.RUNNING, 30)
    await world.kill()


@in_virtual_time
async def test_a_server_deleted_while_it_is_created_leaves_no_machine() -> None:
    for after in (0.5, 3.0, 9.0, 11.0):
        world = World()
        world.add_pool()
        world.cloud.seconds = 10.0
        name = world.create()
        world.platform()
        await asyncio.sleep(after)
        world.delete(name)
        await world.until(lambda: world.state(name) is State.STOPPED, 120)  # noqa: B023
        await asyncio.sleep(30)
        assert world.cloud.tags() == []
        assert world.rows[name].error == ""
        await world.kill()


@in_virtual_time
async def test_two_platforms_that_plan_at_once_make_what_one_would() -> None:
    world = World()
    world.add_pool(minimum=3, maximum=10, capacity=10)
    world.platform()
    world.platform()
    await world.until(world.settled, 120)
    world.waiting["lab"] = 70
    await world.until(lambda: world.running() == 7, 120)
    assert len(world.rows) == 7
    assert len(world.cloud.created) == 7
    await world.kill()


@in_virtual_time
async def test_machines_that_no_server_answers_for_are_destroyed() -> None:
    world = World()
    world.add_pool(minimum=1)
    world.platform()
    await world.until(world.settled, 120)
    world.cloud.make("ours", Order("agent-orphan", "lab", "", ""))
    world.cloud.make("ours", Order(world.names(State.RUNNING)[0], "lab", "", ""))
    world.cloud.make("theirs", Order("agent-foreign", "lab", "", ""))
    await asyncio.sleep(30)
    assert [machine.id for _, machine in world.cloud.machines] == ["i-1", "i-4"]
    await world.kill()


@in_virtual_time
async def test_a_paused_fleet_makes_and_ends_nothing_and_goes_on_afterwards() -> None:
    world = World(paused=True)
    world.add_pool(minimum=2)
    world.platform()
    await asyncio.sleep(120)
    assert world.names() == []
    assert world.told == ["did not start 2 (0 servers, minimum 2): the fleet is paused"]
    world.paused = False
    await world.until(world.settled, 60)
    await world.kill()


@in_virtual_time
async def test_a_removed_pool_drains_its_servers_and_waits_for_their_calls() -> None:
    world = World()
    pool = world.add_pool(minimum=2, drain_seconds=300.0)
    world.platform()
    await world.until(world.settled, 120)
    busy, idle = world.names(State.RUNNING)
    world.busy[busy] = 1
    world.pools["lab"] = dataclasses.replace(pool, removed=True)
    await world.until(lambda: world.state(idle) is State.STOPPED, 30)
    await asyncio.sleep(60)
    assert world.state(busy) is State.RUNNING  # never a busy one
    world.busy.clear()
    await world.until(world.settled, 30)
    await world.kill()


@in_virtual_time
async def test_a_deleted_server_finishes_its_calls_or_its_drain_time() -> None:
    world = World()
    world.add_pool(minimum=1, drain_seconds=300.0)
    world.platform()
    await world.until(world.settled, 120)
    (name,) = world.names(State.RUNNING)
    world.busy[name] = 1
    world.delete(name)
    await asyncio.sleep(290)
    assert world.state(name) is State.SHUTDOWN
    assert world.drained == [name]
    await world.until(lambda: world.state(name) is State.STOPPED, 30)
    await world.kill()


@in_virtual_time
async def test_a_provider_that_answers_nothing_at_all_changes_nothing() -> None:
    world = World()
    world.add_pool(minimum=2)
    world.platform()
    await world.until(world.settled, 120)
    world.cloud.faults.add(Fault.UNREACHABLE)
    await asyncio.sleep(1200)
    assert world.running() == 2
    name = world.create()
    await asyncio.sleep(400)
    assert world.rows[name].error.startswith("connection refused")
    world.cloud.faults.clear()
    await world.until(world.settled, 3600)
    await world.kill()


@in_virtual_time
async def test_a_provider_that_is_slow_to_list_holds_up_no_other() -> None:
    world = World()
    world.add_pool(minimum=1)
    world.add_pool(name="far", provider="other")
    world.other.faults.add(Fault.SLOW)
    world.create("far", provider="other")  # so that it is asked in every round
    world.platform()
    await world.until(
        lambda: any(row.pool == "lab" and row.state is State.RUNNING for row in world.rows.values()), 40
    )  # the boot alone takes 20
    (name,) = (row.name for row in world.rows.values() if row.pool == "lab")
    began = world.clock.now()
    world.cloud.forget(name)
    world.dead.add(name)
    await world.until(lambda: world.state(name) is State.ERROR, 60)
    assert world.clock.now() - began < 45
    await world.kill()
