"""`/api/v2/agentpools/<name>`: set up, changed, explained, drained and removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.app import create_app
from callwright.control.services import Services, Settings
from callwright.fleet.plan import Bound, Cause, Decision
from callwright.fleet.server import Event
from callwright.net.clock import ManualClock

SETTINGS = {
    "provider": "process",
    "region": "fra1",
    "image": "debian",
    "sizes": ["s", "m"],
    "minimum": 1,
    "maximum": 4,
    "capacity": 16,
    "buffer": 10,
    "min_age_seconds": 30.0,
    "idle_seconds": 1200.0,
    "drain_seconds": 60.0,
    "labels": {"site": "x"},
    "max_created_per_hour": None,
    "prices": {"s": 0.1},
}


@pytest.fixture
async def api(services: Services, admin: Identity) -> AsyncIterator[httpx.AsyncClient]:
    key = await services.keys.create("ops", await services.accounts.user(admin.user_id))
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://here/api/v2", auth=key) as client:
        yield client


async def ok(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    return body["data"]  # type: ignore[no-any-return]


def settings_of(pool: dict[str, Any]) -> dict[str, Any]:
    return {name: pool[name] for name in SETTINGS}


async def test_a_pool_is_set_up_read_changed_and_set_up_anew(api: httpx.AsyncClient) -> None:
    assert (await api.get("/agentpools/eu")).status_code == 404
    assert settings_of(await ok(await api.put("/agentpools/eu", json=SETTINGS))) == SETTINGS
    assert settings_of(await ok(await api.get("/agentpools/eu"))) == SETTINGS
    changed = await ok(await api.patch("/agentpools/eu", json={"maximum": 6}))
    assert settings_of(changed) == SETTINGS | {"maximum": 6}
    by_form = await ok(await api.patch("/agentpools/eu", data={"sizes": "l,xl", "buffer": "3"}))
    assert (by_form["sizes"], by_form["buffer"]) == (["l", "xl"], 3)
    anew = await ok(await api.put("/agentpools/eu", json={}))
    assert (anew["maximum"], anew["sizes"], anew["max_created_per_hour"]) == (10, [""], 100)


async def test_a_pool_that_nobody_has_set_up_makes_no_server(api: httpx.AsyncClient) -> None:
    await api.post("/agentpools", json={"name": "lab"})
    assert (await ok(await api.get("/agentpools/lab")))["maximum"] == 0


async def test_a_wrong_setting_is_422_with_the_name_of_its_field(api: httpx.AsyncClient) -> None:
    for body, field in (
        ({"minimum": 9, "maximum": 3}, "minimum"),
        ({"capacity": 0}, "capacity"),
        ({"provider": "private"}, "provider"),
        ({"sizes": [[]]}, "sizes"),
        ({"labels": "x"}, "labels"),
        ({"colour": "red"}, "colour"),
    ):
        for method in ("PUT", "PATCH"):
            answer = await api.request(method, "/agentpools/default", json=body)
            assert answer.status_code == 422, body
            assert answer.json()["errors"][0]["address"] == field
    assert (await api.patch("/agentpools/nowhere", json={"maximum": 3})).status_code == 404
    assert (await api.put("/agentpools/-x", json={})).status_code == 422
    assert (await api.patch("/agentpools/default", json={})).status_code == 422


async def test_a_pool_with_servers_goes_only_when_they_are_drained(
    api: httpx.AsyncClient, services: Services
) -> None:
    await api.put("/agentpools/eu", json={})
    made = await services.servers.create("eu", 2)
    refused = await api.delete("/agentpools/eu")
    assert refused.status_code == 409
    assert "has 2 servers" in refused.json()["message"]
    draining = await ok(await api.delete("/agentpools/eu?drain=true"), 202)
    assert draining["removed"] is True
    assert {one["name"] for one in draining["servers"]} == {one.name for one in made}
    assert (await api.put("/agentpools/eu", json={})).status_code == 409
    for server in made:
        for event in (Event.RETIRE, Event.DRAINED, Event.GONE):
            moved = await services.servers.move(await services.servers.get(server.name), event)
            assert moved is not None
    await services.servers.finish_removals()
    assert (await api.get("/agentpools/eu")).status_code == 404
    assert (await api.put("/agentpools/eu", json={})).status_code == 200
    assert await ok(await api.delete("/agentpools/eu")) == {"deleted": "eu"}


async def test_the_pool_default_cannot_be_removed(api: httpx.AsyncClient) -> None:
    await api.put("/agentpools/default", json={})
    for query in ("", "?drain=true"):
        assert (await api.delete(f"/agentpools/default{query}")).status_code == 409


async def test_only_administrators_set_pools_up(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    await api.put("/agentpools/eu", json={})
    member = await services.accounts.create_user(admin, username="mo", password="mo's own password")
    key = await services.keys.create("mo", member)
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await api.request(method, "/agentpools/eu", json={"maximum": 1}, auth=key)).status_code == 403
    assert (await api.get("/agentpools/eu", auth=key)).status_code == 200


async def test_the_reasons_of_the_planner_are_told_as_sentences_newest_first(
    api: httpx.AsyncClient, services: Services, clock: ManualClock
) -> None:
    await api.put("/agentpools/eu", json={})
    await services.history.note(Decision("eu", Cause.WAITING, create=2, waiting=37, free=20, buffer=10))
    clock.advance(60)
    await services.history.note(
        Decision("eu", Cause.WAITING, bound=Bound.MAXIMUM, short=1, waiting=9, free=0, maximum=4)
    )
    reasons = (await ok(await api.get("/agentpools/eu")))["reasons"]
    assert [(one["sentence"], one["bound"]) for one in reasons] == [
        ("did not start 1 (9 calls waiting, 0 places free): the pool's maximum is 4", "maximum"),
        ("started 2: 37 calls waiting, 20 places free, buffer 10", None),
    ]
    assert reasons[0]["at"] > reasons[1]["at"]
