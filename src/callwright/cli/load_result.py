"""The result of a load in some lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def print_result(told: dict[str, Any], line: Callable[[str], None]) -> None:
    """The result in some lines for a person."""
    line(f"{told['verdict'].upper()}: {told['reason']}")
    line(
        f"attempted {told['attempted']:,} = answered {told['answered']:,} + failed {told['failed']:,} "
        f"+ canceled {told['canceled']:,}   in {told['seconds']:.1f} s, mean {told['rate']['mean']:g}/s"
    )
    for name, count in told["failures"].items():
        line(f"  {name:>12}  {count:,}")
    for name in ("pdd", "setup", "bye", "register"):
        times = told[f"{name}_ms"]
        if times["count"]:
            line(
                f"{name:>9} ms  p50 {times['p50']:g}  p95 {times['p95']:g}  p99 {times['p99']:g}  "
                f"max {times['max']:g}"
            )
    media = told["media"]
    if media["streams"]:
        sent = media["received"] + media["lost"]
        line(
            f"      MOS     p5 {media['mos']['p5']}  p50 {media['mos']['p50']}   "
            f"{media['streams']:,} streams, lost {media['lost']:,} of {sent:,} packets"
        )
    if told["retry_after"]["responses"]:
        line(
            f"{told['retry_after']['responses']:,} responses asked to retry later, "
            f"at most after {told['retry_after']['longest_s']} s"
        )
    for why in told["generator"]["why"]:
        line(f"generator: {why}")
    if told.get("evidence", {}).get("report"):
        line(f"report: {told['evidence']['report']}")
