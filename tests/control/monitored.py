"""Endpoints, servers and readings as tests of the pages need them."""

from __future__ import annotations

from typing import Any

from callwright.control.accounts.model import Identity
from callwright.control.agents.model import AgentInfo
from callwright.control.monitors.model import Category, Endpoint, SlotState, StoredReading, VoipTest
from callwright.control.services import Services
from callwright.fleet.record import ServerRecord


async def a_server(services: Services, name: str, **facts: Any) -> ServerRecord:
    """With an agent that is alive now."""
    agent, _ = await services.agents.ensure_embedded(name, AgentInfo(version="1.2.3", capacity=20))
    await services.agents.heartbeat(agent.id, AgentInfo(version="1.2.3", capacity=20))
    server = await services.servers.adopt(agent, embedded=True)
    found = await services.servers.learn(server.name, **facts) if facts else server
    assert found is not None
    return found


async def an_endpoint(
    services: Services, admin: Identity, name: str, servers: list[ServerRecord], **fields: Any
) -> Endpoint:
    asked = {"name": name, "ip_address": "127.0.0.1", "category": Category.PING, **fields}
    return await services.monitors.create(admin, asked, server_ids=[one.number for one in servers])


async def voip_test_of(services: Services, endpoint: Endpoint, server: ServerRecord) -> VoipTest:
    tests = await services.stores.monitors.voip_tests(endpoint.id)
    return next(one for one in tests if one.server_id == server.number)


async def read(
    services: Services, endpoint: Endpoint, server: ServerRecord, *, ago: float = 5.0, **more: Any
) -> None:
    """A slot of the past, a good one unless ``more`` says otherwise: figures, state, reason, verdict."""
    test = await voip_test_of(services, endpoint, server)
    slot = int(services.clock.wall() - ago)
    told: dict[str, Any] = {"state": SlotState.DONE, "reason": "", "verdict": "passed"}
    told |= {name: more.pop(name) for name in list(more) if name in told}
    figures = {"mos": 4.41, "sent": 25, "received": 25, "lost": 0, "loss_pct": 0.0, "rtt_ms": 24.0} | more
    row = StoredReading(test.id, slot, told["state"], slot + 0.1, told["reason"], told["verdict"], figures)
    await services.stores.monitors.add_readings([row])
