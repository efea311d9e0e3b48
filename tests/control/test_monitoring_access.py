"""The chapter of monitoring: what it is, whose account asks, users, and its own shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.app import create_app
from callwright.control.services import Services, Settings

PASSWORD = "$ecretPas$$"
USER = {
    "id",
    "username",
    "name",
    "master",
    "email",
    "category",
    "time_zone",
    "created_at",
    "deleted_at",
}


@pytest.fixture
async def api(services: Services, admin: Identity) -> AsyncIterator[httpx.AsyncClient]:
    user = await services.accounts.user(admin.user_id)
    key, secret = await services.keys.create("tests", user)
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    base = "http://here/api/v3"
    async with httpx.AsyncClient(transport=transport, base_url=base, auth=(key, secret)) as client:
        yield client


async def added(api: httpx.AsyncClient, username: str, **more: str) -> int:
    fields = {"username": username, "password": PASSWORD, "email": f"{username}@example.com", **more}
    answer = await api.post("/users", json=fields)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


async def test_anybody_can_ask_which_api_this_is(api: httpx.AsyncClient) -> None:
    answer = await api.get("http://here/api/v3/", auth=None)
    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "version"}
    assert (await api.get("http://here/api/v3")).json() == answer.json()


async def test_my_account_is_the_user_whose_key_asks(api: httpx.AsyncClient) -> None:
    mine = (await api.get("/my_account")).json()
    assert mine.keys() == USER
    assert (mine["username"], mine["master"], mine["deleted_at"]) == ("ana", True, None)


async def test_refusals_have_the_shape_of_the_chapter(api: httpx.AsyncClient) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/users/4711", 404),
        ("PUT", "/users", 405),
        ("GET", "/users?status=asleep", 422),
        ("GET", "/users?name=%00", 400),
    ):
        answer = await api.request(method, path)
        assert (answer.status_code, answer.json().keys()) == (status, {"message", "errors"})
    stranger = await api.get("/users", auth=("cw_nobody", "x"))
    assert (stranger.status_code, stranger.json().keys()) == (401, {"message", "errors"})


async def test_users_are_listed_with_their_count_and_filtered(api: httpx.AsyncClient) -> None:
    bob = await added(api, "bob", category="API", name="Robert")
    carla = await added(api, "carla", time_zone="Europe/Vienna")

    async def found(query: str) -> list[int]:
        body = (await api.get(f"/users{query}")).json()
        assert body["metadata"] == {"count": len(body["collection"])}
        assert all(user.keys() == USER for user in body["collection"])
        return [user["id"] for user in body["collection"]]

    everybody = await found("")
    assert everybody[1:] == [bob, carla]
    assert await found("?username=BO") == [bob]
    assert await found("?name=bert") == [bob]
    assert await found("?email=carla@") == [carla]
    assert await found("?category=api") == [bob]
    await api.delete(f"/users/{bob}")
    assert await found("") == [everybody[0], carla]
    assert await found("?status=cancelled") == [bob]


async def test_a_cancelled_user_keeps_the_record_and_can_be_recovered(api: httpx.AsyncClient) -> None:
    bob = await added(api, "bob", category="API")
    gone = (await api.delete(f"/users/{bob}")).json()
    assert gone["deleted_at"] is not None
    assert (await api.get(f"/users/{bob}")).json() == gone
    assert (await api.get("/my_account", auth=("bob", PASSWORD))).status_code == 401
    back = (await api.patch(f"/users/{bob}/activate")).json()
    assert back == {**gone, "deleted_at": None}
    assert (await api.get("/my_account", auth=("bob", PASSWORD))).json() == back


async def test_a_user_whose_name_was_taken_meanwhile_is_not_recovered(api: httpx.AsyncClient) -> None:
    bob = await added(api, "bob")
    await api.delete(f"/users/{bob}")
    await added(api, "bob")
    refused = await api.patch(f"/users/{bob}/activate")
    assert refused.status_code == 409
    assert (await api.get(f"/users/{bob}")).json()["deleted_at"] is not None


async def test_dates_are_in_the_time_zone_of_who_asks(api: httpx.AsyncClient) -> None:
    bob = await added(api, "bob", category="API", time_zone="Asia/Tokyo")
    utc = (await api.get(f"/users/{bob}")).json()["created_at"]
    tokyo = (await api.get("/my_account", auth=("bob", PASSWORD))).json()["created_at"]
    hours = [int(text[11:13]) for text in (utc, tokyo)]
    assert (hours[1] - hours[0]) % 24 == 9
    wrong = await api.patch(f"/users/{bob}", json={"time_zone": "Mars/Olympus"})
    assert (wrong.status_code, wrong.json()["errors"][0]["address"]) == (422, "time_zone")


async def test_administrators_have_the_category_admin_however_they_became_it(
    services: Services, admin: Identity
) -> None:
    """A filter of the chapter finds those whom the command line, the pages or the first start made."""
    made = await services.accounts.create_user(admin, username="bob", password=None, role="admin")
    robot = await services.accounts.create_user(
        admin, username="robot", password=None, role="admin", category="API"
    )
    assert (made.category, robot.category) == ("Admin", "API")
    for role, category in (("member", "Normal"), ("admin", "Admin")):
        changed = await services.accounts.change_user(admin, made.id, role=role)
        assert changed.category == category
    assert (await services.accounts.change_user(admin, robot.id, role="member")).category == "API"


async def test_the_category_admin_makes_an_administrator_and_its_loss_a_member(
    api: httpx.AsyncClient, services: Services
) -> None:
    bob = await added(api, "bob")
    for category, role in (("Admin", "admin"), ("Normal", "member")):
        changed = await api.patch(f"/users/{bob}", json={"category": category})
        assert changed.json()["category"] == category
        assert (await services.accounts.user(bob)).role == role


async def test_a_member_sees_themselves_and_no_other_user(api: httpx.AsyncClient) -> None:
    bob = await added(api, "bob", category="API")
    mine = ("bob", PASSWORD)
    assert (await api.get(f"/users/{bob}", auth=mine)).status_code == 200
    me = (await api.get("/my_account")).json()["id"]
    assert (await api.get(f"/users/{me}", auth=mine)).status_code == 403
    assert (await api.get("/users", auth=mine)).status_code == 403
