"""Contacts, texts, voice messages and calls between two numbers, over the API of telephony."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import httpx
import msgspec
import pytest

from callwright.audio import speech
from callwright.control.accounts.model import Identity, Role
from callwright.control.cdrs.legs import Party
from callwright.control.recordings.model import Recording
from callwright.control.services import PBX_MESSAGES, Services
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.calls import CallNews, CallStep
from callwright.dispatch.messages.pbx import (
    CallNow,
    CallRecording,
    JoinMade,
    JoinWish,
    Live,
    MailboxTouched,
    PhoneNow,
    TextSent,
    TextWish,
)
from callwright.host.pbx_link import with_users
from callwright.net.clock import ManualClock
from callwright.pbx.messages import Mailboxes, VoiceMessage, box_of
from callwright.pbx.plan import PbxPlan
from tests.control.desk import Desk, live_at
from tests.control.telephony import a_token, a_user, telephony, where


@pytest.fixture
async def ben(services: Services, admin: Identity) -> Identity:
    """With extension 2001, and in a project, where he may start runs and calls."""
    _, ben = await a_user(services, admin, "2001")
    await services.projects.create(admin, "office")
    project = await services.projects.get(admin, "office")
    user = await services.accounts.user(ben.user_id)
    await services.projects.put_member(admin, user, project, Role.RUNNER)
    return ben


@pytest.fixture
async def desk(broker: MemoryBroker) -> Desk:
    made = Desk(Live())
    await made.open(broker)
    return made


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    made = MemoryBroker()
    yield made
    await made.close()


@pytest.fixture
async def api(
    services: Services, admin: Identity, ben: Identity, broker: MemoryBroker
) -> AsyncIterator[httpx.AsyncClient]:
    """Ben's, who is no administrator."""
    async with telephony(services, admin, broker) as client:
        client.headers.update(await a_token(services, ben))
        yield client


@pytest.fixture
async def theirs(services: Services, admin: Identity) -> dict[str, str]:
    """The headers of the administrator."""
    return await a_token(services, admin)


# -- contacts


async def test_contacts_are_ones_own_or_of_all(api: httpx.AsyncClient, theirs: dict[str, str]) -> None:
    eve = {"first_name": "Eve", "tel": "+43 1 234", "group_name": "Family"}
    made = await api.post("/contacts", json=eve)
    assert made.status_code == 201, made.text
    row = made.json()["data"]
    assert {name: row[name] for name in eve} == eve
    assert (row["global"], row["user_id"], row["notes"]) == (False, 100_002, "")
    refused = await api.post("/contacts", json=eve | {"global": True})
    assert refused.status_code == 403
    shared = await api.post("/contacts", json={"last_name": "Desk", "global": True}, headers=theirs)
    desk = shared.json()["data"]
    seen = (await api.get("/contacts", params={"sort": "first_name", "dir": "DESC"})).json()
    assert (seen["total"], [one["id"] for one in seen["data"]]) == (2, [row["id"], desk["id"]])
    for contact in (desk, {"id": 99}):
        status = 403 if contact is desk else 404
        assert (await api.patch(f"/contacts/{contact['id']}", json={"notes": "x"})).status_code == status
        assert (await api.delete(f"/contacts/{row['id']},{contact['id']}")).status_code == status
    many = await api.patch("/contacts", json=[{"id": row["id"], "mobile": "0664", "notes": "likes tea"}])
    assert many.json()["data"] == [row | {"mobile": "0664", "notes": "likes tea"}]
    for name, operator, value, found in (
        ("first_name", "like", "EV", 1),
        ("global", "=", True, 1),
        ("mobile", "<>", "", 1),
        ("user_id", "in", [100_002], 1),
        ("last_name", "notlike", "d%", 1),
        ("created_at", "<", "1971-01-01", 0),
    ):
        answer = (await api.get("/contacts", params=where(name, operator, value))).json()
        assert answer["total"] == found, name
    groups = (await api.get("/contacts", params={"group_by": "group_name"})).json()
    assert groups["data"] == [{"group_name": "", "count": 1}, {"group_name": "Family", "count": 1}]
    assert (await api.delete(f"/contacts/{row['id']}")).status_code == 204
    assert (await api.get("/contacts")).json()["total"] == 1


