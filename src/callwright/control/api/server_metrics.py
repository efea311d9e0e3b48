"""What `/metrics` says of the fleet: our own names, and those of dashboards that exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from callwright.control.agents.model import Agent
from callwright.control.servers.model import STEPS, TIME_BOUNDS, ServerRecord
from callwright.fleet.server import State

__all__ = ["fleet_families", "old_counters"]

_STEPS = (*STEPS, "boot")
_OLD = {
    "created": "Servers that a provider made.",
    "created_err": "Servers that a provider did not make.",
    "deleted": "Servers whose machine is gone.",
    "deleted_err": "Machines that a provider did not destroy.",
}


def fleet_families(
    servers: Sequence[ServerRecord],
    agents: Sequence[Agent],
    counts: Mapping[str, float],
    waiting: Mapping[str, int],
    *,
    paused: bool,
    wall: float,
    patience: float,
) -> Iterator[Any]:
    """``servers``: those that have not stopped. ``waiting``: calls without a place, by pool."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    states = GaugeMetricFamily(
        "callwright_servers", "Servers that have not stopped.", labels=("pool", "provider", "state")
    )
    for labels, count in sorted(Counter((one.pool, one.provider, str(one.state)) for one in servers).items()):
        states.add_metric(labels, count)
    yield states
    yield GaugeMetricFamily("callwright_fleet_paused", "1 while no server is made or ended.", value=paused)
    places: Counter[str] = Counter()
    busy: Counter[str] = Counter()
    for agent in agents:
        if agent.alive(wall, patience):
            places[agent.pool] += agent.capacity
            busy[agent.pool] += agent.busy
    pools = sorted({one.pool for one in servers} | places.keys() | waiting.keys())
    for name, text, by_pool in (
        ("places", "Calls at once on agents that are alive.", places),
        ("busy_calls", "Calls that these agents have.", busy),
        ("waiting_calls", "Calls of runs that wait for a place.", waiting),
    ):
        family = GaugeMetricFamily(f"callwright_pool_{name}", text, labels=("pool",))
        for pool in pools:
            family.add_metric((pool,), by_pool.get(pool, 0))
        yield family
    made = CounterMetricFamily(
        "callwright_server_changes", "What providers did, and failed to do.", labels=("change",)
    )
    for change in _OLD:
        made.add_metric((change,), counts.get(change, 0.0))
    yield made
    failures = CounterMetricFamily(
        "callwright_server_errors", "Servers that failed on their way, by step.", labels=("step",)
    )
    for step in _STEPS:
        failures.add_metric((step,), counts.get(f"{step}/errors", 0.0))
        yield _times(f"callwright_server_{step}_seconds", step, counts)
        yield _times(f"drone_server_{step}_time_seconds", step, counts)
        yield CounterMetricFamily(
            f"drone_server_{step}_errors",
            f"Servers that failed in the step {step}.",
            value=counts.get(f"{step}/errors", 0.0),
        )
    yield failures
    active = sum(one.ours and one.state not in (State.STOPPED, State.ERROR) for one in servers)
    yield GaugeMetricFamily("drone_server_count", "Servers that providers made and that are active.", active)


def _times(name: str, step: str, counts: Mapping[str, float]) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    whole = counts.get(f"{step}/count", 0.0)
    within = [(f"{bound:g}", counts.get(f"{step}/le/{bound:g}", 0.0)) for bound in TIME_BOUNDS]
    text = f"Seconds that the step {step} of a server took."
    return HistogramMetricFamily(
        name, text, buckets=[*within, ("+Inf", whole)], sum_value=counts.get(f"{step}/seconds", 0.0)
    )


def old_counters(counts: Mapping[str, float]) -> bytes:
    """Their names end without `_total`, which the library does not write."""
    lines = []
    for change, text in _OLD.items():
        name = f"drone_servers_{change}"
        lines += [f"# HELP {name} {text}", f"# TYPE {name} counter", f"{name} {counts.get(change, 0.0)}"]
    return "\n".join([*lines, ""]).encode()
