"""Endpoints and VoIP tests in the chapter of monitoring."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.app import create_app
from callwright.control.services import Services, Settings
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import State

ENDPOINT = {
    *("id", "project", "name", "ip_address", "port", "description", "category", "server_ids", "interval"),
    *("alert_threshold", "alert_ids", "uri", "credentials", "transport", "created_at", "deleted_at"),
}
VOIP_TEST = {
    *("id", "endpoint_id", "server_id", "mos", "codec", "num_tests", "interpacket_ms", "state", "reason"),
    *("created_at", "updated_at", "deleted_at"),
}


@pytest.fixture
async def api(services: Services, admin: Identity) -> AsyncIterator[httpx.AsyncClient]:
    user = await services.accounts.user(admin.user_id)
    key, secret = await services.keys.create("tests", user)
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    base = "http://here/api/v3"
    async with httpx.AsyncClient(transport=transport, base_url=base, auth=(key, secret)) as client:
        yield client


@pytest.fixture
async def servers(services: Services) -> list[int]:
    """The numbers of three servers."""
    rows = [
        ServerRecord(
            number=0,
            name=name,
            label=name,
            provider="private",
            pool="default",
            state=State.RUNNING,
            created=0.0,
            updated=0.0,
            since=0.0,
        )
        for name in ("fra-1", "lon-1", "syd-1")
    ]
    return [(await services.stores.servers.add_server(row)).number for row in rows]


async def made(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/endpoints", json={"name": "trunk", "ip_address": "10.0.0.1", **fields})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def refused(api: httpx.AsyncClient, **fields: Any) -> str:
    answer = await api.post("/endpoints", json={"name": "trunk", "ip_address": "10.0.0.1", **fields})
    assert (answer.status_code, answer.json().keys()) == (422, {"message", "errors"}), answer.text
    return str(answer.json()["errors"][0]["address"])


async def listed(api: httpx.AsyncClient, path: str) -> list[int]:
    body = (await api.get(path)).json()
    assert body.keys() == {"collection", "metadata"}
    assert body["metadata"] == {"count": len(body["collection"])}
    return [row["id"] for row in body["collection"]]


async def test_an_endpoint_gets_a_voip_test_for_each_server(
    api: httpx.AsyncClient, servers: list[int]
) -> None:
    endpoint = await made(api, server_ids=servers[:2], category="ping")
    assert endpoint.keys() == ENDPOINT
    assert (endpoint["server_ids"], endpoint["port"], endpoint["interval"]) == (servers[:2], None, 60)
    tests = (await api.get(f"/endpoints/{endpoint['id']}/voip_tests")).json()
    assert tests["metadata"] == {"count": 2}
    for test, server in zip(tests["collection"], servers, strict=False):
        assert test.keys() == VOIP_TEST
        assert (test["endpoint_id"], test["server_id"]) == (endpoint["id"], server)
        assert (test["mos"], test["codec"], test["num_tests"], test["interpacket_ms"]) == (
            None,
            "g711",
            25,
            100,
        )
        one = await api.get(f"/endpoints/{endpoint['id']}/voip_tests/{test['id']}")
        assert one.json() == test


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"name": ""}, "name"),
        ({"ip_address": ""}, "ip_address"),
        ({"ip_address": "not a host"}, "ip_address"),
        ({"category": "smell"}, "category"),
        ({"category": "ping", "port": 5060}, "port"),
        ({"category": "sip", "port": 70_000}, "port"),
        ({"interval": 9}, "interval"),
        ({"interval": 86_401}, "interval"),
        ({"alert_ids": [1]}, "alert_ids"),
        ({"alert_threshold": 3.9, "alert_ids": [4711]}, "alert_ids"),
        ({"alert_threshold": 4.6}, "alert_threshold"),
        ({"alert_threshold": 0.5}, "alert_threshold"),
        ({"server_ids": [4711]}, "server_ids"),
        ({"server_ids": "x"}, "server_ids"),
        ({"category": "register", "uri": "sip:10.0.0.1"}, "credentials"),
        ({"category": "register", "credentials": "office"}, "uri"),
        ({"category": "call", "uri": "tel:123"}, "uri"),
        ({"category": "sip", "transport": "sctp"}, "transport"),
        ({"category": "ping", "uri": "sip:10.0.0.1"}, "uri"),
        ({"ip_address": "8.8.8.8"}, "ip_address"),
        ({"colour": "red"}, "colour"),
        ({"project": "nowhere"}, "project"),
    ],
)
async def test_an_endpoint_that_makes_no_sense_is_refused_with_its_field(
    api: httpx.AsyncClient, fields: dict[str, Any], address: str
) -> None:
    assert await refused(api, **fields) == address
    assert await listed(api, "/endpoints") == []


async def test_a_public_address_is_tested_once_an_administrator_permits_it(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    assert await refused(api, ip_address="8.8.8.8") == "ip_address"
    await services.targets.add(admin, host="8.8.8.8")
    await made(api, ip_address="8.8.8.8")


async def test_each_category_has_its_own_port(api: httpx.AsyncClient) -> None:
    for category, transport, port in (
        ("ping", "udp", None),
        ("sip", "udp", 5060),
        ("sip", "tls", 5061),
        ("udp", "udp", 862),
        ("dns", "udp", None),
    ):
        assert (await made(api, category=category, transport=transport))["port"] == port
    call = await made(api, category="call", ip_address="", uri="sip:100@10.0.0.7:5070")
    assert (call["ip_address"], call["port"]) == ("10.0.0.7", 5070)
    name = await made(api, category="dns", name="sip.example.com", ip_address="")
    assert name["ip_address"] == "sip.example.com"


async def test_lists_are_filtered(api: httpx.AsyncClient, servers: list[int]) -> None:
    one = (await made(api, name="Head office", server_ids=servers[:1], description="by the river"))["id"]
    two = (await made(api, name="Trunk", ip_address="10.9.0.1", category="sip", server_ids=servers[:2]))["id"]
    for query, expected in (
        ("", [one, two]),
        ("?name=HEAD", [one]),
        ("?ip_address=10.9", [two]),
        ("?description=River", [one]),
        ("?category=SIP", [two]),
        (f"?server_id={servers[0]}", [one, two]),
        (f"?server_id={servers[1]}", [two]),
        ("?name=%25", []),
    ):
        assert await listed(api, f"/endpoints{query}") == expected, query
    assert (await api.get("/endpoints?category=smell")).status_code == 422


async def test_cancelling_keeps_the_record_and_activating_brings_it_back(
    api: httpx.AsyncClient, servers: list[int]
) -> None:
    endpoint = await made(api, server_ids=servers[:1])
    path = f"/endpoints/{endpoint['id']}"
    gone = await api.delete(path)
    assert gone.status_code == 200
    assert gone.json() == {**endpoint, "deleted_at": gone.json()["deleted_at"]}
    assert gone.json()["deleted_at"] is not None
    assert (await api.get(path)).json() == gone.json() == (await api.delete(path)).json()
    assert (await listed(api, "/endpoints"), await listed(api, "/endpoints?status=cancelled")) == (
        [],
        [endpoint["id"]],
    )
    assert (await api.patch(path, json={"name": "x"})).status_code == 409
    assert (await api.patch(f"{path}/activate")).json() == endpoint == (await api.get(path)).json()


async def test_changing_its_servers_makes_cancels_and_recovers_voip_tests(
    api: httpx.AsyncClient, servers: list[int]
) -> None:
    endpoint = await made(api, server_ids=servers[:2])
    path = f"/endpoints/{endpoint['id']}"
    before = await listed(api, f"{path}/voip_tests")
    changed = (await api.patch(path, json={"server_ids": servers[1:]})).json()
    assert changed["server_ids"] == servers[1:]
    assert await listed(api, f"{path}/voip_tests?status=cancelled") == before[:1]
    back = (await api.patch(path, json={"server_ids": servers[:2], "name": "new"})).json()
    assert (back["server_ids"], back["name"]) == (servers[:2], "new")
    assert await listed(api, f"{path}/voip_tests") == before
    assert (await api.patch(path, json={"description": "same"})).json()["server_ids"] == servers[:2]


async def test_a_voip_test_is_added_changed_cancelled_and_recovered(
    api: httpx.AsyncClient, servers: list[int]
) -> None:
    path = f"/endpoints/{(await made(api))['id']}/voip_tests"
    added = await api.post(path, json={"server_id": servers[0], "num_tests": 50})
    assert (added.status_code, added.json()["num_tests"]) == (201, 50)
    one = f"{path}/{added.json()['id']}"
    assert (await api.post(path, json={"server_id": servers[0]})).status_code == 409
    changed = await api.patch(one, json={"interpacket_ms": 20, "codec": "G.729"})
    assert (changed.json()["interpacket_ms"], changed.json()["codec"]) == (20, "G.729")
    for wrong in ({"codec": "mp3"}, {"num_tests": 0}, {"interpacket_ms": 1}, {"server_id": 2}):
        assert (await api.patch(one, json=wrong)).status_code == 422, wrong
    assert (await api.delete(one)).json()["deleted_at"] is not None
    assert await listed(api, path) == []
    assert (await api.patch(f"{one}/activate")).json() == changed.json()
    assert (await api.get(f"{path}/4711")).status_code == 404
    assert (await api.get("/endpoints/4711/voip_tests")).status_code == 404


async def test_forms_are_taken_as_json_is(api: httpx.AsyncClient, servers: list[int]) -> None:
    ids = ",".join(map(str, servers))
    answer = await api.post("/endpoints", data={"name": "x", "ip_address": "10.0.0.1", "server_ids": ids})
    assert answer.json()["server_ids"] == servers


async def test_a_member_of_another_project_does_not_see_it(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    endpoint = await made(api)
    project = await services.projects.create(admin, "theirs")
    answer = await api.post("/users", json={"username": "bob", "password": "$ecretPas$$", "category": "API"})
    bob = await services.accounts.user(answer.json()["id"])
    await services.projects.put_member(admin, bob, project, "member")
    as_bob = ("bob", "$ecretPas$$")
    assert (await api.get("/endpoints", auth=as_bob)).json()["collection"] == []
    assert (await api.get(f"/endpoints/{endpoint['id']}", auth=as_bob)).status_code == 404
    assert (await api.delete(f"/endpoints/{endpoint['id']}", auth=as_bob)).status_code == 404
    own = await api.post("/endpoints", json={"name": "x", "ip_address": "10.0.0.2"}, auth=as_bob)
    assert own.status_code == 201
    assert await listed(api, "/endpoints") == [endpoint["id"], own.json()["id"]]


async def test_each_change_is_in_the_audit_log(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    path = f"/endpoints/{(await made(api))['id']}"
    await api.patch(path, json={"name": "new"})
    await api.delete(path)
    await api.patch(f"{path}/activate")
    actions = [entry.action for entry in await services.audit.log(admin) if entry.action.startswith("endp")]
    assert actions[::-1] == [f"endpoint.{what}" for what in ("created", "changed", "deleted", "recovered")]