async def test_a_contact_that_cannot_be_is_refused_by_field(api: httpx.AsyncClient) -> None:
    for wrong, field in (
        ({}, "first_name"),
        ({"first_name": " "}, "first_name"),
        ({"first_name": 7}, "first_name"),
        ({"first_name": "x" * 101}, "first_name"),
        ({"first_name": "x", "global": "maybe"}, "global"),
        ({"first_name": "x", "colour": "red"}, "colour"),
    ):
        refused = await api.post("/contacts", json=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, field)
    assert (await api.get("/contacts")).json() == {"data": [], "total": 0}


# -- texts


@pytest.mark.parametrize(
    ("sent", "status", "info"),
    [
        (TextSent(200, "OK"), "delivered", "200 OK"),
        (TextSent(480, "No phone is registered."), "failed", "480 No phone is registered."),
        (TextSent(0), "unconfirmed", "No phone has answered in time."),
    ],
)
async def test_a_text_says_what_became_of_it(
    api: httpx.AsyncClient, desk: Desk, theirs: dict[str, str], sent: TextSent, status: str, info: str
) -> None:
    desk.sent = sent
    answer = await api.post("/sms", json={"to": "2002", "text": "Grüß Gott"})
    assert answer.status_code == 201, answer.text
    row = answer.json()["data"]
    assert desk.told == [TextWish("2001", "2002", "Grüß Gott")]
    assert (row["status"], row["info"], row["from"], row["to"]) == (status, info, "2001", "2002")
    assert (await api.get("/sms", params=where("status", "=", status))).json() == {"data": [row], "total": 1}
    assert (await api.get(f"/sms/{row['id']}")).json()["data"] == row
    assert (await api.get("/sms", params=where("to", "!=", "2002"))).json()["total"] == 0
    assert (await api.delete(f"/sms/{row['id']},99")).status_code == 404
    assert (await api.delete(f"/sms/{row['id']}", headers=theirs)).status_code == 204
    assert (await api.get(f"/sms/{row['id']}")).status_code == 404


async def test_what_cannot_be_sent_leaves_no_record(
    api: httpx.AsyncClient, desk: Desk, theirs: dict[str, str]
) -> None:
    for wrong in ({"to": "sip:x@y", "text": "x"}, {"to": "1"}, {"to": "1", "text": "ü" * 600}):
        assert (await api.post("/sms", json=wrong)).status_code == 400, wrong
    no_line = await api.post("/sms", json={"to": "2001", "text": "x"}, headers=theirs)
    assert (no_line.status_code, "no extension" in no_line.json()["message"]) == (412, True)
    assert desk.told == []
    assert (await api.get("/sms", headers=theirs)).json() == {"data": [], "total": 0}


async def test_without_a_pbx_nothing_is_said_to_be_sent(api: httpx.AsyncClient) -> None:
    assert (await api.post("/sms", json={"to": "2002", "text": "x"})).status_code == 503
    assert (await api.get("/sms")).json()["total"] == 0
    assert (await api.post("/webcalls", json={"from": "1", "to": "2"})).status_code == 503


# -- calls between two numbers


async def test_two_numbers_are_joined_by_the_rights_of_ones_extension(
    api: httpx.AsyncClient, desk: Desk, theirs: dict[str, str]
) -> None:
    answer = await api.post("/webcalls", json={"from": "+43123", "to": "2002"})
    assert (answer.status_code, answer.json()["data"]["id"]) == (201, "joined")
    assert desk.told == [JoinWish("43123", "2002", "2001")]
    assert (await api.post("/webcalls", json={"from": "1", "to": "2"}, headers=theirs)).status_code == 412
    for wrong in ({"from": "1"}, {"from": "1", "to": "sip:x@y"}, {"from": "1", "to": "2", "x": "3"}):
        assert (await api.post("/webcalls", json=wrong)).status_code == 400
    for made, status in ((404, 400), (403, 400), (480, 412), (503, 503)):
        desk.joined = JoinMade(None, made, "why")
        refused = await api.post("/webcalls", json={"from": "1", "to": "2"})
        assert (refused.status_code, "why" in refused.json()["message"]) == (status, True)


# -- calls that are recorded by a program


