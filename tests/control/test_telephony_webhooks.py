"""Webhooks of users for calls, and calls as server-sent events."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from litestar.response.sse import ServerSentEventMessage

from callwright.control.accounts.model import Identity, Role, User
from callwright.control.api.telephony.events import follow
from callwright.control.app import create_app
from callwright.control.cdrs.legs import Party
from callwright.control.services import Services, Settings
from callwright.dispatch import subject
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.calls import CallNews, CallStep, DigitNews, LegNews
from callwright.dispatch.messages.wire import encode
from callwright.net.clock import ManualClock

URL = "https://hooks.example.com/calls"
BEGUN = 1_700_000_000.25
NEWS = CallNews("call-1", CallStep.BEGUN, "2001", "2002", "a@ann", BEGUN)
RINGING = msgspec.structs.replace(NEWS, step=CallStep.RINGING, ringing_at=BEGUN + 1)
UP = msgspec.structs.replace(
    RINGING,
    step=CallStep.ANSWERED,
    answered_at=BEGUN + 3,
    legs=(LegNews("2002", "b@pbx", 200, "OK", answered=True), LegNews("2003", "c@pbx", 487, "canceled")),
)
HELD = msgspec.structs.replace(UP, on_hold=True, hold_changed_at=BEGUN + 5)
BACK = msgspec.structs.replace(UP, on_hold=False, hold_changed_at=BEGUN + 7)
OVER = msgspec.structs.replace(UP, step=CallStep.ENDED, ended_at=BEGUN + 9, status=200, ended_by="caller")
KEY = msgspec.structs.replace(BACK, digit=DigitNews("5", 1, BEGUN + 8, caller=True, by="rtp"))
KEY_AGAIN = msgspec.structs.replace(BACK, digit=DigitNews("5", 2, BEGUN + 8, caller=True, by="rtp"))
STORY = [NEWS, RINGING, UP, HELD, BACK, KEY, KEY_AGAIN, OVER]
TOLD = [
    *("call.initial", "call.ringing", "call.connected", "call.on_hold", "call.connected"),
    *("dtmf", "dtmf"),
    *("call.hangup", "call.missed"),
]


@pytest.fixture
async def ben(services: Services) -> Identity:
    row = User(0, "ben", "Ben", "", Role.MEMBER, "Normal", "UTC", 0.0, None, None)
    user = await services.stores.accounts.add_user(row, "")
    return await services.accounts.identity(user.id, user.username, user.role)


@pytest.fixture
async def api(services: Services, admin: Identity) -> AsyncIterator[httpx.AsyncClient]:
    token, _ = await services.keys.create_token(admin, "test")
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    base, mine = "http://here/v1.2/voipstudio", {"X-Auth-Token": token}
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=mine) as client:
        yield client


def parties(**users: Identity) -> dict[str, Party]:
    """By extension, such as ``ext_2001=ben``."""
    return {name[4:]: Party(100_000 + one.user_id, one.username) for name, one in users.items()}


async def events(services: Services, webhook: int) -> list[str]:
    rows = await services.stores.notifications.messages([webhook])
    return [row.event for row in reversed(rows)]


async def test_a_webhook_is_made_listed_changed_and_deleted_as_the_chapter_has_it(
    api: httpx.AsyncClient,
) -> None:
    answer = await api.post("/webhooks", json={"url": URL, "events": ["call.hangup", "call.missed"]})
    assert answer.status_code == 201
    made = answer.json()["data"]
    assert made.pop("secret").startswith("whsec_")
    assert (made["events"], made["active"], made["user_id"] > 100_000) == (
        ["call.hangup", "call.missed"],
        True,
        True,
    )
    assert (await api.get(f"/webhooks/{made['id']}")).json() == {"data": made, "links": {}}
    paused = await api.patch("/webhooks", json=[{"id": made["id"], "active": False}])
    assert (paused.status_code, paused.json()["data"][0]["active"]) == (200, False)
    wanted = json.dumps([{"property": "url", "operator": "like", "value": "hooks"}])
    listed = (await api.get("/webhooks", params={"filter": wanted})).json()
    assert (listed["total"], listed["data"][0]["id"]) == (1, made["id"])
    for wrong in (
        {"url": "ftp://x"},
        {"url": URL, "events": ["call.sung"]},
        {"url": URL, "tests": ["x"]},
        {},
    ):
        refused = await api.post("/webhooks", json=wrong)
        assert refused.status_code == 400, wrong
        assert refused.json()["errors"]
    assert (await api.delete(f"/webhooks/{made['id']},99")).status_code == 404
    assert (await api.delete(f"/webhooks/{made['id']}")).status_code == 204
    assert (await api.get("/webhooks")).json() == {"data": [], "total": 0}


async def test_each_step_of_a_call_is_told_in_order_and_once(
    services: Services, admin: Identity, api: httpx.AsyncClient
) -> None:
    made = (await api.post("/webhooks", json={"url": URL})).json()["data"]
    known = parties(ext_2002=admin)
    await services.cdrs.note(STORY[:3], known)
    await services.cdrs.note(STORY[3:], known)
    await services.cdrs.note(STORY[3:], known)  # the answer of the database was lost
    assert await events(services, made["id"]) == TOLD
    shown = (await api.get(f"/webhooks/{made['id']}/deliveries", params={"limit": 2})).json()
    assert shown["total"] == len(TOLD)
    rows = await services.stores.notifications.messages([made["id"]])
    missed, over = (json.loads(row.body)["data"] for row in rows[:2])
    assert (missed["dst"], over["dst"], over["dst_name"]) == ("2003", "2002", "ana")
    assert (over["state"], over["duration"], over["billsec"], over["disposition"]) == (
        "HANGUP",
        9,
        6,
        "ANSWERED",
    )
    keys = [json.loads(row.body)["data"] for row in (rows[3], rows[2])]
    assert [(key["id"], key["digit"], key["number"], key["leg"], key["by"]) for key in keys] == [
        ("call-1", "5", 1, "src", "rtp"),
        ("call-1", "5", 2, "src", "rtp"),
    ]
    held = json.loads(rows[5].body)
    assert (held["type"], held["data"]["state"], held["timestamp"]) == (
        "call.on_hold",
        "ON_HOLD",
        "2023-11-14T22:13:25.250Z",
    )


async def test_users_hear_of_their_own_calls_and_see_their_own_webhooks(
    services: Services, admin: Identity, ben: Identity, api: httpx.AsyncClient
) -> None:
    everything = (await api.post("/webhooks", json={"url": URL, "name": "all"})).json()["data"]
    mine, _ = await services.notifications.create_webhook(ben, {"name": "mine", "url": URL})
    await services.cdrs.note(STORY, parties(ext_2001=admin))
    assert len(await events(services, everything["id"])) == len(TOLD)
    assert await events(services, mine.id) == []
    other = [msgspec.structs.replace(one, call="call-2") for one in STORY]
    await services.cdrs.note(other, parties(ext_2002=ben))
    assert await events(services, mine.id) == TOLD
    assert [one.id for one in await services.notifications.webhooks(ben)] == [mine.id]
    assert [one.id for one in await services.notifications.webhooks(admin)] == [everything["id"], mine.id]


async def test_a_call_whose_message_cannot_be_written_leaves_no_record(
    services: Services, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callwright.control.errors import StorageUnavailable

    await api.post("/webhooks", json={"url": URL})

    async def full(*_: Any) -> None:
        raise StorageUnavailable("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(services.stores.notifications, "add_messages", full)
        with pytest.raises(StorageUnavailable):
            await services.cdrs.note(STORY, {})
    assert (await api.get("/cdrs")).json()["total"] == 0
    await services.cdrs.note(STORY, {})
    assert (await api.get("/cdrs")).json()["total"] == 3


async def test_who_follows_calls_hears_of_those_that_they_may_see(
    services: Services, admin: Identity, ben: Identity, clock: ManualClock
) -> None:
    broker = MemoryBroker()
    live = dataclasses.replace(services, broker=broker)
    for identity, told in ((admin, TOLD), (ben, [])):
        stream = follow(live, identity)
        first = await anext(stream)
        assert isinstance(first, ServerSentEventMessage)
        assert first.comment == "following"  # the PBX is away, so nothing is said of what is up
        for news in STORY:
            await broker.publish(subject.PBX_CALLS, encode(news))
        await broker.publish(subject.PBX_CALLS, b"no news")
        if told:
            heard = [await anext(stream) for _ in told]
            assert [one.event for one in heard] == told
            assert json.loads(str(heard[0].data))["id"] == "call-1"
        await stream.aclose()
    await broker.close()


async def test_the_document_says_what_a_webhook_is_made_of(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    both = paths["/v1.2/voipstudio/webhooks"]
    made, changed = (
        both[method]["requestBody"]["content"]["application/json"]["schema"] for method in ("post", "patch")
    )
    assert made["required"] == ["url"]
    assert made["properties"].keys() == {"name", "url", "events", "active"}
    assert changed["items"]["required"] == ["id"]
    assert changed["items"]["properties"].keys() == {"id", *made["properties"]}
