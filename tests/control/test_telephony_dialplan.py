"""Queues, groups, menus, conferences, numbers, trunks and routes over the API of telephony, by table."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.dialplan.fields import FIELDS
from callwright.control.dialplan.model import KINDS
from callwright.control.dialplan.parts import with_items
from callwright.control.services import PBX_PLAN, Services
from callwright.pbx.plan import EchoTest, Hunt, PbxPlan
from tests.control.telephony import a_token, a_user, telephony, where

USER = 100_002  # the first after the administrator; with extension 2001

#: By path: what is made, the same with its defaults, and a change.
TABLE: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "/queues": (
        {"name": "Desk", "ext": "600", "users": [USER], "ring_strategy": "in_order"},
        {"ring_time": 20, "max_wait": 600, "max_callers": 50, "destination": None},
        {"ring_time": 7, "destination": "voicemail:2001"},
    ),
    "/ringgroups": (
        {"name": "Sales", "ext": "601", "users": [USER]},
        {"ring_strategy": "all", "ring_time": 20, "destination": None},
        {"users": [], "destination": "600"},
    ),
    "/ivrs": (
        {"name": "Menu", "ext": "602", "options": {"1": "600", "*": "voicemail:2001"}},
        {"prompts": ["beep"], "timeout": 5, "tries": 3, "direct": False, "destination": None},
        {"prompts": ["say:number", "beep"], "direct": True, "options": {}},
    ),
    "/conferences": (
        {"name": "Room", "ext": "603"},
        {"max_participants": 20, "has_pin": False},
        {"max_participants": 3},
    ),
    "/numbers": (
        {"number": "+43123", "destination": "600"},
        {"name": "", "trunk_id": None},
        {"name": "Main", "destination": "601"},
    ),
    "/ddis": (
        {"number": "43124", "destination": "600"},
        {"name": "", "trunk_id": None},
        {"name": "Second"},
    ),
    "/trunks": (
        {"name": "carrier", "uri": "sip:10.1.2.3;transport=tcp"},
        {
            "username": "",
            "has_password": False,
            "register": False,
            "caller_id": None,
            "sources": [],
        },
        {"caller_id": "+431", "sources": ["192.0.2.1"]},
    ),
}


@pytest.fixture
async def ben(services: Services, admin: Identity) -> Identity:
    """With extension 2001, and no administrator."""
    user_id, identity = await a_user(services, admin, "2001")
    assert user_id == USER
    return identity


@pytest.fixture
async def api(services: Services, admin: Identity, ben: Identity) -> AsyncIterator[httpx.AsyncClient]:
    async with telephony(services, admin) as client:
        yield client


async def made(api: httpx.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    answer = await api.post(path, json=fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def test_the_table_has_each_kind() -> None:
    assert {path.strip("/") for path in TABLE} == {*KINDS, "ddis"} - {"routes"}


async def test_each_thing_is_made_shown_listed_changed_and_deleted(api: httpx.AsyncClient) -> None:
    for path, (fields, defaults, change) in TABLE.items():
        answer = await api.post(path, json=fields)
        assert (answer.status_code, answer.json().keys()) == (201, {"data", "links"}), answer.text
        row = answer.json()["data"]
        assert {name: row[name] for name in (fields | defaults)} == fields | defaults
        assert row.keys() == fields.keys() | defaults.keys() | {"id", "created_at", "updated_at"}
        one = f"{path}/{row['id']}"
        assert (await api.get(one)).json() == {"data": row, "links": {}}
        assert (await api.get(path)).json() == {"data": [row], "total": 1}
        changed = await api.patch(one, json=change)
        assert changed.status_code == 200, changed.text
        assert changed.json()["data"] == row | change
        many = await api.patch(path, json=[{"id": row["id"], "name": "Other"}])
        assert many.json() == {"data": [row | change | {"name": "Other"}], "total": 1}
        assert (await api.delete(f"{path}/{row['id']},99")).status_code == 404
        assert (await api.get(one)).status_code == 200, "all or none"
        assert (await api.delete(one)).status_code == 204
        assert (await api.get(path)).json() == {"data": [], "total": 0}
        gone = await api.get(one)
        assert (gone.status_code, gone.json().keys()) == (404, {"message", "errors"})


async def test_fields_that_are_missing_or_unknown_are_named(api: httpx.AsyncClient) -> None:
    for path in TABLE:
        refused = await api.post(path, json=TABLE[path][0] | {"colour": "red"})
        assert refused.status_code == 400
        assert [one["field"] for one in refused.json()["errors"]] == ["colour"]
        missing = await api.post(path, json={})
        kind = "numbers" if path == "/ddis" else path.strip("/")
        needed = {name for name, field in FIELDS[kind].items() if field.needed}
        assert {one["field"] for one in missing.json()["errors"]} == needed
        assert (await api.get(path)).json()["total"] == 0
    form = await api.post("/queues", data={"name": "Desk", "ext": "600", "users": f"{USER}"})
    assert (form.status_code, form.json()["data"]["users"]) == (201, [USER])


WRONG: list[tuple[str, dict[str, Any], str | None]] = [
    ("/queues", {"ext": "sales"}, "ext"),
    ("/queues", {"ext": True}, "ext"),
    ("/queues", {"ext": 10**400}, "ext"),
    ("/queues", {"ring_time": 0}, "ring_time"),
    ("/queues", {"ring_time": "1e3"}, "ring_time"),
    ("/queues", {"ring_strategy": "random"}, "ring_strategy"),
    ("/queues", {"users": [1]}, "users"),
    ("/queues", {"users": {"a": 1}}, "users"),
    ("/queues", {"users": list(range(1, 300))}, "users"),
    ("/queues", {"destination": "sip:x@example.com"}, "destination"),
    ("/queues", {"name": " "}, "name"),
    ("/ivrs", {"options": {"12": "600"}}, "options"),
    ("/ivrs", {"options": {}}, "options"),
    ("/ivrs", {"options": {"1": "../x"}}, "options"),
    ("/ivrs", {"prompts": ["/etc/passwd"]}, "prompts"),
    ("/ivrs", {"prompts": ["say:/etc/passwd"]}, "prompts"),
    ("/conferences", {"pin": "12"}, "pin"),
    ("/conferences", {"max_participants": 1}, "max_participants"),
    ("/numbers", {"number": "43-1"}, "number"),
    ("/numbers", {"destination": None}, "destination"),
    ("/numbers", {"trunk_id": 99}, "trunk_id"),
    ("/trunks", {"uri": "http://example.com"}, "uri"),
    ("/trunks", {"uri": "sip:user:secret@example.com"}, "uri"),
    ("/trunks", {"uri": "sip:198.51.100.7"}, "uri"),
    ("/trunks", {"uri": "sip:10.0.0.1:99999"}, "uri"),
    ("/trunks", {"register": True}, None),
    ("/trunks", {"sources": ["example.com"]}, "sources"),
    ("/trunks", {"password": "a\nb"}, "password"),
]  # fmt: skip


async def test_what_cannot_be_is_refused_by_the_name_of_its_field(api: httpx.AsyncClient) -> None:
    rows = {path: await made(api, path, **TABLE[path][0]) for path in TABLE if path != "/ddis"}
    for path, wrong, field in WRONG:
        other = TABLE[path][0] | {"ext": "699", "number": "699", "name": "other"} | wrong
        other = {name: value for name, value in other.items() if name in FIELDS[path.strip("/")]}
        as_json = {"Content-Type": "application/json"}
        for answer in (
            await api.post(path, content=json.dumps(other), headers=as_json),
            await api.patch(f"{path}/{rows[path]['id']}", content=json.dumps(wrong), headers=as_json),
        ):
            assert answer.status_code == 400, (wrong, answer.text)
            assert answer.json()["message"]
            assert [one["field"] for one in answer.json()["errors"]] == [field], wrong
    for path, row in rows.items():
        assert (await api.get(path)).json() == {"data": [row], "total": 1}


#: Of the property, the operator in each spelling, the value, and whom of the three it finds.
OPERATORS: list[tuple[str, str, Any, list[str]]] = [
    *(("ring_time", one, 10, ["b"]) for one in ("eq", "=")),
    *(("ring_time", one, 10, ["a", "c"]) for one in ("ne", "neq", "<>", "!=")),
    *(("ring_time", one, 10, ["a"]) for one in ("lt", "<")),
    *(("ring_time", one, 10, ["a", "b"]) for one in ("lte", "<=")),
    *(("ring_time", one, "10", ["c"]) for one in ("gt", ">")),
    *(("ring_time", one, 10, ["b", "c"]) for one in ("gte", ">=")),
    ("name", "in", ["a", "c", "x"], ["a", "c"]),
    ("ext", "like", "61%", ["b", "c"]),
    ("ext", "notlike", "61%", ["a"]),
    ("destination", "=", None, ["b", "c"]),
    ("destination", "<>", "2001", ["b", "c"]),
    ("users", "=", USER, ["a"]),
    ("users", "!=", USER, ["b", "c"]),
    ("users", "in", [USER, 7], ["a"]),
    ("created_at", "like", "2%", ["a", "b", "c"]),
]


@pytest.fixture
async def three(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    return [
        await made(api, "/queues", name="a", ext="600", ring_time=5, users=[USER], destination="2001"),
        await made(api, "/queues", name="b", ext="610", ring_time=10),
        await made(api, "/queues", name="c", ext="611", ring_time=15),
    ]


@pytest.mark.usefixtures("three")
async def test_each_operator_in_each_spelling(api: httpx.AsyncClient) -> None:
    for name, operator, value, found in OPERATORS:
        answer = await api.get("/queues", params=where(name, operator, value))
        assert answer.status_code == 200, (operator, answer.text)
        assert [row["name"] for row in answer.json()["data"]] == found, (name, operator)
    for name, operator, value, says in (
        ("colour", "=", 1, "colour"),
        ("name", "between", 1, "between"),
        ("ring_time", "=", "x", "ring_time"),
        ("users", "like", "1", "users"),
        ("users", "=", "x", "users"),
    ):
        refused = await api.get("/queues", params=where(name, operator, value))
        assert refused.status_code == 400, (name, operator)
        assert says in refused.json()["message"]


async def test_lists_are_paged_sorted_grouped_cut_to_fields_and_include_users(
    api: httpx.AsyncClient, three: list[dict[str, Any]]
) -> None:
    page = (await api.get("/queues", params={"limit": 2, "page": 2, "sort": "ext", "dir": "DESC"})).json()
    assert (page["total"], [row["name"] for row in page["data"]]) == (3, ["a"])
    groups = (await api.get("/queues", params={"group_by": "destination"})).json()
    assert groups == {
        "data": [{"destination": None, "count": 2}, {"destination": "2001", "count": 1}],
        "total": 2,
    }
    asked = {"include": "users", "fields[users]": "id,ext", "fields[queues]": "id,name"}
    shown = (await api.get("/queues", params=asked | {"limit": 1})).json()["data"]
    assert shown == [{"id": three[0]["id"], "name": "a", "users": [{"id": USER, "ext": "2001"}]}]
    one = (await api.get(f"/queues/{three[0]['id']}", params={"include": "users"})).json()["data"]
    assert [user["ext"] for user in one["users"]] == ["2001"]
    changed = await api.patch(f"/queues/{three[0]['id']}", params=asked, json={"ring_time": 6})
    assert (changed.status_code, changed.json()["data"]) == (200, shown[0])
    assert (await api.get("/ivrs", params={"include": "users"})).status_code == 400


async def test_several_are_changed_together_or_not_at_all(
    api: httpx.AsyncClient, three: list[dict[str, Any]]
) -> None:
    first, second, _ = three
    taken = [{"id": first["id"], "ring_time": 9}, {"id": second["id"], "ext": "611"}]
    refused = await api.patch("/queues", json=taken)
    assert (refused.status_code, "611" in refused.json()["message"]) == (400, True)
    for wrong in ([{"ring_time": 9}], [], {"id": 1}, [{"id": first["id"]}, {"id": 99, "name": "x"}]):
        assert (await api.patch("/queues", json=wrong)).status_code in (400, 404)
    assert (await api.get("/queues")).json()["data"] == three
    assert (await api.delete(f"/queues/{first['id']},{second['id']}")).status_code == 204
    assert (await api.get("/queues")).json()["total"] == 1


async def test_a_number_belongs_to_one_thing_only(
    api: httpx.AsyncClient, services: Services, admin: Identity, tmp_path: Path
) -> None:
    plan = tmp_path / "data" / PBX_PLAN
    plan.parent.mkdir()
    plan.write_text("users: {1001: secret}\necho-is-not-a-section: 1\n")
    await made(api, "/ringgroups", name="before the file is right", ext="888")
    plan.write_text("users: {1001: secret}\nechoes: {999: {}}\n")
    await made(api, "/queues", name="Desk", ext="600")
    for path, fields in TABLE.items():
        for ext in ("600", "2001", "1001", "999"):
            if "ext" in fields[0]:
                refused = await api.post(path, json=fields[0] | {"ext": ext})
                assert (refused.status_code, ext in refused.json()["message"]) == (400, True)
    user = {"first_name": "Eve", "email": "eve@example.com", "ext": "600"}
    assert (await api.post("/users", json=user)).status_code == 400
    await made(api, "/numbers", number="+431", destination="600")
    again = await api.post("/ddis", json={"number": "431", "destination": "600"})
    assert again.status_code == 400, "a + in front does not count"


async def test_secrets_are_sealed_and_never_shown(
    api: httpx.AsyncClient, services: Services, tmp_path: Path
) -> None:
    room = await made(api, "/conferences", name="Room", ext="603", pin="918273645")
    trunk = await made(api, "/trunks", name="t", uri="10.0.0.1", username="u", password="s3cret-word")
    assert (room["has_pin"], trunk["has_password"]) == (True, True)
    listed = [(await api.get(path)).text for path in ("/conferences", "/trunks")]
    log = str(await services.audit.log(await _admin(services), limit=1000))
    for secret in ("918273645", "s3cret-word"):
        assert secret not in str((room, trunk, listed, log))
        for file in (tmp_path / "data").glob("callwright.db*"):
            assert secret.encode() not in file.read_bytes()
    items = await services.dialplan.items()
    assert [services.dialplan.secret(one) for one in items] == ["918273645", "s3cret-word"]
    open_again = await api.patch(f"/conferences/{room['id']}", json={"pin": None})
    assert open_again.json()["data"]["has_pin"] is False
    kept = await api.patch(f"/trunks/{trunk['id']}", json={"name": "other"})
    assert kept.json()["data"]["has_password"] is True


async def _admin(services: Services) -> Identity:
    ana = await services.accounts.user_by_name("ana")
    return await services.accounts.identity(ana.id, ana.username, ana.role)


async def test_a_trunk_that_a_route_or_a_number_names_stays(api: httpx.AsyncClient) -> None:
    trunk = await made(api, "/trunks", name="carrier", uri="sip:pbx.example.com")
    route = await made(api, "/routes", name="out", trunks=[trunk["id"]], prefix="0", strip=1, users=[USER])
    assert route["trunks"] == [trunk["id"]]
    number = await made(api, "/numbers", number="431", destination="2001", trunk_id=trunk["id"])
    refusals: list[dict[str, Any]] = [
        {"trunks": []},
        {"trunks": [99]},
        {"shortest": 9, "longest": 3},
        {"prefix": "x"},
    ]
    for wrong in refusals:
        assert (await api.patch(f"/routes/{route['id']}", json=wrong)).status_code == 400, wrong
    for path in (f"/routes/{route['id']}", f"/numbers/{number['id']}"):
        refused = await api.delete(f"/trunks/{trunk['id']}")
        assert (refused.status_code, "is used by" in refused.json()["message"]) == (400, True)
        assert (await api.delete(path)).status_code == 204
    assert (await api.delete(f"/trunks/{trunk['id']}")).status_code == 204


async def test_others_see_what_they_may_dial_and_change_nothing(
    api: httpx.AsyncClient, services: Services, ben: Identity
) -> None:
    theirs = await a_token(services, ben)
    for path, (fields, _, _) in TABLE.items():
        row = await made(api, path, **fields)
        outside = path in ("/numbers", "/ddis", "/trunks")
        assert (await api.get(path, headers=theirs)).status_code == (403 if outside else 200)
        for answer in (
            await api.post(path, json=fields, headers=theirs),
            await api.patch(f"{path}/{row['id']}", json={"name": "x"}, headers=theirs),
            await api.delete(f"{path}/{row['id']}", headers=theirs),
        ):
            assert (answer.status_code, answer.json().keys()) == (403, {"message", "errors"})
        assert (await api.get(path, headers={"X-Auth-Token": "0" * 40})).status_code == 401


async def test_a_trunk_goes_to_what_an_administrator_permits(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    fields = {"name": "far", "uri": "sip:198.51.100.7:5070"}
    refused = await api.post("/trunks", json=fields)
    assert (refused.status_code, "Targets" in refused.json()["message"]) == (400, True)
    await services.targets.add(admin, network="198.51.100.0/24")
    await made(api, "/trunks", **fields)


async def test_what_is_made_becomes_the_plan_of_the_pbx(api: httpx.AsyncClient, services: Services) -> None:
    for path, (fields, _, _) in TABLE.items():
        await made(api, path, **fields)
    trunk = (await api.get("/trunks")).json()["data"][0]
    await made(api, "/routes", name="late", position=9, trunks=[trunk["id"]])
    await made(api, "/routes", name="early", position=1, trunks=[trunk["id"]], users=[USER])
    await made(api, "/ringgroups", name="taken by a file", ext="777")
    base = PbxPlan(echoes=(EchoTest("777"),))
    items = await services.dialplan.items()
    plan, passed_over = with_items(base, items, {USER: "2001"}, services.dialplan.secret)
    assert len(passed_over) == 1
    assert "777" in passed_over[0]
    assert [(one.number, one.members, one.hunt) for one in plan.queues] == [("600", ("2001",), Hunt.IN_ORDER)]
    assert [(one.number, one.members) for one in plan.groups] == [("601", ("2001",))]
    assert plan.menus[0].keys == (("1", "600"), ("*", "voicemail:2001"))
    assert plan.conferences[0].most == 20
    rows = {one.settings.get("ext"): one.id for one in items}
    (queue,), (group,), (menu,) = plan.queues, plan.groups, plan.menus
    for one in (queue, group, menu):
        assert one.known_as(str(rows[one.number]))
    assert [(one.number, one.to) for one in plan.inbound] == [("+43123", "600"), ("43124", "600")]
    assert [one.uri for one in plan.trunks] == ["sip:10.1.2.3;transport=tcp"]
    assert [(one.name, one.users) for one in plan.outbound] == [("early", ("2001",)), ("late", ())]
    without, left_out = with_items(base, items, {}, services.dialplan.secret)
    assert [one.name for one in without.outbound] == ["late"], "a route for nobody is a route for nobody"
    assert len(left_out) == 2
    assert without.queues[0].members == ()


async def test_a_trunk_whose_password_another_key_sealed_is_left_out_alone(
    api: httpx.AsyncClient, services: Services
) -> None:
    await made(api, "/trunks", name="closed", uri="10.0.0.1", username="u", password="s3cret-word")
    await made(api, "/queues", name="Desk", ext="600")

    def closed(_: Any) -> str | None:
        raise LookupError("closed")

    plan, passed_over = with_items(PbxPlan(), await services.dialplan.items(), {}, closed)
    assert (len(plan.trunks), len(passed_over)) == (0, 2)
    plan, passed_over = with_items(
        PbxPlan(), await services.dialplan.items(), {}, lambda one: closed(one) if one.sealed else None
    )
    assert (len(plan.queues), passed_over[0].startswith("trunks")) == (1, True)
