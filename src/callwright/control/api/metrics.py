"""`/metrics` for Prometheus: runs, queue, agents, endpoints, requests. Who may read it, and what it says.

All that is counted of runs comes from the database, so every worker says the same. When the database or NATS
is away, the page still answers and says so: `callwright_up 0`.
"""

from __future__ import annotations

import asyncio
import hmac
import platform
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

from litestar import Request, Response, get
from litestar.handlers.base import BaseRouteHandler

from callwright.control.accounts.model import Right
from callwright.control.agents.model import Agent, AgentState
from callwright.control.api.auth import Connection
from callwright.control.api.endpoint_metrics import endpoint_families
from callwright.control.api.problems import unauthorized
from callwright.control.api.server_metrics import fleet_families, old_counters
from callwright.control.api.traffic import Traffic
from callwright.control.errors import DomainError
from callwright.control.fleet_counts import waiting_calls
from callwright.control.runs.figures import FIRST_BOUNDS, LASTS_BOUNDS, EndedRuns, LivePhase, RunFigures
from callwright.control.servers.service import LIVE
from callwright.control.services import Services, Settings
from callwright.version import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FRESH = 1.0  # seconds that a page is given out again
_PATIENCE = 4.0  # seconds for the database; a scraper waits ten
_PHASES = ("queued", "starting", "running")
_VERDICTS = ("passed", "failed", "invalid", "error", "canceled")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def is_local(peer: str, headers: Mapping[str, str], settings: Settings) -> bool:
    """Whether it was asked on this machine itself, no proxy between: a proxy is a loopback peer too."""
    if settings.public_url or settings.metrics_token or any(name in headers for name in _FORWARDED):
        return False
    name = headers.get("host", "").strip()
    bare = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return _loopback(peer) and (bare.lower() == "localhost" or _loopback(bare))


def shows_token(headers: Mapping[str, str], token: str | None) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if token is None or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())


