"""The chapter of monitoring: servers by number, each line of its document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.agents.model import AgentInfo
from callwright.control.app import create_app
from callwright.control.services import Services, Settings
from callwright.fleet.server import Event, State
from callwright.net.clock import ManualClock

KEYS = {
    "id",
    "name",
    "ip_address",
    "region",
    "description",
    "private",
    "version",
    "last_login_date",
    "last_login_ip",
    "created_at",
    "deleted_at",
}


@pytest.fixture
async def key(services: Services, admin: Identity) -> tuple[str, str]:
    return await services.keys.create("tests", await services.accounts.user(admin.user_id))


@pytest.fixture
async def api(services: Services, key: tuple[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://here/api/v3", auth=key) as client:
        yield client


async def enrolled(
    services: Services, admin: Identity, name: str, address: str, pool: str = "default"
) -> int:
    token, _ = await services.agents.create_enrolment(admin, pool)
    agent, _ = await services.agents.enrol(token, name, AgentInfo(version="1.2"), address=address)
    return (await services.servers.adopt(agent)).number


async def listed(api: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await api.get("/servers", params=query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.keys() == {"collection", "metadata"}
    assert body["metadata"] == {"count": len(body["collection"])}
    assert all(one.keys() == KEYS for one in body["collection"])
    return [one["name"] for one in body["collection"]]


async def test_a_server_is_shown_with_its_number_place_and_last_login(
    api: httpx.AsyncClient, services: Services, admin: Identity, clock: ManualClock
) -> None:
    number = await enrolled(services, admin, "lab-1", "192.0.2.9")
    body = (await api.get(f"/servers/{number}")).json()
    assert body.keys() == KEYS
    assert type(body["id"]) is int
    assert (body["id"], body["name"], body["ip_address"]) == (number, "lab-1", "192.0.2.9")
    assert (body["private"], body["version"], body["description"]) == (True, "1.2", None)
    assert (body["last_login_ip"], body["deleted_at"]) == ("192.0.2.9", None)
    assert body["last_login_date"] == body["created_at"]
    assert len(body["created_at"]) == len("2016-10-11 00:59:41")


async def test_the_list_is_filtered_by_name_address_kind_and_status(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    await enrolled(services, admin, "Vienna-lab", "192.0.2.9")
    gone = await enrolled(services, admin, "Graz", "198.51.100.4")
    embedded, _ = await services.agents.ensure_embedded("embedded", AgentInfo())
    await services.servers.adopt(embedded, embedded=True)
    made = await services.servers.order(admin)
    everyone = ["Vienna-lab", "Graz", "embedded", made.name]
    assert await listed(api) == everyone
    assert await listed(api, name="VIENNA") == ["Vienna-lab"]
    assert await listed(api, ip_address="100.4") == ["Graz"]
    assert await listed(api, name="a", ip_address="192.") == ["Vienna-lab"]
    assert await listed(api, community="false") == ["Vienna-lab", "Graz"]
    assert await listed(api, private="false") == ["embedded", made.name]
    assert await listed(api, private="true", community="true") == everyone
    assert await listed(api, private="false", community="false") == []
    assert (await api.delete(f"/servers/{gone}")).status_code == 200
    assert "Graz" not in await listed(api)
    assert await listed(api, status="cancelled") == ["Graz"]
    assert await listed(api, status="active", name="graz") == []
    assert (await api.get("/servers", params={"status": "lost"})).status_code == 422


async def test_a_server_is_called_and_described_by_people(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    number = await enrolled(services, admin, "lab-1", "192.0.2.9")
    answer = await api.patch(f"/servers/{number}", json={"name": "Carlos server"})
    assert answer.json()["name"] == "Carlos server"
    more = {"ip_address": "lab.example.com", "description": "In the rack."}
    body = (await api.patch(f"/servers/{number}", data=more)).json()
    assert (body["name"], body["ip_address"], body["description"]) == ("Carlos server", *more.values())
    (kept,) = await services.servers.listed()
    assert (kept.name, kept.address) == ("lab-1", "192.0.2.9"), "the fleet's name never changes"
    cleared = (await api.patch(f"/servers/{number}", json=dict.fromkeys(more))).json()
    assert (cleared["ip_address"], cleared["description"]) == ("192.0.2.9", None)
    for wrong in ({"name": ""}, {"ip_address": "not a host"}, {"region": "Europe"}, {"name": "x" * 256}):
        assert (await api.patch(f"/servers/{number}", json=wrong)).status_code == 422, wrong


async def test_a_deleted_server_is_kept_and_recovered(
    api: httpx.AsyncClient, services: Services, admin: Identity, clock: ManualClock
) -> None:
    number = await enrolled(services, admin, "lab-1", "192.0.2.9")
    clock.advance(60)
    deleted = (await api.delete(f"/servers/{number}")).json()
    assert deleted.keys() == KEYS
    assert deleted["deleted_at"] > deleted["created_at"]
    assert (await api.get(f"/servers/{number}")).json() == deleted
    assert (await api.delete(f"/servers/{number}")).json() == deleted
    back = await api.patch(f"/servers/{number}/activate")
    assert (back.status_code, back.json()) == (200, deleted | {"deleted_at": None})
    assert (await api.patch(f"/servers/{number}/activate")).json()["deleted_at"] is None


async def test_a_server_whose_machine_is_gone_is_not_recovered(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    made = await services.servers.order(admin)
    assert (await api.delete(f"/servers/{made.number}")).json()["deleted_at"]
    assert (await services.servers.get(made.name)).state is State.SHUTDOWN
    for event in (Event.DRAINED, Event.GONE):
        assert await services.servers.move(await services.servers.get(made.name), event) is not None
    refused = await api.patch(f"/servers/{made.number}/activate")
    assert refused.status_code == 409
    assert refused.json().keys() == {"message", "errors"}


async def test_what_is_not_there_is_404_and_only_administrators_change_servers(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("PATCH", "/activate")):
        assert (await api.request(method, f"/servers/999{path}", json={})).status_code == 404
    number = await enrolled(services, admin, "lab-1", "192.0.2.9")
    member = await services.accounts.create_user(admin, username="mo", password="mo's own password")
    theirs = await services.keys.create("mo", member)
    assert (await api.get(f"/servers/{number}", auth=theirs)).status_code == 200
    for method, path in (("PATCH", ""), ("DELETE", ""), ("PATCH", "/activate")):
        answer = await api.request(method, f"/servers/{number}{path}", json={}, auth=theirs)
        assert answer.status_code == 403
    assert (await api.get("/servers", auth=None)).status_code == 401


async def test_servers_of_another_projects_pool_are_not_seen(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    office = await services.projects.create(admin, "office")
    await services.agents.create_pool(admin, "theirs", office)
    number = await enrolled(services, admin, "lab-1", "192.0.2.9", pool="theirs")
    member = await services.accounts.create_user(admin, username="mo", password="mo's own password")
    theirs = await services.keys.create("mo", member)
    answer = await api.get("/servers", auth=theirs)
    assert answer.json()["collection"] == []
    assert (await api.get(f"/servers/{number}", auth=theirs)).status_code == 404


async def test_dates_are_in_the_time_zone_of_who_asks(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    number = await enrolled(services, admin, "lab-1", "192.0.2.9")
    before = (await api.get(f"/servers/{number}")).json()["created_at"]
    await services.accounts.change_user(admin, admin.user_id, time_zone="Asia/Kolkata")
    assert (await api.get(f"/servers/{number}")).json()["created_at"] != before
