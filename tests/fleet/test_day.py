"""A day of load as a file: what it says is what is replayed, and mistakes are told with their place."""

from __future__ import annotations

import pytest

from callwright.fleet.day import DayError, read_csv, read_yaml
from callwright.fleet.simulation import Arrival, simulate

DAY = """
hours: 2
pools:
  berlin: {capacity: 10, minimum: 1, maximum: 60, sizes: [s, m], prices: {s: 0.02}, boot_seconds: 40}
  tokyo: {}
arrivals:
  - {at: "01:30", pool: berlin, calls: 40, seconds: 180}
  - {from: 0, to: "00:01", pool: tokyo, calls_per_minute: 7, seconds: 30}
"""


def test_a_day_is_read_from_yaml() -> None:
    day = read_yaml(DAY)
    berlin, tokyo = day.pools
    assert (berlin.pool.sizes, berlin.pool.prices, berlin.boot_seconds) == (("s", "m"), {"s": 0.02}, 40)
    assert tokyo.pool.maximum == 10
    assert day.arrivals[0] == Arrival(5400.0, "berlin", 40, 180.0)
    assert sum(one.calls for one in day.arrivals[1:]) == 7
    assert day.seconds == 7200


def test_a_csv_of_arrivals_takes_the_pools_of_a_day() -> None:
    day = read_csv("at, pool, calls, seconds\n00:00:10,tokyo,5,60\n20,berlin,1,60\n", read_yaml(DAY))
    assert [(one.at, one.pool, one.calls) for one in day.arrivals] == [
        (10.0, "tokyo", 5),
        (20.0, "berlin", 1),
    ]
    assert len(day.pools) == 2


def test_a_csv_without_pools_uses_the_default_one() -> None:
    found = simulate(read_csv("at,calls,seconds\n0,25,60\n"))
    assert [(pool.name, pool.placed) for pool in found.pools] == [("default", 25)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pools: {a: {}}\narivals: []", "Unknown field 'arivals' in the file"),
        ("arrivals: []", "'pools' must map"),
        ("pools: {a: {capacity: many}}", "capacity must be a number, not 'many'"),
        ("pools: {a: {capacity: 1.5}}", "must be a whole number"),
        ("pools: {a: {minimum: 5, maximum: 2}}", "In pool 'a': minimum 5 is above maximum 2"),
        ("pools: {a: {}}\narrivals: [{at: noon, calls: 1, seconds: 1}]", "at of arrival 1 must be a time"),
        ("pools: {a: {}}\narrivals: [{at: 0, pool: b, calls: 1, seconds: 1}]", "no pool is named 'b'"),
        ("pools: {a: {}, b: {}}\narrivals: [{at: 0, calls: 1, seconds: 1}]", "no pool is named. Pools: a, b"),
        (
            "pools: {a: {}}\narrivals: [{from: 9, to: 8, calls_per_minute: 1, seconds: 1}]",
            "'to' must be later",
        ),
        ("pools: {a: {}}\nstep: .nan", "step is nan"),
        ("pools: {a: {}}\nhours: .inf", "hours is inf"),
        ("pools: [", "The file is not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(DayError) as refused:
        read_yaml(text)
    assert said in str(refused.value)


def test_a_csv_without_its_columns_is_refused() -> None:
    with pytest.raises(DayError, match="no column 'seconds'"):
        read_csv("at,calls\n0,1\n")