async def test_a_call_is_recorded_and_no_longer_by_a_program(
    api: httpx.AsyncClient, desk: Desk, clock: ManualClock, theirs: dict[str, str]
) -> None:
    desk.live = live_at(clock.wall())
    assert (await api.get("/calls/one")).json()["data"]["record"] is False
    for on in (True, True, False):
        answer = await api.patch("/calls/one", json={"record": on})
        assert (answer.status_code, answer.json()["data"]["record"]) == (200, on)
    assert desk.told == [CallRecording("one", True), CallRecording("one", False)], "twice is once"
    rings = await api.patch("/calls/two", json={"record": True})
    assert (rings.status_code, "nobody has answered" in rings.json()["message"]) == (400, True)
    for wrong in ({"record": "maybe"}, {"record": True, "dst": "2002"}, {}):
        assert (await api.patch("/calls/one", json=wrong)).status_code == 400
    shown = await api.get("/calls/one", params={"fields[calls]": "id,record"}, headers=theirs)
    assert shown.json()["data"] == {"id": "one", "record": False}


# -- voice messages


BENS = box_of(2)


@pytest.fixture
def messages(tmp_path: Path) -> Mailboxes:
    """One of Ben's, and one of somebody else's."""
    mailboxes = Mailboxes(tmp_path / "data" / PBX_MESSAGES)
    spoken = (Path(speech.__file__).parent / "speech" / "woman_8000.wav").read_bytes()
    for name, user, box in (("01-ab", "2001", BENS), ("02-cd", "1001", "")):
        mailboxes.path(box or user, name).write_bytes(spoken)
        mailboxes.keep(VoiceMessage(name, user, "43123", 1_700_000_000.0, 9.258, box=box))
    return mailboxes


async def test_voice_messages_are_listed_heard_and_deleted(
    api: httpx.AsyncClient, desk: Desk, messages: Mailboxes, theirs: dict[str, str]
) -> None:
    own = (await api.get("/voicemessages")).json()
    assert own["data"] == [
        {
            "id": "01-ab",
            "user_id": 100_002,
            "ext": "2001",
            "src": "43123",
            "calldate": "2023-11-14 22:13:20",
            "duration": 9.258,
            "heard": False,
        }
    ]
    everything = (await api.get("/voicemessages", params={"sort": "ext"}, headers=theirs)).json()
    assert [(row["ext"], row["user_id"]) for row in everything["data"]] == [("1001", None), ("2001", 100_002)]
    for name in ("02-cd", "02-cd.mp3", "..%2F1001%2F02-cd", "../1001/02-cd.mp3"):
        assert (await api.get(f"/voicemessages/{name}")).status_code == 404
    heard = await api.patch("/voicemessages/01-ab", json={"heard": True})
    assert heard.json()["data"] == own["data"][0] | {"heard": True}
    again = await api.patch("/voicemessages", json=[{"id": "01-ab", "heard": False}])
    assert again.json() == own
    for wrong in ({"heard": "maybe"}, {}, {"src": "1"}):
        assert (await api.patch("/voicemessages/01-ab", json=wrong)).status_code == 400
    assert desk.told == [MailboxTouched("2001")] * 2
    assert (await api.delete("/voicemessages/01-ab,02-cd")).status_code == 404
    assert messages.count(BENS) == (1, 0)
    assert (await api.delete("/voicemessages/01-ab")).status_code == 204
    assert (messages.count(BENS), messages.count("1001")) == ((0, 0), (1, 0))


