"""Monitoring as a person meets it: the form of an endpoint, and a matrix that renews itself in place."""

from __future__ import annotations

from typing import Any

import httpx
from playwright.sync_api import expect

from tests.browser.conftest import SIZES, Visits
from tests.browser.looks import faults
from tests.kit.served import Served

# As the page does by itself every 15 s.
_RENEW = """() => htmx.ajax("GET", location.pathname,
  {source: ".matrixwrap", target: "#matrix", select: "#matrix", swap: "outerHTML"})"""


def test_an_endpoint_is_added_and_the_matrix_takes_it_without_moving_a_row(
    visits: Visits, platform: Served
) -> None:
    visit = visits.open()
    page = visit.page
    visit.go("/monitoring/endpoints/new")
    page.locator("[name=category][value=sip]").check()
    expect(page.locator("#f-uri")).to_be_visible()
    page.locator("[name=category][value=udp]").check()
    expect(page.locator("#f-uri")).to_be_hidden()
    page.locator("#f-name").fill("Middle")
    page.locator("#f-ip_address").fill("127.0.0.1")
    page.locator("#f-interval").fill("86400")
    assert faults(page) == []
    page.click("text=Add the endpoint")
    expect(page.locator("h1")).to_contain_text("Middle")
    assert faults(page) == []
    visit.go("/monitoring")
    rows = page.locator("table.matrix tbody th a")
    expect(rows).to_have_text(["Middle"])
    servers = httpx.get(f"{platform.url}/api/v3/servers", auth=platform.auth).json()["collection"]
    made: dict[str, Any] = {"name": "Above", "category": "udp", "ip_address": "127.0.0.1"}
    made |= {"interval": 86_400, "server_ids": [servers[0]["id"]]}
    answer = httpx.post(f"{platform.url}/api/v3/endpoints", json=made, auth=platform.auth)
    assert answer.status_code == 201, answer.text
    page.evaluate(_RENEW)
    expect(rows).to_have_text(["Middle", "Above"])
    page.reload()
    expect(rows).to_have_text(["Above", "Middle"])
    page.set_viewport_size({"width": SIZES["narrow"][0], "height": SIZES["narrow"][1]})
    assert faults(page) == []
    visit.shot("matrix", width=SIZES["narrow"][0])
