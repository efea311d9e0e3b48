"""The pages of alert rules and incidents: what they say, and what their forms do."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.app import create_app
from callwright.control.services import Services, Settings
from callwright.net.clock import ManualClock
from tests.control.test_alerts import Platform
from tests.control.test_web_pages import Web, signed_in


@pytest.fixture
async def platform(services: Services, admin: Identity, clock: ManualClock) -> AsyncIterator[Platform]:
    clock.advance(1_700_006_400 - clock.wall())
    key, secret = await services.keys.create("tests", await services.accounts.user(admin.user_id))
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://here/api/v3", auth=(key, secret)
    ) as client:
        yield Platform(services, client, clock)


@pytest.fixture
async def web(platform: Platform, services: Services, admin: Identity) -> AsyncIterator[Web]:
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://here") as client:
        await signed_in(services, client, admin.user_id)
        yield client


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def read(web: Web, path: str) -> str:
    answer = await web.get(path)
    assert answer.status_code == 200, answer.text
    return words(answer.text)


async def test_the_list_says_which_rule_fires_and_where(web: Web, platform: Platform) -> None:
    assert "No alert rule is set up yet." in await read(web, "/monitoring/alerts")
    await platform.set_up(2, 2)
    await platform.minutes(1, "..", "..")
    assert "The one rule does not fire." in await read(web, "/monitoring/alerts")
    await platform.minutes(6, "x.", "x.")
    page = await read(web, "/monitoring/alerts")
    assert "1 of 1 rules fires: It sounds bad." in page
    assert "at e0" in page
    assert "mos < 3.9 for 2m" in page
    assert "incident 1" in page


async def test_a_rule_is_made_previewed_changed_and_deleted(web: Web, platform: Platform) -> None:
    alert = await platform.set_up(1, 2)
    await platform.minutes(60, "..")
    await platform.minutes(9, "x.")
    await platform.minutes(30, "..")
    project = re.search(r'name="project" value="(\d+)"', (await web.get("/monitoring/alerts/new")).text)
    assert project is not None
    form = {"project": project[1], "name": "Trunk is bad", "condition": "mos < 3.9 for 3m"}
    first, second = (f"endpoint_{one}" for one in platform.endpoints)
    preview = await web.fill("/monitoring/alerts/preview", **form, **{first: "on", second: "on"})
    page = words(preview.text)
    assert "This rule would have fired once last week." in page
    assert "lowest 2, on 1 server" in page
    assert "3.9, as set once" in page
    assert 'class="curve" d="M' in preview.text
    quiet = await web.fill("/monitoring/alerts/preview", **form, **{second: "on"})
    assert "would not have fired last week" in words(quiet.text)
    assert (await platform.get("/alerts"))["metadata"] == {"count": 1}

    made = await web.fill("/monitoring/alerts", **form, reminder="30", **{first: "on"})
    assert made.status_code == 303
    number = int(made.headers["location"].rpartition("/")[2].partition("?")[0])
    shown = await platform.get(f"/alerts/{number}")
    assert (shown["name"], shown["reminder"]) == ("Trunk is bad", 1800.0)
    assert (await platform.get(f"/endpoints/{platform.endpoints[0]}"))["alert_ids"] == [alert, number]

    await web.fill(f"/monitoring/alerts/{number}", **form | {"condition": "loss > 2 %"}, **{second: "on"})
    assert (await platform.get(f"/alerts/{number}"))["condition"] == "loss > 2 %"
    assert (await platform.get(f"/endpoints/{platform.endpoints[0]}"))["alert_ids"] == [alert]
    assert (await web.fill(f"/monitoring/alerts/{number}/cancel")).status_code == 303
    assert "Deleted rules (1)" in await read(web, "/monitoring/alerts")
    await web.fill(f"/monitoring/alerts/{number}/recover")
    assert (await platform.get(f"/alerts/{number}"))["deleted_at"] is None


async def test_an_error_in_a_condition_is_shown_at_its_column(web: Web, platform: Platform) -> None:
    await platform.set_up(1, 1)
    form = {"project": "1", "name": "x", "condition": "mos below 3.9"}
    for path, status in (("/monitoring/alerts/preview", 200), ("/monitoring/alerts", 422)):
        answer = await web.fill(path, **form)
        assert answer.status_code == status
        pointed = html.unescape(re.sub(r"<[^>]+>", "", answer.text))
        assert "mos below 3.9\n    ^ 'below' is not <, <=, > or >=." in pointed, path
    assert 'value="mos below 3.9"' in answer.text, "what was typed is kept"
    nothing = await web.fill("/monitoring/alerts/preview", **form | {"condition": "mos < 3.9"})
    assert "Choose endpoints" in words(nothing.text)


async def test_a_rule_is_snoozed_and_has_maintenance_windows(web: Web, platform: Platform) -> None:
    alert = await platform.set_up(1, 1)
    path = f"/monitoring/alerts/{alert}"
    assert (await web.fill(f"{path}/snooze", hours="4")).status_code == 303
    assert "Snoozed until" in await read(web, path)
    assert (await platform.get(f"/alerts/{alert}"))["state"] == "snoozed"
    await web.fill(f"{path}/snooze")
    assert (await platform.get(f"/alerts/{alert}"))["snoozed_until"] is None

    weekly = {
        "kind": "weekly",
        "day_sat": "on",
        "start": "02:00",
        "end": "04:00",
        "time_zone": "Europe/Vienna",
    }
    assert (await web.fill(f"{path}/windows", **weekly)).status_code == 303
    once = {"kind": "once", "from": "2023-11-15T10:00", "to": "2023-11-15T12:00"}
    assert (await web.fill(f"{path}/windows", **once)).status_code == 303
    assert len((await platform.get(f"/alerts/{alert}"))["maintenance"]) == 2
    page = await read(web, "/monitoring/alerts")
    assert "Sat, 02:00 to 04:00, Europe/Vienna" in page
    wrong = await web.fill(f"{path}/windows", **once | {"to": "2023-11-15T09:00"})
    assert (wrong.status_code, "ends after it begins" in wrong.text) == (422, True)
    nowhere = await web.fill(f"{path}/windows", **weekly | {"time_zone": "Mars"})
    assert nowhere.status_code == 422
    stale = await web.fill(f"{path}/windows/0/remove", says="something else")
    assert stale.status_code == 404
    await web.fill(f"{path}/windows/0/remove", says="Sat, 02:00 to 04:00, Europe/Vienna")
    assert [one.keys() for one in (await platform.get(f"/alerts/{alert}"))["maintenance"]] == [{"from", "to"}]


async def test_an_incident_is_a_story_with_its_proof(web: Web, platform: Platform) -> None:
    assert "There has been no incident" in await read(web, "/monitoring/incidents")
    await platform.set_up(2, 2)
    await platform.minutes(3, "..", "..")
    await platform.minutes(6, "xx", "..")
    page = await read(web, "/monitoring/incidents")
    assert "s0 finds all bad that it tests, and other servers do not" in page
    page = await read(web, "/monitoring/incidents/1")
    assert "not acknowledged" in page
    assert "As seen now Read across: one row explains all." in page
    assert "It sounds bad. e0, from s0." in page
    assert "It sounds bad, for the same cause. e1, from s0." in page
    assert (await web.fill("/monitoring/incidents/1/acknowledge")).status_code == 303
    assert "acknowledged by ana" in await read(web, "/monitoring/incidents/1")
    await platform.minutes(6, "..", "..")
    page = await read(web, "/monitoring/incidents/1")
    assert "s0 found all bad that it tests" in page
    assert "The incident ended. It lasted" in page
    assert (await web.get("/monitoring/incidents/4711")).status_code == 404


async def test_a_form_of_another_site_and_a_stranger_are_refused(
    web: Web, platform: Platform, services: Services
) -> None:
    alert = await platform.set_up(1, 1)
    await platform.minutes(1, ".")
    page = (await web.get(f"/monitoring/alerts/{alert}")).text
    assert "Save the rule" in page
    forged = await web.post(f"/monitoring/alerts/{alert}/snooze", data={"hours": "1"})
    assert forged.status_code == 403
    web.cookies.clear()
    assert (await web.get("/monitoring/alerts")).status_code == 401
