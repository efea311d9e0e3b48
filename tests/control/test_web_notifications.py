"""The page Notifications: channels, and what became of their messages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from callwright.control.accounts.model import Identity
from callwright.control.app import create_app
from callwright.control.notifications.model import State
from callwright.control.services import Services, Settings
from callwright.control.web.visitor import COOKIE, csrf_of


@pytest.fixture
async def page(services: Services, admin: Identity) -> AsyncIterator[httpx.AsyncClient]:
    await services.projects.create(admin, "office")
    token, _ = await services.keys.create_token(admin, "page")
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    headers = {"X-CSRF-Token": csrf_of(token)}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://here", cookies={COOKIE: token}, headers=headers
    ) as client:
        yield client


async def test_a_channel_is_added_tried_paused_and_removed_on_the_page(
    page: httpx.AsyncClient, services: Services
) -> None:
    empty = (await page.get("/notifications")).text
    assert "No channel yet" in empty
    form = {"name": "ops", "kind": "webhook", "url": "https://hooks.example.com/x", "project": "office"}
    refused = await page.post("/notifications", data=form)
    assert refused.status_code == 422
    assert "hears of one event at least" in refused.text
    made = await page.post("/notifications", data={**form, "event.run.failed": "1"})
    assert made.status_code == 200
    assert "whsec_" in made.text
    assert "whsec_" not in (await page.get("/notifications")).text
    assert (await page.post("/notifications/1/test")).headers["location"] == "/notifications?did=tried"
    assert "not tried yet" in (await page.get("/notifications?state=waiting")).text
    store = services.stores.notifications
    (message,) = await store.messages([1])
    given_up = msgspec.structs.replace(
        message, state=State.GIVEN_UP, attempts=5, tried_at=message.at, reason="The receiver answered <400>."
    )
    assert await store.settle(message, given_up)
    shown = (await page.get("/notifications?channel=1&state=given+up")).text
    assert "The receiver answered &lt;400&gt;." in shown
    again = await page.post("/notifications/1/again", data={"message": str(message.id)})
    assert again.headers["location"] == "/notifications?did=resent"
    await page.post("/notifications/1/pause")
    assert "Paused" in (await page.get("/notifications")).text
    assert (await page.post("/notifications/1/test")).status_code == 422
    assert (await page.post("/notifications/1/delete")).status_code == 303
    assert "No channel yet" in (await page.get("/notifications")).text
