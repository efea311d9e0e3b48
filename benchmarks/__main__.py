"""All benchmarks in some two minutes, as one table, with the machine's noise.

python -m benchmarks
"""

from __future__ import annotations

import multiprocessing
import sys
import time

from benchmarks import lists, noise, pacing, parser, phone
from callwright.net.media_choice import native_engine
from callwright.sip import scan

PACING_SECONDS = 8.0
LIST_RUNS = 100_000
LIST_SECONDS = 4.0  # for each side and database


def rows() -> list[tuple[str, str, str]]:
    """(what, pure, native); "–" where the native rooms were not built."""
    scanners = {"pure": scan, "native": parser.native()}
    engines = ["pure", "native"] if native_engine() is not None else ["pure"]
    table: list[dict[str, str]] = []

    def add(what: str, values: dict[str, str]) -> None:
        table.append({"what": what, "pure": "–", "native": "–", **values})
        print(f"  {what}: {values}", file=sys.stderr, flush=True)

    add("parse an INVITE", {n: f"{parser.measure(t):.2f} µs" for n, t in scanners.items() if t is not None})
    spawn = multiprocessing.get_context("spawn")
    for spin, situation in ((True, "a thread spins"), (False, "alone")):
        values = {}
        for engine in engines:
            with spawn.Pool(1) as pool:
                found = pool.apply(pacing.measure_on_one_core, (engine, PACING_SECONDS, spin))
            values[engine] = (
                f"p50 {found['p50_ms']:.2f}, p99 {found['p99_ms']:.2f} ms, {found['lost']:.0f} lost"
            )
        add(f"send error of 20 calls on a core, {situation}", values)
    calls = {engine: phone.run(40, engine, 8.0) for engine in engines}
    add("a call of 1 s of talk, CPU", {e: f"{found['call_ms']:.1f} ms" for e, found in calls.items()})
    add("each further second of talk, CPU", {e: f"{found['second_ms']:.2f} ms" for e, found in calls.items()})
    return [(row["what"], row["pure"], row["native"]) for row in table]


def main() -> int:
    begun = time.monotonic()
    print(noise.sentence())
    table = [("", "pure Python", "native"), *rows()]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    print()
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()
    print("\n".join(lists.sentences(lists.measure_all(LIST_RUNS, LIST_SECONDS), LIST_RUNS)))
    print(f"\n{noise.sentence()}; {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
