"""Limits, caps, pools of projects and keys with what they made, over HTTP."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity, Role, User
from callwright.control.accounts.passwords import Passwords
from callwright.control.agents.model import AgentInfo
from callwright.control.app import create_app
from callwright.control.services import Services, Settings
from callwright.net.clock import ManualClock

ABROAD = 'name: abroad\nparties: {a: {user: "1", domain: 203.0.113.9}}\nsteps: [{call: {from: a, to: "2"}}]'
PASSWORD = "correct horse battery"


@pytest.fixture
async def app(services: Services) -> Any:
    return create_app(services, Settings(rate_limit=0))


async def client(app: Any, pair: tuple[str, str] | None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 1))
    return httpx.AsyncClient(transport=transport, base_url="http://here", auth=pair)


@pytest.fixture
async def api(services: Services, app: Any, admin: Identity) -> AsyncIterator[httpx.AsyncClient]:
    pair = await services.keys.create("ci", await services.accounts.user(admin.user_id))
    await services.tests.ensure_demo(admin)
    async with await client(app, pair) as opened:
        yield opened


async def ok(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()["data"]


async def test_a_full_cap_is_429_with_its_sentence(api: httpx.AsyncClient) -> None:
    await ok(await api.post("/api/v2/tests", json={"document": ABROAD}))
    await ok(await api.post("/api/v2/targets", json={"host": "203.0.113.9", "concurrency": 1}))
    start = {"test.name": "abroad"}
    await ok(await api.post("/api/v2/tests/run", json=start))
    full = await api.post("/api/v2/tests/run", json=start)
    assert full.status_code == 429
    assert "limited to 1 concurrent call; this run needs 1, and 1 is in use" in full.json()["message"]
    assert int(full.headers["retry-after"]) > 0


async def test_a_key_is_revoked_with_what_it_made_when_that_is_wanted(
    api: httpx.AsyncClient, app: Any, services: Services
) -> None:
    first = await ok(await api.post("/api/v2/keys", json={"name": "leaked"}))
    assert (first["created_by"], first["made_by_key"]) == ("ana", 1)
    async with await client(app, (first["public_key"], first["secret"])) as by_key:
        second = await ok(await by_key.post("/api/v2/keys", json={"name": "hidden"}))
        assert second["made_by_key"] == first["id"]
        token = await ok(await by_key.post("/api/v2/agents/tokens", json={"pool": "lab"}))
    agent, _ = await services.agents.enrol(token["token"], "one", AgentInfo())
    made = [{"kind": "key", "id": str(second["id"]), "name": "hidden"}]
    made.append({"kind": "agent", "id": agent.id, "name": "one"})
    assert await ok(await api.get(f"/api/v2/keys/{first['id']}/made")) == made
    alone = await ok(await api.delete(f"/api/v2/keys/{first['public_key']}"))
    assert alone == {"deleted": first["public_key"], "also": [], "left": made}
    async with await client(app, (second["public_key"], second["secret"])) as by_key:
        assert (await by_key.get("/api/v2/tests")).status_code == 200
        both = await ok(await api.delete(f"/api/v2/keys/{first['public_key']}?with_made=true"))
        assert both == {"deleted": first["public_key"], "also": made, "left": []}
        assert (await by_key.get("/api/v2/tests")).status_code == 401
    assert [one["id"] for one in await ok(await api.get("/api/v2/agents"))] == []
    log = (await api.get("/api/v2/audit")).json()["data"]
    created = next(entry for entry in log if entry["action"] == "key.created" and "hidden" in entry["detail"])
    assert (created["user"], created["key_id"]) == ("ana", first["id"])


async def test_the_page_of_keys_offers_to_revoke_what_the_key_made(
    app: Any, services: Services, admin: Identity
) -> None:
    row = User(0, "bob", "Bob", "", Role.ADMIN, "Normal", "UTC", 0.0, None, None)
    bob = await services.stores.accounts.add_user(row, await Passwords().hash(PASSWORD))
    public, secret = await services.keys.create("leaked", bob)
    by_key = await services.accounts.authenticate_basic(public, secret)
    assert by_key is not None
    await services.keys.create("hidden", bob, identity=by_key)
    async with await client(app, None) as page:
        signed = await page.post("/login", data={"email": "bob", "password": PASSWORD})
        assert signed.status_code == 303

        async def press(path: str, **fields: str) -> httpx.Response:
            csrf = re.search(r'name="_csrf" value="([^"]+)"', (await page.get("/keys")).text)
            assert csrf is not None
            return await page.post(path, data={"_csrf": csrf[1], **fields})

        offered = await press(f"/keys/{by_key.key_id}/revoke")
        assert offered.status_code == 200
        assert "What it made still works" in offered.text
        assert "API key hidden" in offered.text
        done = await press(f"/keys/{by_key.key_id}/revoke", made="1")
        assert done.status_code == 303
        assert {key.revoked_at is None for key in await services.keys.list(admin, of_everybody=True)} == {
            False
        }
        await services.projects.create(admin, "office")
        await services.agents.create_pool(admin, "lab")
        for path, fields in (
            ("/projects/limits", {"project": "office", "max_running": "3", "max_queued": ""}),
            ("/agents/pools", {"pool": "lab", "project": "1"}),
        ):
            assert (await press(path, **fields)).status_code == 303
        wrong = await press("/projects/limits", project="office", max_running="many", max_queued="")
        assert wrong.status_code == 422
    assert (await services.projects.get(admin, "office")).max_running == 3
    assert [pool.project_id for pool in await services.agents.pools()] == [1]
    entries = [(entry.action, entry.detail) for entry in await services.audit.log(admin)]
    assert ("login.succeeded", "from 192.0.2.7") in entries


async def test_limits_of_a_project_are_set_one_by_one(api: httpx.AsyncClient) -> None:
    assert (await ok(await api.get("/api/v2/projects")))[0]["max_running"] is None
    limited = await ok(await api.patch("/api/v2/projects/demo", json={"max_running": 4}))
    assert (limited["max_running"], limited["max_queued"]) == (4, None)
    limited = await ok(await api.patch("/api/v2/projects/demo", json={"max_queued": 1}))
    assert (limited["max_running"], limited["max_queued"]) == (4, 1)
    start = {"test.name": "basic_call"}
    await ok(await api.post("/api/v2/tests/run", json=start))
    assert (await api.post("/api/v2/tests/run", json=start)).status_code == 429
    limited = await ok(await api.patch("/api/v2/projects/demo", json={"max_queued": None}))
    assert (limited["max_running"], limited["max_queued"]) == (4, None)
    limited = await ok(await api.patch("/api/v2/projects/demo", json={"keep_runs_days": 400}))
    assert (limited["max_running"], limited["keep_runs_days"]) == (4, 400)
    for field in ("max_queued", "keep_runs_days"):
        assert (await api.patch("/api/v2/projects/demo", json={field: 0})).status_code == 422
    assert (await api.patch("/api/v2/projects/nowhere", json={"max_queued": 1})).status_code == 404


async def test_a_pool_is_given_to_a_project_and_hidden_from_others(
    api: httpx.AsyncClient, app: Any, services: Services, admin: Identity
) -> None:
    office = await services.projects.create(admin, "office")
    made = await ok(await api.post("/api/v2/agentpools", json={"name": "lab", "project": "office"}))
    assert made["project"] == "office"
    row = User(0, "sam", "Sam", "", Role.MEMBER, "Normal", "UTC", 0.0, None, None)
    sam = await services.stores.accounts.add_user(row, "")
    demo = await services.projects.get(admin, "demo")
    await services.projects.put_member(admin, sam, demo, Role.MEMBER)
    token, _ = await services.agents.create_enrolment(admin, "lab")
    agent, _ = await services.agents.enrol(token, "one", AgentInfo())
    start = {"test.name": "basic_call", "agentpool.name": "lab"}
    assert (await api.post("/api/v2/tests/run", json=start)).status_code == 422
    async with await client(app, await services.keys.create("sam", sam)) as by_sam:
        assert await ok(await by_sam.get("/api/v2/agentpools")) == []
        assert await ok(await by_sam.get("/api/v2/agents")) == []
        assert (await by_sam.get(f"/api/v2/agents/{agent.id}")).status_code == 404
        unknown = await by_sam.post("/api/v2/tests/run", json=start)
        assert unknown.status_code == 422
        assert "There is no pool 'lab'" in unknown.json()["message"]
        await services.projects.put_member(admin, sam, office, Role.VIEWER)
        assert [one["name"] for one in await ok(await by_sam.get("/api/v2/agentpools"))] == ["lab"]
    given = await ok(await api.patch("/api/v2/agentpools/lab", json={"project": ""}))
    assert given["project"] is None
    await ok(await api.post("/api/v2/tests/run", json=start))
    assert (await api.patch("/api/v2/agentpools/nowhere", json={"project": ""})).status_code == 404
    assert (await api.patch("/api/v2/agentpools/lab", json={})).status_code == 422


async def test_a_run_that_waits_says_how_long_over_the_api(
    api: httpx.AsyncClient, services: Services, clock: ManualClock
) -> None:
    start = {"test.name": "basic_call"}
    runs = [await ok(await api.post("/api/v2/tests/run", json=start)) for _ in range(3)]
    path = "/api/v2/runs/{}".format
    assert (await ok(await api.get(path(runs[2]["session_id"]))))["waiting"] == {"ahead": 2, "seconds": None}
    first = await services.runs.known(runs[0]["session_id"])
    assert await services.runs.held.claim(first.id, 1, "ag", 15)
    assert (await ok(await api.get(path(first.session_id))))["waiting"] is None


async def test_a_wrong_secret_is_in_the_log_with_where_it_came_from(
    api: httpx.AsyncClient, app: Any, services: Services, admin: Identity
) -> None:
    for pair in (("ana", "wrong"), ("cwk_nothing", "wrong")):
        async with await client(app, pair) as guess:
            assert (await guess.get("/api/v2/tests")).status_code == 401
    log = await services.audit.log(admin, search="login.failed")
    assert [(entry.object, entry.detail) for entry in log] == [
        ("user cwk_nothing", "from 192.0.2.7"),
        ("user ana", "from 192.0.2.7"),
    ]