async def test_a_voice_message_is_played_as_mp3_and_by_range(
    api: httpx.AsyncClient, messages: Mailboxes
) -> None:
    path = "/voicemessages/01-ab.mp3"
    whole = await api.get(path)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/mpeg")
    assert int(whole.headers["content-length"]) == len(whole.content)
    container: Any
    with av.open(io.BytesIO(whole.content)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        assert container.format.name == "mp3"
        assert samples / container.streams.audio[0].rate == pytest.approx(9.258, abs=0.1)
    part = await api.get(path, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    last = await api.get(path, headers={"Range": "bytes=-10"})
    assert last.content == whole.content[-10:]
    beyond = await api.get(path, headers={"Range": f"bytes={len(whole.content)}-"})
    assert (beyond.status_code, beyond.json().keys()) == (416, {"message", "errors"})
    same = await api.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    messages.path(BENS, "01-ab").write_bytes(b"no audio")
    broken = await api.get(path)
    assert (broken.status_code, broken.json().keys()) == (503, {"message", "errors"})


async def test_messages_stay_with_their_user_when_the_extension_passes_on(
    services: Services, admin: Identity, api: httpx.AsyncClient, desk: Desk, messages: Mailboxes
) -> None:
    await services.lines.change(admin, [(100_002, {"ext": "2005"})])
    _, eve = await a_user(services, admin, "2001", email="eve@example.com")
    theirs = await api.get("/voicemessages", headers=await a_token(services, eve))
    assert theirs.json()["data"] == []
    (own,) = (await api.get("/voicemessages")).json()["data"]
    assert (own["id"], own["ext"]) == ("01-ab", "2001"), "where it was left"
    assert (await api.patch("/voicemessages/01-ab", json={"heard": True})).status_code == 200
    assert desk.told == [MailboxTouched("2005")], "the lamp of the phone that he has now"
    plan = with_users(PbxPlan(), await services.lines.switched())
    assert {one.user: one.messages for one in plan.accounts} == {"2005": BENS, "2001": box_of(eve.user_id)}


# -- keys of one project


@pytest.mark.parametrize("role", ["runner", "admin"])
async def test_a_key_of_one_project_sees_no_calls_messages_or_contacts_of_its_owner(
    services: Services,
    admin: Identity,
    ben: Identity,
    broker: MemoryBroker,
    desk: Desk,
    messages: Mailboxes,
    role: str,
) -> None:
    if role == "admin":
        await services.accounts.change_user(admin, ben.user_id, role="admin")
    user = await services.accounts.user(ben.user_id)
    ben = await services.accounts.identity(user.id, user.username, user.role)
    news = CallNews(
        "call-1", CallStep.ENDED, "2001", "2002", "a@b", 1_700_000_000.0, ended_at=1_700_000_002.0
    )
    up = msgspec.structs.replace(news, call="call-2", step=CallStep.ANSWERED, ended_at=None)
    desk.live = Live(
        (CallNow(up),), (PhoneNow("2001", "sip:2001@x", "udp", "192.0.2.1:5060", 0, 9e9, False),)
    )
    await services.cdrs.note([news], {"2001": Party(100_000 + ben.user_id, "Ben")})
    own = str(100_000 + ben.user_id)
    taped = Recording(0, "call-1", 1, 1.0, 2, 3, "2001", own, "", "1002", None, "", "00", "0-1/1/a.mp3")
    await services.stores.recordings.add_recording(taped)
    public, secret = await services.keys.create(
        "ci", user, project=await services.projects.get(admin, "office")
    )
    async with telephony(services, ben, broker) as client:
        for path, body in (
            ("/contacts", {"first_name": "Eve"}),
            ("/sms", {"to": "2002", "text": "x"}),
            ("/webhooks", {"name": "hook", "url": "https://hook.example", "events": ["call.hangup"]}),
        ):
            made = await client.post(path, json=body)
            assert made.status_code == 201, made.text
        client.headers.pop("X-Auth-Token")
        key = httpx.BasicAuth(public, secret)
        for path in (
            *("/calls", "/phones", "/cdrs", "/monitors"),
            *("/sms", "/voicemessages", "/contacts", "/webhooks"),
        ):
            answer = await client.get(path, auth=key)
            assert (answer.status_code, answer.json()["total"]) == (200, 0), path
        for path in (
            *("/cdrs/1", "/monitors/1", "/monitors/1.mp3", "/sms/1", "/voicemessages/01-ab"),
            *("/voicemessages/01-ab.mp3", "/contacts/1", "/calls/call-2", "/webhooks/1"),
        ):
            assert (await client.get(path, auth=key)).status_code == 404, path
        assert (await client.delete("/sms/1", auth=key)).status_code == 404
        assert (await client.delete("/voicemessages/01-ab", auth=key)).status_code == 404
        assert (await client.post("/contacts", json={"first_name": "Al"}, auth=key)).status_code == 403
        assert (await client.get("/ping", auth=key)).status_code == 200
