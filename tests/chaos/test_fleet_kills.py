"""SIGKILL of the platform and of servers' agents, while servers are in each state of their life.

No server is leaked and none is doubled, by what the kernel says of processes, and the pool has its minimum
again soon. CI kills a few times, `make chaos` 200 times (CALLWRIGHT_CHAOS_FLEET_KILLS).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from callwright.fleet.server import State
from tests.kit.fleets import FleetOf
from tests.kit.served import start, wait_ready

KILLS = int(os.environ.get("CALLWRIGHT_CHAOS_FLEET_KILLS", "2"))
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300 + 60 * KILLS)]

_SEED = 1 if os.environ.get("CI") else random.randrange(1 << 30)  # CI's result does not depend on chance
SEED = int(os.environ.get("CALLWRIGHT_CHAOS_SEED", str(_SEED)))
FLAGS = ("--no-pbx", "--no-demo", "--no-agent", "--rate-limit", "10000")
MINIMUM = 2
BACK_WITHIN = 30.0 if KILLS > 20 else 90.0
"""Seconds from a kill to the minimum; in CI other tests run meanwhile."""
STATES = [state for state in State if state is not State.STOPPED]
SEEN_WITHIN = 4.0  # seconds in which a state should be seen; else the kill hits whatever there is
REAPED_WITHIN = 240.0  # seconds; errored servers are destroyed after a minute, then ever more rarely


def test_kills_in_each_state_of_a_server_leak_none_and_double_none(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    fleet = FleetOf(tmp_path / "data")
    served = wait_ready(start(fleet.data, *FLAGS))
    settings = {"minimum": MINIMUM, "maximum": 8, "idle_seconds": 1, "min_age_seconds": 0}
    hit: Counter[str] = Counter()
    slowest = 0.0
    try:
        fleet.set_pool("default", **settings, max_created_per_hour=None)
        fleet.until(lambda: _running(fleet) >= MINIMUM, BACK_WITHIN)
        for number in range(KILLS):
            wanted = STATES[number % len(STATES)] if len(STATES) <= KILLS else chance.choice(STATES)
            answer = httpx.post(f"{served.url}/api/servers", auth=served.auth, timeout=30)
            assert answer.status_code == 200, answer.text
            if wanted is State.ERROR:
                _kill_an_agent(fleet, chance)
            deadline = time.monotonic() + SEEN_WITHIN
            while wanted not in (states := fleet.states().values()) and time.monotonic() < deadline:
                time.sleep(0.001)
            hit[wanted if wanted in states else "another state"] += 1
            killed = time.monotonic()
            if number % 4 == 3:
                _kill_an_agent(fleet, chance)
            else:
                served.api.close()
                served.process.kill()
                served.process.wait(30)
                served = wait_ready(start(fleet.data, *FLAGS, port=served.port))
            while not _whole(fleet):
                assert time.monotonic() - killed < BACK_WITHIN, (fleet.states(), fleet.agents(), SEED)
                time.sleep(0.05)
            slowest = max(slowest, time.monotonic() - killed)
            twice = [name for name, count in Counter(fleet.agents()).items() if count > 1]
            assert twice == [], SEED
        if KILLS > 20:
            fleet.until(lambda: fleet.settled(MINIMUM), REAPED_WITHIN)
        served.end()
        assert fleet.agents() == [], SEED
        assert fleet.folders() == set(), SEED
        # What was asked for and not begun waits for the next start of the platform.
        assert set(fleet.states().values()) <= {State.STOPPED, State.PENDING}, SEED
    finally:
        if served.process.poll() is None:
            served.process.kill()
        for pid in fleet.processes().values():
            os.kill(pid, signal.SIGKILL)
    made = len(fleet.states())
    print(f"{KILLS} kills, {made} servers, slowest back {slowest:.1f} s, seed {SEED}; in {dict(hit)}")


def _running(fleet: FleetOf) -> int:
    return sum(state == State.RUNNING for state in fleet.states().values())


def _whole(fleet: FleetOf) -> bool:
    """As many servers run, on processes that live, as the pool wants."""
    running = {name for name, state in fleet.states().items() if state == State.RUNNING}
    return len(running & set(fleet.processes())) >= MINIMUM


def _kill_an_agent(fleet: FleetOf, chance: random.Random) -> None:
    alive = sorted(fleet.processes().values())
    if alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(alive), signal.SIGKILL)
