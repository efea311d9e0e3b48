"""The board of live calls: its sentence, what it shows of a PBX that answers, and what its forms do."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import TELEPHONY_IDS, Identity, Role, User
from callwright.control.app import create_app
from callwright.control.services import PbxPlace, Services, Settings
from callwright.control.web import board_figures as figures
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.pbx import (
    CallEnding,
    CallMove,
    CallRecording,
    CallWish,
    Live,
)
from callwright.net.clock import ManualClock
from tests.control.desk import Desk, live_at
from tests.control.test_web_pages import Web, signed_in


def call_row(state: str, **more: Any) -> dict[str, Any]:
    row = {"id": "c1", "src": "2001", "src_name": "Ann", "dst": "2002", "dst_name": "Ben", "state": state}
    return row | {"destination": "2002", "start_time": 100, "connected_at": 103, "record": False} | more


def person(ext: str, **more: Any) -> dict[str, Any]:
    return {"ext": ext, "first_name": "Ann", "last_name": "", "status": "active"} | more


def phone_row(ext: str) -> dict[str, Any]:
    row = {"ext": ext, "user_id": 100_001, "contact": f"sip:{ext}@192.0.2.1", "user_agent": "", "source": "x"}
    return (
        row
        | {"transport": "udp", "behind_nat": False, "latency_ms": None}
        | dict.fromkeys(("registered_at", "expires_at"), 0.0)
    )


@pytest.mark.parametrize(
    ("states", "registered", "headline"),
    [
        ((), (), "No calls now; 0 of 2 users can be reached."),
        (("CONNECTED",), ("2001",), "1 call, talking; 1 of 2 users can be reached."),
        (("CONNECTED", "CONNECTED"), ("2001", "2002"), "2 calls, all talking; all 2 users can be reached."),
        (
            ("CONNECTED", "RINGING", "ON_HOLD", "CONNECTED"),
            ("2001", "2001"),
            "4 calls: 1 on hold, 2 talking, 1 ringing; 1 of 2 users can be reached.",
        ),
    ],
)
def test_the_sentence_counts_calls_and_users_that_can_be_reached(
    states: tuple[str, ...], registered: tuple[str, ...], headline: str
) -> None:
    calls = [call_row(state, id=f"c{n}") for n, state in enumerate(states)]
    people = [person("2001"), person("2002"), person("2003", status="suspended")]
    assert figures.board(calls, [phone_row(ext) for ext in registered], people).headline == headline


def test_the_longest_call_comes_first_and_its_time_is_that_of_its_state() -> None:
    ringing = call_row("RINGING", id="b", start_time=200, connected_at=None, dst="", dst_name="")
    found = figures.board([ringing, call_row("CONNECTED", id="a", destination="600")], [], []).calls
    assert [(row.id, row.since, row.answered) for row in found] == [("a", 103.0, True), ("b", 200.0, False)]
    assert [row.dialled for row in found] == ["600", "2002"]


# -- the page itself


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    made = MemoryBroker()
    yield made
    await made.close()


@pytest.fixture
async def web(services: Services, broker: MemoryBroker, admin: Identity) -> AsyncIterator[Web]:
    """Ann and Ben have lines; the broker carries to a PBX where a test opens one."""
    for ext, name in (("2001", "Ann"), ("2002", "Ben <b>")):
        fields = {"first_name": name, "email": f"u{ext}@example.com", "ext": ext}
        await services.lines.create(admin, fields)
    settings = Settings(rate_limit=0, pbx=PbxPlace("127.0.0.1", 5060, 5060))
    app = create_app(replace(services, broker=broker), settings)
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://here") as client:
        await signed_in(services, client, admin.user_id)
        yield client


async def test_calls_and_phones_stand_on_the_board_with_what_is_not_known_said(
    web: Web, broker: MemoryBroker, clock: ManualClock
) -> None:
    await Desk(live_at(clock.wall())).open(broker)
    answer = await web.get("/board")
    assert answer.status_code == 200
    page = html.unescape(answer.text)
    assert "2 calls: 1 talking, 1 ringing; 1 of 2 users can be reached." in page
    assert "1 min 15 s" in page, "since the answer"
    assert "203.0.113.4:1</code> TCP" in page
    assert "not measured while it is up" in page
    assert "Without a phone now: 2002 Ben <b>" in page
    assert "Ben &lt;b&gt;" in answer.text


async def test_a_call_is_placed_transferred_and_ended_on_the_board(
    web: Web, broker: MemoryBroker, clock: ManualClock
) -> None:
    desk = Desk(live_at(clock.wall()))
    await desk.open(broker)
    ann = TELEPHONY_IDS + 2
    assert (await web.fill("/board/calls", to="2002", **{"from": str(ann)})).status_code == 303
    assert (await web.fill("/board/calls/one/transfer", dst="+43123")).status_code == 303
    assert (await web.fill("/board/calls/one/end")).status_code == 303
    assert desk.told == [CallWish("2001", "2002"), CallMove("one", "43123", None), CallEnding("one")]
    assert (await web.fill("/board/calls/one/record")).status_code == 303
    assert "Stop recording" in (await web.get("/board")).text
    assert (await web.fill("/board/calls/one/unrecord")).status_code == 303
    assert desk.told[3:] == [CallRecording("one", True), CallRecording("one", False)]
    rings = await web.fill("/board/calls/two/record")
    assert (rings.status_code, "nobody has answered" in rings.text) == (409, True)
    gone = await web.fill("/board/calls/three/end")
    assert (gone.status_code, "The call is over already." in gone.text) == (404, True)
    wrong = await web.fill("/board/calls", to="sip:x", **{"from": str(ann)})
    assert (wrong.status_code, 'value="sip:x"' in wrong.text) == (422, True)
    desk.registered = False
    unheard = await web.fill("/board/calls", to="2002", **{"from": str(ann)})
    assert (unheard.status_code, "No phone of 2001 is registered." in unheard.text) == (412, True)


async def test_a_pbx_that_does_not_answer_is_said_and_asked_again(web: Web) -> None:
    answer = await web.get("/board")
    assert answer.status_code == 200
    assert "The PBX does not answer." in answer.text
    assert 'hx-trigger="every' in answer.text
    assert "can be reached" not in answer.text
    refused = await web.fill("/board/calls", to="2002")
    assert refused.status_code == 412, "the administrator has no line"


async def test_a_platform_without_a_pbx_says_so(services: Services, admin: Identity) -> None:
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://here") as client:
        await signed_in(services, client, admin.user_id)
        page = (await client.get("/board")).text
    assert "This platform runs no PBX" in page
    assert "hx-trigger" not in page


async def test_others_see_their_own_calls_and_phones_alone_and_viewers_have_no_buttons(
    web: Web, services: Services, broker: MemoryBroker, clock: ManualClock, admin: Identity
) -> None:
    alone = live_at(clock.wall())
    await Desk(Live(alone.calls[:1], alone.phones)).open(broker)
    row = User(0, "vic", "Vic", "", Role.VIEWER, "Normal", "UTC", 0.0, None, None)
    vic = await services.stores.accounts.add_user(row, "")
    await signed_in(services, web, vic.id)
    page = (await web.get("/board")).text
    assert "No calls now; you have no line." in page
    assert "203.0.113.4" not in page
    assert "Ring and dial" not in page
    for path in ("/board/calls", "/board/calls/one/end", "/board/calls/one/transfer"):
        assert (await web.fill(path, to="2002", dst="2002")).status_code == 403
    office = await services.projects.create(admin, "office")
    ann = await services.accounts.user(2)
    await services.projects.put_member(admin, ann, office, Role.RUNNER)
    await signed_in(services, web, ann.id)
    mine = (await web.get("/board")).text
    assert "1 call, talking; your phone can be reached." in mine
    assert "Hang up" in mine
