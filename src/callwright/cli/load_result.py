"""The result of a load in some lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callwright.evidence.figures import number
from callwright.load.outcome import times_of

MOST_LADDERS = 3
"""Classes of failures of which a terminal shows the first call; report and JSON have all that were kept."""


def _print_ladder(call: dict[str, Any], line: Callable[[str], None]) -> None:
    line(f"{call['outcome']}, call {call['number']} at {call['at']:.3f} s:")
    if not call["whole"]:
        line("    earlier messages were not kept")
    for message in call["messages"]:
        arrow = "->" if message["direction"] == "sent" else "<-"
        line(f"    {message['at_ms']:>10.1f} ms {arrow} {message['summary']}")


def print_result(told: dict[str, Any], line: Callable[[str], None]) -> None:
    """The result in some lines for a person."""
    failed = {call["outcome"]: call for call in reversed(told["ladders"]) if call["why"] == "failed"}
    for call in sorted(failed.values(), key=lambda call: float(call["at"]))[:MOST_LADDERS]:
        _print_ladder(call, line)
    line(f"{told['verdict'].upper()}: {told['reason']}")
    line(
        f"attempted {told['attempted']:,} = answered {told['answered']:,} + failed {told['failed']:,} "
        f"+ canceled {told['canceled']:,}   in {told['seconds']:.1f} s, "
        f"mean {number(told['rate']['mean'], 1)}/s"
    )
    for name, count in told["failures"].items():
        line(f"  {name:>12}  {count:,}")
    for name, _ in times_of(told):
        times = told[f"{name}_ms"]
        line(
            f"{name:>9} ms  " + "  ".join(f"{p} {number(times[p], 1)}" for p in ("p50", "p95", "p99", "max"))
        )
    media = told["media"]
    if media["streams"]:
        sent = media["received"] + media["lost"]
        line(
            f"      MOS     p5 {number(media['mos']['p5'], 2)}  p50 {number(media['mos']['p50'], 2)}   "
            f"{media['streams']:,} streams, lost {media['lost']:,} of {sent:,} packets"
        )
        if media["gap_count"]:
            heard = media["heard_pct"]
            line(
                f"    heard %     min {heard['min']:g}  p5 {heard['p5']:g}  p50 {heard['p50']:g}   "
                f"{media['gap_count']:,} gaps of 500 ms or more"
            )
    joined = told["connections"]
    if joined["opened"] or joined["accepted"] or joined["failed"]:
        line(
            f"connections opened {joined['opened']:,}, accepted {joined['accepted']:,}, "
            f"failed {joined['failed']:,}"
        )
    if joined["handshakes"]:
        times = joined["handshake_ms"]
        line(
            f"{joined['handshakes']:,} TLS handshakes, {number(told['handshakes_per_s'], 1)}/s, "
            f"p50 {number(times['p50'], 1)}  p99 {number(times['p99'], 1)} ms"
        )
    prack, session = told["prack"], told["session"]
    if prack["reliable"]:
        lost = f", {prack['failed']:,} of them failed" if prack["failed"] else ""
        line(f"{prack['reliable']:,} reliable provisionals, {prack['acknowledged']:,} PRACKs{lost}")
    if session["refreshed"] or session["too_brief"]:
        line(f"sessions refreshed {session['refreshed']:,} times, {session['too_brief']:,} times 422")
    if told["retry_after"]["responses"]:
        line(
            f"{told['retry_after']['responses']:,} responses asked to retry later, "
            f"at most after {told['retry_after']['longest_s']} s"
        )
    if told["refused_srtp"]:
        line(f"{told['refused_srtp']:,} offers of SRTP alone were refused (488): a load takes plain RTP")
    for why in told["generator"]["why"]:
        line(f"generator: {why}")
    if told.get("evidence", {}).get("report"):
        line(f"report: {told['evidence']['report']}")
