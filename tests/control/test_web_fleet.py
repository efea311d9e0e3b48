"""The page of the fleet: its sentences and charts, and what its forms do."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity, Role, User
from callwright.control.agents.model import AgentInfo
from callwright.control.app import create_app
from callwright.control.servers.model import Decided, Sample
from callwright.control.services import Services, Settings
from callwright.control.web import fleet_figures as figures
from callwright.fleet.plan import Bound, Cause, Decision
from callwright.fleet.pool import Pool
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import Event, State
from callwright.net.clock import ManualClock
from tests.control.test_web_pages import Web, signed_in

NOW = 1_800_000_000.0


def sample(minutes_ago: float, **more: Any) -> Sample:
    facts: dict[str, Any] = {"servers": 1, "running": 1, "coming": 0, "errored": 0, "places": 16, "busy": 5}
    facts |= {"waiting": 0, "waited": None, "cost": None} | more
    at = (NOW - minutes_ago * 60.0) // 60.0 * 60.0
    return Sample("eu", at, **facts)


def server(name: str, state: State, **more: Any) -> ServerRecord:
    facts: dict[str, Any] = {"created": NOW - 200, "updated": NOW, "since": NOW - 60, "capacity": 16} | more
    return ServerRecord(number=1, name=name, label=name, provider="process", pool="eu", state=state, **facts)


def view(*servers: ServerRecord, pool: Pool | None = None, waiting: int = 0, **more: Any) -> figures.PoolView:
    facts: dict[str, Any] = {"samples": (), "decided": (), "paused": False} | more
    return figures.pool_view(
        pool or Pool("eu", capacity=16, maximum=4),
        servers,
        {},
        facts["samples"],
        facts["decided"],
        waiting=waiting,
        waits_since=NOW - 90 if waiting else None,
        paused=facts["paused"],
        now=NOW,
    )


RUNNING, COMING = server("a", State.RUNNING), server("b", State.STAGING)
HELD = (Decided("eu", NOW, Decision("eu", Cause.WAITING, bound=Bound.MAXIMUM, short=1)),)


@pytest.mark.parametrize(
    ("servers", "more", "says"),
    [
        ((), {}, "eu: no server runs, and none is needed."),
        ((RUNNING,), {}, "eu: 1 server runs, and no call waits."),
        ((RUNNING, COMING), {"waiting": 37}, "eu: 1 server runs and 1 starts, because 37 calls wait."),
        ((COMING,), {}, "eu: 1 server starts."),
        (
            (RUNNING,),
            {"waiting": 1, "decided": HELD},
            "eu: 1 call waits, and no server starts: the pool's maximum is 4.",
        ),
        ((), {"waiting": 2, "paused": True}, "eu: 2 calls wait, and no server starts: the fleet is paused."),
        ((server("c", State.ERROR),), {}, "eu: 1 server in error, and none runs."),
    ],
)
def test_a_pool_says_in_one_sentence_how_it_stands(
    servers: tuple[ServerRecord, ...], more: dict[str, Any], says: str
) -> None:
    assert view(*servers, **more).says == says


def test_the_headline_is_computed_from_servers_and_calls_and_an_error_comes_second() -> None:
    ill = view(RUNNING, server("c", State.ERROR, error="out of stock"))
    board = figures.board([ill], [], (), paused=False, now=NOW)
    assert board.headline == "No call waits: 1 server runs."
    assert board.lead.startswith("1 server in eu is in error; the platform replaces it")
    busy = view(RUNNING, COMING, waiting=37)
    board = figures.board([busy], [], (), paused=False, now=NOW)
    assert board.headline == "1 server runs, and 1 more starts for 37 waiting calls."
    stuck = view(RUNNING, waiting=37, decided=HELD)
    board = figures.board([stuck], [], (), paused=False, now=NOW)
    assert board.headline == "37 calls wait and no server starts: the pool's maximum is 4."
    assert figures.board([], [], (), paused=True, now=NOW).lead.startswith("The fleet is paused")


def test_what_is_not_known_is_not_told_as_a_figure() -> None:
    nothing = view(RUNNING)
    assert (nothing.start, nothing.cost, nothing.chart) == ("–", "–", None)
    priced = view(RUNNING, samples=[sample(3, cost=0.6), sample(2, cost=0.6), sample(1, cost=0.6)])
    assert priced.cost == "0.03"
    started = view(server("a", State.RUNNING, created=NOW - 900, started=NOW - 780))
    assert (started.start, started.start_note) == ("2 min", "95 %: 2 min · 1 start, none in error now")


def test_the_chart_has_a_step_a_minute_and_hatches_what_was_not_counted() -> None:
    pool = Pool("eu", capacity=16, minimum=1, maximum=4, buffer=4)
    samples = [sample(60), sample(59, waiting=20), *(sample(m, places=32) for m in range(20, 0, -1))]
    chart = view(RUNNING, pool=pool, samples=samples).chart
    assert chart is not None
    assert chart.capacity.count("M") == 2, "a gap of 38 minutes is no line"
    assert chart.demand.count("Z") == chart.buffer.count("Z") == 2
    assert chart.waiting
    assert len(chart.gaps) == 2
    assert chart.gaps[1][1] == pytest.approx(39 / 120 * 1000, abs=10)
    assert [words for _, words in chart.marks] == ["at most 4 servers", "at least 1 server"]
    assert "32 places now, at most 32; 5 calls now, at most 25" in chart.says
    for number in re.findall(r"-?[\d.]+", chart.capacity + chart.demand):
        assert 0 <= float(number) <= 1000


def test_the_day_has_servers_cost_and_waiting_as_lines() -> None:
    samples = [sample(m, cost=0.5, waited=4.0 if m == 2 else None) for m in range(30, 0, -1)]
    lines = figures.board([], [], samples, paused=False, now=NOW).lines
    assert [line.name for line in lines] == ["Servers that run", "Cost per hour", "Longest wait for a place"]
    assert lines[1].says == "Now 0.50, median 0.50, at most 0.50."
    assert lines[2].says == "Now 0 s, median 0 s, at most 4 s."
    without = figures.board([], [], [sample(2), sample(1)], paused=False, now=NOW).lines
    assert "Cost per hour" not in [line.name for line in without]


# -- the page itself


@pytest.fixture
async def web(services: Services, admin: Identity) -> AsyncIterator[Web]:
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://here") as client:
        await signed_in(services, client, admin.user_id)
        yield client


async def text_of(web: Web) -> str:
    answer = await web.get("/fleet")
    assert answer.status_code == 200
    return html.unescape(answer.text)


async def test_a_pool_is_made_changed_and_removed_on_the_page(web: Web, services: Services) -> None:
    assert "No pool makes servers" in await text_of(web)
    made = await web.fill("/fleet/pools", name="eu", minimum="1", maximum="4", capacity="16", region="")
    assert made.status_code == 303
    assert "eu: no server runs, and none is needed." in await text_of(web)
    twice = await web.fill("/fleet/pools", name="eu")
    assert (twice.status_code, "There is a pool eu already" in twice.text) == (409, True)
    wrong = await web.fill("/fleet/pools/eu", minimum="9", prices="s=0.5")
    assert wrong.status_code == 422
    assert "minimum 9 is above maximum 4" in wrong.text
    assert 'value="9"' in wrong.text, "what was typed is kept"
    await web.fill("/fleet/pools/eu", minimum="2", prices="s=0.5\nm=1", max_created_per_hour="")
    pool = await services.servers.pool("eu")
    assert (pool.minimum, pool.maximum, dict(pool.prices)) == (2, 4, {"s": 0.5, "m": 1.0})
    assert pool.max_created_per_hour is None
    assert (await web.fill("/fleet/pools/eu/remove")).status_code == 303
    assert "No pool makes servers" in await text_of(web)


async def test_a_server_is_started_drained_and_destroyed_on_the_page(web: Web, services: Services) -> None:
    await web.fill("/fleet/pools", name="eu", maximum="2")
    for _ in range(2):
        assert (await web.fill("/fleet/pools/eu/start")).status_code == 303
    full = await web.fill("/fleet/pools/eu/start")
    assert (full.status_code, "at most 2 servers" in full.text) == (409, True)
    first, second = await services.servers.listed()
    await web.fill(f"/fleet/servers/{first.name}/drain")
    assert (await services.servers.get(first.name)).state is State.SHUTDOWN
    assert "Finishing" in await text_of(web)
    assert await services.servers.move(second, Event.FAIL, error="SSH was refused for 10 minutes")
    page = await text_of(web)
    assert "SSH was refused for 10 minutes. The platform destroys what is left of it" in page
    assert "Destroy a server by hand" in page
    untyped = await web.fill(f"/fleet/servers/{second.name}/destroy", name="")
    assert untyped.status_code == 422
    assert (await web.fill(f"/fleet/servers/{second.name}/destroy", name=second.name)).status_code == 303
    assert second.name not in await text_of(web)
    busy = await web.fill(f"/fleet/servers/{first.name}/destroy", name=first.name)
    assert busy.status_code == 409


async def test_the_page_tells_the_reasons_and_the_pause(
    web: Web, services: Services, clock: ManualClock
) -> None:
    await web.fill("/fleet/pools", name="eu", maximum="4")
    await services.history.note(Decision("eu", Cause.WAITING, create=2, waiting=37, free=20, buffer=10))
    assert "Started 2: 37 calls waiting, 20 places free, buffer 10." in await text_of(web)
    assert (await web.fill("/fleet/pause")).status_code == 303
    assert "The fleet is paused" in await text_of(web)
    assert await services.servers.paused()
    await web.fill("/fleet/resume")
    assert not await services.servers.paused()
    assert (await web.fill("/fleet/explode")).status_code == 422


async def test_servers_that_were_enrolled_by_hand_stand_apart(web: Web, services: Services) -> None:
    embedded, _ = await services.agents.ensure_embedded("embedded", AgentInfo())
    await services.agents.heartbeat(embedded.id, AgentInfo(capacity=50))
    await services.servers.adopt(embedded, embedded=True)
    page = await text_of(web)
    assert "Enrolled by hand: it is alive, and the planner leaves it alone." in page
    assert "1 server runs, and no pool makes servers by itself." in page


async def test_who_may_only_read_has_no_buttons_and_sees_no_pool_of_others(
    web: Web, services: Services, admin: Identity
) -> None:
    office = await services.projects.create(admin, "office")
    await services.agents.create_pool(admin, "theirs", office)
    for name in ("theirs", "eu"):
        await web.fill("/fleet/pools", name=name, maximum="1")
    row = User(0, "vic", "Vic", "", Role.VIEWER, "Normal", "UTC", 0.0, None, None)
    vic = await services.stores.accounts.add_user(row, "")
    await signed_in(services, web, vic.id)
    page = await text_of(web)
    assert "eu: no server runs" in page
    assert "theirs" not in page
    assert "Add pool" not in page
    for path in ("/fleet/pools", "/fleet/pools/eu/start", "/fleet/pause"):
        assert (await web.fill(path, name="x")).status_code == 403
