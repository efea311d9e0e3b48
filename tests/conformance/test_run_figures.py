from __future__ import annotations

from callwright.control.runs.figures import ENDLESS, FIRST_BOUNDS, LASTS_BOUNDS, RunFigures
from callwright.control.runs.model import Ending
from callwright.control.storage.stores import Stores
from tests.conformance.rows import NOW, a_run

LONG_AFTER = NOW + 10_000


async def a_call(stores: Stores, number: int, ending: Ending, *, waits: float, lasts: float) -> None:
    """Ordered at NOW + number, claimed at once, its INVITE after `waits`, ended after `lasts` seconds."""
    run = await a_run(stores, number=number)
    begin = NOW + number
    await stores.runs.claim(run.id, 1, "ag", begin, LONG_AFTER, 60)
    await stores.runs.intend(run.id, 1, "ag", begin + waits)
    assert await stores.runs.finish(run.id, 1, "ag", ending, begin + lasts) is not None


async def test_ended_runs_are_counted_with_how_long_they_took(stores: Stores) -> None:
    await a_call(stores, 1, Ending("passed", "passed", None, ""), waits=0.75, lasts=8.0)
    await a_call(stores, 2, Ending("passed", "passed", None, ""), waits=0.0625, lasts=2.0)
    await a_call(stores, 3, Ending("failed", "failed", "target", "486"), waits=1.5, lasts=4_000.0)
    await a_run(stores, number=4)
    rows = {(row.phase, row.blame): row for row in await stores.runs.ended_figures(0, ENDLESS)}
    assert {key: row.count for key, row in rows.items()} == {("passed", ""): 2, ("failed", "target"): 1}
    passed, failed = rows["passed", ""], rows["failed", "target"]
    assert passed.lasts[:2] == (10.0, 2.0)
    assert dict(zip(LASTS_BOUNDS, passed.lasts[2:], strict=True))[1.0] == 0
    assert dict(zip(LASTS_BOUNDS, passed.lasts[2:], strict=True))[2.0] == 1
    assert dict(zip(LASTS_BOUNDS, passed.lasts[2:], strict=True))[10.0] == 2
    assert failed.lasts == (4_000.0, 1.0, *[0.0] * len(LASTS_BOUNDS))
    assert passed.first[:2] == (0.8125, 2.0)
    assert dict(zip(FIRST_BOUNDS, passed.first[2:], strict=True))[0.1] == 1


async def test_a_run_that_nobody_took_has_no_times(stores: Stores) -> None:
    run = await a_run(stores)
    assert await stores.runs.end(run, Ending("error", "error", "platform", "nobody"), NOW + 600)
    (row,) = await stores.runs.ended_figures(0, ENDLESS)
    assert (row.phase, row.blame, row.count) == ("error", "platform", 1)
    assert set(row.lasts + row.first) == {0.0}


async def test_live_runs_are_counted_by_phase_with_the_oldest(stores: Stores) -> None:
    first = await a_run(stores, number=1)
    await a_run(stores, number=2)
    taken = await a_run(stores, number=3)
    await stores.runs.claim(taken.id, 1, "ag", NOW, LONG_AFTER, 60)
    rows = {row.phase: row for row in await stores.runs.live_figures()}
    assert (rows["queued"].count, rows["queued"].oldest, rows["queued"].first) == (2, NOW + 1, first.id)
    assert (rows["starting"].count, rows["starting"].first) == (1, taken.id)
    assert await stores.runs.newest_ids(NOW + 2) == (first.id + 1, taken.id)
    assert await stores.runs.newest_ids(LONG_AFTER) == (None, taken.id)


async def test_two_who_count_at_different_times_agree(stores: Stores) -> None:
    early, late = RunFigures(stores.runs), RunFigures(stores.runs)
    assert await early.look(LONG_AFTER) == ([], [])
    for number in range(1, 4):
        await a_call(stores, number, Ending("passed", "passed", None, ""), waits=0.5, lasts=5.0)
        await early.look(LONG_AFTER)
    assert await early.look(LONG_AFTER) == await late.look(LONG_AFTER)
