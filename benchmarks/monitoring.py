"""Pages of monitoring, through the web application in this process: the matrix, and a year of one endpoint.

    python -m benchmarks.monitoring [--endpoints 200] [--servers 20] [--rounds 9]

The database is SQLite on disk, as `serve` has it. Each server has measured each endpoint; one of them has
a year of days from each server, with the histograms of 1,440 readings in each, and eight servers are drawn.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks import noise
from callwright.control.accounts.model import RIGHTS, Identity, Role, TokenKind, User
from callwright.control.agents.model import AgentInfo
from callwright.control.app import create_app
from callwright.control.monitors.history import tally
from callwright.control.monitors.model import Category, SlotState, StoredReading
from callwright.control.services import Services, Settings
from callwright.control.web.visitor import COOKIE
from callwright.net.clock import SystemClock
from callwright.net.entropy import seeded_entropy

MATRIX_GOAL_MS, YEAR_GOAL_MS = 200.0, 300.0
_DAY = 86_400


class Figures(NamedTuple):
    """Medians in ms, and the octets of the matrix page."""

    matrix: float
    year: float
    scrape: float
    octets: int


async def fill(services: Services, endpoints: int, servers: int) -> tuple[Identity, int]:
    """Gives an administrator and the endpoint that has a year."""
    row = User(0, "ana", "Ana", "ana@example.com", Role.ADMIN, "Normal", "UTC", 0.0, None, None)
    user = await services.stores.accounts.add_user(row, "")
    admin = Identity(user.id, "ana", Role.ADMIN, RIGHTS[Role.ADMIN])
    numbers = []
    for n in range(servers):
        agent, _ = await services.agents.ensure_embedded(f"server-{n:02}", AgentInfo(capacity=20))
        await services.agents.heartbeat(agent.id, AgentInfo(capacity=20))
        numbers.append((await services.servers.adopt(agent, embedded=True)).number)
    drawn = random.Random(1)
    now = int(services.clock.wall())
    first = 0
    for n in range(endpoints):
        fields = {"name": f"Branch router {n:03}", "ip_address": "127.0.0.1", "category": Category.PING}
        made = await services.monitors.create(admin, fields | {"interval": 86_400}, server_ids=numbers)
        first = first or made.id
        tests = await services.stores.monitors.voip_tests(made.id)
        await services.stores.monitors.add_readings(
            [_reading(one.id, now - 30, drawn, bad=drawn.random() < 0.1) for one in tests]
        )
    kinds = [tally(_reading(0, 60 * n, drawn, bad=kind == 0) for n in range(1_440)) for kind in range(9)]
    today = now // _DAY * _DAY
    for one in await services.stores.monitors.voip_tests(first):
        year = {today - day * _DAY: kinds[(day + one.id) % len(kinds)] for day in range(366)}
        await services.stores.monitors.put_tallies(one.id, _DAY, year)
    return admin, first


def _reading(test: int, slot: int, drawn: random.Random, *, bad: bool) -> StoredReading:
    lost = drawn.randint(1, 3) if bad else 0
    figures = {
        "mos": round(4.41 - 0.35 * lost - drawn.random() * 0.05, 2),
        "r_factor": 93 - 8 * lost - drawn.random(),
        "sent": 25,
        "received": 25 - lost,
        "lost": lost,
        "loss_pct": 4.0 * lost,
        "rtt_ms": 24 + drawn.expovariate(0.3),
        "jitter_ms": drawn.expovariate(1.0),
        "error_ms": drawn.random(),
    }
    return StoredReading(test, slot, SlotState.DONE, slot + 0.1, "", "passed", figures)


async def measured(endpoints: int, servers: int, rounds: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        services = await Services.open(
            Path(folder), clock=SystemClock(), entropy=seeded_entropy(1), migrate=True
        )
        try:
            admin, drawn = await fill(services, endpoints, servers)
            token = f"{admin.user_id:040x}"
            await services.stores.accounts.add_token(
                kind=TokenKind.SESSION,
                name="",
                token_hash=hashlib.sha256(token.encode()).hexdigest(),
                user_id=admin.user_id,
                idle_seconds=1e9,
                now=services.clock.wall(),
            )
            app = create_app(services, Settings(rate_limit=0))
            transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:1") as client:
                client.cookies.set(COOKIE, token)

                async def took(path: str, pause: float = 0.0) -> tuple[float, int]:
                    times, size = [], 0
                    for _ in range(rounds + 1):
                        await asyncio.sleep(pause)
                        begun = time.perf_counter()
                        answer = await client.get(path)
                        times.append(1000 * (time.perf_counter() - begun))
                        assert answer.status_code == 200, answer.text
                        size = len(answer.content)
                    return statistics.median(times[1:]), size

                matrix, octets = await took("/monitoring")
                year, _ = await took(f"/monitoring/endpoints/{drawn}?period=1y")
                scrape, _ = await took("/metrics", 1.1)
                return Figures(matrix, year, scrape, octets)
        finally:
            await services.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--endpoints", type=int, default=200)
    parser.add_argument("--servers", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(noise.sentence())
    found = asyncio.run(measured(options.endpoints, options.servers, options.rounds))
    size = f"{options.endpoints} x {options.servers}"
    print(f"matrix {size}: {found.matrix:.0f} ms, {found.octets:,} octets (goal {MATRIX_GOAL_MS:.0f} ms)")
    print(f"a year of one endpoint: {found.year:.0f} ms (goal {YEAR_GOAL_MS:.0f} ms)")
    print(f"a scrape of /metrics: {found.scrape:.0f} ms; {noise.sentence()}")
    return 0 if found.matrix <= MATRIX_GOAL_MS and found.year <= YEAR_GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
