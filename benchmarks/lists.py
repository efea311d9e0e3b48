"""The list that programs poll: 100 rows of 100,000 runs, through our store and by hand on the driver.

    python -m benchmarks.lists [--runs 100000] [--seconds 4] [--database URL]

This is the store alone, inside one process; `benchmarks.api` measures the whole way over HTTP. Both sides
wait in the same event loop for the same query in as many threads or connections, and fill the same structs.
They take turns, many times, so that the machine's noise falls on both; the ratio is the median of those of
the turns. PostgreSQL is started here when it is installed, unless `--database` names one (an empty one: it
is filled).
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

from sqlalchemy import BigInteger, text

from benchmarks import noise
from callwright.control.runs.model import Run, RunFilter
from callwright.control.storage import schema
from callwright.control.storage.schema import Location
from callwright.control.storage.sql.database import Statement, param
from callwright.control.storage.stores import Stores, open_stores
from callwright.control.tests.model import Test, TestDocument

ROWS = 100
AT_ONCE = 8
TURNS = 15
GOAL = 0.8  # of the rate by hand
_PAGE = RunFilter()
_COLUMNS = ", ".join(Run.__struct_fields__)
_QUERY = f"SELECT {_COLUMNS} FROM runs ORDER BY id DESC LIMIT"

Ask = Callable[[], Awaitable[list[Run]]]


class Figures(NamedTuple):
    """Requests a second, and the 99th percentile of their times in ms; medians of the turns, and of the
    quotients of ours and by hand in each."""

    ours: float
    ours_p99: float
    by_hand: float
    by_hand_p99: float
    ratio: float
    p99_ratio: float

    @classmethod
    def of(cls, ours: list[tuple[float, float]], by_hand: list[tuple[float, float]]) -> Self:
        """From the (rate, p99) of each turn."""
        pairs = list(zip(ours, by_hand, strict=True))
        return cls(
            median(rate for rate, _ in ours),
            median(p99 for _, p99 in ours),
            median(rate for rate, _ in by_hand),
            median(p99 for _, p99 in by_hand),
            median(one[0] / other[0] for one, other in pairs),
            median(one[1] / other[1] for one, other in pairs),
        )

    @property
    def met(self) -> bool:
        return self.ratio >= GOAL and self.p99_ratio <= 1 / GOAL


async def fill(stores: Stores, count: int) -> None:
    """Runs of one test that have ended; the database makes them up itself, since that is fast."""
    project = await stores.projects.add_project("p", "", 0.0)
    test = await stores.tests.add(
        Test(0, project.id, "p", "basic_call", "Basic call", "", (), 1, 0.0, 0.0, ()),
        TestDocument(0, 1, "name: basic_call", "ana", 0.0),
    )
    for first in range(0, count, _PIECE):
        values = {"first": first, "upto": min(count, first + _PIECE), "test": test.id, "project": project.id}
        await stores.database.run(_ENDED_RUNS, values)


_PIECE = 10_000  # runs of one statement
_ENDED_RUNS = Statement(
    text("""
    WITH RECURSIVE numbers(n) AS
        (SELECT :p_first + 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :p_upto)
    INSERT INTO runs (session_id, test_id, test_name, testcase_name, project_id, project_name, pool, phase,
        verdict, result_description, attempt, tags, created_at, started_at, stopped_at, started_by,
        deadline_at, max_seconds, weight, mos)
    SELECT '00000000-0000-4000-8000-' || substr(CAST(1000000000000 + n AS TEXT), 2), :p_test, 'basic_call',
        'Basic call', :p_project, 'p', 'default', 'passed', 'passed', '', 1,
        '["media","prod","validation"]', 1700000000.0 + n, 1700000001.0 + n, 1700000009.0 + n, 'ci',
        2000000000.0, 600.0, 1, 4.3
    FROM numbers
    """).bindparams(*(param(name, BigInteger()) for name in ("first", "upto", "test", "project")))
)


async def measure(ours: Ask, by_hand: Ask, seconds: float) -> Figures:
    assert [run.id for run in await ours()] == [run.id for run in await by_hand()]
    sides: list[tuple[Ask, list[tuple[float, float]]]] = [(ours, []), (by_hand, [])]
    for turn in range(TURNS):
        for ask, figures in sides if turn % 2 else sides[::-1]:
            figures.append(await _turn(ask, seconds / TURNS))
    return Figures.of(*(figures for _, figures in sides))


async def _turn(ask: Ask, seconds: float) -> tuple[float, float]:
    times: list[float] = []
    begun = time.perf_counter()

    async def client() -> None:
        while time.perf_counter() - begun < seconds:
            asked = time.perf_counter()
            rows = await ask()
            times.append(time.perf_counter() - asked)
            assert len(rows) == ROWS

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    took = time.perf_counter() - begun
    return len(times) / took, 1000 * sorted(times)[int(len(times) * 0.99)]


def sqlite_by_hand(path: Path, threads: int) -> tuple[Ask, Callable[[], None]]:
    local = threading.local()
    pool = ThreadPoolExecutor(threads)

    def work() -> list[Run]:
        if not hasattr(local, "connection"):
            local.connection = sqlite3.connect(path)
        rows = local.connection.execute(f"{_QUERY} ?", (ROWS,)).fetchall()
        return [Run(*row) for row in rows]

    async def ask() -> list[Run]:
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    return ask, pool.shutdown


async def of_sqlite(runs: int, seconds: float) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        location = Location(path=Path(folder) / "callwright.db")
        stores = await open_stores(location, migrate=True)
        await fill(stores, runs)
        assert location.path is not None
        ask, shut = sqlite_by_hand(location.path, stores.database.readers)  # type: ignore[attr-defined]
        try:
            return await measure(lambda: stores.runs.page(_PAGE, None, ROWS), ask, seconds)
        finally:
            shut()
            await stores.close()


async def of_postgresql(url: str, runs: int, seconds: float) -> Figures:
    import asyncpg

    location = Location(url=url)
    await schema.migrate(location)
    stores = await open_stores(location, connections=AT_ONCE)
    pool: Any = await asyncpg.create_pool(url, min_size=AT_ONCE, max_size=AT_ONCE)
    try:
        await fill(stores, runs)
        await pool.execute("VACUUM ANALYZE")

        async def ask() -> list[Run]:
            return [Run(*row) for row in await pool.fetch(f"{_QUERY} $1", ROWS)]

        return await measure(lambda: stores.runs.page(_PAGE, None, ROWS), ask, seconds)
    finally:
        await stores.close()
        await pool.close()


def measure_all(runs: int, seconds: float, database: str | None = None) -> dict[str, Figures]:
    """By the name of the database; PostgreSQL only where it is."""
    found = {"SQLite": asyncio.run(of_sqlite(runs, seconds))}
    if database is not None:
        return found | {"PostgreSQL": asyncio.run(of_postgresql(database, runs, seconds))}
    from tests.kit import postgresql

    if postgresql.programs() is not None:
        server = postgresql.PostgreSql().start()
        try:
            found["PostgreSQL"] = asyncio.run(of_postgresql(server.create("lists"), runs, seconds))
        finally:
            server.close()
    return found


def sentences(found: dict[str, Figures], runs: int) -> list[str]:
    return [
        f"{name}: {ROWS} of {runs:,} runs, ours {figures.ours:,.0f}/s, p99 {figures.ours_p99:.1f} ms; "
        f"by hand {figures.by_hand:,.0f}/s, p99 {figures.by_hand_p99:.1f} ms; "
        f"ratio {figures.ratio:.2f} (goal {GOAL:.2f}), of p99 {figures.p99_ratio:.2f} (at most {1 / GOAL})"
        for name, figures in found.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each side")
    parser.add_argument("--database", help="of PostgreSQL, and empty")
    options = parser.parse_args()
    print(noise.sentence())
    found = measure_all(options.runs, options.seconds, options.database)
    print("\n".join(sentences(found, options.runs)))
    met = all(figures.met for figures in found.values())
    print(f"goal {GOAL:.2f}: {'met' if met else 'missed'}; {noise.sentence()}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
