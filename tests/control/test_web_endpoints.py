"""Endpoints on the pages: the list, the graphs of one, and the forms."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from callwright.alerting.cause import Cause, CauseKind
from callwright.control.accounts.model import Identity
from callwright.control.alerts.model import Child, Incident
from callwright.control.app import create_app
from callwright.control.monitors.model import Category, SlotState
from callwright.control.monitors.sense import first
from callwright.control.services import Services, Settings
from callwright.net.clock import ManualClock
from tests.control.monitored import a_server, an_endpoint, read
from tests.control.test_web_pages import Web, signed_in

NOW = 1_800_000_000.0


@pytest.fixture
async def web(services: Services, admin: Identity, clock: ManualClock) -> AsyncIterator[Web]:
    clock.advance(NOW - clock.wall())
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://here") as client:
        await signed_in(services, client, admin.user_id)
        yield client


async def text_of(web: Web, path: str) -> str:
    answer = await web.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return html.unescape(answer.text)


async def active(services: Services, endpoint: int) -> list[int]:
    tests = await services.stores.monitors.voip_tests(endpoint)
    return [one.server_id for one in tests if one.deleted_at is None]


async def test_an_endpoint_is_added_changed_paused_resumed_deleted_and_recovered(
    web: Web, services: Services, admin: Identity, clock: ManualClock
) -> None:
    fra, sin = await a_server(services, "fra-1"), await a_server(services, "sin-1")
    form = await text_of(web, "/monitoring/endpoints/new")
    assert f'name="server_{fra.number}" checked' in form
    one, other = f"server_{fra.number}", f"server_{sin.number}"
    fields = {"name": "Head office", "category": "sip", "ip_address": "127.0.0.1", "interval": "30"}
    made = await web.fill("/monitoring/endpoints", **fields, num_tests="10", **{one: "on", other: "on"})
    assert made.status_code == 303, made.text
    here = made.headers["location"].partition("?")[0]
    number = int(here.rpartition("/")[2])
    endpoint = await services.monitors.endpoint(admin, number)
    assert (endpoint.name, endpoint.category, endpoint.port, endpoint.interval) == (
        "Head office",
        Category.SIP,
        5060,
        30,
    )
    tests = await services.monitors.voip_tests(admin, number)
    assert [(test.server_id, test.num_tests) for test in tests] == [(fra.number, 10), (sin.number, 10)]
    edit = await text_of(web, f"{here}/edit")
    assert 'value="Head office"' in edit
    assert re.search(rf'name="{other}" checked', edit)
    fields |= {"interval": "60", "port": "5060", "alert_threshold": "3.9"}
    assert (await web.fill(here, **fields, **{one: "on"})).status_code == 303
    assert await active(services, number) == [fra.number]
    assert (await services.monitors.endpoint(admin, number)).alert_threshold == 3.9
    clock.advance(5)
    assert (await web.fill(f"{here}/pause")).status_code == 303
    assert "Head office is paused: no server tests it." in await text_of(web, here)
    assert "Paused" in await text_of(web, "/monitoring/endpoints")
    assert (await web.fill(f"{here}/resume")).status_code == 303
    assert await active(services, number) == [fra.number], "the one that was taken off before stays off"
    assert (await web.fill(f"{here}/delete")).status_code == 303
    assert "Head office" not in await text_of(web, "/monitoring/endpoints")
    assert "Head office" in await text_of(web, "/monitoring/endpoints?status=deleted")
    assert "was deleted" in await text_of(web, here)
    assert (await web.fill(f"{here}/recover")).status_code == 303
    assert "Head office" in await text_of(web, "/monitoring/endpoints?status=active")
    assert (await web.fill(f"{here}/explode")).status_code == 404


WRONG = [
    ({"name": ""}, "name", "An endpoint has a name."),
    ({"ip_address": "8.8.8.8"}, "ip_address", "8.8.8.8"),
    ({"ip_address": "not a host"}, "ip_address", "neither an address nor a host name"),
    ({"interval": "5"}, "interval", "interval is 10 to 86,400 s, not 5."),
    ({"interval": "soon"}, "interval", "must be a whole number"),
    ({"alert_threshold": "9"}, "alert_threshold", "is a MOS from 1 to 4.5"),
    ({"num_tests": "0"}, "num_tests", "1 to 1,000 packets"),
    ({"num_tests": "many"}, "num_tests", "is no number"),
    ({"codec": "gsm-nonsense"}, "codec", "no figures for this codec"),
    ({"category": "register", "ip_address": ""}, "uri", "URI of the registrar"),
    ({"category": "register", "uri": "sip:pbx.example.com"}, "credentials", "name of a SIP account"),
    ({"category": "udp", "port": "70000"}, "port", "no port 70000"),
    ({"server_99": "on"}, "server_ids", "There is no server 99."),
]


async def test_what_is_wrong_is_told_at_its_field_and_nothing_is_lost(
    web: Web, services: Services, admin: Identity
) -> None:
    asked = {"name": "Lyon", "category": "ping", "ip_address": "127.0.0.1", "description": "kept as typed"}
    for fields, field, says in WRONG:
        answer = await web.fill("/monitoring/endpoints", **(asked | fields))
        assert answer.status_code == 422, fields
        page = html.unescape(answer.text)
        assert re.search(rf'id="h-{field}">.*?{re.escape(says)}', page, re.DOTALL), fields
        assert 'value="kept as typed"' in page
    assert await services.monitors.endpoints(admin) == []


async def test_what_a_category_does_not_use_is_not_sent(
    web: Web, services: Services, admin: Identity
) -> None:
    fields = {"name": "x", "category": "ping", "ip_address": "127.0.0.1", "port": "5060", "uri": "sip:a@b"}
    assert (await web.fill("/monitoring/endpoints", **fields, transport="tls")).status_code == 303
    (made,) = await services.monitors.endpoints(admin)
    assert (made.port, made.uri, made.transport) == (None, "", "udp")


async def test_a_server_that_the_form_cannot_show_goes_on_testing(
    web: Web, services: Services, admin: Identity
) -> None:
    fra = await a_server(services, "fra-1")
    lyon = await an_endpoint(services, admin, "Lyon", [fra])
    await services.stores.monitors.add_voip_test(first(lyon.id, 77, NOW))
    fields = {"name": "Lyon 2", "category": "ping", "ip_address": "127.0.0.1"}
    assert (await web.fill(f"/monitoring/endpoints/{lyon.id}", **fields)).status_code == 303
    tests = await services.monitors.voip_tests(admin, lyon.id)
    assert [one.server_id for one in tests if one.deleted_at is None] == [77]
    assert "server 77" in await text_of(web, f"/monitoring/endpoints/{lyon.id}")
    assert (await web.get("/monitoring/endpoints/99")).status_code == 404


async def test_the_page_draws_each_server_over_each_period(
    web: Web, services: Services, admin: Identity, clock: ManualClock
) -> None:
    fra, sin = await a_server(services, "fra-1", place="Frankfurt"), await a_server(services, "sin-1")
    lyon = await an_endpoint(services, admin, "Lyon", [fra, sin], alert_threshold=3.9)
    for minutes in range(30):
        await read(services, lyon, fra, ago=60 * minutes + 5)
        await read(services, lyon, sin, ago=60 * minutes + 5, mos=2.41, lost=2, loss_pct=6.4)
    for key in ("1h", "6h", "24h", "7d", "30d", "1y", "nonsense"):
        page = await text_of(web, f"/monitoring/endpoints/{lyon.id}?period={key}")
        assert page.count('class="smoke" id="s-') == 2, key
        assert re.search(r'class="med l3" d="M\d', page), key
        assert re.search(r"fra-1\. Round-trip time over the last [\w ]+; median 24 ms now", page), key
    page = await text_of(web, f"/monitoring/endpoints/{lyon.id}")
    assert "Lyon sounds Bad from 1 of 2 servers." in page
    assert page.index(f'id="s-{sin.number}"') < page.index(f'id="s-{fra.number}"'), "worst first"
    assert "MOS over the last hour; median 2.41 now" in await text_of(
        web, f"/monitoring/endpoints/{lyon.id}?period=1h&figure=mos"
    )


async def test_incidents_are_a_lane_and_a_list(web: Web, services: Services, admin: Identity) -> None:
    fra = await a_server(services, "fra-1")
    lyon = await an_endpoint(services, admin, "Lyon", [fra])
    await read(services, lyon, fra)
    for began, ended in ((NOW - 7_200, NOW - 3_600), (NOW - 600, None), (NOW - 9e6, NOW - 8.9e6)):
        await services.stores.alerts.add_incident(
            Incident(
                id=0,
                project_id=lyon.project_id,
                cause=Cause(CauseKind.SERVER, server=fra.number),
                started_at=began,
                ended_at=ended,
                acknowledged_at=None,
                acknowledged_by="",
                children=(Child(1, lyon.id, began, ended),),
                story=(),
            )
        )
    page = await text_of(web, f"/monitoring/endpoints/{lyon.id}?period=24h")
    assert "Incident 2 is open since 15 Jan 2027, 07:50:00 UTC." in page
    lane = page[page.index('class="inc"') : page.index('id="s-')]
    assert sorted(re.findall(r">(Incident \d)<", lane)) == ["Incident 1", "Incident 2"]
    assert "the server fra-1 finds bad all that it tests" in page
    assert page.count('class="span"') == 2


async def test_an_endpoint_that_nobody_reached_says_so(web: Web, services: Services, admin: Identity) -> None:
    fra = await a_server(services, "fra-1")
    lyon = await an_endpoint(services, admin, "Lyon", [fra])
    here = f"/monitoring/endpoints/{lyon.id}"
    assert "Lyon: no data from any of 1 server." in await text_of(web, here)
    await read(services, lyon, fra, state=SlotState.FAILED, mos=1.0, received=0, reason="Nothing answered.")
    assert "Lyon is not reached from 1 server: No answer." in await text_of(web, here)


async def test_many_servers_are_drawn_when_they_are_asked_for(
    web: Web, services: Services, admin: Identity
) -> None:
    servers = [await a_server(services, f"s-{n}") for n in range(10)]
    lyon = await an_endpoint(services, admin, "Lyon", servers)
    here = f"/monitoring/endpoints/{lyon.id}"
    page = await text_of(web, here)
    assert page.count('class="smoke" id="s-') == 8
    assert "Show all 10" in page
    assert (await text_of(web, f"{here}?all=1")).count('class="smoke" id="s-') == 10
