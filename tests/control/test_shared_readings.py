"""Readings that are shared by those who wait: nobody is answered with what was read before it asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callwright.control.storage.sql.sharing import SharedReadings


class Table:
    """What is read, and readings that end when the test says so."""

    def __init__(self) -> None:
        self.value: Any = "before"
        self.begun: list[asyncio.Future[None]] = []

    async def read(self, *_: Any) -> Any:
        seen = self.value  # as it is when the reading begins
        self.begun.append(asyncio.get_running_loop().create_future())
        await self.begun[-1]
        if isinstance(seen, Exception):
            raise seen
        return seen

    async def until(self, readings: int) -> None:
        for _ in range(10):
            if len(self.begun) >= readings:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{len(self.begun)} readings have begun")

    async def end(self, reading: int) -> None:
        await self.until(reading)
        self.begun[reading - 1].set_result(None)


async def test_who_asks_during_a_reading_sees_what_changed_since_it_began() -> None:
    table = Table()
    shared = SharedReadings(table.read)
    first = asyncio.ensure_future(shared("key"))
    await table.until(1)
    table.value = "after"
    later = [asyncio.ensure_future(shared("key")) for _ in range(3)]
    await table.end(1)
    assert await first == "before"
    assert not any(one.done() for one in later)
    await table.end(2)
    assert [await one for one in later] == ["after"] * 3
    assert len(table.begun) == 2


async def test_each_question_has_its_own_reading_and_the_last_leaves_nothing_behind() -> None:
    table = Table()
    shared = SharedReadings(table.read)
    both = [asyncio.ensure_future(shared(name, 1)) for name in ("a", "b")]
    await table.end(1)
    await table.end(2)
    assert [await one for one in both] == ["before"] * 2
    table.value = "after"
    again = asyncio.ensure_future(shared("a", 1))
    await table.end(3)
    assert await again == "after"


async def test_a_reading_that_fails_fails_for_those_who_waited_for_it_alone() -> None:
    table = Table()
    shared = SharedReadings(table.read)
    table.value = OSError("gone")
    failing = [asyncio.ensure_future(shared("key")) for _ in range(2)]
    await table.until(1)
    table.value = "back"
    later = asyncio.ensure_future(shared("key"))
    await table.end(1)
    assert [type(one) for one in await asyncio.gather(*failing, return_exceptions=True)] == [OSError] * 2
    await table.end(2)
    assert await later == "back"


async def test_who_goes_away_takes_no_answer_from_the_others() -> None:
    table = Table()
    shared = SharedReadings(table.read)
    waiting = [asyncio.ensure_future(shared("key")) for _ in range(3)]
    await table.until(1)
    waiting[0].cancel()
    await table.end(1)
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert [await one for one in waiting[1:]] == ["before"] * 2
