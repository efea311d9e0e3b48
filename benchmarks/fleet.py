"""The fleet: one round of decisions for 10,000 servers in 50 pools, and how long a server takes to run.

python -m benchmarks.fleet
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from tests.kit.fleets import FleetOf
from tests.kit.served import start, wait_ready

from callwright.fleet.plan import Peaks, Seen, decide, tally
from callwright.fleet.pool import Pool
from callwright.fleet.server import State

SERVERS, POOLS = 10_000, 50
ROUNDS = 20
ORDERS = 20
_PATIENCE = 60.0  # seconds for one server
_MIX = [State.RUNNING] * 90 + [State.STAGING] * 4 + [State.SHUTDOWN] * 3 + [State.ERROR] * 3


def plan_seconds(rounds: int = ROUNDS) -> list[float]:
    """Of each round: counting the servers of all pools, and deciding for each."""
    chance = random.Random(1)
    pools = [Pool(f"pool-{n}", minimum=10, maximum=400, buffer=20, idle_seconds=60.0) for n in range(POOLS)]
    servers = {
        pool.name: [_server(f"{pool.name}-{n}", chance) for n in range(SERVERS // POOLS)] for pool in pools
    }
    peaks = {pool.name: Peaks(pool.idle_seconds) for pool in pools}
    taken = []
    for turn in range(rounds):
        now = 10_000.0 + turn
        waiting = {pool.name: chance.randrange(200) for pool in pools}
        began = time.perf_counter()
        for pool in pools:
            counted = tally(servers[pool.name], now, waiting=waiting[pool.name], peaks=peaks[pool.name])
            decide(pool, counted, now)
        taken.append(time.perf_counter() - began)
    return taken


def _server(name: str, chance: random.Random) -> Seen:
    state = chance.choice(_MIX)
    busy = chance.randrange(11) if state is State.RUNNING else 0
    idle = None if busy or state is not State.RUNNING else chance.uniform(0, 10_000)
    return Seen(name, state, 10, chance.uniform(0, 10_000), busy, idle)


def running_seconds(orders: int = ORDERS) -> list[float]:
    """From the answer to `POST /api/servers` to the first sign of life of the agent, by the records, one
    server after the other, with the provider `process`."""
    with tempfile.TemporaryDirectory() as folder:
        fleet = FleetOf(Path(folder) / "data")
        served = wait_ready(start(fleet.data, "--no-pbx", "--no-demo", "--no-agent"))
        try:
            fleet.set_pool("default", maximum=2, idle_seconds=0, max_created_per_hour=None)
            for _ in range(orders):
                _order(served.url, served.auth, fleet)
            return [one.started - one.created for one in fleet.servers() if one.started is not None]
        finally:
            served.end(signal.SIGTERM)
            for pid in fleet.processes().values():
                os.kill(pid, signal.SIGKILL)


def _order(url: str, auth: tuple[str, str], fleet: FleetOf) -> None:
    answer = httpx.post(f"{url}/api/servers", auth=auth, timeout=30.0)
    answer.raise_for_status()
    name = answer.json()["name"]
    fleet.until(lambda: fleet.states()[name] == State.RUNNING, _PATIENCE)
    httpx.delete(f"{url}/api/servers/{name}", auth=auth, timeout=30.0).raise_for_status()
    fleet.until(lambda: fleet.states()[name] == State.STOPPED, _PATIENCE)


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of them lies; the only one where there is one."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def main() -> None:
    taken = plan_seconds()
    print(
        f"decisions for {SERVERS:,} servers in {POOLS} pools: median {1000 * statistics.median(taken):.1f} ms"
    )
    waited = running_seconds()
    print(
        f"pending to running with process, {len(waited)} servers: "
        f"p50 {percentile(waited, 0.5):.2f}, p95 {percentile(waited, 0.95):.2f} s"
    )


if __name__ == "__main__":
    main()
