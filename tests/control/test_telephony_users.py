"""Users of the PBX over the API of telephony: made, listed, changed and deleted, alone and together."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from callwright.control import switchboard
from callwright.control.accounts.model import Identity
from callwright.control.app import create_app
from callwright.control.cdrs.legs import Party
from callwright.control.services import PbxPlace, Services, Settings

JANE = {"first_name": "Mary Jane", "last_name": "Van Dyke", "email": "jane@example.com", "ext": "2001"}


@pytest.fixture
async def api(services: Services, admin: Identity) -> AsyncIterator[httpx.AsyncClient]:
    token, _ = await services.keys.create_token(admin, "test")
    settings = Settings(rate_limit=0, pbx=PbxPlace("0.0.0.0", 5060, 5060))
    transport = httpx.ASGITransport(app=create_app(services, settings), client=("192.0.2.7", 1))
    base, mine = "http://pbx.example.com:8000/v1.2/voipstudio", {"X-Auth-Token": token}
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=mine) as client:
        yield client


async def made(api: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post("/users", json={**JANE, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


async def as_jane(api: httpx.AsyncClient, services: Services, jane: dict[str, Any]) -> dict[str, str]:
    user = await services.accounts.user(jane["id"] - 100_000)
    identity = await services.accounts.identity(user.id, user.username, user.role)
    token, _ = await services.keys.create_token(identity, "own")
    return {"X-Auth-Token": token}


async def test_a_new_user_is_answered_with_all_that_a_phone_needs(api: httpx.AsyncClient) -> None:
    jane = await made(api)
    assert {name: jane[name] for name in JANE} == JANE
    assert jane["id"] >= 100_001
    assert jane["status"] == "active"
    assert jane["sip_domain"] == "pbx.example.com"
    assert len(jane["sip_password"]) == 24
    read = (await api.get(f"/users/{jane['id']}")).json()
    assert read == {"data": jane, "links": {}}
    where = (await api.get("/pbx")).json()["data"]
    assert where == {
        "sip_domain": "pbx.example.com",
        "udp": "pbx.example.com:5060",
        "tcp": "pbx.example.com:5060",
        "tls": None,
        "wss": None,
    }


async def test_a_sip_password_is_kept_sealed_and_shown_to_its_user_and_to_administrators(
    api: httpx.AsyncClient, services: Services, tmp_path: Path
) -> None:
    jane = await made(api, sip_password="very-secret-word")
    ben = await made(api, email="ben@example.com", ext="2002")
    for file in (tmp_path / "data").glob("callwright.db*"):
        assert b"very-secret-word" not in file.read_bytes()
    mine = await as_jane(api, services, jane)
    assert (await api.get("/me", headers=mine)).json()["data"]["sip_password"] == "very-secret-word"
    own = await api.get(f"/users/{jane['id']}", headers=mine)
    assert own.json()["data"]["sip_password"] == "very-secret-word"
    assert own.headers["cache-control"] == "no-store"
    other = (await api.get(f"/users/{ben['id']}", headers=mine)).json()["data"]
    assert "sip_password" not in other
    listed = (await api.get("/users")).json()["data"]
    assert all("sip_password" not in row for row in listed)


async def test_users_are_filtered_sorted_and_cut_to_fields(api: httpx.AsyncClient) -> None:
    await made(api)
    await made(api, first_name="Ben", last_name="", email="ben@example.com", ext="2002", dnd=True)

    async def names(**asked: str) -> list[Any]:
        answer = await api.get("/users", params=asked)
        assert answer.status_code == 200, answer.text
        assert answer.json()["total"] == len(answer.json()["data"])
        return [row["first_name"] for row in answer.json()["data"]]

    def where(name: str, operator: str, value: Any) -> str:
        return json.dumps([{"property": name, "operator": operator, "value": value}])

    assert await names(filter=where("first_name", "=", "Mary Jane")) == ["Mary Jane"]
    assert await names(filter=where("last_name", "like", "van%")) == ["Mary Jane"]
    assert await names(filter=where("last_name", "eq", "")) == ["Ana", "Ben"]
    assert await names(filter=where("dnd", "eq", True)) == ["Ben"]
    assert await names(filter=where("ext", "=", None)) == ["Ana"]
    assert await names(sort="ext", dir="DESC") == ["Ben", "Mary Jane", "Ana"]
    few = await api.get("/users", params={"fields[users]": "id,ext", "filter": where("ext", "eq", "2001")})
    assert [row.keys() for row in few.json()["data"]] == [{"id", "ext"}]


async def test_one_user_is_cut_to_fields_too_and_what_is_unknown_is_named(api: httpx.AsyncClient) -> None:
    jane = await made(api)
    fields = {"fields[users]": "id,dnd"}
    for answer in (
        await api.get(f"/users/{jane['id']}", params=fields),
        await api.patch(f"/users/{jane['id']}", params=fields, json={"dnd": True}),
    ):
        assert answer.json()["data"].keys() == {"id", "dnd"}
    many = await api.patch("/users", params=fields, json=[{"id": jane["id"], "dnd": False}])
    assert many.json()["data"] == [{"id": jane["id"], "dnd": False}]
    assert (await api.get("/me", params={"fields[users]": "id"})).json()["data"].keys() == {"id"}
    for method, path in (("GET", f"/users/{jane['id']}"), ("PATCH", f"/users/{jane['id']}"), ("GET", "/me")):
        wrong = await api.request(method, path, params={"bogus": "1"}, json={"dnd": True})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "bogus"), (method, path)
    kept = await api.get(f"/users/{jane['id']}", params=fields)
    assert kept.json()["data"]["dnd"] is False, "a request that is refused changes nothing"


async def test_a_value_that_is_taken_is_refused_by_the_name_of_its_field(api: httpx.AsyncClient) -> None:
    jane = await made(api)
    for change, field in (
        ({"ext": jane["ext"], "email": "b@example.com"}, "ext"),
        ({"ext": "2002"}, "email"),
    ):
        twin = await api.post("/users", json={"first_name": "B", "email": jane["email"]} | change)
        assert (twin.status_code, [one["field"] for one in twin.json()["errors"]]) == (400, [field])
    names = [await api.post("/apitokens", json={"name": "CI"}) for _ in range(2)]
    assert [answer.status_code for answer in names] == [201, 400]
    assert names[1].json()["errors"][0]["field"] == "name"


async def test_several_users_are_changed_together_or_not_at_all(
    api: httpx.AsyncClient, services: Services
) -> None:
    jane, ben = await made(api), await made(api, email="ben@example.com", ext="2002")
    wrong = [{"id": jane["id"], "dnd": True}, {"id": ben["id"], "ext": "2001"}]
    refused = await api.patch("/users", json=wrong)
    assert refused.status_code == 400
    assert "2001" in refused.json()["message"]
    assert not (await services.lines.switched())[0].dnd
    right = [
        {"id": jane["id"], "dnd": True, "first_name": "Janet"},
        {"id": ben["id"], "forward_busy": "2001"},
    ]
    changed = await api.patch("/users", json=right)
    assert changed.status_code == 200, changed.text
    assert [row["dnd"] for row in changed.json()["data"]] == [True, False]
    first, second = await services.lines.switched()
    assert (first.ext, first.dnd, first.display_name) == ("2001", True, "Janet Van Dyke")
    assert (second.ext, second.forwards) == ("2002", {"forward_busy": "2001"})
    assert (await api.delete(f"/users/{jane['id']},100999")).status_code == 404
    assert len(await services.lines.switched()) == 2
    assert (await api.delete(f"/users/{jane['id']},{ben['id']}")).status_code == 204
    assert await services.lines.switched() == []


async def test_a_suspended_user_and_one_without_extension_have_no_line_that_is_served(
    api: httpx.AsyncClient, services: Services
) -> None:
    jane = await made(api)
    for change, lines in (({"status": "suspended"}, 0), ({"status": "active"}, 1), ({"ext": None}, 0)):
        answer = await api.patch(f"/users/{jane['id']}?include=", json=change)
        assert answer.status_code == 200, answer.text
        assert len(await services.lines.switched()) == lines
    assert answer.json()["data"]["sip_password"] is None


async def test_the_extension_of_a_deleted_user_is_free_again(
    api: httpx.AsyncClient, services: Services
) -> None:
    jane = await made(api)
    v2 = f"http://pbx.example.com:8000/api/v2/users/{jane['id'] - 100_000}"
    assert (await api.delete(v2)).status_code == 200
    again = await made(api)
    assert [line.user_id for line in await services.lines.switched()] == [again["id"] - 100_000]


async def test_users_change_their_own_forwarding_and_nothing_else(
    api: httpx.AsyncClient, services: Services
) -> None:
    jane, ben = await made(api), await made(api, email="ben@example.com", ext="2002")
    mine = await as_jane(api, services, jane)
    own = f"/users/{jane['id']}"
    changed = await api.patch(own, json={"forward_always": "2002", "dnd": 1}, headers=mine)
    assert changed.status_code == 200
    assert changed.json()["data"]["forward_always"] == "2002"
    for path, body in (
        (own, {"ext": "2003"}),
        (own, {"role": "admin"}),
        (f"/users/{ben['id']}", {"dnd": True}),
    ):
        assert (await api.patch(path, json=body, headers=mine)).status_code == 403
    assert (await api.post("/users", json=JANE, headers=mine)).status_code == 403
    assert (await api.delete(f"/users/{ben['id']}", headers=mine)).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**JANE, "ext": "12a"}, "ext"),
        ({**JANE, "ext": "1001"}, None),  # the platform's own account
        ({**JANE, "email": "none"}, "email"),
        ({**JANE, "colour": "red"}, "colour"),
        ({**JANE, "sip_password": "short"}, "sip_password"),
        ({**JANE, "sip_password": "two words here"}, "sip_password"),
        ({**JANE, "forward_after": 0}, "forward_after"),
        ({**JANE, "dnd": "perhaps"}, "dnd"),
        ({**JANE, "forward_busy": "sip:x@y"}, "forward_busy"),
        ({**JANE, "role": "king"}, "role"),
        ({"email": "a@example.com"}, "first_name"),
        ({**JANE, "ext": None, "dnd": True}, "ext"),
    ],
)
async def test_what_no_user_can_have_is_refused_by_name(
    api: httpx.AsyncClient, tmp_path: Path, body: dict[str, Any], field: str | None
) -> None:
    (tmp_path / "data" / "pbx").mkdir()
    (tmp_path / "data" / "pbx" / "accounts.csv").write_text("user,secret,display_name\n1001,x,\n")
    answer = await api.post("/users", json=body)
    assert answer.status_code == 400, answer.text
    if field is not None:
        assert [entry["field"] for entry in answer.json()["errors"]] == [field]
    assert (await api.get("/users")).json()["total"] == 1


async def test_who_is_called_is_known_without_opening_a_password(
    api: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    jane = await made(api, caller_id_name="Reception")

    def never(*_: Any) -> str:
        raise AssertionError("a password was opened")

    monkeypatch.setattr(services.vault, "open", never)
    assert await switchboard.parties(services) == {"2001": Party(jane["id"], "Reception")}
