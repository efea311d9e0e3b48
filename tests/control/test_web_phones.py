"""Users and phones: who has a line, what a phone needs, who may see its password, and where calls go."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from callwright.control.accounts.model import TELEPHONY_IDS, Identity, Role
from callwright.control.app import create_app
from callwright.control.collections.patterns import fold, literal, matcher, normal
from callwright.control.services import PbxPlace, Services, Settings
from callwright.dispatch import subject
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.pbx import Live, PhoneNow
from callwright.dispatch.messages.wire import encode
from callwright.net.clock import ManualClock
from tests.control.test_web_pages import Web, signed_in

ANN = {"first_name": "Ann", "last_name": "Archer", "email": "ann@example.com", "ext": "2001"}
BEN = {"first_name": "Ben <b>", "email": "ben@example.com", "ext": "2002"}


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    made = MemoryBroker()
    yield made
    await made.close()


@pytest.fixture
async def web(services: Services, broker: MemoryBroker, admin: Identity) -> AsyncIterator[Web]:
    settings = Settings(rate_limit=0, pbx=PbxPlace("0.0.0.0", 5060, 5062))
    app = create_app(replace(services, broker=broker), settings)
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://pbx.example.com:8000") as client:
        await signed_in(services, client, admin.user_id)
        yield client


async def text_of(web: Web, address: str) -> str:
    answer = await web.get(address)
    assert answer.status_code == 200, answer.text
    return html.unescape(answer.text)


def test_a_literal_part_of_a_pattern_stands_for_itself() -> None:
    for text in ("50%", "a_b", "back\\slash", "%_\\"):
        pattern = matcher(normal(f"%{literal(text)}%"))
        assert pattern.fullmatch(fold(f"x{text}y"))
        assert not pattern.fullmatch(fold("xay" if text == "%_\\" else "50 ab back/slash"))


async def test_a_new_user_is_shown_all_that_a_phone_needs(web: Web, services: Services) -> None:
    assert "No user has a line yet" in await text_of(web, "/phones")
    made = await web.fill("/phones", **ANN)
    assert made.status_code == 303
    page = await text_of(web, made.headers["location"])
    (line,) = await services.lines.switched()
    for needed in ("pbx.example.com:5060", "pbx.example.com:5062", "2001", line.password, "<svg"):
        assert needed in page
    assert "Whether a phone is registered is not known now." in page
    twice = await web.fill("/phones", **{**ANN, "email": "other@example.com"})
    assert (twice.status_code, "The extension 2001 is taken." in twice.text) == (409, True)
    assert 'value="other@example.com"' in twice.text


async def test_the_list_says_which_phones_are_registered_and_where_calls_go(
    web: Web, services: Services, broker: MemoryBroker, admin: Identity, clock: ManualClock
) -> None:
    made = [await services.lines.create(admin, fields) for fields in (ANN, BEN)]
    await services.lines.change(admin, [(int(str(made[1]["id"])), {"dnd": True, "forward_busy": "2001"})])
    now = clock.wall()
    phone = PhoneNow("2001", "sip:2001@192.0.2.9", "tcp", "203.0.113.4:1", now - 60, now + 60, True, "Desk 7")
    live = encode(Live((), (phone, phone)))
    await broker.subscribe(subject.PBX_LIVE, lambda message: message.respond(live))
    page = await text_of(web, "/phones")
    assert re.search(r"Ann Archer.*Reachable</span> <span class=\"quiet\">2 phones", page)
    assert re.search(r"Ben <b>.*Not registered.*do not disturb.*2001</code> when busy", page)
    assert ">no line<" not in page
    assert ">no line<" in await text_of(web, "/phones?all=1"), "the administrator"
    found = await text_of(web, "/phones?q=archer")
    assert "1 user" in found
    assert "Nobody matches" in await text_of(web, "/phones?q=%25")
    own = await text_of(web, f"/phones/{made[0]['id']}")
    assert "2 phones are registered." in own
    assert "203.0.113.4:1" in own


async def test_a_line_is_changed_and_taken_away_on_its_page(
    web: Web, services: Services, admin: Identity
) -> None:
    ann = await services.lines.create(admin, ANN)
    here = f"/phones/{ann['id']}"
    elsewhere = {"forwarding": "1", "dnd": "1", "forward_busy": "600", "forward_after": "35"}
    assert (await web.fill(here, **elsewhere)).status_code == 303
    (line,) = await services.lines.switched()
    assert (line.dnd, dict(line.forwards), line.forward_after) == (True, {"forward_busy": "600"}, 35)
    assert (await web.fill(here, forwarding="1", forward_busy="")).status_code == 303
    (line,) = await services.lines.switched()
    assert (line.dnd, dict(line.forwards)) == (False, {})
    wrong = await web.fill(here, forwarding="1", forward_busy="nobody")
    assert (wrong.status_code, 'value="nobody"' in wrong.text) == (422, True)
    ruled = {**ANN, "last_name": "Brook", "caller_id_name": "Desk", "status": "active", "sip_password": ""}
    assert (await web.fill(here, **ruled)).status_code == 303
    (line,) = await services.lines.switched()
    assert line.display_name == "Desk"
    assert line.password == ann["sip_password"], "an empty one changes nothing"
    assert (line.record, line.voicemail) == (False, False), "a form without the boxes changes neither"
    assert (await web.fill(here, **ruled, services="1", record="1")).status_code == 303
    (line,) = await services.lines.switched()
    assert (line.record, line.voicemail) == (True, False)
    assert (await web.fill(here, **ruled, services="1", voicemail="1")).status_code == 303
    (line,) = await services.lines.switched()
    assert (line.record, line.voicemail) == (False, True)
    assert (await web.fill(here, **{**ruled, "ext": ""})).status_code == 303
    assert await services.lines.switched() == []
    assert "This user has no line of the PBX." in await text_of(web, here)
    assert (await web.fill(f"{here}/delete")).status_code == 303
    assert (await web.get(here)).status_code == 404


async def test_a_password_is_shown_to_its_user_and_administrators_alone(
    web: Web, services: Services, admin: Identity
) -> None:
    ann = await services.lines.create(admin, ANN)
    ben = await services.lines.create(admin, {**BEN, "sip_password": "se:cret@%word?"})
    page = await text_of(web, f"/phones/{ben['id']}")
    assert "se:cret@%word?" in page
    office = await services.projects.create(admin, "office")
    own = int(str(ann["id"])) - TELEPHONY_IDS
    await services.projects.put_member(admin, await services.accounts.user(own), office, Role.RUNNER)
    await signed_in(services, web, own)
    mine, other = await web.get(f"/phones/{ann['id']}"), await web.get(f"/phones/{ben['id']}")
    assert str(ann["sip_password"]) in mine.text
    assert mine.headers["cache-control"] == "no-store"
    assert other.status_code == 200
    assert "cret@" not in html.unescape(other.text)
    assert "<form method" not in other.text.partition("<main")[2].partition("</main>")[0]
    assert (await web.fill(f"/phones/{ann['id']}", forwarding="1", dnd="1")).status_code == 303
    for path, fields in (
        (f"/phones/{ben['id']}", {"forwarding": "1", "dnd": "1"}),
        (f"/phones/{ann['id']}", {"ext": "2009"}),
        (f"/phones/{ben['id']}/delete", {}),
        ("/phones", ANN),
    ):
        assert (await web.fill(path, **fields)).status_code == 403, path
    assert [bool(line.dnd) for line in await services.lines.switched()] == [True, False]


async def test_the_code_holds_the_account_as_a_uri_that_a_phone_reads(
    web: Web, services: Services, admin: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def draw(text: str, title: str) -> str:
        drawn.append(text)
        return title

    monkeypatch.setattr("callwright.control.web.rendering.qr", draw)
    ben = await services.lines.create(admin, {**BEN, "sip_password": "se:cret@%word?"})
    await web.get(f"/phones/{ben['id']}")
    assert drawn == ["sip:2002:se%3Acret%40%25word%3F@pbx.example.com:5060;transport=udp"]
