"""A day replayed against the planner: every call is placed or counted, and the figures add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.fleet.pool import Pool
from callwright.fleet.simulation import Arrival, Day, SimulatedPool, _filled, simulate


def day(pool: Pool, *arrivals: Arrival, hours: float = 2.0, boot: float = 30.0) -> Day:
    return Day([SimulatedPool(pool, boot)], arrivals, seconds=hours * 3600)


def test_calls_wait_for_the_boot_of_the_servers_that_they_need_and_none_is_left() -> None:
    pool = Pool("p", capacity=10, maximum=10, idle_seconds=300, prices={"": 0.5})
    found = simulate(day(pool, Arrival(600.0, "p", 40, 120.0))).pools[0]
    assert (found.created, found.retired, found.most_servers) == (4, 4, 4)
    assert (found.calls, found.placed, found.unplaced) == (40, 40, 0)
    assert found.wait(0.5) == found.wait(1.0) == 30.0
    assert found.servers[-1] == 0
    assert found.cost == pytest.approx(found.server_seconds / 3600 * 0.5)


def test_a_buffer_makes_the_waiting_time_zero() -> None:
    pool = Pool("p", capacity=10, maximum=20, buffer=40)
    found = simulate(day(pool, Arrival(600.0, "p", 40, 120.0))).pools[0]
    assert found.wait(1.0) == 0.0


def test_what_the_maximum_keeps_waiting_is_counted_and_said() -> None:
    pool = Pool("p", capacity=1, maximum=2)
    found = simulate(day(pool, Arrival(0.0, "p", 10, 100_000.0))).pools[0]
    assert (found.placed, found.unplaced, found.most_servers) == (2, 8, 2)
    assert found.decisions[0][1].short == 8


def test_a_pool_without_calls_has_no_waiting_time() -> None:
    assert simulate(day(Pool("p"))).wait(0.95) is None
    assert simulate(day(Pool("p"))).cost is None


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.data())
def test_calls_are_spread_evenly(busy: list[int], data: st.DataObject) -> None:
    room = 9 * len(busy) - sum(busy)
    calls = data.draw(st.integers(0, room))
    filled = _filled(np.array(busy), calls, 9)
    one_by_one = list(busy)
    for _ in range(calls):
        one_by_one[one_by_one.index(min(one_by_one))] += 1
    assert sorted(filled) == sorted(one_by_one)
    assert (filled >= busy).all()