def _loopback(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


async def pass_to_metrics(connection: Connection, handler: BaseRouteHandler) -> None:
    settings: Settings = connection.app.state["settings"]
    peer = connection.client.host if connection.client else ""
    headers = connection.headers
    if is_local(peer, headers, settings) or shows_token(headers, settings.metrics_token):
        return
    if "authorization" not in headers and "x-auth-token" not in headers:
        raise unauthorized("Metrics need the token of --metrics-token, or an administrator's API key.")
    await connection.app.state["gate"](connection, handler)


@get("/metrics", include_in_schema=False, guards=[pass_to_metrics], opt={"right": Right.ADMINISTER})
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    content = await request.app.state["metrics"].page()
    return Response(content, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


class Metrics:
    """`await page()`: the text, made at most once a second."""

    def __init__(self, services: Services, settings: Settings, traffic: Traffic | None) -> None:
        self._services, self._settings, self._traffic = services, settings, traffic
        self._figures = RunFigures(services.stores.runs)
        self._turn = asyncio.Lock()
        self._made: tuple[float, bytes] | None = None

    async def page(self) -> bytes:
        async with self._turn:
            now = self._services.clock.now()
            if self._made is None or now - self._made[0] >= _FRESH:
                self._made = now, await self._make()
            return self._made[1]

    async def _make(self) -> bytes:
        broker = self._services.broker
        connected = broker is None or broker.connected
        try:
            async with asyncio.timeout(_PATIENCE):
                counts = await self._services.servers.counts()
                records = await self._records(counts)
        except (DomainError, OSError, TimeoutError):
            records, counts = None, None
        families = [*_state(records is not None, connected), *(records or [])]
        room = await asyncio.to_thread(self._settings.room)
        if room is not None:
            families.append(_gauge("data_free_bytes", "Room on the disk of the data folder.", room))
        page = await asyncio.to_thread(self._encode, families)
        return page + (old_counters(counts) if counts is not None else b"")

    async def _records(self, counts: Mapping[str, float]) -> list[Any]:
        wall = self._services.clock.wall()
        live, ended = await self._figures.look(wall)
        agents = await self._services.agents.list()
        switch = await self._services.runs.kill_switch()
        patience = max(15.0, self._settings.lease)
        waits = await waiting_calls(self._services)
        servers = await self._services.servers.all(*LIVE)
        monitors = self._services.monitors
        found = [
            *_live_runs(live, wall),
            *_agents(agents, wall, patience),
            *fleet_families(
                servers,
                agents,
                counts,
                {pool: one.calls for pool, one in waits.items()},
                paused=await self._services.servers.paused(),
                wall=wall,
                patience=patience,
            ),
        ]
        endpoints = endpoint_families(
            await monitors.latest_of_all(),
            await monitors.names(),
            {one.number: one.name for one in servers},
            wall,
        )
        found += await asyncio.to_thread(list, endpoints)  # tens of thousands of samples
        found.append(_gauge("kill_switch_engaged", "1 while no call may be placed.", switch is not None))
        return found if ended is None else [*found, *_ended_runs(ended)]

    def _encode(self, families: list[Any]) -> bytes:
        from prometheus_client import CollectorRegistry, generate_latest

        requests = self._traffic.collect() if self._traffic is not None else []

        class Page:
            def collect(self) -> list[Any]:
                return [*families, *requests]

        registry = CollectorRegistry()
        registry.register(Page())
        return generate_latest(registry)


def _gauge(name: str, text: str, value: float) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"callwright_{name}", text, value=float(value))


def _state(database: bool, broker: bool) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    yield _gauge("up", "1 while the database and NATS answer.", database and broker)
    yield _gauge("database_up", "1 while the database answers.", database)
    yield _gauge("nats_up", "1 while there is a connection to NATS.", broker)
    build = GaugeMetricFamily("callwright_build_info", "What runs here.", labels=("version", "python"))
    build.add_metric((__version__, platform.python_version()), 1.0)
    yield build


def _live_runs(live: Sequence[LivePhase], wall: float) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    by_phase = {row.phase: row for row in live}
    runs = GaugeMetricFamily("callwright_runs", "Runs that have not ended, by phase.", labels=("phase",))
    for phase in _PHASES:
        runs.add_metric((phase,), by_phase[phase].count if phase in by_phase else 0)
    yield runs
    queued = by_phase.get("queued")
    yield _gauge(
        "queue_oldest_seconds",
        "Age of the oldest run that waits for an agent; 0 when none does.",
        max(0.0, wall - queued.oldest) if queued is not None else 0.0,
    )


def _agents(agents: Sequence[Agent], wall: float, patience: float) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    labels = ("agent", "pool")
    up = GaugeMetricFamily("callwright_agent_up", "1 while its heartbeats come.", labels=labels)
    capacity = GaugeMetricFamily(
        "callwright_agent_capacity_calls", "Calls at once it may hold.", labels=labels
    )
    calls = GaugeMetricFamily("callwright_agent_calls", "Calls it holds now; 0 when lost.", labels=labels)
    waiting = GaugeMetricFamily(
        "callwright_agent_spool_bytes", "Evidence that waits at it for the platform.", labels=labels
    )
    dropped = CounterMetricFamily(
        "callwright_agent_spool_dropped_files",
        "Files of evidence that it has dropped because its spool was full.",
        labels=labels,
    )
    states = {"alive": 0, "draining": 0, "lost": 0}
    for agent in agents:
        who, alive = (agent.name, agent.pool), agent.alive(wall, patience)
        up.add_metric(who, float(alive))
        capacity.add_metric(who, agent.capacity)
        calls.add_metric(who, agent.busy if alive else 0)
        waiting.add_metric(who, agent.spool.octets)
        dropped.add_metric(who, agent.spool.dropped)
        states["lost" if not alive else "draining" if agent.state == AgentState.DRAINING else "alive"] += 1
    total = GaugeMetricFamily("callwright_agents", "Agents by state.", labels=("state",))
    for state, count in states.items():
        total.add_metric((state,), count)
    yield from (total, up, capacity, calls, waiting, dropped)


def _ended_runs(ended: Sequence[EndedRuns]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    total = CounterMetricFamily(
        "callwright_runs_ended", "Runs that have ended, by verdict and blame.", labels=("verdict", "blame")
    )
    # From the start of all: a counter that appears with its first failure has no increase to alert on.
    rows = {(verdict, ""): 0 for verdict in ("passed", "canceled")}
    rows |= {("failed", blame): 0 for blame in ("target", "network")}
    rows |= {("error", "platform"): 0, ("invalid", "test"): 0}
    rows |= {(row.phase, row.blame): row.count for row in ended}
    for labels, count in sorted(rows.items()):
        total.add_metric(labels, count)
    yield total
    lasts = HistogramMetricFamily(
        "callwright_run_seconds", "From the moment an agent took a run to its end.", labels=("verdict",)
    )
    first = HistogramMetricFamily(
        "callwright_run_first_invite_seconds",
        "From the order of a run to its first INVITE.",
        labels=("verdict",),
    )
    for verdict in _VERDICTS:
        alike = [row for row in ended if row.phase == verdict]
        _add(lasts, verdict, LASTS_BOUNDS, [row.lasts for row in alike])
        _add(first, verdict, FIRST_BOUNDS, [row.first for row in alike])
    yield from (lasts, first)


def _add(family: Any, verdict: str, bounds: Sequence[float], rows: Sequence[tuple[float, ...]]) -> None:
    nothing = (0.0,) * (len(bounds) + 2)
    seconds, count, *within = map(sum, zip(nothing, *rows, strict=True))
    buckets = [(str(bound), value) for bound, value in zip(bounds, within, strict=True)]
    family.add_metric((verdict,), [*buckets, ("+Inf", count)], seconds)
