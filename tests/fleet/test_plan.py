"""The planner: what it wants of a pool, and that it converges whatever the load does."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from callwright.fleet.plan import (
    HOUR,
    Bound,
    Cause,
    Decision,
    Errored,
    Idle,
    Peaks,
    Seen,
    Tally,
    decide,
    plan,
    reap_delay,
    retry_delay,
    tally,
)
from callwright.fleet.pool import Pool
from callwright.fleet.server import State
from callwright.fleet.words import sentence

POOL = Pool("p", minimum=0, maximum=20, capacity=10, buffer=10, idle_seconds=300, min_age_seconds=60)


def wants(pool: Pool, *servers: Seen, waiting: int = 0, now: float = 10_000.0, **more: object) -> Decision:
    return decide(pool, tally(servers, now, waiting=waiting, **more), now)  # type: ignore[arg-type]


def running(name: str, busy: int = 0, idle_since: float = 0.0, capacity: int = 10) -> Seen:
    return Seen(name, State.RUNNING, capacity, 0.0, busy, None if busy else idle_since)


def test_the_minimum_is_filled_at_once() -> None:
    found = wants(replace(POOL, minimum=3, buffer=0))
    assert (found.create, found.cause) == (3, Cause.MINIMUM)
    assert sentence(found) == "started 3: 0 servers, minimum 3"


def test_calls_that_wait_start_servers_and_the_sentence_says_why() -> None:
    found = wants(POOL, running("a"), running("b"), waiting=37)
    assert found.create == 3
    assert sentence(found) == "started 3: 37 calls waiting, 20 places free, buffer 10"


def test_the_buffer_alone_starts_a_server() -> None:
    found = wants(POOL, running("a", busy=5))
    assert (found.create, found.cause) == (1, Cause.BUFFER)
    assert sentence(found) == "started 1: 5 places free, buffer 10"


def test_servers_on_their_way_are_counted_so_that_none_is_started_twice() -> None:
    coming = [Seen(f"c{i}", state, 10, 9_990.0) for i, state in enumerate((State.PENDING, State.STAGING))]
    assert not wants(POOL, *coming, waiting=10).create
    assert wants(POOL, *coming, waiting=11).create == 1


def test_servers_that_leave_count_for_the_maximum_and_not_for_the_minimum() -> None:
    leaving = Seen("x", State.SHUTDOWN, 10, 0.0)
    assert wants(replace(POOL, minimum=1, maximum=2, buffer=0), leaving).create == 1
    full = wants(replace(POOL, minimum=1, maximum=1, buffer=0), leaving)
    assert (full.create, full.bound, full.short) == (0, Bound.MAXIMUM, 1)


def test_the_maximum_holds_and_the_sentence_says_what_was_not_started() -> None:
    found = wants(replace(POOL, maximum=2), waiting=37)
    assert (found.create, found.short, found.bound) == (2, 3, Bound.MAXIMUM)
    assert sentence(found) == (
        "started 2: 37 calls waiting, 0 places free, buffer 10; did not start 3: the pool's maximum is 2"
    )


def test_the_bound_on_spending_holds_and_says_when_it_ends() -> None:
    pool = replace(POOL, max_created_per_hour=4)
    gone = [10_000.0 - 1_800, 10_000.0 - 60, 10_000.0 - 59]
    found = wants(pool, waiting=30, created=gone)
    assert (found.create, found.short, found.bound) == (1, 3, Bound.SPENDING)
    assert found.again_at == 10_000.0 - 1_800 + HOUR


def test_the_idlest_server_is_retired_first_and_never_a_busy_one() -> None:
    servers = (running("busy", busy=1), running("old", idle_since=10.0), running("new", idle_since=9_000.0))
    found = wants(replace(POOL, buffer=0), *servers)
    assert found.retire == ("old", "new")
    assert found.cause is Cause.IDLE
    kept = wants(replace(POOL, buffer=15), *servers)
    assert kept.retire == ("old",)
    assert sentence(kept) == "retired 1: 29 places free, buffer 15"


def test_a_pool_shrinks_to_its_peak_and_not_to_the_calls_of_the_moment() -> None:
    peaks = Peaks(300.0)
    peaks.add(9_800.0, 25)
    servers = [running(f"s{i}", idle_since=0.0) for i in range(4)]
    found = wants(replace(POOL, buffer=0), *servers, peaks=peaks)
    assert (found.retire, found.again_at) == (("s0",), 9_800.0 + 300)
    later = decide(replace(POOL, buffer=0), tally(servers, 10_101.0, peaks=peaks), 10_101.0)
    assert len(later.retire) == 4


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50)), min_size=1), st.floats(1, 200))
def test_the_peak_is_the_most_within_the_window(steps: list[tuple[float, int]], window: float) -> None:
    peaks, now, seen = Peaks(window), 0.0, []
    for step, calls in steps:
        now += step
        peaks.add(now, calls)
        seen.append((now, calls))
        assert peaks.highest == max(calls for at, calls in seen if at + window > now)


def test_a_server_is_not_retired_before_its_idle_time_and_the_decision_says_when() -> None:
    found = wants(replace(POOL, buffer=0), running("a", idle_since=9_900.0))
    assert (found.retire, found.again_at) == ((), 9_900.0 + 300)
    young = Seen("y", State.RUNNING, 10, 9_980.0, 0, 9_980.0)
    assert wants(replace(POOL, buffer=0, idle_seconds=0), young).again_at == 9_980.0 + 60


def test_scale_down_stops_at_the_minimum() -> None:
    found = wants(
        replace(POOL, minimum=2, buffer=0), *(running(f"s{i}", idle_since=float(i)) for i in range(5))
    )
    assert found.retire == ("s0", "s1", "s2")


def test_a_smaller_maximum_ends_idle_servers_whatever_the_buffer_says() -> None:
    pool = replace(POOL, maximum=1, buffer=50)
    found = wants(
        pool, running("a", idle_since=9_999.0), running("b", busy=1), running("c", idle_since=9_998.0)
    )
    assert (found.retire, found.cause) == (("c", "a"), Cause.ABOVE_MAXIMUM)


def test_a_pool_that_is_removed_makes_nothing_and_drains_what_is_idle() -> None:
    pool = replace(POOL, minimum=2, removed=True)
    found = wants(pool, running("a"), running("b", busy=3), waiting=50)
    assert (found.create, found.retire) == (0, ("a",))
    assert sentence(found) == "retired 1: the pool is being removed"


def test_an_errored_server_is_replaced_at_once_and_destroyed_after_its_back_off() -> None:
    pool = replace(POOL, minimum=1, maximum=1, buffer=0)
    fresh = Seen("e", State.ERROR, 10, 0.0, errored_at=9_990.0)
    found = wants(pool, fresh)
    assert (found.create, found.reap, found.again_at) == (1, (), 9_990.0 + reap_delay(0))
    late = wants(pool, replace(fresh, errored_at=9_000.0))
    assert late.reap == ("e",)
    tried = wants(pool, replace(fresh, errored_at=10_000.0 - reap_delay(0), attempts=3))
    assert not tried.reap


def test_an_errored_server_never_blocks_scale_down() -> None:
    found = wants(replace(POOL, buffer=0), Seen("e", State.ERROR, 10, 0.0, errored_at=9_999.0), running("a"))
    assert found.retire == ("a",)


def test_failures_of_the_provider_are_met_with_back_off_then_with_one_attempt() -> None:
    pool = replace(POOL, minimum=5, buffer=0)
    found = wants(pool, failures=3, last_failure_at=9_999.0)
    assert (found.create, found.bound, found.again_at) == (0, Bound.BACK_OFF, 9_999.0 + retry_delay(3))
    assert wants(pool, failures=3, last_failure_at=9_000.0).create == 1
    assert retry_delay(100) == retry_delay(50) == 600


def test_the_next_size_is_asked_for_when_one_is_out_of_stock() -> None:
    pool = replace(POOL, minimum=1, sizes=("small", "large"))
    assert wants(pool, out_of_stock={"small": 10_100.0}).size == "large"
    assert wants(pool, out_of_stock={"small": 9_000.0}).size == "small"
    none = wants(pool, out_of_stock={"small": 10_100.0, "large": 10_050.0})
    assert (none.create, none.bound, none.again_at) == (0, Bound.OUT_OF_STOCK, 10_050.0)


def test_a_paused_fleet_changes_nothing_and_says_so() -> None:
    seen = tally([running("a"), Seen("e", State.ERROR, 10, 0.0)], 10_000.0, waiting=99)
    found = decide(POOL, seen, 10_000.0, paused=True)
    assert not found.changes
    assert sentence(found).endswith("the fleet is paused")


def test_servers_enrolled_by_hand_give_places_and_are_neither_counted_nor_ended() -> None:
    own = Seen("mine", State.RUNNING, 50, 0.0, 0, 0.0, ours=False)
    found = wants(replace(POOL, minimum=1, buffer=30), own)
    assert (found.create, found.cause, found.retire) == (1, Cause.MINIMUM, ())
    assert not wants(POOL, replace(own, state=State.ERROR)).reap


def test_each_pool_gets_its_own_decision() -> None:
    found = plan([replace(POOL, name="a"), replace(POOL, name="b", minimum=1)], {"a": Tally(waiting=5)}, 0.0)
    assert [(one.pool, one.create) for one in found] == [("a", 2), ("b", 1)]


class World:
    """One pool and a provider in virtual time: servers boot, calls come and end."""

    def __init__(self, pool: Pool, boot: float = 30.0) -> None:
        self.pool, self.boot, self.now = pool, boot, 0.0
        self.servers: dict[str, Seen] = {}
        self.births: list[float] = []
        self.peaks = Peaks(pool.idle_seconds)
        self.made = self.retired = 0

    @property
    def machines(self) -> int:
        return sum(1 for one in self.servers.values() if one.state is not State.ERROR)

    def carry(self, calls: int) -> int:
        """Place so many calls at once, busy servers first; what finds no place waits."""
        order = sorted(
            (one for one in self.servers.values() if one.state is State.RUNNING), key=lambda one: -one.busy
        )
        for one in order:
            busy = min(calls, one.capacity)
            calls -= busy
            idle = None if busy else (one.idle_since if not one.busy else self.now)
            self.servers[one.name] = replace(one, busy=busy, idle_since=idle)
        return calls

    def round(self, calls: int, step: float = 10.0) -> Decision:
        self.now += step
        for one in list(self.servers.values()):
            if one.state is State.PENDING and self.now - one.created >= self.boot:
                self.servers[one.name] = replace(one, state=State.RUNNING, idle_since=self.now)
        waiting = self.carry(calls)
        seen = tally(self.servers.values(), self.now, waiting=waiting, created=self.births, peaks=self.peaks)
        decision = decide(self.pool, seen, self.now)
        for name in decision.retire:
            assert not self.servers[name].busy
            del self.servers[name]
            self.retired += 1
        for name in decision.reap:
            del self.servers[name]
        for _ in range(decision.create):
            self.made += 1
            self.births.append(self.now)
            name = f"s{self.made}"
            self.servers[name] = Seen(name, State.PENDING, self.pool.capacity, self.now)
        return decision


pools = st.builds(
    lambda minimum, more, capacity, buffer, idle, age: Pool(
        "p",
        minimum=minimum,
        maximum=minimum + more,
        capacity=capacity,
        buffer=buffer,
        idle_seconds=idle,
        min_age_seconds=age,
        max_created_per_hour=None,
    ),
    st.integers(0, 5),
    st.integers(0, 20),
    st.integers(1, 12),
    st.integers(0, 25),
    st.sampled_from([0.0, 60.0, 300.0]),
    st.sampled_from([0.0, 120.0]),
)


@given(pools, st.lists(st.integers(0, 200), min_size=1, max_size=60), st.integers(0, 200))
def test_the_pool_stays_between_its_bounds_and_converges(pool: Pool, loads: list[int], last: int) -> None:
    world = World(pool)
    for calls in loads:
        world.round(calls)
        assert pool.minimum <= world.machines <= pool.maximum
    quiet = 0
    for _ in range(120):  # enough for every boot, age and idle time above
        quiet = 0 if world.round(last).changes else quiet + 1
        assert pool.minimum <= world.machines <= pool.maximum
    assert quiet > 50
    free = pool.capacity * world.machines - last
    assert free >= pool.buffer or world.machines == pool.maximum
    assert free - pool.capacity < pool.buffer or world.machines == pool.minimum


@given(pools, st.integers(1, 100), st.integers(1, 5))
def test_a_square_wave_shorter_than_the_idle_time_makes_no_flapping(pool: Pool, high: int, half: int) -> None:
    pool = replace(pool, idle_seconds=10.0 * half + 1)
    world = World(pool)
    for i in range(150):
        world.round(high if (i // half) % 2 else 0)
        if i == 60:
            settled = (world.made, world.retired)
    assert (world.made, world.retired) == settled


@given(pools, st.data())
def test_errored_servers_are_replaced_and_never_hold_the_pool_up(pool: Pool, data: st.DataObject) -> None:
    world = World(pool)
    for _ in range(30):
        calls = data.draw(st.integers(0, 60))
        world.round(calls)
        alive = sorted(name for name, one in world.servers.items() if one.state is not State.ERROR)
        name = data.draw(st.sampled_from(["", *alive]))
        if name:
            world.servers[name] = replace(
                world.servers[name], state=State.ERROR, errored_at=world.now, busy=0, idle_since=None
            )
    for _ in range(150):
        world.round(0)
    assert not [one for one in world.servers.values() if one.state is State.ERROR]
    assert world.machines == max(pool.minimum, min(pool.maximum, -(-pool.buffer // pool.capacity)))


def test_idle_servers_are_only_looked_at_when_the_pool_may_shrink() -> None:
    def never() -> list[Idle]:
        raise AssertionError("looked at")

    busy = Tally(running=1_000, places=10_000, busy=9_995, idle=never)
    assert decide(replace(POOL, maximum=2_000, max_created_per_hour=None), busy, 0.0).create == 1


def test_reaping_waits_for_each_server_by_itself() -> None:
    seen = Tally(errored=[Errored("a", 0.0), Errored("b", 0.0, attempts=6)])
    assert decide(POOL, seen, 100.0).reap == ("a",)
