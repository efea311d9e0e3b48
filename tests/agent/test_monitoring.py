"""Monitors of an agent between a platform and probes that are both played, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from callwright.agent.monitoring import Monitoring
from callwright.agent.readings import ReadingSpool
from callwright.dispatch import subject
from callwright.dispatch.broker import Message
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.monitors import Monitor, Plan, PlanRequest, Reading, Readings, Slot
from callwright.dispatch.messages.runs import JobPolicy
from callwright.dispatch.messages.wire import Answer, decode, encode
from callwright.outcome.terms import Blame, Verdict
from callwright.probe.plan import CUT_OFF
from callwright.probe.result import Hop, ProbeResult, State
from tests.kit.virtual_time import LoopClock, in_virtual_time

AGENT = "a1"
POLICY = JobPolicy(embedded=False)
GOOD = ProbeResult(
    kind="ping", state=State.DONE, verdict=Verdict.PASSED, blame=None, reason="Good.", mos=4.3, rtt_ms=12.0
)


class World:
    """A platform of a few lines, and an agent that can be killed. Unix seconds are the loop's."""

    def __init__(self, folder: Path, *monitors: Monitor) -> None:
        self.folder, self.monitors = folder, list(monitors)
        self.revision = 1
        self.page = 500
        self.broker = MemoryBroker()
        self.kept: dict[tuple[int, int], Reading] = {}
        self.batches: list[int] = []
        self.away = False
        self.asked: list[int] = []
        self.began: Counter[tuple[int, int]] = Counter()
        self.seconds = 3.0
        self.result: Callable[[Monitor, asyncio.Event], Awaitable[ProbeResult]] = self._after_a_while
        self.room = True
        self.traced: list[int] = []
        self.hops: tuple[Hop, ...] = (Hop(1, "10.0.0.1"), Hop(2, "192.0.2.1"))

    async def open(self) -> World:
        await self.broker.subscribe(subject.of_agents(subject.PLAN), self._on_plan)
        await self.broker.subscribe(subject.of_agents(subject.READINGS), self._on_readings)
        self.start()
        return self

    def start(self) -> None:
        self.spool = ReadingSpool(self.folder)
        self.agent = Monitoring(
            self.broker, AGENT, self.spool, self, clock=LoopClock(), room=lambda: self.room
        )
        self.task = asyncio.ensure_future(self.agent.run())
        self.agent.heard(self.revision, None, 0.0)

    async def kill(self) -> None:
        """Nothing of it runs on, and nothing is written by its end."""
        self.spool.add = lambda reading: None  # type: ignore[method-assign]
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.spool.close()

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.spool.close()
        await self.broker.close()

    def plan(self, *monitors: Monitor) -> None:
        self.monitors = list(monitors)
        self.revision += 1
        self.agent.heard(self.revision, None, 0.0)

    async def __call__(self, monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        assert monitor.policy == POLICY
        return await self.result(monitor, stop)

    async def path(self, monitor: Monitor, address: str, stop: asyncio.Event) -> tuple[Hop, ...]:
        self.traced.append(int(LoopClock().now()))
        await asyncio.sleep(2.0)
        return self.hops

    async def _after_a_while(self, monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        self.began[monitor.monitor_id, int(LoopClock().now())] += 1
        await asyncio.sleep(self.seconds)
        return GOOD

    async def _on_plan(self, message: Message) -> None:
        after = decode(PlanRequest, message.data).after
        self.asked.append(after)
        if self.away:
            return
        rest = [one for one in self.monitors if one.monitor_id > after]
        page = tuple(rest[: self.page])
        await message.respond(encode(Plan(self.revision, page, len(rest) > self.page, POLICY)))

    async def _on_readings(self, message: Message) -> None:
        if self.away:
            return
        batch = decode(Readings, message.data).readings
        self.batches.append(len(batch))
        for one in batch:
            self.kept.setdefault((one.monitor_id, one.slot), one)
        await message.respond(encode(Answer(True)))

    def of(self, monitor_id: int) -> list[Reading]:
        return [self.kept[key] for key in sorted(self.kept) if key[0] == monitor_id]


PING = Monitor(1, "ping", "192.0.2.1", 60, 20.5)  # the loop begins at 1000
CALL = Monitor(2, "call", "sip:echo@192.0.2.1", 60, 30.0)


@in_virtual_time
async def test_each_slot_of_the_plan_is_measured_and_its_reading_comes_home(tmp_path: Path) -> None:
    world = await World(tmp_path, PING).open()
    await asyncio.sleep(300)
    await world.close()
    assert [one.slot for one in world.of(1)] == [1040, 1100, 1160, 1220, 1280]
    first = world.of(1)[0]
    assert (first.state, first.verdict, first.reason) == ("done", "passed", "Good.")
    assert first.at == pytest.approx(1040.5, abs=0.01)
    assert first.figures == {"mos": 4.3, "rtt_ms": 12.0}


@in_virtual_time
async def test_an_agent_that_is_cut_off_goes_on_and_brings_all_of_it_later(tmp_path: Path) -> None:
    world = await World(tmp_path, PING).open()
    await asyncio.sleep(100)
    world.away = True
    world.agent.hold(True, "")
    await asyncio.sleep(3600)
    assert len(world.kept) == 1
    world.away = False
    world.agent.hold(False, "")
    await asyncio.sleep(60)
    slots = [one.slot for one in world.of(1)]
    await world.close()
    assert slots == list(range(1040, slots[-1] + 1, 60))
    assert len(slots) > 60
    assert {one.state for one in world.kept.values()} == {"done"}
    assert max(world.batches) > 50


@in_virtual_time
async def test_calls_of_an_agent_that_is_cut_off_are_missed_and_those_that_are_on_end(tmp_path: Path) -> None:
    world = World(tmp_path, PING, CALL)

    async def until_stopped(monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        if monitor.category == "ping":
            return GOOD
        await stop.wait()
        return ProbeResult(kind="call", verdict=Verdict.CANCELED)

    world.result = until_stopped
    await world.open()
    await asyncio.sleep(55)  # a call since 1050
    assert world.agent.calls == 1
    world.agent.hold(True, "")
    world.agent.end_calls(CUT_OFF)
    await asyncio.sleep(120)
    await world.close()
    assert {(one.slot, one.state, one.reason) for one in world.of(2)} == {
        (1050, "missed", CUT_OFF),
        (1110, "missed", CUT_OFF),
        (1170, "missed", CUT_OFF),
    }
    assert {one.state for one in world.of(1)} == {"done"}


@in_virtual_time
async def test_an_agent_that_is_killed_repeats_no_slot_and_tells_what_is_unknown(
    tmp_path: Path,
) -> None:
    world = await World(tmp_path, PING, CALL).open()
    await asyncio.sleep(101)  # the ping of 1100 is on
    await world.kill()
    await asyncio.sleep(200)
    world.start()
    await asyncio.sleep(120)
    await world.close()
    assert max(world.began.values()) == 1
    states = {one.slot: one.state for one in world.of(1)}
    assert (states[1040], states[1100], states[1160], states[1220]) == ("done", "unknown", "missed", "missed")
    slots = sorted(states)
    assert slots == list(range(1040, slots[-1] + 1, 60))
    assert world.kept[1, 1160].reason == "this agent was not running"


@pytest.mark.parametrize("seed", range(5))
def test_an_agent_that_is_killed_again_and_again_ends_each_slot_once(tmp_path: Path, seed: int) -> None:
    @in_virtual_time
    async def live() -> None:
        luck = random.Random(seed)
        world = await World(tmp_path, replace_interval(PING, 10), CALL).open()
        for _ in range(25):
            world.away = luck.random() < 0.3
            await asyncio.sleep(luck.uniform(0, 40))
            await world.kill()
            await asyncio.sleep(luck.choice([0, 1, 30]))
            world.start()
        world.away = False
        await asyncio.sleep(60)
        await world.close()
        assert max(world.began.values()) == 1
        assert {one.state for one in world.kept.values()} == {"done", "missed", "unknown"}
        for monitor_id, interval in ((1, 10), (2, 60)):
            slots = [one.slot for one in world.of(monitor_id)]
            assert slots == list(range(slots[0], slots[-1] + 1, interval))

    live()


@in_virtual_time
async def test_readings_that_waited_on_the_disk_come_home_after_a_restart(tmp_path: Path) -> None:
    world = await World(tmp_path, PING).open()
    await asyncio.sleep(5)
    world.away = True
    await asyncio.sleep(200)
    await world.kill()
    assert world.kept == {}
    world.start()
    world.away = False
    await asyncio.sleep(20)
    await world.close()
    assert [one.slot for one in world.of(1)][:3] == [1040, 1100, 1160]


@in_virtual_time
async def test_a_plan_comes_in_pages_and_holds_when_it_is_whole(tmp_path: Path) -> None:
    world = World(tmp_path, *(Monitor(n, "ping", "192.0.2.1", 60, 0.0) for n in range(1, 24)))
    world.page = 5
    await world.open()
    await asyncio.sleep(30)
    assert world.asked == [0, 5, 10, 15, 20]
    await asyncio.sleep(90)
    await world.close()
    assert {monitor_id for monitor_id, _ in world.kept} == set(range(1, 24))


@in_virtual_time
async def test_a_platform_that_is_away_leaves_the_old_plan_in_force(tmp_path: Path) -> None:
    world = await World(tmp_path, PING).open()
    await asyncio.sleep(50)
    world.away = True
    world.plan(CALL)
    await asyncio.sleep(120)
    world.away = False
    await asyncio.sleep(120)
    await world.close()
    assert [one.slot for one in world.of(1)] == [1040, 1100, 1160]
    assert [one.slot for one in world.of(2)] == [1230]


@in_virtual_time
async def test_a_slot_that_policy_forbids_is_missed_with_its_reason(tmp_path: Path) -> None:
    world = World(tmp_path, PING)

    async def refused(monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        return ProbeResult(blame=Blame.TEST, reason="192.0.2.1 is not permitted.", failure="policy")

    world.result = refused
    await world.open()
    await asyncio.sleep(60)
    await world.close()
    [one] = world.of(1)
    assert (one.state, one.verdict, one.reason) == ("missed", "", "192.0.2.1 is not permitted.")
    assert one.figures == {"failure": "policy"}


@in_virtual_time
async def test_an_error_of_ours_is_missed_and_ends_nothing_else(tmp_path: Path) -> None:
    world = World(tmp_path, PING)

    async def broken(monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        raise RuntimeError("oh")

    world.result = broken
    await world.open()
    await asyncio.sleep(130)
    await world.close()
    assert [one.state for one in world.of(1)] == ["missed", "missed"]
    assert world.of(1)[0].reason == "The agent itself failed: RuntimeError: oh"


@in_virtual_time
async def test_a_call_without_a_free_place_is_missed(tmp_path: Path) -> None:
    world = World(tmp_path, CALL)
    world.room = False
    await world.open()
    await asyncio.sleep(60)
    await world.close()
    assert [one.reason for one in world.of(2)] == ["this agent has no free place for a call"]


@in_virtual_time
async def test_a_slot_is_measured_at_once_when_the_platform_asks_for_it(tmp_path: Path) -> None:
    world = await World(tmp_path, PING).open()
    await asyncio.sleep(10)
    world.agent.ordered((Slot(1, 1010), Slot(1, 1010)))
    await asyncio.sleep(10)
    await world.close()
    assert [one.slot for one in world.of(1)] == [1010]


@in_virtual_time
async def test_the_time_of_the_platform_decides_when_a_slot_is(tmp_path: Path) -> None:
    world = await World(tmp_path, PING).open()
    world.agent.heard(1, 5_000_000.0, LoopClock().now())
    await asyncio.sleep(60)
    await world.close()
    assert [one.slot for one in world.of(1)] == [5_000_000 // 60 * 60 + 20]
    assert world.of(1)[0].at == pytest.approx(5_000_000 // 60 * 60 + 20.5, abs=0.1)


@in_virtual_time
async def test_the_way_is_traced_when_the_quality_changes_and_compared_with_the_usual(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, PING)
    mos = 4.35

    async def measure(monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        return replace(GOOD, mos=mos, address="192.0.2.1")

    world.result = measure
    await world.open()
    await asyncio.sleep(400)
    assert len(world.traced) == 1  # the usual way
    mos, world.hops = 3.2, (Hop(1, "10.0.9.9"), Hop(2, "192.0.2.1"))
    await asyncio.sleep(200)
    await world.close()
    assert len(world.traced) == 2
    first, *_, second = [one.figures["path"] for one in world.of(1) if "path" in one.figures]
    assert (first.get("changed"), second["changed"]) == (None, True)
    assert [hop["address"] for hop in second["hops"]] == ["10.0.9.9", "192.0.2.1"]
    assert [one.slot for one in world.of(1)] == list(range(1040, 1041 + 60 * (len(world.of(1)) - 1), 60))


@in_virtual_time
async def test_a_change_in_dns_is_told_by_the_slot_that_found_it(tmp_path: Path) -> None:
    world = World(tmp_path, Monitor(1, "dns", "example.com", 60, 20.5))
    answers = ("A 192.0.2.1",)

    async def look(monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        return replace(GOOD, kind="dns", answers=answers)

    world.result = look
    await world.open()
    await asyncio.sleep(150)
    answers = ("A 192.0.2.9",)
    await asyncio.sleep(120)
    await world.close()
    assert [one.figures.get("changed") for one in world.of(1)] == [None, False, True, False]
    assert "gone: A 192.0.2.1" in world.of(1)[2].reason


@in_virtual_time
async def test_a_quality_that_flaps_does_not_make_an_agent_flood_the_routers(tmp_path: Path) -> None:
    world = World(tmp_path, replace_interval(PING, 10))
    world.seconds = 1.0
    turns = 0

    async def measure(monitor: Monitor, stop: asyncio.Event) -> ProbeResult:
        nonlocal turns
        turns += 1
        return replace(GOOD, mos=4.35 if turns % 2 else 2.0, address="192.0.2.1")

    world.result = measure
    await world.open()
    await asyncio.sleep(1200)
    await world.close()
    assert turns >= 119
    assert len(world.traced) <= 5


def replace_interval(monitor: Monitor, interval: int) -> Monitor:
    return msgspec.structs.replace(monitor, interval=interval)


def test_a_spool_keeps_the_newest_readings_when_too_many_wait(tmp_path: Path) -> None:
    spool = ReadingSpool(tmp_path, most=10)
    for slot in range(25):
        spool.add(Reading(1, slot, "done"))
    spool.close()
    again = ReadingSpool(tmp_path, most=10)
    assert (spool.dropped, spool.waiting) == (15, 10)
    assert again.batch()[-1].slot == 24
    again.close()


def test_a_spool_survives_a_torn_line(tmp_path: Path) -> None:
    spool = ReadingSpool(tmp_path)
    spool.begin(1, 100, 100.5)
    spool.add(Reading(1, 40, "done", 40.5, figures={"mos": 4.0}))
    spool.close()
    with (tmp_path / "readings").open("ab") as out:
        out.write(b'{"begun":[1,1')
    again = ReadingSpool(tmp_path)
    assert {(one.slot, one.state) for one in again.batch()} == {(40, "done"), (100, "unknown")}
    assert again.decided == {1: 100}
    again.close()
