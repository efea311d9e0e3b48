"""What is made over the API carries calls of real phones at once: numbers of the PBX, a trunk to another PBX
of ours, voice messages, texts, and calls between two numbers."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from callwright.pbx.accounts import PbxAccount
from callwright.pbx.server import Pbx, PbxConfig
from callwright.phone.phone import Phone
from callwright.phone.plan import Account, AnswerPlan, CallPlan, MediaPlan, PhoneConfig
from tests.acceptance.test_telephony import QUIET, a_phone, a_user, call
from tests.kit.served import Served


@pytest.fixture
def api(platform: Served) -> httpx.Client:
    base = f"{platform.url}/v1.2/voipstudio"
    answer = httpx.post(f"{base}/login", json={"email": "admin@localhost", "password": platform.password})
    return httpx.Client(base_url=base, headers={"X-Auth-Token": answer.json()["user_token"]}, timeout=30)


class Rung:
    """A phone that answers everything, and counts."""

    def __init__(self, phone: Phone) -> None:
        self.calls = 0
        phone.on_call = self._answer

    def _answer(self, _: object) -> AnswerPlan:
        self.calls += 1
        return AnswerPlan(MediaPlan())

    async def times(self, calls: int) -> None:
        async with asyncio.timeout(20):
            while self.calls < calls:
                await asyncio.sleep(0.05)


def made(api: httpx.Client, path: str, **fields: Any) -> dict[str, Any]:
    answer = api.post(path, json=fields)
    assert answer.status_code == 201, answer.text
    row: dict[str, Any] = answer.json()["data"]
    return row


async def test_numbers_made_over_the_api_ring_those_they_name(api: httpx.Client) -> None:
    ann, ben = a_user(api), a_user(api)
    things = [
        ("/queues", made(api, "/queues", name="Desk", ext="6600", users=[ben["id"]])),
        ("/ringgroups", made(api, "/ringgroups", name="Sales", ext="6601", users=[ben["id"]])),
        ("/ivrs", made(api, "/ivrs", name="Menu", ext="6602", options={"1": "6601"})),
        ("/conferences", made(api, "/conferences", name="Room", ext="6603")),
    ]
    async with a_phone(api, ann) as one, a_phone(api, ben) as other:
        rung = Rung(other)
        heard = MediaPlan(dtmf="1", dtmf_after=0.3)
        for number, media, talk, expected in (
            ("6600", MediaPlan(), 2.0, 1),
            ("6601", QUIET, 0.1, 2),
            ("6602", heard, 4.0, 3),
            ("6603", MediaPlan(), 0.1, 3),
        ):
            where = api.get("/pbx").json()["data"]["udp"]
            account = Account(ann["ext"], ann["sip_password"])
            plan = CallPlan(f"sip:{number}@{where}", account=account, talk_for=talk, media=media)
            outcome = await one.call(plan).finished
            assert outcome.sip_code == 200, number
            assert rung.calls == expected, number
        for path, row in things:
            assert api.delete(f"{path}/{row['id']}").status_code == 204
        assert (await call(api, one, ann, "6601")).sip_code == 404


async def test_a_trunk_made_over_the_api_carries_calls_out_and_in(api: httpx.Client) -> None:
    ann = a_user(api)
    far_config = PbxConfig("far.test", [PbxAccount("431000", "s3cret"), PbxAccount("2001", "b")])
    async with (
        Pbx(far_config) as far,
        Phone(PhoneConfig(bind="127.0.0.1", user="2001")) as bob,
        a_phone(api, ann) as one,
    ):
        account = Account("2001", "b")
        assert await bob.register(f"sip:{far.address}", account=account).first
        there, here = Rung(bob), Rung(one)
        login = {"username": "431000", "password": "s3cret", "register": True}
        trunk = made(api, "/trunks", name="far", uri=f"sip:{far.address}", **login)
        route = made(api, "/routes", name="out", prefix="9", strip=1, trunks=[trunk["id"]])
        number = made(api, "/numbers", number="431000", destination=ann["ext"], trunk_id=trunk["id"])
        async with asyncio.timeout(20):
            while not far.bindings("431000"):
                await asyncio.sleep(0.05)
        assert (await call(api, one, ann, "92001")).sip_code == 200
        inward = CallPlan(f"sip:431000@{far.address}", account=account, media=QUIET, talk_for=0.1)
        assert (await bob.call(inward).finished).sip_code == 200
        assert (there.calls, here.calls) == (1, 1)

        me = api.get("/me").json()["data"]
        assert api.patch(f"/users/{me['id']}", json={"ext": "6999"}).status_code == 200
        joined = await asyncio.to_thread(made, api, "/webcalls", **{"from": "92001", "to": ann["ext"]})
        await there.times(2)
        await here.times(2)
        assert (await asyncio.to_thread(api.delete, f"/calls/{joined['id']}")).status_code == 204

        for path in (f"/routes/{route['id']}", f"/numbers/{number['id']}", f"/trunks/{trunk['id']}"):
            assert (await asyncio.to_thread(api.delete, path)).status_code == 204
        assert (await call(api, one, ann, "92001")).sip_code == 404


async def test_a_message_is_left_and_given_as_mp3_and_a_text_is_sent(api: httpx.Client) -> None:
    ann, ben = a_user(api), a_user(api, voicemail=True)
    async with a_phone(api, ann) as one:
        where = api.get("/pbx").json()["data"]["udp"]
        account = Account(ann["ext"], ann["sip_password"])
        plan = CallPlan(f"sip:{ben['ext']}@{where}", account=account, talk_for=8.0)
        assert (await one.call(plan).finished).sip_code == 200

        def rows() -> list[dict[str, Any]]:
            found = api.get("/voicemessages").json()["data"]
            return [row for row in found if row["ext"] == ben["ext"]]

        (message,) = await asyncio.to_thread(Served.until, lambda found: len(found) == 1, rows)
        assert (message["src"], message["heard"], message["user_id"]) == (ann["ext"], False, ben["id"])
        audio = await asyncio.to_thread(api.get, f"/voicemessages/{message['id']}.mp3")
        assert (audio.status_code, audio.headers["content-type"]) == (200, "audio/mpeg")
        assert (await asyncio.to_thread(api.delete, f"/voicemessages/{message['id']}")).status_code == 204

        me = api.get("/me").json()["data"]
        assert api.patch(f"/users/{me['id']}", json={"ext": "6999"}).status_code == 200
        nobody = await asyncio.to_thread(made, api, "/sms", to=ben["ext"], text="Hello")
        assert (nobody["status"], nobody["info"][:3]) == ("failed", "480")
        sent = await asyncio.to_thread(made, api, "/sms", to=ann["ext"], text="Hello")
        assert sent["status"] == ("delivered" if sent["info"].startswith("200") else "failed"), sent
        assert sent["info"][:3] != "480", "the phone was reached"
