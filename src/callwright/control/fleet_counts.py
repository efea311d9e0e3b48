"""How the fleet's pools stand now: what waits in them, and the sample of a minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from callwright.control.agents.model import Agent
from callwright.control.runs.demand import Demand, oldest, waiting
from callwright.control.servers.model import Sample, ServerRecord
from callwright.control.servers.service import LIVE
from callwright.control.services import Services
from callwright.fleet.plan import COMING
from callwright.fleet.pool import Pool
from callwright.fleet.server import State

__all__ = ["Waiting", "price_per_hour", "sampled", "samples_now", "waiting_calls"]


class Waiting(msgspec.Struct, frozen=True):
    """``calls`` without a place in a pool; the oldest of their runs was ordered at ``since``."""

    calls: int
    since: float


async def waiting_calls(services: Services, demands: Sequence[Demand] | None = None) -> Mapping[str, Waiting]:
    """By pool; pools without such calls are left out. ``demands``: where they were read already."""
    found = await services.runs.demands() if demands is None else demands
    if not found:
        return {}
    limits = await services.runs.running_limits()
    owners = {
        pool.name: pool.project_id for pool in await services.agents.pools() if pool.project_id is not None
    }
    since = oldest(found)
    return {pool: Waiting(calls, since[pool]) for pool, calls in waiting(found, limits, owners).items()}


async def samples_now(services: Services, at: float) -> list[Sample]:
    """Of each pool that has servers or may have some; ``at``: the minute that they stand for."""
    servers = await services.servers.all(*LIVE)
    agents = await services.agents.list()
    waits = await waiting_calls(services)
    wall = services.clock.wall()
    pools = {pool.name: pool for pool in await services.servers.pools()}
    there = (
        {one.pool for one in servers} | {pool.name for pool in pools.values() if pool.maximum} | set(waits)
    )
    return [
        sampled(pools.get(name), name, at, servers, agents, waits.get(name), wall) for name in sorted(there)
    ]


def sampled(
    pool: Pool | None,
    name: str,
    at: float,
    servers: Sequence[ServerRecord],
    agents: Sequence[Agent],
    waits: Waiting | None,
    wall: float,
) -> Sample:
    """One pool of these servers and agents. ``wall``: now, in unix seconds."""
    inside = [one for one in servers if one.pool == name and one.state is not State.STOPPED]
    alive = [one for one in agents if one.pool == name and one.alive(wall)]
    return Sample(
        pool=name,
        at=at,
        servers=sum(one.state is not State.PENDING for one in inside),
        running=sum(one.state is State.RUNNING for one in inside),
        coming=sum(one.state in COMING for one in inside),
        errored=sum(one.state is State.ERROR for one in inside),
        places=sum(one.capacity for one in alive),
        busy=sum(one.busy for one in alive),
        waiting=waits.calls if waits is not None else 0,
        waited=max(0.0, wall - waits.since) if waits is not None else None,
        cost=price_per_hour(pool, inside) if pool is not None else None,
    )


def price_per_hour(pool: Pool, servers: Sequence[ServerRecord]) -> float | None:
    """Of the machines that a provider made in the pool; None where one of their sizes has no price."""
    sizes = [one.size for one in servers if one.ours and one.state not in (State.PENDING, State.STOPPED)]
    if not pool.prices or any(size not in pool.prices for size in sizes):
        return None
    return sum(pool.prices[size] for size in sizes)
