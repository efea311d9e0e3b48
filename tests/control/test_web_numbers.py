"""Trunks and numbers: what the running PBX tells of its plan, and the way of a number in sentences."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from callwright.control.accounts.model import Identity, Role, User
from callwright.control.app import create_app
from callwright.control.services import PbxPlace, Services, Settings
from callwright.control.web.numbers import route_words
from callwright.dispatch import subject
from callwright.dispatch.broker import Message
from callwright.dispatch.memory import MemoryBroker
from callwright.dispatch.messages.pbx import PlanAsked, RouteTold
from callwright.dispatch.messages.wire import decode, encode
from callwright.host.pbx_link import told_of
from callwright.pbx.plan_file import read_plan
from tests.control.test_web_pages import Web, signed_in

PLAN = read_plan("""
users: {1001: {password: secret-of-1001, forwarding: {busy: 600}}, 1002: other-secret}
groups: {600: {name: Sales <b>, members: [1001, 1002], seconds: 15, otherwise: 999}}
trunks: {carrier: {uri: "sip:us:secret-x@sip.example.net;transport=tcp", username: us, password: hush}}
outbound: {abroad: {prefix: "00", strip: 2, prepend: "9", trunks: [carrier]}}
inbound: {"43123": {to: 600, trunk: carrier}}
""")


def test_what_is_told_of_a_plan_has_no_secret_and_says_what_is_wrong() -> None:
    told = told_of(PLAN, "0044123", "1001")
    text = encode(told).decode()
    assert not any(secret in text for secret in ("secret", "hush"))
    assert [(trunk.name, trunk.place) for trunk in told.trunks] == [
        ("carrier", "sip.example.net;transport=tcp")
    ]
    assert told.way == ("0044123: outbound route abroad, 944123 by carrier",)
    assert told.problems == ("group 600: '999' is not a number of this PBX.",)
    assert told_of(PLAN).way == ()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "all other numbers, 1 to 32 digits"),
        ({"prefix": "00", "shortest": 4}, "numbers with 00, 4 to 32 digits"),
        (
            {"strip": 1, "prepend": "9"},
            "all other numbers, 1 to 32 digits; 1 digit is taken off, then 9 is put in front",
        ),
    ],
)
def test_an_outbound_route_is_worded(more: dict[str, object], says: str) -> None:
    facts = {"prefix": "", "strip": 0, "prepend": "", "shortest": 1, "longest": 32, "users": ()}
    assert route_words(RouteTold("r", ("t",), **(facts | more))) == says  # type: ignore[arg-type]


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    made = MemoryBroker()
    yield made
    await made.close()


@pytest.fixture
async def web(services: Services, broker: MemoryBroker, admin: Identity) -> AsyncIterator[Web]:
    settings = Settings(rate_limit=0, pbx=PbxPlace("127.0.0.1", 5060, 5060))
    app = create_app(replace(services, broker=broker), settings)
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://here") as client:
        await signed_in(services, client, admin.user_id)
        yield client


async def test_the_page_shows_the_plan_of_the_running_pbx_and_explains_a_number(
    web: Web, services: Services, broker: MemoryBroker
) -> None:
    away = await web.get("/numbers")
    assert (away.status_code, "The PBX does not answer." in away.text) == (200, True)

    async def answer(message: Message) -> None:
        asked = decode(PlanAsked, message.data)
        await message.respond(encode(told_of(PLAN, asked.number, asked.user)))

    await broker.subscribe(subject.PBX_PLAN, answer)
    page = html.unescape((await web.get("/numbers?number=%2B43600&user=1001")).text)
    assert "43600: 404 Not Found, no account and no service has this number" in page
    for part in (
        "Sales <b>",
        "sip.example.net;transport=tcp",
        "numbers with 00",
        "group 600: '999' is not a number",
    ):
        assert part in page
    page = html.unescape((await web.get("/numbers?number=1001")).text)
    assert '--depth:1">if busy, declined or do not disturb:' in page
    assert '--depth:2">600: group Sales <b>, rings 1001, 1002 at once for 15 s' in page
    wrong = await web.get("/numbers?number=sip:x")
    assert (wrong.status_code, 'value="sip:x"' in wrong.text) == (422, True)
    row = User(0, "vic", "Vic", "", Role.VIEWER, "Normal", "UTC", 0.0, None, None)
    vic = await services.stores.accounts.add_user(row, "")
    await signed_in(services, web, vic.id)
    assert (await web.get("/numbers")).status_code == 403
    assert "/numbers" not in (await web.get("/board")).text
