"""Status pages and badges: what strangers see, and what they do not."""

from __future__ import annotations

import re

import httpx
import pytest

from callwright.control.app import create_app
from callwright.control.monitors.standing import Standing
from callwright.control.services import Services, Settings
from callwright.control.web.badge import badge
from tests.control.test_alerts import Platform
from tests.control.test_web_alerts import platform, web, words  # noqa: F401
from tests.control.test_web_pages import Web


async def published(web: Web, platform: Platform, **more: str) -> str:  # noqa: F811
    """The path of the link of a page that shows the first endpoint."""
    asked = await web.fill(
        "/monitoring/status", name="Trunks", **{f"endpoint_{platform.endpoints[0]}": "on"}, **more
    )
    assert asked.status_code == 303, asked.text
    return await link(web)


async def link(web: Web) -> str:  # noqa: F811
    found = re.findall(
        r"http://here(/status/[0-9]+-[0-9a-f]{32})\"", (await web.get("/monitoring/status")).text
    )
    return str(found[-1])


@pytest.fixture
async def stranger(services: Services) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(
        app=create_app(services, Settings(rate_limit=0)), client=("198.51.100.9", 1)
    )
    return httpx.AsyncClient(transport=transport, base_url="http://here")


async def test_a_stranger_with_the_link_sees_how_it_is_and_nothing_else(
    web: Web,  # noqa: F811
    platform: Platform,  # noqa: F811
    stranger: httpx.AsyncClient,
) -> None:
    await platform.set_up(2, 2)
    path = await published(web, platform)
    page = await stranger.get(path)
    assert page.status_code == 200
    assert "No data of e0." in words(page.text)
    await platform.minutes(3, "..", "..")
    platform.clock.advance(20)
    text = (await stranger.get(path)).text
    assert "All is well." in words(text)
    assert "100 % of tests answered" in words(text)
    for secret in ("10.0.0.1", "s0", "e1", "It sounds bad", "ana", "Sign out"):
        assert secret not in words(text), secret
    await platform.minutes(6, "x.", "x.")
    text = words((await stranger.get(path)).text)
    assert "e0 is not well." in text
    assert "since 15 Nov 2023" in text


async def test_addresses_are_shown_only_where_somebody_said_so(
    web: Web,  # noqa: F811
    platform: Platform,  # noqa: F811
    stranger: httpx.AsyncClient,
) -> None:
    await platform.set_up(1, 1)
    path = await published(web, platform, addresses="on")
    assert "10.0.0.1" in (await stranger.get(path)).text


async def test_a_renewed_a_deleted_and_a_guessed_link_open_nothing(
    web: Web,  # noqa: F811
    platform: Platform,  # noqa: F811
    stranger: httpx.AsyncClient,
) -> None:
    await platform.set_up(1, 1)
    old = await published(web, platform)
    await web.fill("/monitoring/status/1/renew")
    new = await link(web)
    assert new != old
    for path in (old, old[:-1] + ("0" if old[-1] != "0" else "1"), "/status/1", "/status/4711-" + "0" * 32):
        answer = await stranger.get(path)
        assert (answer.status_code, "There is no such page" in answer.text) == (404, True), path
        assert (await stranger.get(f"{path}/badge.svg")).status_code == 404
    assert (await stranger.get(new)).status_code == 200
    await web.fill("/monitoring/status/1/delete")
    assert (await stranger.get(new)).status_code == 404


async def test_badges_say_good_bad_or_no_data_and_may_be_kept_for_a_while(
    web: Web,  # noqa: F811
    platform: Platform,  # noqa: F811
    stranger: httpx.AsyncClient,
) -> None:
    await platform.set_up(1, 1)
    path = await published(web, platform)
    first = await stranger.get(f"{path}/badge.svg")
    assert first.headers["content-type"].startswith("image/svg+xml")
    assert first.headers["cache-control"] == "public, max-age=30"
    assert "<title>Trunks: no data</title>" in first.text
    again = await stranger.get(f"{path}/badge.svg", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    await platform.minutes(1, ".")
    platform.clock.advance(20)
    one = await stranger.get(f"{path}/{platform.endpoints[0]}/badge.svg")
    assert "<title>e0: good, MOS 4.4</title>" in one.text
    assert (await stranger.get(f"{path}/4711/badge.svg")).status_code == 404
    await platform.minutes(1, "x")
    platform.clock.advance(20)
    assert "<title>Trunks: bad</title>" in (await stranger.get(f"{path}/badge.svg")).text


def test_a_badge_is_xml_whatever_the_name_is() -> None:
    from xml.etree import ElementTree

    text = badge('<script>"&' + "x" * 100, "good", Standing.GOOD)
    root = ElementTree.fromstring(text)
    assert root.attrib["aria-label"].startswith('<script>"&xxx')
    assert "script" not in {child.tag for child in root.iter()}


async def test_a_page_needs_a_name_and_endpoints_of_its_project(
    web: Web,  # noqa: F811
    platform: Platform,  # noqa: F811
) -> None:
    await platform.set_up(1, 1)
    first = f"endpoint_{platform.endpoints[0]}"
    for fields, told in (
        ({"name": "", first: "on"}, "has a name"),
        ({"name": "x"}, "Choose endpoints"),
        ({"name": "x", "endpoint_4711": "on"}, "Choose endpoints"),
    ):
        answer = await web.fill("/monitoring/status", **fields)
        assert (answer.status_code, told in answer.text) == (422, True)
    await published(web, platform)
    changed = await web.fill("/monitoring/status/1", name="Carrier", **{first: "on"})
    assert changed.status_code == 303
    assert "Carrier" in (await web.get("/monitoring/status")).text
    assert (await web.fill("/monitoring/status/1/explode")).status_code == 404
