"""A measurement on the terminal: a picture of its packets, a sentence, and the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from callwright.probe.result import DirectionResult, ProbeResult

_BARS, _LOST = "▁▂▃▄▅▆▇█", "✗"
_PLAIN_BARS, _PLAIN_LOST = "_.-=+*%#", "x"
_ROW = 50
_NARROW_MS = 1.0
"""A spread below this is drawn flat: nobody hears it."""


def picture(packets: Sequence[float | None], *, plain: bool = False) -> list[str]:
    """A bar for each packet, the higher the longer its round trip, in rows of 50; lost ones are crossed."""
    bars, lost = (_PLAIN_BARS, _PLAIN_LOST) if plain else (_BARS, _LOST)
    came = [packet for packet in packets if packet is not None]
    least = min(came, default=0.0)
    spread = max(max(came, default=0.0) - least, _NARROW_MS)
    drawn = "".join(
        lost if packet is None else bars[min(len(bars) - 1, int((packet - least) / spread * len(bars)))]
        for packet in packets
    )
    return [drawn[at : at + _ROW] for at in range(0, len(drawn), _ROW)]


def lines(result: ProbeResult, *, verbose: bool = False, plain: bool = False) -> Iterator[str]:
    """What a person reads; `verbose`: with a line for each packet."""
    if result.packets:
        where = f" ({result.address})" if result.address and result.address != result.target else ""
        yield f"{result.kind} {result.target}{where}"
        for row in picture(result.packets, plain=plain):
            yield f"  {row}"
        for number, trip in enumerate(result.packets if verbose else ()):
            yield f"  {number + 1:>5}  {'lost' if trip is None else milliseconds(trip)}"
    yield f"{result.verdict.value}: {result.reason}"
    for answer in result.answers:
        yield f"  {answer}"
    for hop in result.hops:
        lost = "" if hop.received == hop.sent else f", {hop.sent - hop.received} of {hop.sent} lost"
        yield f"  {hop.ttl:>2}  {hop.address or '*':<39} {milliseconds(hop.rtt_ms)}{lost}"
    if result.rtt_min_ms is not None:
        yield (
            f"  round trip  {milliseconds(result.rtt_min_ms)} least, {milliseconds(result.rtt_ms)} median, "
            f"{milliseconds(result.rtt_max_ms)} most; jitter {milliseconds(result.jitter_ms)}"
        )
    if result.sent and result.lost is not None:
        yield (
            f"  packets     {result.sent} sent, {result.received} received, {result.lost} lost "
            f"({result.loss_pct or 0:.1f} %), {result.late or 0} late, {result.duplicated or 0} duplicated, "
            f"{result.reordered or 0} reordered"
        )
    if result.burst_ratio is not None:
        yield f"  bursts      burst ratio {result.burst_ratio:.2f} (1 is random loss)"
    yield from _directions(result)
    if result.setup_ms is not None:
        yield f"  connected   in {milliseconds(result.setup_ms)}"
    if result.user_agent:
        yield f"  server      {result.user_agent}"
    if (shown := result.certificate) is not None:
        yield f"  certificate {shown.subject}, until {shown.not_after} ({shown.days_left or 0:.0f} days)"
        if shown.problem:
            yield f"              {shown.problem}"
    if result.error_ms is not None and result.sent:
        yield f"  ourselves   packets left at most {milliseconds(result.error_ms)} late"


def _directions(result: ProbeResult) -> Iterator[str]:
    one_way = result.one_way_ms
    for name, found, delay in (
        ("there", result.out, one_way.out if one_way else None),
        ("back", result.back, one_way.back if one_way else None),
    ):
        if found is not None or delay is not None:
            took = "" if delay is None else f"{milliseconds(delay)}, "
            yield f"  {name:<11} {took}{_figures(found)}".rstrip(" ,")


def _figures(found: DirectionResult | None) -> str:
    if found is None:
        return ""
    quality = "" if found.mos is None else f", MOS {found.mos:.2f}"
    return f"{found.lost} of {found.sent} lost, jitter {milliseconds(found.jitter_ms)}{quality}"


def milliseconds(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"
