"""The telephony chapter on a running platform, with real phones at its PBX."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import pytest

from callwright.net.media import MediaEngine
from callwright.net.ports import MediaPorts, PortPair
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from callwright.sip.transport import Transport
from tests.kit.served import Served, curl

QUIET = MediaPlan(enabled=False)
_extensions = itertools.count(3001)


class LossyPorts(MediaPorts):
    """Ports of a leg that loses every tenth RTP packet of its sender."""

    def open(self, host: str) -> PortPair:
        pair = super().open(host)
        pair.rtp = _Lossy(fileno=pair.rtp.detach())
        return pair


class _Lossy(socket.socket):
    _sent = 0

    def sendto(self, *arguments: Any) -> int:
        self._sent += 1
        return 0 if self._sent % 10 == 5 else super().sendto(*arguments)


@pytest.fixture
def api(platform: Served) -> httpx.Client:
    base = f"{platform.url}/v1.2/voipstudio"
    answer = httpx.post(f"{base}/login", json={"email": "admin@localhost", "password": platform.password})
    assert answer.status_code == 200, answer.text
    return httpx.Client(base_url=base, headers={"X-Auth-Token": answer.json()["user_token"]}, timeout=30)


def a_user(api: httpx.Client, **more: Any) -> dict[str, Any]:
    ext = str(next(_extensions))
    fields = {"first_name": f"User {ext}", "last_name": "Test", "email": f"u{ext}@example.com", "ext": ext}
    answer = api.post("/users", json=fields | more)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["data"]
    return made


@contextlib.asynccontextmanager
async def a_phone(api: httpx.Client, user: dict[str, Any], **more: Any) -> AsyncIterator[Phone]:
    """Registered as that user, where the chapter says."""
    where = api.get("/pbx").json()["data"]["udp"]
    async with Phone(PhoneConfig(bind="127.0.0.1", user=user["ext"]), **more) as phone:
        account = Account(user["ext"], user["sip_password"])
        registered = await phone.register(f"sip:{where}", account=account).first
        assert registered, registered
        yield phone


async def call(api: httpx.Client, phone: Phone, user: dict[str, Any], number: str, **more: Any) -> Any:
    where = api.get("/pbx").json()["data"]["udp"]
    account = Account(user["ext"], user["sip_password"])
    wishes: dict[str, Any] = {"media": QUIET, "talk_for": 0.1} | more
    plan = CallPlan(f"sip:{number}@{where}", account=account, **wishes)
    return await phone.call(plan).finished


async def test_a_new_user_registers_at_once_and_is_called(api: httpx.Client) -> None:
    ann, ben = a_user(api), a_user(api)
    async with a_phone(api, ann) as one, a_phone(api, ben) as other:
        other.on_call = lambda _: AnswerPlan(QUIET)
        assert (await call(api, one, ann, ben["ext"])).sip_code == 200
        assert api.patch(f"/users/{ben['id']}", json={"dnd": True}).status_code == 200
        assert (await call(api, one, ann, ben["ext"])).sip_code == 486
        assert api.delete(f"/users/{ben['id']}").status_code == 204
        assert (await call(api, one, ann, ben["ext"])).sip_code == 404


async def test_each_call_leaves_a_record_for_each_leg(api: httpx.Client) -> None:
    ann, ben = a_user(api), a_user(api)
    async with a_phone(api, ann) as one, a_phone(api, ben) as other:
        other.on_call = lambda _: AnswerPlan()
        assert (await call(api, one, ann, ben["ext"], media=MediaPlan())).sip_code == 200
        other.on_call = None
        await call(api, one, ann, "79999")
    of_ann = json.dumps([{"property": "src_id", "operator": "eq", "value": ann["id"]}])

    def rows() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.get("/cdrs", params={"filter": of_ann}).json()["data"]
        return found

    out, into, failed = Served.until(lambda found: len(found) == 3, rows)
    assert [row["type"] for row in (out, into, failed)] == ["O", "I", "O"]
    assert (into["user_id"], into["dst_id"], into["disposition"]) == (ben["id"], str(ben["id"]), "ANSWERED")
    assert out["src_codec"] == into["dst_codec"]
    assert "/8000" in out["src_codec"]
    assert out["src_ua"].startswith("Callwright")
    assert (failed["dst"], failed["disposition"], failed["t_cause"]) == ("79999", "FAILED", 1)


async def test_records_have_the_quality_of_both_directions(api: httpx.Client) -> None:
    ann, ben = a_user(api), a_user(api)
    engine = MediaEngine(ports=LossyPorts())
    async with a_phone(api, ann, engine=engine) as one, a_phone(api, ben) as other:
        other.on_call = lambda _: AnswerPlan()
        outcome = await call(api, one, ann, ben["ext"], media=MediaPlan(), talk_for=3)
        assert outcome.sip_code == 200
    await asyncio.to_thread(engine.close)
    of_ann = json.dumps([{"property": "src_id", "operator": "eq", "value": ann["id"]}])
    rows = Served.until(
        lambda found: len(found) == 2, lambda: api.get("/cdrs", params={"filter": of_ann}).json()["data"]
    )
    for row in rows:
        assert row["loss_src"] == pytest.approx(10.0, abs=2.0)
        assert row["loss_dst"] < 2.0, "the other direction loses nothing"
        assert row["mos_src"] < 4.0 < row["mos_dst"]
        assert (row["mos"], row["r_factor"]) == (row["mos_src"], row["r_factor_src"])
        assert row["loss"] == row["loss_src"]
        assert row["jitter"] == max(row["jitter_src"], row["jitter_dst"])
        assert row["pdd"] is not None


async def test_a_recorded_call_is_heard_in_parts_and_deleted_with_its_audio(api: httpx.Client) -> None:
    ann, ben = a_user(api, record=True), a_user(api)
    async with a_phone(api, ann) as one, a_phone(api, ben) as other:
        other.on_call = lambda _: AnswerPlan(MediaPlan(play="silence"))
        outcome = await call(api, one, ann, ben["ext"], media=MediaPlan(play="tone"), talk_for=5)
        assert outcome.sip_code == 200
    of_ann = json.dumps([{"property": "src_id", "operator": "eq", "value": str(ann["id"])}])

    def rows() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.get("/monitors", params={"filter": of_ann}).json()["data"]
        return found

    (row,) = Served.until(lambda found: len(found) == 1, rows)
    assert (row["dst"], row["dst_id"]) == (ben["ext"], str(ben["id"]))
    audio = api.get(f"/monitors/{row['id']}.mp3")
    assert (audio.status_code, audio.headers["content-type"]) == (200, "audio/mpeg")
    assert len(audio.content) == row["size"] == int(audio.headers["content-length"])
    part = api.get(f"/monitors/{row['id']}.mp3", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, audio.content[10:20])
    with av.open(io.BytesIO(audio.content), "r") as file:
        samples = np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=1)
    left, right = (float(np.sqrt((channel[4000:-4000] ** 2).mean())) for channel in samples)
    assert left > 20 * right, "the caller is left, and the callee was silent"
    assert 1 < samples.shape[1] / 16_000 < 5
    assert abs(samples.shape[1] / 16_000 - row["duration"]) < 1
    assert httpx.get(str(audio.url)).status_code == 401
    assert api.delete(f"/monitors/{row['id']}").status_code == 204
    assert api.get(f"/monitors/{row['id']}.mp3").status_code == 404
    assert rows() == []


async def test_a_call_is_begun_seen_and_ended_by_a_program(api: httpx.Client) -> None:
    ann, ben = a_user(api), a_user(api)
    refused = api.post("/calls", json={"to": ben["ext"], "from": ann["id"]})
    assert refused.status_code == 412, refused.text
    assert refused.json()["message"]
    async with a_phone(api, ann) as one, a_phone(api, ben) as other:
        one.on_call = other.on_call = lambda _: AnswerPlan()
        phones = api.get("/phones", params={"sort": "ext"}).json()["data"]
        assert {ann["ext"], ben["ext"]} <= {phone["ext"] for phone in phones}
        made = await asyncio.to_thread(api.post, "/calls", json={"to": ben["ext"], "from": ann["id"]})
        assert made.status_code == 201, made.text
        call_id = made.json()["data"]["id"]

        async def state() -> Any:
            answer = await asyncio.to_thread(api.get, f"/calls/{call_id}")
            return answer.json()["data"] if answer.status_code == 200 else None

        async with asyncio.timeout(20):
            while (row := await state()) is None or row["state"] != "CONNECTED":
                await asyncio.sleep(0.1)
        assert (row["src"], row["dst"]) == (ann["ext"], ben["ext"])
        ours = json.dumps([{"property": "src_id", "operator": "=", "value": ann["id"]}])
        listed = await asyncio.to_thread(api.get, "/calls", params={"filter": ours})
        assert listed.json()["total"] == 1
        assert (await asyncio.to_thread(api.delete, f"/calls/{call_id}")).status_code == 204
        async with asyncio.timeout(20):
            while await state() is not None:
                await asyncio.sleep(0.1)
    mine = json.dumps([{"property": "live_id", "operator": "=", "value": call_id}])
    rows = Served.until(
        lambda found: len(found) == 2, lambda: api.get("/cdrs", params={"filter": mine}).json()["data"]
    )
    assert [(row["type"], row["disposition"], row["user_id"]) for row in rows] == [
        ("O", "ANSWERED", ann["id"]),
        ("I", "ANSWERED", ben["id"]),
    ]


def test_each_line_of_the_document_works_as_it_is_typed(platform: Served, api: httpx.Client) -> None:
    """Only the base URL and the credentials are others."""
    base = f"{platform.url}/v1.2/voipstudio"
    typed = ("-H", "Content-Type: application/json")
    credentials = json.dumps({"email": "admin@localhost", "password": platform.password})
    status, body = curl("-X", "POST", *typed, f"{base}/login", "-d", credentials)
    assert status == 200
    assert body.keys() == {"message", "user_token", "user_id"}
    assert body["message"] == "Login success"
    token = ("-H", f"X-Auth-Token: {body['user_token']}")
    name = f"Example API App {next(_extensions)}"
    asked = json.dumps({"name": name, "expiry": 604800})
    status, made = curl("-X", "POST", *typed, *token, f"{base}/apitokens", "-d", asked)
    assert status == 201
    assert made["data"].keys() == {"id", "name", "token", "expiry", "created_at"}
    status, me = curl(*typed, "-H", f"X-Auth-Token: {made['data']['token']}", f"{base}/me")
    assert (status, me["data"]["id"], me["links"]) == (200, body["user_id"], {})
    incoming = """filter=[
       {"property":"type","operator":"eq","value":"I"},
       {"property":"dst_id","operator":"eq","value":"123456"},
       {"property":"calldate","operator":"gt","value":"2018-09-01 00:00:00"}
     ]"""
    status, found = curl("-G", *token, f"{base}/cdrs", "--data-urlencode", incoming)
    assert (status, found) == (200, {"data": [], "total": 0})
    status, page = curl(*token, f"{base}/cdrs?page=1&limit=5000")
    assert status == 200
    assert page["total"] == len(page["data"])
    status, groups = curl(*token, f"{base}/cdrs?group_by=disposition")
    assert status == 200
    assert all(
        {"disposition", "count", "duration", "billsec", "charge"} == row.keys() for row in groups["data"]
    )
    status, refused = curl(f"{base}/cdrs")
    assert status == 401
    assert refused.keys() == {"message", "errors"}


async def test_a_program_transfers_the_caller_to_another_extension(api: httpx.Client) -> None:
    ann, ben, cid = a_user(api), a_user(api), a_user(api)
    async with a_phone(api, ann) as one, a_phone(api, ben) as other, a_phone(api, cid) as third:
        one.on_call = other.on_call = third.on_call = lambda _: AnswerPlan()
        made = await asyncio.to_thread(api.post, "/calls", json={"to": ben["ext"], "from": ann["id"]})
        row = made.json()["data"]

        async def connected(call: str, dst: str) -> None:
            async with asyncio.timeout(20):
                while True:
                    answer = await asyncio.to_thread(api.get, f"/calls/{call}")
                    data = answer.json().get("data", {})
                    if (data.get("state"), data.get("dst")) == ("CONNECTED", dst):
                        return
                    await asyncio.sleep(0.1)

        await connected(row["id"], ben["ext"])
        path = f"/calls/{row['id']}"
        wrong = await asyncio.to_thread(api.patch, path, json={"dst": "sip:x@example.com"})
        assert wrong.status_code == 400
        moved = await asyncio.to_thread(api.patch, path, json={"dst": cid["ext"]})
        assert moved.status_code == 200, moved.text
        new = moved.json()["data"]["id"]
        await connected(new, cid["ext"])
        assert (await asyncio.to_thread(api.delete, f"/calls/{new}")).status_code == 204


@pytest.mark.parametrize(
    ("headers", "says"), [((), "can be told to answer"), ((("Allow-Events", "talk"),), "was told to answer")]
)
async def test_a_program_is_told_why_a_phone_that_rings_does_not_answer(
    api: httpx.Client, headers: tuple[tuple[str, str], ...], says: str
) -> None:
    ann, ben = a_user(api), a_user(api)
    async with a_phone(api, ann) as one, a_phone(api, ben) as other:
        one.on_call = lambda _: AnswerPlan()
        other.on_call = lambda _: AnswerPlan(answer_after=300, headers=headers)
        made = await asyncio.to_thread(api.post, "/calls", json={"to": ben["ext"], "from": ann["id"]})
        path = f"/calls/{made.json()['data']['id']}"

        async def shown() -> dict[str, Any]:
            answer = await asyncio.to_thread(api.get, path)
            data: dict[str, Any] = answer.json().get("data", {})
            return data

        async with asyncio.timeout(20):
            while (await shown()).get("state") != "RINGING":
                await asyncio.sleep(0.1)
        wrong = await asyncio.to_thread(api.patch, path, json={"state": "HANGUP"})
        assert wrong.status_code == 400
        refused = await asyncio.to_thread(api.patch, path, json={"state": "CONNECTED"})
        assert refused.status_code == 412, refused.text
        assert says in refused.json()["message"]
        assert (await asyncio.to_thread(api.delete, path)).status_code == 204


async def test_a_phone_registers_and_calls_through_the_platforms_own_port(api: httpx.Client) -> None:
    """SIP over WebSocket (RFC 7118), where `wss` says; the PBX sees each phone, not the platform."""
    ann, ben = a_user(api), a_user(api)
    where = api.get("/pbx").json()["data"]
    place = urlsplit(where["wss"])
    assert place.path == "/sip/ws"
    server = f"sip:{place.netloc}"
    config = PhoneConfig(bind="127.0.0.1", transport=Transport.WS, ws_path=place.path)
    accounts = [Account(user["ext"], user["sip_password"]) for user in (ann, ben)]
    async with (
        Phone(replace(config, user=ann["ext"])) as caller,
        Phone(replace(config, user=ben["ext"])) as callee,
    ):
        callee.on_call = lambda received: AnswerPlan(QUIET)
        assert await callee.register(server, account=accounts[1], domain=where["sip_domain"]).first
        (phone,) = [row for row in api.get("/phones").json()["data"] if row["ext"] == ben["ext"]]
        assert (phone["transport"], phone["behind_nat"]) == ("ws", False)
        plan = CallPlan(f"sip:{ben['ext']}@{place.netloc}", QUIET, account=accounts[0], talk_for=0.0)
        outcome = await caller.call(plan).finished
    assert outcome.sip_code == 200, outcome.reason
    evil = {"Origin": "https://evil.example", "Upgrade": "websocket", "Connection": "Upgrade"}
    evil |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    evil |= {"Sec-WebSocket-Protocol": "sip"}
    assert httpx.get(f"http://{place.netloc}{place.path}", headers=evil).status_code == 403
