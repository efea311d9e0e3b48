"""Call detail records: what a call leaves, what a crash leaves, and who sees which."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.app import create_app
from callwright.control.cdrs.legs import Party, legs_of
from callwright.control.cdrs.live import row_of, users_of
from callwright.control.cdrs.model import CDRS
from callwright.control.services import Services, Settings
from callwright.dispatch.messages.calls import CallNews, CallStep, LegNews
from callwright.net.clock import ManualClock

BEGUN = 1_700_000_000.25
PARTIES = {"2001": Party(100_002, "Ann Arbor"), "2002": Party(100_003, "Ben"), "2003": Party(100_004, "Cid")}
ANSWERED = CallNews(
    call="call-1",
    step=CallStep.ENDED,
    caller="2001",
    callee="2002",
    call_id="a@ann",
    begun_at=BEGUN,
    ringing_at=BEGUN + 0.5,
    answered_at=BEGUN + 3,
    ended_at=BEGUN + 13.9,
    status=200,
    reason="the caller hung up",
    ended_by="caller",
    caller_agent="Phone 1",
    codec="PCMA/8000",
    legs=(
        LegNews("2002", "b1@pbx", 487, "canceled", "Desk"),
        LegNews("2002", "b2@pbx", 200, "OK", "Mobile", answered=True),
    ),
)


def of(news: CallNews, **more: Any) -> list[tuple[Any, ...]]:
    legs = legs_of(msgspec.structs.replace(news, **more), PARTIES)
    return [(leg.type, leg.user_id, leg.disposition, leg.billsec, leg.t_cause) for leg in legs]


def test_an_answered_call_leaves_a_record_for_each_side() -> None:
    out, into = legs_of(ANSWERED, PARTIES)
    assert (out.type, into.type) == ("O", "I")
    assert (out.user_id, into.user_id) == (100_002, 100_003)
    assert (out.call_id, into.call_id) == ("a@ann", "b2@pbx")
    for leg in (out, into):
        assert (leg.src, leg.dst, leg.src_id, leg.dst_id) == ("2001", "2002", "100002", "100003")
        assert (leg.clid, leg.src_name, leg.dst_name) == ('"Ann Arbor" <2001>', "Ann Arbor", "Ben")
        assert (leg.duration, leg.billsec, leg.pdd) == (13, 10, 0.5)
        assert (leg.disposition, leg.t_cause, leg.src_codec) == ("ANSWERED", 16, "PCMA/8000")
        assert (leg.src_ua, leg.dst_ua) == ("Phone 1", "Mobile")


def test_a_caller_from_outside_is_named_by_number_and_belongs_to_who_asked_for_the_call() -> None:
    outside = msgspec.structs.replace(ANSWERED, caller=None, caller_number="+43123")
    for asked_by, owner in ((None, None), ("2003", 100_004)):
        news = msgspec.structs.replace(outside, asked_by=asked_by)
        out, into = legs_of(news, PARTIES)
        assert (out.src, out.src_id, out.clid, out.user_id) == ("+43123", None, "<+43123>", owner)
        assert (into.src, into.user_id) == ("+43123", 100_003)
        assert row_of(news, False, PARTIES, 0.0)["src"] == "+43123"
        assert (asked_by in users_of(news)) == (asked_by is not None)


def test_who_did_not_answer_has_missed_the_call() -> None:
    rung = (
        LegNews("2002", "b", 200, "OK", answered=True),
        LegNews("2003", "c", 487, "Call completed elsewhere"),
    )
    assert of(ANSWERED, legs=rung) == [
        ("O", 100_002, "ANSWERED", 10, 16),
        ("I", 100_003, "ANSWERED", 10, 16),
        ("M", 100_004, "NO ANSWER", 0, 16),
    ]
    busy = (LegNews("2002", "b", 486, "Busy Here"),)
    assert of(ANSWERED, answered_at=None, status=486, legs=busy) == [
        ("O", 100_002, "BUSY", 0, 17),
        ("M", 100_003, "BUSY", 0, 17),
    ]
    assert of(ANSWERED, answered_at=None, status=480, legs=()) == [
        ("O", 100_002, "NO ANSWER", 0, 18),
        ("M", 100_003, "NO ANSWER", 0, 18),
    ]
    assert of(ANSWERED, answered_at=None, status=404, callee="77", legs=()) == [
        ("O", 100_002, "FAILED", 0, 1)
    ]


@pytest.fixture
async def api(services: Services, admin: Identity) -> AsyncIterator[httpx.AsyncClient]:
    token, _ = await services.keys.create_token(admin, "test")
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    base, mine = "http://here/v1.2/voipstudio", {"X-Auth-Token": token}
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=mine) as client:
        for ext in PARTIES:
            body = {"first_name": PARTIES[ext].name, "email": f"u{ext}@example.com", "ext": ext}
            answer = await client.post("/users", json=body)
            assert answer.json()["data"]["id"] == PARTIES[ext].user_id
        yield client


async def listed(api: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    answer = await api.get("/cdrs", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def where(*conditions: tuple[str, str, Any]) -> str:
    return json.dumps([{"property": p, "operator": o, "value": v} for p, o, v in conditions])


async def test_records_are_filtered_as_the_document_shows_and_grouped_with_their_sums(
    api: httpx.AsyncClient, services: Services
) -> None:
    await services.cdrs.note([ANSWERED], PARTIES)
    later = msgspec.structs.replace(ANSWERED, call="call-2", begun_at=BEGUN + 100, ended_at=BEGUN + 113)
    await services.cdrs.note([later], PARTIES)
    incoming = where(
        ("type", "eq", "I"), ("dst_id", "eq", 100_003), ("calldate", "gt", "2023-11-14 22:13:20")
    )
    (row,) = (await listed(api, filter=incoming))["data"]
    assert row.keys() == set(CDRS.by_name)
    assert (row["live_id"], row["calldate"]) == ("call-2", "2023-11-14 22:15:00")
    assert row["mos"] is None, "the PBX did not carry the media"
    groups = await listed(api, group_by="type", sort="type")
    assert groups["total"] == 2
    assert [(one["type"], one["count"], one["duration"], one["charge"]) for one in groups["data"]] == [
        ("I", 2, 26, 0),
        ("O", 2, 26, 0),
    ]
    with_users = await listed(api, **{"include": "users", "fields[users]": "id,first_name", "limit": 1})
    assert with_users["total"] == 4
    assert with_users["data"][0]["users"] == [
        {"id": 100_002, "first_name": "Ann Arbor"},
        {"id": 100_003, "first_name": "Ben"},
    ]


async def test_calls_that_a_killed_pbx_left_are_closed_at_the_last_moment_that_is_known(
    api: httpx.AsyncClient, services: Services, clock: ManualClock
) -> None:
    up = msgspec.structs.replace(
        ANSWERED, step=CallStep.ANSWERED, begun_at=clock.wall(), answered_at=clock.wall() + 1, ended_at=None
    )
    await services.cdrs.note([up], PARTIES)
    assert (await listed(api))["total"] == 0
    clock.advance(60)
    await services.cdrs.note_alive()
    clock.advance(3_600)
    assert await services.cdrs.close_left(PARTIES) == 1
    assert await services.cdrs.close_left(PARTIES) == 0
    rows = (await listed(api))["data"]
    assert [(row["type"], row["duration"], row["billsec"], row["t_cause"]) for row in rows] == [
        ("O", 60, 59, 41),
        ("I", 60, 59, 41),
    ]


async def test_a_call_that_is_written_twice_has_one_record_a_leg(
    api: httpx.AsyncClient, services: Services
) -> None:
    for _ in range(2):
        await services.cdrs.note([ANSWERED], PARTIES)
    assert (await listed(api))["total"] == 2


async def test_users_see_the_records_of_their_own_legs_and_label_them(
    api: httpx.AsyncClient, services: Services
) -> None:
    await services.cdrs.note([ANSWERED], PARTIES)
    user = await services.accounts.user(3)
    identity = await services.accounts.identity(user.id, user.username, user.role)
    token, _ = await services.keys.create_token(identity, "own")
    ben = {"X-Auth-Token": token}
    mine = (await api.get("/cdrs", headers=ben)).json()
    assert [(row["type"], row["user_id"]) for row in mine["data"]] == [("I", 100_003)]
    own, other = mine["data"][0]["id"], mine["data"][0]["id"] - 1
    assert (await api.get(f"/cdrs/{other}", headers=ben)).status_code == 404
    changes = [{"id": own, "labels": ["sales"], "metadata": {"ticket": 7}}]
    changed = await api.patch("/cdrs", json=changes, headers=ben)
    assert changed.status_code == 200, changed.text
    assert (await listed(api, filter=where(("labels", "eq", "sales"))))["total"] == 1
    assert (await api.get(f"/cdrs/{own}")).json()["data"]["metadata"] == {"ticket": 7}
    for refused, status in (([{"id": other, "labels": []}], 404), ([{"id": own, "src": "x"}], 400)):
        assert (await api.patch("/cdrs", json=refused, headers=ben)).status_code == status
    assert (await api.delete(f"/cdrs/{own}", headers=ben)).status_code == 403
    assert (await api.delete(f"/cdrs/{own},{other}")).status_code == 204
    assert (await listed(api))["total"] == 0


async def test_a_limit_beyond_the_greatest_is_answered_and_no_page_loses_or_doubles_a_row(
    api: httpx.AsyncClient, services: Services
) -> None:
    calls = [msgspec.structs.replace(ANSWERED, call=f"call-{n}") for n in range(60)]
    await services.cdrs.note(calls[:40], PARTIES)
    seen: list[int] = []
    for page in range(1, 7):
        answer = await listed(api, page=page, limit=25)
        seen += [row["id"] for row in answer["data"]]
        if page == 1:
            await services.cdrs.note(calls[40:], PARTIES)
    assert seen == sorted(set(seen))
    assert len(seen) == answer["total"] == 120
    assert len((await listed(api, limit=10_000))["data"]) == 120
