"""The matrix: its cells, its sentences, and the page with its filters."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from callwright.control.accounts.model import Identity, Role, User
from callwright.control.app import create_app
from callwright.control.monitors.model import Category, Endpoint, Figures, Latest, SlotState
from callwright.control.monitors.newest import Newest, newest
from callwright.control.services import Services, Settings
from callwright.control.web import matrix
from callwright.control.web.matrix import Column, Figure, Wanted
from callwright.net.clock import ManualClock
from tests.control.monitored import a_server, an_endpoint, read
from tests.control.test_web_pages import Web, signed_in

NOW = 1_800_000_000.0
FRA, SIN = Column(1, "fra-1", "Frankfurt"), Column(2, "sin-1", "Singapore")


def latest(endpoint: int = 1, server: int = 1, **more: Any) -> Latest:
    facts: dict[str, Any] = {"slot": int(NOW) - 10, "state": "done", "reason": "", "verdict": "passed"}
    facts |= {name: more.pop(name) for name in list(more) if name in facts}
    return Latest(
        voip_test_id=1,
        endpoint_id=endpoint,
        server_id=server,
        interval=60,
        updated_at=NOW - 10,
        figures=Figures(**more),
        **facts,
    )


def endpoint(number: int, name: str, **more: Any) -> Endpoint:
    facts: dict[str, Any] = {"category": Category.PING, "project_id": 1, "deleted_at": None, "uri": ""} | more
    return Endpoint(
        id=number,
        name=name,
        ip_address=f"10.0.0.{number}",
        port=None,
        description="",
        interval=60,
        alert_threshold=None,
        alert_ids=(),
        credentials="",
        transport="udp",
        created_at=0.0,
        **facts,
    )


def board(*cells: Latest, names: int = 2, **wanted: Any) -> matrix.Board:
    endpoints = [endpoint(number, f"e{number}") for number in range(1, names + 1)]
    return matrix.board(endpoints, cells, {1: FRA, 2: SIN}, Wanted(**wanted), NOW)


GOOD: dict[str, Any] = {"mos": 4.41, "loss_pct": 0.0, "rtt_ms": 24.0}
POOR: dict[str, Any] = {"mos": 3.38, "loss_pct": 3.1, "rtt_ms": 32.0}


@pytest.mark.parametrize(
    ("facts", "stands"),
    [
        ({}, Newest.MEASURED),
        ({"state": "failed"}, Newest.FAILED),
        ({"slot": None}, Newest.NEW),
        ({"state": "missed"}, Newest.MISSED),
        ({"state": "unknown"}, Newest.UNKNOWN),
        ({"state": "made up"}, Newest.UNKNOWN),
        ({"verdict": "invalid"}, Newest.INVALID),
        ({"slot": int(NOW) - 151}, Newest.STALE),
        ({"slot": int(NOW) - 149}, Newest.MEASURED),
    ],
)
def test_a_cell_stands_as_its_newest_slot_until_two_slots_are_late(
    facts: dict[str, Any], stands: Newest
) -> None:
    assert newest(latest(**facts), NOW) is stands


def test_a_cell_has_the_band_its_word_and_the_figure_that_explains_it() -> None:
    cell = matrix.cell_of(latest(**POOR), NOW, FRA)
    assert (cell.look, cell.figure, cell.word, cell.detail) == ("poor", "3.38", "Poor", "3.1 % loss")
    assert cell.bad
    assert "MOS 3.38, 3.1 % loss, 32 ms round trip" in cell.says
    calm = matrix.cell_of(latest(**GOOD), NOW, FRA)
    assert (calm.look, calm.figure, calm.detail, calm.calm) == ("excellent", "4.41", "", True)
    assert calm.says == ""
    assert matrix.cell_of(latest(mos=3.9, jitter_ms=41.0), NOW, FRA).detail == "41 ms jitter"
    assert matrix.cell_of(latest(mos=3.9, rtt_ms=210.0), NOW, FRA).detail == "210 ms delay"
    shown = [matrix.cell_of(latest(**POOR), NOW, FRA, figure).figure for figure in Figure]
    assert shown == ["3.38", "3.1 %", "32 ms"]


def test_what_was_refused_says_how_and_what_has_no_mos_works_without_a_band() -> None:
    refused = matrix.cell_of(latest(state="failed", sip_code=403, sip_reason="Forbidden", mos=1.0), NOW, FRA)
    assert (refused.look, refused.figure, refused.rank) == ("bad", "403 Forbidden", 0.0)
    silent = matrix.cell_of(latest(state="failed", reason="Nothing answered within 2 s."), NOW, FRA)
    assert (silent.figure, silent.says[:28]) == ("No answer", "Nothing answered within 2 s.")
    works = matrix.cell_of(latest(setup_ms=38.0), NOW, FRA)
    assert (works.look, works.figure, works.word, works.band) == ("works", "38 ms", "Works", "")
    assert works.calm
    expired = matrix.cell_of(latest(setup_ms=38.0, verdict="failed", reason="It expires."), NOW, FRA)
    assert (expired.look, expired.bad) == ("bad", True)


def test_no_data_is_grey_and_says_why() -> None:
    lost = Column(1, "fra-1", "lost 03:39", lost=True, heard=NOW - 540)

    def says(column: Column | None = FRA, **facts: Any) -> tuple[str, str, str]:
        cell = matrix.cell_of(latest(**facts), NOW, column)
        assert not cell.known
        return cell.look, cell.detail, cell.says

    old: dict[str, Any] = {"slot": int(NOW) - 540}
    assert says(lost, **old)[:2] == ("nodata", "9 min")
    assert "The server was last heard" in says(lost, **old)[2]
    assert "though the server is alive" in says(**old)[2]
    assert says(None, **old)[2].startswith("The server is gone.")
    assert says(slot=None)[1:] == (
        "not tested yet",
        "No slot has ended yet. It was measured last 15 Jan 2027, 07:59:50 UTC.",
    )
    assert "missed: cut off." in says(state="missed", reason="cut off")[2]
    assert "spoilt its own measurement: late by 40 ms." in says(verdict="invalid", reason="late by 40 ms.")[2]


def test_one_cause_is_told_once_and_its_column_is_marked() -> None:
    found = board(latest(1, 1, **GOOD), latest(1, 2, **POOR), latest(2, 1, **GOOD), latest(2, 2, **POOR))
    assert found.headline == (
        "One cause explains all 2 cells that are not well: the server sin-1, which finds everything bad."
    )
    assert found.implicated == 2
    found = board(latest(1, 1, **POOR), latest(1, 2, **POOR), latest(2, 1, **GOOD), latest(2, 2, **GOOD))
    assert found.headline.endswith("not well: e1, which no server finds well.")
    assert found.implicated is None


@pytest.mark.parametrize(
    ("cells", "headline"),
    [
        ([], "No server tests an endpoint yet."),
        ([latest(1, 1, slot=None)], "No data: none of 1 cell was measured."),
        ([latest(1, 1, **GOOD)], "Every endpoint is well: 1 cell of 2 endpoints."),
        (
            [latest(1, 1, **GOOD), latest(1, 2, slot=None)],
            "All that was measured is well: 1 cell of 2 endpoints.",
        ),
        ([latest(1, 1, **GOOD), latest(1, 2, **POOR)], "One cell of 2 is not well: e1 from sin-1."),
    ],
)
def test_the_headline_says_what_is_true_now(cells: list[Latest], headline: str) -> None:
    assert board(*cells).headline == headline


def test_without_one_cause_the_server_from_which_most_is_bad_is_named() -> None:
    cells = [latest(n, 2, **(GOOD if n == 4 else POOR)) for n in range(1, 5)]
    found = board(*cells, *(latest(n, 1, **GOOD) for n in range(1, 5)), names=4)
    assert found.headline == "3 of 8 cells are not well, 3 of them seen from sin-1."


def test_rows_are_worst_first_or_by_name_and_small_screens_are_told_what_is_left_out() -> None:
    cells = (latest(1, 1, **GOOD), latest(2, 1, **GOOD), latest(2, 2, **POOR))
    assert [line.endpoint.name for line in board(*cells).lines] == ["e2", "e1"]
    assert [line.endpoint.name for line in board(*cells, by_name=True).lines] == ["e1", "e2"]
    assert [line.rest for line in board(*cells).lines] == ["Well from 1 other server", "Well from 1 server"]
    assert board(names=1).lines[0].rest == "No server tests it"


def test_filters_leave_out_rows_and_columns() -> None:
    cells = (latest(1, 1, **GOOD), latest(2, 1, **GOOD), latest(2, 2, **POOR))

    def names(**wanted: Any) -> list[str]:
        return [line.endpoint.name for line in board(*cells, **wanted).lines]

    assert names(text="0.0.1") == ["e1"]
    assert names(text="E2") == ["e2"]
    assert names(band="Poor") == ["e2"]
    assert names(band="No data") == []
    assert names(category="sip") == []
    assert names(project=2) == []
    assert names(server=2) == ["e2"]
    assert [column.name for column in board(*cells, server=2).columns] == ["sin-1"]


def test_a_long_list_has_pages() -> None:
    found = board(names=450, by_name=True)
    assert (len(found.lines), found.fits, found.pages) == (200, 450, 3)
    assert len(board(names=450, page=3).lines) == len(board(names=450, page=99).lines) == 50


def test_the_name_of_an_endpoint_is_the_place_that_people_know() -> None:
    call = endpoint(1, "desk", category=Category.CALL, uri="sip:4199@pbx.example.com")
    assert matrix.place(call) == "4199@pbx.example.com, call"
    assert matrix.place(endpoint(1, "x")) == "10.0.0.1, ping"


# -- the page itself


@pytest.fixture
async def web(services: Services, admin: Identity, clock: ManualClock) -> AsyncIterator[Web]:
    clock.advance(NOW - clock.wall())
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://here") as client:
        await signed_in(services, client, admin.user_id)
        yield client


async def text_of(web: Web, path: str) -> str:
    answer = await web.get(path)
    assert answer.status_code == 200, path
    return html.unescape(answer.text)


async def test_the_page_shows_each_cell_with_word_figure_and_links(
    web: Web, services: Services, admin: Identity
) -> None:
    assert "No endpoint is monitored yet" in await text_of(web, "/monitoring")
    fra, sin = await a_server(services, "fra-1", place="Frankfurt"), await a_server(services, "sin-1")
    lyon = await an_endpoint(services, admin, "Branch router <Lyon>", [fra, sin])
    await read(services, lyon, fra)
    await read(services, lyon, sin, **POOR)
    answer = await web.get("/monitoring")
    assert "<Lyon>" not in answer.text, "names are escaped"
    page = html.unescape(answer.text)
    assert f'href="/monitoring/endpoints/{lyon.id}#s-{sin.number}"' in page
    assert f'href="/monitoring/servers/{fra.number}"' in page
    assert re.search(r'k-poor".*?3\.38<span class="word">Poor</span><small>3\.1 % loss', page, re.DOTALL)
    assert re.search(r'k-excellent".*?4\.41<span class="word">Excellent', page, re.DOTALL)
    assert "Frankfurt" in page
    assert re.search(r'k-poor".*?3\.1 %<', await text_of(web, "/monitoring?figure=loss"), re.DOTALL)
    assert "No endpoint matches" in await text_of(web, "/monitoring?band=Bad")
    assert "No endpoint matches" not in await text_of(web, "/monitoring?band=nonsense&page=x&server=a")


async def test_the_page_asks_itself_again_with_its_filters(
    web: Web, services: Services, admin: Identity
) -> None:
    await an_endpoint(services, admin, "x", [await a_server(services, "fra-1")])
    page = await text_of(web, "/monitoring?q=x&sort=name&did=added")
    assert 'hx-get="/monitoring?q=x&sort=name"' in page
    assert "data-keeps-rows" in page


async def test_a_server_that_is_lost_leaves_hatched_cells_with_the_time(
    web: Web, services: Services, admin: Identity, clock: ManualClock
) -> None:
    fra = await a_server(services, "fra-1")
    lyon = await an_endpoint(services, admin, "Lyon", [fra])
    await read(services, lyon, fra)
    clock.advance(600)
    page = await text_of(web, "/monitoring")
    assert "lost 08:00" in page
    assert re.search(r'k-nodata".*?The server was last heard 15 Jan 2027, 08:00:00 UTC', page, re.DOTALL)
    assert "No data: none of 1 cell was measured. fra-1" not in page
    assert "fra-1 is not heard." in page


async def test_a_servers_page_has_its_row_its_login_version_and_own_error(
    web: Web, services: Services, admin: Identity
) -> None:
    fra = await a_server(services, "fra-1", last_login_ip="192.0.2.9")
    lyon, graz = [await an_endpoint(services, admin, name, [fra]) for name in ("Lyon", "Graz")]
    await read(services, lyon, fra, error_ms=0.4)
    await read(services, graz, fra, state=SlotState.FAILED, reason="Nothing answered.", mos=1.0)
    page = await text_of(web, f"/monitoring/servers/{fra.number}")
    assert "From fra-1 1 of the 2 measured endpoints is not well." in page
    for part in ("1.2.3", "192.0.2.9", "15 Jan 2027, 08:00:00", "0.4 ms median", "Nothing answered."):
        assert part in page, part
    assert page.index("Graz") < page.index("Lyon"), "worst first"
    assert (await web.get("/monitoring/servers/999")).status_code == 404
    assert f'href="/monitoring/servers/{fra.number}"' in await text_of(web, "/fleet")


async def test_nobody_sees_what_belongs_to_a_project_of_others(
    web: Web, services: Services, admin: Identity
) -> None:
    fra = await a_server(services, "fra-1")
    ours = await an_endpoint(services, admin, "ours", [fra])
    office = await services.projects.create(admin, "office")
    hidden = msgspec.structs.replace(ours, project_id=office.id, name="of strangers")
    theirs = await services.stores.monitors.add_endpoint(hidden)
    row = User(0, "vic", "Vic", "", Role.MEMBER, "Normal", "UTC", 0.0, None, None)
    vic = await services.stores.accounts.add_user(row, "")
    (project,) = [one for one in await services.projects.list(admin) if one.id == ours.project_id]
    await services.projects.put_member(admin, vic, project, "viewer")
    await signed_in(services, web, vic.id)
    page = await text_of(web, "/monitoring")
    assert "ours" in page
    assert "of strangers" not in page
    assert "Add endpoint" not in page
    assert (await web.get(f"/monitoring/endpoints/{theirs.id}")).status_code == 404
    assert (await web.get("/monitoring/endpoints/new")).status_code == 403
    assert (await web.fill(f"/monitoring/endpoints/{ours.id}/pause")).status_code == 403
