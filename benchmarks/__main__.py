"""All benchmarks but those beside SIPp, in some five minutes, as one table, with the machine's noise.

python -m benchmarks
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks import api, fleet, lists, monitoring, noise, pacing, parser, phone, relay, start
from callwright.net.forwarder import Forwarder
from callwright.net.forwarder_choice import native_forwarder
from callwright.net.media_choice import native_engine
from callwright.sip import scan

PACING_SECONDS = 8.0
RELAYED = 500
LIST_RUNS = 100_000
LIST_SECONDS = 4.0  # for each side, layer and database
START_RUNS = 100
START_SECONDS = 25.0  # at most


class Row(NamedTuple):
    """`beside`: what ours is compared with, measured in the same run, and its figure; "–": nothing."""

    what: str
    beside: str
    ours: str
    goal: str = "–"


HEAD = Row("what", "beside", "Callwright", "goal")


def engine_rows() -> list[Row]:
    """The native rooms beside their pure-Python twins; "–" where they were not built."""
    engines = ["pure", "native"] if native_engine() is not None else ["pure"]
    scanners = {"pure": scan, "native": parser.native()}
    rows = []

    def add(what: str, values: dict[str, str], goal: str = "–") -> None:
        rows.append(told(Row(what, f"pure Python {values['pure']}", values.get("native", "–"), goal)))

    measured = {n: f"{parser.measure(t):.2f} µs" for n, t in scanners.items() if t is not None}
    add("parse an INVITE", measured, "3 µs")
    spawn = multiprocessing.get_context("spawn")
    for spin, situation, goal in ((True, "a thread spins", "p99 < 1 ms"), (False, "alone", "–")):
        values = {}
        for engine in engines:
            with spawn.Pool(1) as pool:
                found = pool.apply(pacing.measure_on_one_core, (engine, PACING_SECONDS, spin))
            values[engine] = (
                f"p50 {found['p50_ms']:.2f}, p99 {found['p99_ms']:.2f} ms, {found['lost']:.0f} lost"
            )
        add(f"send error of 20 calls on a core, {situation}", values, goal)
    calls = {engine: phone.run(40, engine, 8.0) for engine in engines}
    add("a call of 1 s of talk, CPU", {e: f"{found['call_ms']:.1f} ms" for e, found in calls.items()})
    seconds = {e: f"{found['second_ms']:.2f} ms" for e, found in calls.items()}
    add("each further second of talk, CPU", seconds, "1.5 ms")
    add(f"{RELAYED} relayed calls, both streams measured", relayed_figures(), "1,500 a core, p99 < 2 ms")
    return rows


def relayed_figures() -> dict[str, str]:
    found = {}
    for name, engine in (("pure", Forwarder), ("native", native_forwarder())):
        if engine is not None:
            one = relay.measure(engine, RELAYED, 5.0)
            found[name] = f"{RELAYED / one.core:,.0f} a core, p99 {one.p99:.1f} ms, {one.lost} lost"
    return found


def list_rows() -> list[Row]:
    """100 of many runs: the store alone, and the whole way over HTTP."""
    layers: tuple[tuple[str, Callable[[int, float], dict[str, lists.Figures]]], ...] = (
        ("in the process, by the store", lists.measure_all),
        ("over HTTP, 1 worker", api.measure_all),
    )
    return [
        told(
            Row(
                f"{lists.ROWS} of {LIST_RUNS:,} runs, {database}, {layer}",
                f"by hand {figures.by_hand:,.0f}/s, p99 {figures.by_hand_p99:.1f} ms",
                f"{figures.ours:,.0f}/s, p99 {figures.ours_p99:.1f} ms: {figures.ratio:.2f} of by hand",
                f"{lists.GOAL:.2f}",
            )
        )
        for layer, measure in layers
        for database, figures in measure(LIST_RUNS, LIST_SECONDS).items()
    ]


def start_rows() -> list[Row]:
    begun, through = start.measure(START_RUNS, START_SECONDS)
    goal = f"p99 < {start.GOAL_MS:.0f} ms"
    took = f"p50 {begun.p50:.0f}, p99 {begun.p99:.0f} ms"
    return [
        told(Row(f"POST of a run to its INVITE on the wire, {begun.runs} runs", "–", took, goal)),
        told(Row(f"runs through dispatch, {through.runs} at once", "–", f"{through.per_second:.1f}/s")),
    ]


def fleet_rows() -> list[Row]:
    decided = 1000 * statistics.median(fleet.plan_seconds())
    what = f"a round of the planner, {fleet.SERVERS:,} servers in {fleet.POOLS} pools"
    rows = [told(Row(what, "–", f"{decided:.1f} ms", "50 ms"))]
    waited = fleet.running_seconds()
    took = f"p50 {fleet.percentile(waited, 0.5):.2f}, p95 {fleet.percentile(waited, 0.95):.2f} s"
    rows.append(told(Row(f"pending to running with process, {len(waited)} servers", "–", took, "p95 < 2 s")))
    return rows


def monitoring_rows() -> list[Row]:
    found = asyncio.run(monitoring.measured(200, 20, 9))
    goals = (f"{monitoring.MATRIX_GOAL_MS:.0f} ms", f"{monitoring.YEAR_GOAL_MS:.0f} ms")
    return [
        told(Row("the matrix page, 200 endpoints, 20 servers", "–", f"{found.matrix:.0f} ms", goals[0])),
        told(Row("a year of one endpoint's graphs", "–", f"{found.year:.0f} ms", goals[1])),
        told(Row("a scrape of /metrics with these", "–", f"{found.scrape:.0f} ms")),
    ]


def told(row: Row) -> Row:
    """Says the row as soon as it is known."""
    print(f"  {row.what}: {row.ours} (beside: {row.beside})", file=sys.stderr, flush=True)
    return row


def main() -> int:
    begun = time.monotonic()
    before = noise.sentence()
    table = [HEAD, *engine_rows(), *list_rows(), *start_rows(), *fleet_rows(), *monitoring_rows()]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    print(f"before: {before}\n")
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\nafter:  {noise.sentence()}; {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
