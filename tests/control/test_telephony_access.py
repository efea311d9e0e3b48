"""The chapter of telephony: login, tokens and their lists, in the shapes of its document."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.app import create_app
from callwright.control.services import Services, Settings
from callwright.net.clock import ManualClock

PASSWORD = "$ecretPas$$"
TOKEN = "[0-9a-f]{40}"


@pytest.fixture
async def api(services: Services, admin: Identity) -> AsyncIterator[httpx.AsyncClient]:
    await services.accounts.set_password(admin, admin.user_id, PASSWORD)
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    base = "http://here/v1.2/voipstudio"
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        yield client


async def logged_in(api: httpx.AsyncClient) -> dict[str, str]:
    answer = await api.post("/login", json={"email": "ana@example.com", "password": PASSWORD})
    return {"X-Auth-Token": answer.json()["user_token"]}


async def test_a_login_gives_a_token_and_the_id_of_the_user(api: httpx.AsyncClient) -> None:
    answer = await api.post("/login", json={"email": "ana@example.com", "password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"message", "user_token", "user_id"}
    assert body["message"] == "Login success"
    assert re.fullmatch(TOKEN, body["user_token"])
    assert body["user_id"] >= 100_001
    mine = {"X-Auth-Token": body["user_token"]}
    me = (await api.get("/me", headers=mine)).json()
    assert (me["data"]["id"], me["data"]["email"], me["links"]) == (body["user_id"], "ana@example.com", {})
    for version in ("v1.1", "v1.2"):
        pong = await api.get(f"http://here/{version}/voipstudio/ping", headers=mine)
        assert pong.json() == {"data": {"response": "Pong"}, "links": {}}
        assert int(pong.headers["content-length"]) == len(pong.content)


async def test_a_session_dies_after_30_idle_minutes_and_each_request_begins_them_anew(
    api: httpx.AsyncClient, clock: ManualClock
) -> None:
    mine = await logged_in(api)
    for _ in range(3):
        clock.advance(1_700)
        assert (await api.get("/ping", headers=mine)).status_code == 200
    clock.advance(1_900)
    dead = await api.get("/ping", headers=mine)
    assert dead.status_code == 401
    assert dead.json().keys() == {"message", "errors"}


async def test_logging_out_ends_the_session_and_spares_an_api_token(api: httpx.AsyncClient) -> None:
    mine = await logged_in(api)
    made = await api.post("/apitokens", json={"name": "app", "expiry": 0}, headers=mine)
    program = {"X-Auth-Token": made.json()["data"]["token"]}
    for credentials, after in ((program, 200), (mine, 401)):
        assert (await api.post("/logout", headers=credentials)).status_code == 200
        assert (await api.get("/ping", headers=credentials)).status_code == after


async def test_an_api_token_is_made_listed_found_by_name_and_deleted_by_any_of_its_names(
    api: httpx.AsyncClient,
) -> None:
    mine = await logged_in(api)
    ask = {"name": "Example API App", "expiry": 604_800}
    secrets = {}
    for number in range(3):
        made = await api.post("/apitokens", json={**ask, "name": f"app {number}"}, headers=mine)
        assert made.status_code == 201
        data = made.json()["data"]
        assert made.json()["links"] == {}
        assert data.keys() == {"id", "name", "token", "expiry", "created_at"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", data["created_at"])
        assert (data["name"], data["expiry"]) == (f"app {number}", 604_800)
        secrets[data["id"]] = data["token"]
    listed = (await api.get("/apitokens", headers=mine)).json()
    assert listed["total"] == 3
    assert [row["id"] for row in listed["data"]] == list(secrets)
    assert not {row["token"] for row in listed["data"]} & set(secrets.values())
    by_name = json.dumps([{"property": "name", "operator": "=", "value": "app 1"}])
    (found,) = (await api.get("/apitokens", params={"filter": by_name}, headers=mine)).json()["data"]
    first, _, third = secrets
    for which in (found["token"], secrets[first], third):
        assert (await api.delete(f"/apitokens/{which}", headers=mine)).status_code == 204
    assert (await api.get("/apitokens", headers=mine)).json() == {"data": [], "total": 0}
    for secret in secrets.values():
        assert (await api.get("/ping", headers={"X-Auth-Token": secret})).status_code == 401


async def test_several_tokens_are_deleted_together_or_not_at_all(api: httpx.AsyncClient) -> None:
    mine = await logged_in(api)
    made = [await api.post("/apitokens", json={"name": name}, headers=mine) for name in ("a", "b")]
    ids = [str(one.json()["data"]["id"]) for one in made]
    refused = await api.delete(f"/apitokens/{ids[0]},999", headers=mine)
    assert refused.status_code == 404
    assert (await api.get("/apitokens", headers=mine)).json()["total"] == 2
    assert (await api.delete(f"/apitokens/{','.join(ids)}", headers=mine)).status_code == 204
    assert (await api.get("/apitokens", headers=mine)).json()["total"] == 0


async def test_nobody_sees_or_deletes_the_token_of_somebody_else(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    mine = await logged_in(api)
    await api.post("/apitokens", json={"name": "app"}, headers=mine)
    (row,) = (await api.get("/apitokens", headers=mine)).json()["data"]
    ben = await services.accounts.create_user(
        admin, username="ben", password="ben's own password", email="ben@example.com"
    )
    theirs, _ = await services.keys.create_token(
        await services.accounts.identity(ben.id, ben.username, ben.role), "theirs"
    )
    other = {"Authorization": f"Bearer {theirs}"}
    assert [one["name"] for one in (await api.get("/apitokens", headers=other)).json()["data"]] == ["theirs"]
    for which in (row["id"], row["token"]):
        assert (await api.delete(f"/apitokens/{which}", headers=other)).status_code == 404


async def test_each_credential_of_the_platform_works_here(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    public, secret = await services.keys.create("ci", await services.accounts.user(admin.user_id))
    token = (await logged_in(api))["X-Auth-Token"]
    for how in (
        {"auth": (public, secret)},
        {"auth": (str(admin.user_id), token)},
        {"auth": (str(100_000 + admin.user_id), token)},
        {"headers": {"Authorization": f"Bearer {token}"}},
        {"headers": {"Authorization": f"Bearer {public}:{secret}"}},
        {"headers": {"X-Auth-Token": token}},
    ):
        assert (await api.get("/ping", **how)).status_code == 200, how


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("GET", "/apitokens?limit=0", None, 400, "limit"),
        ("GET", "/apitokens?sort=colour", None, 400, "sort"),
        ("GET", '/apitokens?filter=[{"property":"colour","operator":"=","value":1}]', None, 400, "colour"),
        ("GET", '/apitokens?filter=[{"property":"id","operator":"~","value":1}]', None, 400, "id"),
        ("POST", "/apitokens", {"name": "twice"}, 400, None),
        ("POST", "/apitokens", {"name": "x", "expiry": -1}, 400, "expiry"),
        ("POST", "/apitokens", {"expiry": 1}, 400, "name"),
        ("POST", "/login", {"email": "ana@example.com"}, 400, "password"),
        ("POST", "/login", {"email": "ana@example.com", "password": "wrong"}, 401, None),
        ("GET", "/nowhere", None, 404, None),
        ("PATCH", "/ping", None, 405, None),
        ("DELETE", "/apitokens/77", None, 404, "token"),
    ],
)
async def test_refusals_have_the_shape_of_the_chapter(
    api: httpx.AsyncClient, method: str, path: str, body: Any, status: int, field: str | None
) -> None:
    mine = await logged_in(api)
    await api.post("/apitokens", json={"name": "twice"}, headers=mine)
    answer = await api.request(method, path, json=body, headers=mine)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told.keys() == {"message", "errors"}
    assert told["message"]
    assert all(entry.keys() == {"field", "message"} for entry in told["errors"])
    if field is not None:
        assert field in [entry["field"] for entry in told["errors"]]


async def test_guesses_are_slowed_here_and_at_the_page_together(api: httpx.AsyncClient) -> None:
    for _ in range(10):
        await api.post("/login", json={"email": "ana@example.com", "password": "a guess"})
    slowed = await api.post("/login", json={"email": "ana@example.com", "password": PASSWORD})
    assert slowed.status_code == 429
    assert int(slowed.headers["retry-after"]) > 0
    page = await api.post("http://here/login", data={"email": "ana@example.com", "password": PASSWORD})
    assert page.status_code == 429


async def test_scripts_of_configured_origins_alone_may_use_the_chapter(
    services: Services, admin: Identity
) -> None:
    app = create_app(services, Settings(rate_limit=0, cors_origins=("https://app.example.com",)))
    asks = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "x-auth-token"}
    base = "http://here/v1.2/voipstudio"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=base) as client:
        ours = {"Origin": "https://app.example.com"}
        preflight = await client.options("/users", headers=ours | asks)
        assert preflight.status_code == 204
        allowed = {
            name.removeprefix("access-control-"): value
            for name, value in preflight.headers.items()
            if name.startswith("access-control-")
        }
        assert allowed.pop("max-age") == "600"
        assert allowed == {
            "allow-origin": "https://app.example.com",
            "allow-methods": "GET, POST, PATCH, DELETE",
            "allow-headers": "content-type, x-auth-token, authorization",
        }
        refused = await client.get("/ping", headers=ours)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ours["Origin"])
        theirs = {"Origin": "https://evil.example.com"}
        for answer in (
            await client.get("/ping", headers=theirs),
            await client.options("/users", headers=theirs | asks),
        ):
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["vary"] == "Origin"
        other = await client.get("http://here/api/v2/tests", headers=ours)
        assert "access-control-allow-origin" not in other.headers


async def test_the_document_names_what_each_list_is_filtered_by_and_what_is_in_a_row(
    api: httpx.AsyncClient,
) -> None:
    document = (await api.get("/openapi.json")).json()
    mine = await logged_in(api)
    lists = {"cdrs": "t_cause", "users": "ext", "apitokens": "expiry"}
    for name, number in lists.items():
        operation = document["paths"][f"/v1.2/voipstudio/{name}"]["get"]
        asked = {one["name"]: one for one in operation["parameters"]}
        assert f"`{number}` (" in asked["filter"]["description"]
        for sort in asked["sort"]["schema"]["enum"]:
            answer = await api.get(f"/{name}", params={"sort": sort, "group_by": sort}, headers=mine)
            assert answer.status_code == 200, (name, sort)
        row = operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["data"]
        (shown, *_) = (await api.get("/users", headers=mine)).json()["data"]
        if name == "users":
            assert shown.keys() == row["items"]["properties"].keys()
    assert document["paths"]["/v1.2/voipstudio/login"]["post"]["security"] == []
    refusal = document["components"]["schemas"]["Refusal"]["properties"]
    assert refusal.keys() == {"message", "errors"}
