"""One platform of several leads, in virtual time: what it begins, when it ends, and who takes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from callwright.control.errors import StorageUnavailable
from callwright.control.leading import EVERY, LASTS, Lead, Leadership
from callwright.dispatch.broker import Unavailable
from callwright.dispatch.memory import MemoryBroker
from tests.kit.virtual_time import in_virtual_time


class Row:
    """A database of one lead, which may be out of reach of some."""

    def __init__(self) -> None:
        self.holder, self.term, self.until = "", 0, 0.0
        self.away: set[str] = set()

    def _left(self) -> float:
        return self.until - asyncio.get_running_loop().time()

    async def take_lead(self, name: str, holder: str, seconds: float) -> Lead:
        if holder in self.away:
            raise StorageUnavailable("away")
        if holder == self.holder or self._left() <= 0:
            self.term += holder != self.holder
            self.holder, self.until = holder, asyncio.get_running_loop().time() + seconds
        return Lead(self.holder, self.term, self._left())

    async def lead(self, name: str) -> Lead | None:
        return Lead(self.holder, self.term, self._left())

    async def give_up_lead(self, name: str, holder: str) -> None:
        if holder == self.holder:
            self.until = 0.0


class Platform:
    def __init__(self, name: str, row: Row, broker: MemoryBroker) -> None:
        self.working = False
        self.fails = False
        self.leadership = Leadership(row, name, broker, begin=self.begin, end=self.end)

    async def begin(self) -> None:
        if self.fails:
            raise Unavailable("no broker")
        assert not self.working
        self.working = True

    async def end(self) -> None:
        assert self.working
        self.working = False


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Row, Platform, Platform]]:
    row, broker = Row(), MemoryBroker()
    first, second = Platform("first", row, broker), Platform("second", row, broker)
    await first.leadership.start()
    await second.leadership.start()
    yield row, first, second
    for one in (first, second):
        await one.leadership.close()
    assert not first.working
    assert not second.working
    await broker.close()


@in_virtual_time
async def test_one_of_two_works_and_goes_on() -> None:
    async with two() as (_, first, second):
        await asyncio.sleep(10 * LASTS)
        assert (first.working, second.working) == (True, False)
        assert first.leadership.leads


@in_virtual_time
async def test_the_other_takes_over_at_once_when_the_lead_is_given_up() -> None:
    async with two() as (_, first, second):
        await first.leadership.close()
        await asyncio.sleep(EVERY)
        assert (first.working, second.working) == (False, True)


@in_virtual_time
async def test_the_other_takes_over_soon_when_one_is_silent_and_that_one_ends_when_it_is_back() -> None:
    async with two() as (row, first, second):
        row.away.add("first")
        await asyncio.sleep(LASTS + 2 * EVERY)
        assert second.working
        row.away.clear()
        await asyncio.sleep(EVERY)
        assert (first.working, second.working) == (False, True)


@in_virtual_time
async def test_one_without_the_database_hears_over_the_broker_that_another_leads() -> None:
    async with two() as (row, first, second):
        row.away.add("first")
        await asyncio.sleep(LASTS + 3 * EVERY)
        assert (first.working, second.working) == (False, True)


@in_virtual_time
async def test_while_the_database_is_away_for_all_the_leader_stays() -> None:
    async with two() as (row, first, second):
        row.away |= {"first", "second"}
        await asyncio.sleep(10 * LASTS)
        assert (first.working, second.working) == (True, False)
        row.until = 0.0
        row.away.clear()
        await asyncio.sleep(EVERY)
        assert first.working != second.working


@in_virtual_time
async def test_who_cannot_begin_gives_the_lead_to_the_other() -> None:
    async with two() as (_, first, second):
        second.fails = True
        await first.leadership.close()
        await asyncio.sleep(2 * EVERY)
        assert not second.working
        second.fails = False
        await asyncio.sleep(EVERY)
        assert second.working


@in_virtual_time
async def test_a_platform_alone_leads_without_a_row() -> None:
    broker = MemoryBroker()
    alone = Platform("alone", Row(), broker)
    leadership = Leadership(None, "alone", broker, begin=alone.begin, end=alone.end)
    await leadership.start()
    assert alone.working
    await leadership.close()
    assert not alone.working
