"""Whatever happens in whatever order, and wherever the platform is killed: nothing is lost nor doubled."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.fleet.record import NoSuchMove
from callwright.fleet.server import State
from tests.autoscaler.world import ON_THE_WAY, World
from tests.kit.examples import examples
from tests.kit.machines import Fault
from tests.kit.virtual_time import VirtualLoop

ACTS = st.one_of(
    st.tuples(st.just("kill"), st.just(0)),
    st.tuples(st.just("start"), st.just(0)),
    st.tuples(st.just("delete"), st.integers(0, 50)),
    st.tuples(st.just("create"), st.just(0)),
    st.tuples(st.just("die"), st.integers(0, 50)),
    st.tuples(st.just("vanish"), st.integers(0, 50)),
    st.tuples(st.just("fault"), st.sampled_from(sorted(Fault, key=lambda fault: fault.name))),
    st.tuples(st.just("well"), st.just(0)),
    st.tuples(st.just("load"), st.integers(0, 60)),
    st.tuples(st.just("jump"), st.sampled_from([3600.0, -3600.0])),
    st.tuples(st.just("pause"), st.just(0)),
)
PAUSES = st.one_of(st.floats(0.0, 3.0), st.floats(3.0, 400.0))
MINIMUM, MAXIMUM = 2, 6


def carry_out(world: World, act: str, what: Any) -> None:
    names = world.names(*ON_THE_WAY, State.ERROR)
    match act:
        case "start":
            world.platform(every=2.0)
        case "delete" if names:
            try:
                world.delete(names[what % len(names)])
            except NoSuchMove:
                return
        case "create" if len(names) < MAXIMUM:
            world.create()
        case "die" if names:
            world.dead.add(names[what % len(names)])
        case "vanish" if world.cloud.machines:
            world.cloud.forget(world.cloud.tags()[what % len(world.cloud.machines)])
        case "fault":
            world.cloud.faults.add(what)
        case "well":
            world.cloud.faults.clear()
        case "load":
            world.waiting["lab"] = what
        case "jump":
            world.clock.offset += what
        case "pause":
            world.paused = not world.paused


async def play(acts: list[tuple[tuple[str, Any], float]]) -> None:
    world = World(boot=8.0)
    world.cloud.seconds, world.cloud.late = 2.0, 30.0
    world.add_pool(
        minimum=MINIMUM, maximum=MAXIMUM, capacity=10, idle_seconds=60.0, max_created_per_hour=None
    )
    world.platform(every=2.0)
    for (act, what), pause in acts:
        if act == "kill":
            await world.kill()
            world.platform(every=2.0)
        else:
            carry_out(world, act, what)
        await asyncio.sleep(pause)
        assert len(world.names(*ON_THE_WAY)) <= MAXIMUM + sum(act == "create" for (act, _), _ in acts)
    world.cloud.faults.clear()
    world.waiting.clear()
    world.paused = False
    # A server that is dead for good is replaced; what was refused is asked again within an hour.
    await world.until(
        lambda: world.settled() and not world.dead.intersection(world.names(State.RUNNING)), 3 * 3600
    )
    await asyncio.sleep(60)
    assert world.settled()
    await world.kill()


@settings(max_examples=examples(60))
@given(st.lists(st.tuples(ACTS, PAUSES), max_size=12))
def test_after_anything_the_minimum_runs_on_one_machine_each_and_nothing_else_is_left(
    acts: list[tuple[tuple[str, Any], float]],
) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play(acts))
