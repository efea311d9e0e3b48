"""What `/metrics` says of endpoints, as each server sees them: a sample for each VoIP test that goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from callwright.control.monitors.model import Latest
from callwright.control.monitors.newest import Newest, newest

__all__ = ["MOST_TESTS", "endpoint_families"]

#: VoIP tests that are told; how many are left out is a metric too.
MOST_TESTS = 10_000
_LABELS = ("endpoint", "endpoint_id", "server")
_FIGURES = (
    ("mos", "MOS of the newest slot, 1 to 4.5.", "mos", 1.0),
    ("loss_ratio", "Share of packets lost in the newest slot, 0 to 1.", "loss_pct", 0.01),
    ("rtt_seconds", "Median round trip of the newest slot.", "rtt_ms", 0.001),
    ("jitter_seconds", "Jitter (RFC 3550) of the newest slot.", "jitter_ms", 0.001),
)


def endpoint_families(
    latest: Sequence[Latest], endpoints: Mapping[int, str], servers: Mapping[int, str], wall: float
) -> Iterator[Any]:
    """``endpoints`` and ``servers``: names by number; those of servers are each one's own. What was not
    measured has no sample: an old figure would look like one of now."""
    from prometheus_client.core import GaugeMetricFamily

    told = [
        (
            (
                endpoints.get(one.endpoint_id, ""),
                str(one.endpoint_id),
                servers.get(one.server_id, f"server-{one.server_id}"),
            ),
            one,
            newest(one, wall),
        )
        for one in latest[:MOST_TESTS]
    ]

    def family(name: str, text: str) -> Any:
        return GaugeMetricFamily(f"callwright_endpoint_{name}", text, labels=_LABELS)

    up = family("up", "1 when the newest slot was measured, 0 when nothing answered or it was refused.")
    blank = family("no_data", "1 while nothing is known: missed, invalid, or not heard for two slots.")
    for labels, _, stands in told:
        blank.add_metric(labels, float(not stands.known))
        if stands.known:
            up.add_metric(labels, float(stands is Newest.MEASURED))
    yield from (up, blank)
    for name, text, figure, unit in _FIGURES:
        found = family(name, text)
        for labels, one, stands in told:
            value = getattr(one.figures, figure)
            if stands.known and value is not None:
                found.add_metric(labels, round(value * unit, 9))
        yield found
    yield GaugeMetricFamily(
        "callwright_endpoint_tests_left_out",
        f"VoIP tests beyond the first {MOST_TESTS:,}, of which nothing is told here.",
        value=float(max(0, len(latest) - MOST_TESTS)),
    )
