"""Call history: its filters in the address, its pages, chart and views; and the page of one call."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import update

from callwright.control.accounts.model import TELEPHONY_IDS, Identity, Role, User
from callwright.control.app import create_app
from callwright.control.cdrs.model import Cdr
from callwright.control.collections.model import Every, Query, Sort
from callwright.control.errors import Invalid
from callwright.control.services import Services, Settings
from callwright.control.storage.sql.cdrs import cdrs
from callwright.control.storage.sql.database import Statement
from callwright.control.web import call_filter as filters
from callwright.control.web import call_words as words
from callwright.control.web.call_filter import Asked
from callwright.control.web.visitor import COOKIE
from callwright.net.clock import ManualClock
from tests.control.test_web_pages import Web, ended, signed_in

DAY = 86_400.0
_MEASURED = Statement(
    update(cdrs).where(cdrs.c.id == 1).values(mos=4.1, mos_src=4.2, mos_dst=4.1, loss_dst=0.5)
)
FAILED = {"property": "disposition", "operator": "=", "value": "FAILED"}
OUT = {"property": "type", "operator": "=", "value": "O"}
POOR = {"property": "mos", "operator": "<", "value": 3.6}


def record(number: int, at: float, **more: Any) -> Cdr:
    facts: dict[str, Any] = {
        "call_id": f"id-{number}@x",
        "type": "O",
        "calldate": at,
        "clid": "",
        "src": "2001",
    }
    facts |= {"src_name": "Ann", "dst": "2002", "dst_name": "Ben", "destination": "2002", "t_cause": 16}
    facts |= {"duration": 9, "billsec": 7, "disposition": "ANSWERED", "info": "", "leg": 0}
    return Cdr(live_id=f"live-{number}", **facts | more)


# -- what is asked


def test_an_address_is_read_and_written_alike() -> None:
    asked = Asked.read({"filter": json.dumps([OUT, {"or": [FAILED, POOR]}]), "sort": "billsec", "dir": "ASC"})
    given = {name: one[0] for name, one in parse_qs(urlsplit(asked.address).query).items()}
    assert Asked.read(given) == asked
    assert given["filter"] == json.dumps([OUT, {"or": [FAILED, POOR]}], separators=(",", ":"))
    assert "sort=billsec&dir=ASC" in asked.of_api
    assert Asked.read({}, [OUT]).entries == (OUT,)
    assert Asked.read({"filter": "[]"}, [OUT]).entries == ()
    for wrong in ({"filter": '[{"property": "no"}]'}, {"sort": "labels"}, {"group_by": "metadata"}):
        with pytest.raises(Invalid):
            Asked.read(wrong)


def test_chips_take_one_condition_away_and_of_an_or_one_side() -> None:
    asked = Asked((OUT, {"or": [FAILED, POOR]}))
    one, both = filters.chips(asked)
    assert (one.text, both.text) == ("type = O", "(disposition = FAILED or mos < 3.6)")
    assert asked.without(0).entries == ({"or": [FAILED, POOR]},)
    assert asked.without(1, 0).entries == (OUT, POOR)
    assert [part.text for part in both.parts] == ["disposition = FAILED", "mos < 3.6"]
    assert asked.with_entry(FAILED, joined=True).entries == (OUT, {"or": [FAILED, POOR, FAILED]})
    assert Asked((OUT,)).with_entry(POOR, joined=True).entries == ({"or": [OUT, POOR]},)
    assert Asked((OUT,)).with_entry(OUT).entries == (OUT,)


@pytest.mark.parametrize(
    ("typed", "entry"),
    [
        (("billsec", ">", "60"), {"property": "billsec", "operator": ">", "value": 60}),
        (("mos", "<", "3.6"), POOR),
        (("dst", "in", "600, 601"), {"property": "dst", "operator": "in", "value": ["600", "601"]}),
        (("t_cause", "in", "17,21"), {"property": "t_cause", "operator": "in", "value": [17, 21]}),
        (("mos", "known", ""), {"property": "mos", "operator": "<>", "value": None}),
        (("user_id", "unknown", "x"), {"property": "user_id", "operator": "=", "value": None}),
        (("dst", "=", "043"), {"property": "dst", "operator": "=", "value": "043"}),
    ],
)
def test_a_form_becomes_a_condition_of_the_api(typed: tuple[str, str, str], entry: dict[str, Any]) -> None:
    assert filters.condition_of(*typed) == entry


@pytest.mark.parametrize(
    "typed",
    [
        ("billsec", "=", "long"),
        ("dst", "=", " "),
        ("mos", "like", "3"),
        ("calldate", ">", "nan"),
        ("x", "=", "1"),
    ],
)
def test_a_form_that_means_nothing_is_refused(typed: tuple[str, str, str]) -> None:
    with pytest.raises(Invalid):
        filters.condition_of(*typed)


def test_every_operator_of_the_api_is_offered_for_some_property() -> None:
    offered = {word for _, _, permitted in filters.properties() for word in permitted.split()}
    assert offered == set(filters.OPERATORS)


def test_the_time_of_a_filter_is_that_which_holds_for_every_call() -> None:
    asked = Asked((OUT,)).in_time("2026-11-24", "2026-11-25")
    since, until = filters.spans(asked)
    assert since is not None
    assert until == since + DAY
    again = asked.in_time("2026-11-26", "2026-11-27")
    assert len(again.entries) == 3, "another day replaces the first"
    late = {"property": "calldate", "operator": ">", "value": "2026-11-24"}
    assert filters.spans(Asked(({"or": [late, FAILED]},))) == (None, None)


# -- in words


def test_many_failures_in_a_row_with_one_cause_are_folded() -> None:
    rows = [{"disposition": "FAILED", "info": "Service Unavailable", "dst": "9"} for _ in range(44)]
    rows.insert(0, {"disposition": "ANSWERED", "info": "", "dst": "1"})
    first, kept, folded = words.stretches(rows)
    assert [len(one.rows) for one in (first, kept, folded)] == [1, 2, 42]
    assert folded.says == "42 more calls failed (Service Unavailable), all to 9"
    answered = [{"disposition": "ANSWERED", "info": "", "dst": "1"}] * 9
    assert [one.folded for one in words.stretches(answered)] == [False]


def test_the_chart_of_days_keeps_one_scale_above_and_below_the_line() -> None:
    tally = [(10, "ANSWERED", 8), (10, "BUSY", 2), (12, "FAILED", 40)]
    chart = words.day_chart(tally, 10, 12, lambda a, b: f"{a}/{b}")
    assert chart is not None
    first, middle, last = chart.columns
    assert (first.answered[1], last.failed[1]) == pytest.approx((8 / 40 * 20.5, 20.5))
    assert first.says == "11 Jan: 8 answered, 2 busy or not answered"
    assert middle.says == "12 Jan: no call"
    assert last.href == "1970-01-13/1970-01-14"
    assert chart.most == 10
    assert words.day_chart([], 1, 2, lambda a, b: "") is None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "2001 Ann talked with 2002 Ben for 7 s."),
        ({"disposition": "BUSY"}, "2001 Ann called 2002 Ben, who was busy or declined."),
        ({"disposition": "NO ANSWER"}, "2001 Ann called 2002 Ben for 9 s, and nobody answered."),
        (
            {"disposition": "FAILED", "dst": "9", "dst_name": "", "info": "Not Found"},
            "2001 Ann called 9, and the call failed: Not Found.",
        ),
    ],
)
def test_one_call_is_one_sentence(more: dict[str, Any], says: str) -> None:
    row = {"src": "2001", "src_name": "Ann", "dst": "2002", "dst_name": "Ben", "info": ""}
    assert words.said(row | {"disposition": "ANSWERED", "billsec": 7, "duration": 9} | more) == says


# -- the pages themselves


@pytest.fixture
async def web(services: Services, admin: Identity) -> AsyncIterator[Web]:
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://here") as client:
        await signed_in(services, client, admin.user_id)
        yield client


async def text_of(web: Web, address: str) -> str:
    answer = await web.get(address)
    assert answer.status_code == 200, answer.text
    return html.unescape(answer.text)


async def test_a_call_is_one_line_for_administrators_and_every_leg_on_demand(
    web: Web, services: Services, clock: ManualClock
) -> None:
    page = await text_of(web, "/calls")
    assert "No calls yet" in page
    assert "No call matches" not in page
    now = clock.wall()
    caller, missed = record(1, now), record(1, now, leg=1, type="M", disposition="NO ANSWER")
    await services.stores.cdrs.keep(
        [caller, missed, record(2, now, disposition="FAILED", info="<x>")], {}, [], now
    )
    page = await text_of(web, "/calls")
    assert "2 calls: 1 answered, 1 failed" in page
    assert "Failed: <x>" in page
    assert "not measured" in page
    legs = await text_of(web, Asked().address)
    assert "3 records: 1 answered, 1 not answered, 1 failed" in legs
    assert "No call matches" in await text_of(web, Asked((OUT, POOR)).address)


async def test_the_form_adds_a_filter_to_the_address_and_keeps_what_was_wrong(web: Web) -> None:
    asked = {"filter": json.dumps([OUT]), "sort": "billsec", "dir": "ASC", "group_by": "dst"}
    added = await web.get(
        "/calls/filter", params={**asked, "property": "mos", "operator": "<", "value": "3.6"}
    )
    assert added.status_code == 303
    assert added.headers["location"] == Asked((OUT, POOR), "billsec", False, "dst").address
    either = {**asked, "property": "mos", "operator": "<", "value": "3.6", "join": "or"}
    joined = await web.get("/calls/filter", params=either)
    assert joined.headers["location"] == Asked(({"or": [OUT, POOR]},), "billsec", False, "dst").address
    wrong = await web.get(
        "/calls/filter", params={**asked, "property": "mos", "operator": "<", "value": "low"}
    )
    assert wrong.status_code == 422
    assert 'value="low"' in wrong.text
    assert "a number is wanted" in wrong.text
    by_hand = await web.get("/calls", params={"filter": '[{"property":"nothing","operator":"=","value":1}]'})
    assert by_hand.status_code == 422
    assert "nothing" in by_hand.text


async def test_pages_have_each_call_once_while_new_ones_come(
    services: Services, admin: Identity, clock: ManualClock
) -> None:
    at = clock.wall()
    rows = [
        record(n, at + n // 3 * 0.4, billsec=n % 4, dst_codec=None if n % 3 else f"c{n % 2}", src=str(n % 5))
        for n in range(30)
    ]
    await services.stores.cdrs.keep(rows, {}, [], at)
    known = {row["id"] for row in (await services.cdrs.rows(admin, Query(limit=100))).rows}
    later = 100
    for sort in ("calldate", "dst_codec", "billsec", "src", "mos", "id"):
        for descending in (True, False):
            order, seen = Sort(sort, descending), list[dict[str, Any]]()
            whole = (await services.cdrs.rows(admin, Query(sort=order, limit=5_000))).rows
            while len(found := await _page(services, admin, order, seen)) == 7:
                seen += found
                later += 1
                await services.stores.cdrs.keep([record(later, at + later, src="0")], {}, [], at)
            seen += found
            expected = [row["id"] for row in whole if row["id"] in known]
            assert [row["id"] for row in seen if row["id"] in known] == expected, order


async def _page(
    services: Services, admin: Identity, order: Sort, seen: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    where = filters.after_row(order, seen[-1]) if seen else Every()
    return (await services.cdrs.rows(admin, Query(where, order, limit=7))).rows


async def test_the_list_is_walked_from_call_to_call(web: Web, services: Services, clock: ManualClock) -> None:
    now = clock.wall()
    await services.stores.cdrs.keep([record(n, now + n, src=f"90{n:02}") for n in range(60)], {}, [], now)
    page = await text_of(web, "/calls")
    assert "50 of 60 calls" in page
    assert "Back to the first" not in page
    (further,) = re.findall(r'href="(/calls\?[^"]*after=\d+)"', page)
    second = await text_of(web, further)
    assert "10 of 60 calls" in second
    assert "9009 Ann" in second
    assert "9010 Ann" not in second


async def test_a_chart_counts_what_matches_and_leads_to_it(
    web: Web, services: Services, admin: Identity, clock: ManualClock
) -> None:
    now = clock.wall()
    ann = await services.lines.create(admin, {"first_name": "Ann", "email": "a@example.com", "ext": "2001"})
    made = [
        record(n, now - n, user_id=ann["id"] if n else None, t_cause=17 if n == 2 else 16) for n in range(4)
    ]
    await services.stores.cdrs.keep(made, {}, [], now)
    by_user = await text_of(web, Asked((OUT,), group_by="user_id").address)
    assert re.search(r'>2001 Ann</a>.*?<td class="num">3</td>', by_user)
    assert "not a user" in by_user
    assert (
        Asked((OUT, {"property": "user_id", "operator": "=", "value": ann["id"]}), group_by="user_id").address
        in by_user
    )
    by_cause = await text_of(web, Asked((OUT,), group_by="t_cause").address)
    assert "17, user busy" in by_cause
    by_day = await text_of(web, "/calls")
    assert "4 calls from" in by_day
    assert by_day.count('class="answered"') in (1, 2), "midnight may lie between them"


async def test_a_view_is_kept_for_its_user_alone_and_deleted(
    web: Web, services: Services, admin: Identity
) -> None:
    asked = Asked((OUT, POOR), group_by="dst")
    fields = {"filter": asked.filter, "sort": asked.sort, "dir": "DESC", "group_by": "dst"}
    assert (await web.fill("/calls/views", name=" ", **fields)).status_code == 422
    kept = await web.fill("/calls/views", name="Poor <b>", **fields)
    assert (kept.status_code, kept.headers["location"]) == (303, f"{asked.address}&did=kept")
    page = await web.get(asked.address)
    assert "Poor &lt;b&gt;</a>" in page.text
    assert "Save this view" not in page.text.partition("<dialog")[0]
    row = User(0, "vic", "Vic", "", Role.VIEWER, "Normal", "UTC", 0.0, None, None)
    vic = await services.stores.accounts.add_user(row, "")
    (number,) = re.findall(r"/calls/views/(\d+)/delete", page.text)
    await signed_in(services, web, vic.id)
    assert "Poor" not in (await web.get(asked.address)).text.partition("<dialog")[0]
    assert (await web.fill(f"/calls/views/{number}/delete")).status_code == 404
    web.cookies.set(COOKIE, f"{admin.user_id:040x}")
    assert (await web.fill(f"/calls/views/{number}/delete")).status_code == 303
    assert "Poor" not in (await web.get("/calls")).text


async def test_a_call_has_its_legs_its_cause_and_what_was_not_measured_in_words(
    web: Web, services: Services, clock: ManualClock
) -> None:
    now = clock.wall()
    other = record(
        1, now, leg=1, type="M", dst="2003", dst_name="Cy", call_id="leg@x", t_cause=17, disposition="BUSY"
    )
    await services.stores.cdrs.keep([record(1, now, src_codec="PCMA/8000", pdd=0.25), other], {}, [], now)
    page = await text_of(web, "/calls/1")
    for part in (
        "2001 Ann talked with 2002 Ben for 7 s.",
        "it rang after 250 ms",
        "16, normal call clearing",
    ):
        assert part in page
    for part in ("PCMA/8000", "2003 Cy", "17, user busy", "leg@x", 'href="/calls/2"'):
        assert part in page
    assert "Not measured: the PBX did not carry the media." in page
    assert "Placed by a test" not in page
    assert (await web.get("/calls/99")).status_code == 404
    await services.stores.database.run(_MEASURED)
    measured = await text_of(web, "/calls/1")
    before, after = measured.split("From the callee, to the caller")
    assert "4.10 Good" in after, "mos_dst is of the audio that came from the callee"
    assert "4.20 Good" in before.split("From the caller, to the callee")[1]
    assert "did not carry" not in measured


async def test_a_call_that_an_agent_placed_leads_to_its_run(
    web: Web, services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.tests.ensure_demo(admin)
    run = await ended(services, admin, call_id="id-1@x")
    other = await ended(services, admin, call_id="id-2@x")
    await services.stores.cdrs.keep([record(1, clock.wall())], {}, [], 0.0)
    page = await text_of(web, "/calls/1")
    assert f'href="/run/details/{run.session_id}"' in page
    assert other.session_id not in page
    assert "Its run measured what our own end heard." in page


async def test_labels_are_added_and_taken_away_on_the_page(
    web: Web, services: Services, admin: Identity, clock: ManualClock
) -> None:
    await services.stores.cdrs.keep([record(1, clock.wall())], {}, [], 0.0)
    for label in ("complaint", "carrier-a"):
        assert (await web.fill("/calls/1/labels", label=label)).status_code == 303
    assert (await web.fill("/calls/1/labels", remove="complaint")).status_code == 303
    assert (await services.cdrs.get(admin, 1))["labels"] == ["carrier-a"]
    assert (await web.fill("/calls/1/labels", label="x" * 101)).status_code == 422


async def test_others_see_their_own_legs_alone(
    web: Web, services: Services, admin: Identity, clock: ManualClock
) -> None:
    row = User(0, "vic", "Vic", "", Role.VIEWER, "Normal", "UTC", 0.0, None, None)
    vic = await services.stores.accounts.add_user(row, "")
    mine = record(1, clock.wall(), user_id=TELEPHONY_IDS + vic.id, type="M", disposition="NO ANSWER")
    await services.stores.cdrs.keep([record(2, clock.wall()), mine], {}, [], 0.0)
    await signed_in(services, web, vic.id)
    assert "1 call, not answered" in await text_of(web, "/calls")
    numbers = {row["live_id"]: row["id"] for row in (await services.cdrs.rows(admin, Query())).rows}
    assert (await web.get(f"/calls/{numbers['live-1']}")).status_code == 200
    assert (await web.get(f"/calls/{numbers['live-2']}")).status_code == 404
    assert (await web.fill(f"/calls/{numbers['live-2']}/labels", label="x")).status_code == 404
