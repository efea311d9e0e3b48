"""The smallest explanation of a matrix of servers and endpoints, and maintenance windows."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from callwright.alerting.cause import Cause, CauseKind, explain
from callwright.alerting.windows import Once, Weekly, is_open


def matrix(*rows: str) -> dict[tuple[int, int], bool]:
    """A row is a server: `x` bad, `.` good, space not measured."""
    return {
        (server, endpoint): mark == "x"
        for server, row in enumerate(rows)
        for endpoint, mark in enumerate(row)
        if mark != " "
    }


def causes(*rows: str) -> list[Cause]:
    return list(explain(matrix(*rows)))


SERVER_1, ENDPOINT_1 = Cause(CauseKind.SERVER, server=1), Cause(CauseKind.ENDPOINT, endpoint=1)


def test_a_server_that_finds_everything_bad_is_the_cause() -> None:
    assert causes("....", "xxxx", "....") == [SERVER_1]


def test_an_endpoint_that_every_server_finds_bad_is_the_cause() -> None:
    assert causes(".x.", ".x.", ".x.") == [ENDPOINT_1]
    assert causes(".x", " x") == [ENDPOINT_1]


def test_one_bad_pair_accuses_neither() -> None:
    assert causes("...", ".x.", "...") == [Cause(CauseKind.PATH, server=1, endpoint=1)]


def test_two_causes_at_once_are_both_named() -> None:
    assert set(causes(".x...", "xxxxx", ".x...")) == {SERVER_1, ENDPOINT_1}


def test_what_is_fine_has_no_cause() -> None:
    assert causes("...", " . ") == []


@given(st.lists(st.text("x. ", min_size=4, max_size=4), min_size=1, max_size=5))
def test_every_bad_cell_is_explained_once_and_no_good_one_is(rows: list[str]) -> None:
    cells = matrix(*rows)
    found = explain(cells)
    explained = [cell for part in found.values() for cell in part]
    assert sorted(explained) == sorted(cell for cell, bad in cells.items() if bad)


def at(text: str, zone: str = "Europe/Vienna") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def test_a_weekly_window_keeps_its_wall_clock_across_daylight_saving() -> None:
    window = Weekly(("sun",), 22 * 60, 23 * 60, "Europe/Vienna")
    for day in ("2026-03-22", "2026-03-29", "2026-10-25"):  # before, on and at the end of summer time
        assert is_open([window], at(f"{day} 22:00:00"))
        assert not is_open([window], at(f"{day} 23:00:00"))
        assert not is_open([window], at(f"{day} 21:59:59"))
    assert not is_open([window], at("2026-03-28 22:30:00"))


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    window = Weekly(("sat",), 23 * 60, 60, "UTC")
    assert is_open([window], at("2026-11-28 23:30:00", "UTC"))
    assert is_open([window], at("2026-11-29 00:59:00", "UTC"))
    assert not is_open([window], at("2026-11-28 00:30:00", "UTC"))
    assert not is_open([window], at("2026-11-29 01:00:00", "UTC"))


def test_a_window_that_comes_once_ends_with_its_end() -> None:
    assert [is_open([Once(10, 20)], now) for now in (9, 10, 19, 20)] == [False, True, True, False]
