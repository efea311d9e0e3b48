"""How pools stand in a minute, and what /metrics says of the fleet."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from callwright.control.accounts.model import Identity
from callwright.control.agents.model import AgentInfo
from callwright.control.app import create_app
from callwright.control.fleet_counts import price_per_hour, samples_now
from callwright.control.services import Services, Settings
from callwright.fleet.pool import Pool
from callwright.fleet.server import Event
from callwright.net.clock import ManualClock


async def test_a_sample_counts_servers_places_waiting_calls_and_cost(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(admin)
    await services.servers.set_pool(
        admin, "default", {"maximum": 3, "sizes": ["s"], "prices": {"s": 0.5}}, whole=True
    )
    first, second, third = await services.servers.create("default", 3)
    for event in (Event.ALLOCATE, Event.MADE):
        first = await services.servers.move(first, event) or first
    second = await services.servers.move(second, Event.FAIL, error="out of stock") or second
    agent, _ = await services.agents.ensure_embedded("embedded", AgentInfo(capacity=50))
    await services.agents.heartbeat(agent.id, AgentInfo(capacity=50, busy=7))
    await services.runs.start(admin, "basic_call")
    clock.advance(12)
    (sample,) = await samples_now(services, 60.0)
    assert (sample.pool, sample.at) == ("default", 60.0)
    assert (sample.servers, sample.running, sample.coming, sample.errored) == (2, 0, 2, 1)
    assert (sample.places, sample.busy) == (50, 7)
    assert (sample.waiting, sample.waited) == (2, 12.0), "both parties of the call"
    assert sample.cost == 1.0
    assert third.state == "pending", "no machine yet, so it costs nothing"


async def test_the_cost_is_unknown_where_a_size_has_no_price(services: Services, admin: Identity) -> None:
    await services.servers.set_pool(admin, "eu", {"maximum": 3}, whole=True)
    (made,) = await services.servers.create("eu", 1)
    running = await services.servers.move(made, Event.ALLOCATE)
    assert running is not None
    assert price_per_hour(Pool("eu"), [running]) is None
    assert price_per_hour(Pool("eu", prices={"m": 2.0}), [running]) is None
    assert price_per_hour(Pool("eu", prices={"": 2.0}), [running]) == 2.0


async def test_metrics_have_the_names_of_dashboards_that_exist_and_our_own(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.servers.set_pool(admin, "default", {"maximum": 3}, whole=True)
    first, second, _ = await services.servers.create("default", 3)
    first = await services.servers.move(first, Event.ALLOCATE) or first
    clock.advance(3)
    first = await services.servers.move(first, Event.MADE) or first
    await services.servers.move(second, Event.FAIL, error="out of stock")
    app = create_app(services, Settings())
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        text = (await client.get("/metrics")).text
    lines = set(text.splitlines())
    for line in (
        "drone_server_count 2.0",
        "drone_servers_created 1.0",
        "drone_servers_created_err 1.0",
        "drone_servers_deleted 0.0",
        "drone_servers_deleted_err 0.0",
        "drone_server_create_errors_total 1.0",
        "drone_server_boot_errors_total 0.0",
        "drone_server_install_errors_total 0.0",
        "drone_server_create_time_seconds_count 1.0",
        'drone_server_create_time_seconds_bucket{le="2"} 0.0',
        'drone_server_create_time_seconds_bucket{le="5"} 1.0',
        "drone_server_boot_time_seconds_sum 0.0",
        "drone_server_install_time_seconds_count 0.0",
        'callwright_servers{pool="default",provider="process",state="created"} 1.0',
        'callwright_servers{pool="default",provider="process",state="error"} 1.0',
        'callwright_server_changes_total{change="created"} 1.0',
        'callwright_pool_waiting_calls{pool="default"} 0.0',
        "callwright_fleet_paused 0.0",
    ):
        assert line in lines, line
    assert len(list(text_string_to_metric_families(text))) > 20
