"""The pages, asked in this process by somebody who is signed in."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import Identity, Role, TokenKind, User
from callwright.control.app import create_app
from callwright.control.runs.model import Run
from callwright.control.services import Services, Settings
from callwright.control.web.visitor import COOKIE
from callwright.dispatch.messages.calls import CallNews, CallStep, LegNews
from callwright.net.clock import ManualClock

PASSWORD = "correct horse battery"


class Web(httpx.AsyncClient):
    """Sends forms as a page of ours would."""

    async def token(self) -> str:
        found: str = (await self.get("/session")).json()["csrf"]
        return found

    async def fill(self, path: str, **fields: str) -> httpx.Response:
        return await self.post(path, data={"_csrf": await self.token(), **fields})


async def signed_in(services: Services, web: Web, number: int, user_id: int | None = None) -> None:
    """As after a login, without the time that a password takes to compare. ``number``: of the session, and
    of the user unless said otherwise."""
    token = f"{number:040x}"
    await services.stores.accounts.add_token(
        kind=TokenKind.SESSION,
        name="",
        token_hash=hashlib.sha256(token.encode()).hexdigest(),
        user_id=number if user_id is None else user_id,
        idle_seconds=1e9,
        now=services.clock.wall(),
    )
    web.cookies.set(COOKIE, token)


@pytest.fixture
async def web(services: Services, admin: Identity) -> AsyncIterator[Web]:
    """Signed in as ana, an administrator."""
    await services.tests.ensure_demo(admin)
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://here") as client:
        await signed_in(services, client, admin.user_id)
        yield client


async def test_whether_somebody_is_signed_in_can_be_asked(web: Web) -> None:
    assert (await web.get("/session")).json()["username"] == "ana"
    web.cookies.clear()
    answer = await web.get("/session")
    assert (answer.status_code, "csrf" in answer.json()) == (401, False)


async def test_signing_in_again_from_a_dialog_gives_the_token_of_the_new_session(
    web: Web, services: Services, admin: Identity
) -> None:
    await services.accounts.create_user(
        admin, username="mara", email="mara@example.com", name="Mara", password=PASSWORD, role="admin"
    )
    web.cookies.clear()
    fields = {"email": "mara", "password": "wrong"}
    refused = await web.post("/login", data=fields, headers={"Accept": "application/json"})
    assert (refused.status_code, "wrong" in refused.json()["message"]) == (401, True)
    fields["password"] = PASSWORD
    answer = await web.post("/login", data=fields, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["csrf"]) == (200, await web.token())


async def test_a_form_of_an_ended_session_leads_back_to_its_page(web: Web) -> None:
    web.cookies.clear()
    answer = await web.post("/tests/basic_call", data={}, headers={"Referer": "http://here/tests/basic_call"})
    assert answer.status_code == 401
    assert 'name="next" value="/tests/basic_call"' in answer.text
    answer = await web.post("/tests/basic_call", data={}, headers={"Referer": "http://[bad"})
    assert 'name="next" value="/"' in answer.text


async def test_every_page_is_there(web: Web, services: Services, admin: Identity) -> None:
    await services.runs.start(admin, "basic_call")
    for path in (
        "/",
        "/start",
        "/tests",
        "/tests/basic_call",
        "/tests/basic_call/ci",
        "/tests/basic_call/versions",
        "/runs",
        "/board",
        "/calls",
        "/phones",
        "/numbers",
        "/agents",
        "/targets",
        "/credentials",
        "/keys",
        "/projects",
        "/members",
        "/audit",
        "/docs",
        "/docs/test-language",
    ):
        answer = await web.get(path)
        assert answer.status_code == 200, path
        assert len(re.findall("<h1", answer.text)) == 1, path
        assert 'href="/docs"' in answer.text, path


async def test_the_way_of_the_first_hour_keeps_what_was_typed_and_says_what_is_missing(
    web: Web, services: Services
) -> None:
    answer = await web.fill("/start/target", host="pbx..example", test="demo:basic_call")
    assert answer.status_code == 303
    answer = await web.fill("/start/target", host="not a host", transport="tcp")
    assert answer.status_code == 422
    assert 'value="not a host"' in answer.text
    answer = await web.fill("/start/target", host="198.51.100.7", transport="tcp")
    page = (await web.get("/start")).text
    assert "not permitted, which is step 3" in page
    assert "secret-of-4101" not in page
    fields = {"user-alice": "4101", "password-alice": "secret-of-4101", "user-bob": "", "password-bob": "x"}
    answer = await web.fill("/start/accounts", **fields)
    assert answer.status_code == 422
    assert "An account has a user" in answer.text
    assert "secret-of-4101" not in answer.text
    await web.fill("/start/accounts", **(fields | {"user-bob": "4102"}))
    page = (await web.get("/start")).text
    assert "I may place test calls on 198.51.100.7" in page
    answer = await web.fill("/start/permission", concurrency="2")
    assert "Tick the box" in answer.text
    await web.fill("/start/permission", concurrency="2", mine="1")
    (target,) = await services.targets.list()
    assert (target.host, target.concurrency, target.created_by) == ("198.51.100.7", 2, "ana")
    page = (await web.get("/start")).text
    assert "Asking 198.51.100.7: no answer yet" in page
    assert "secret-of-4101" not in page


async def test_the_page_of_keys_adds_a_token_shows_it_again_after_the_password_and_deletes_it(
    web: Web, services: Services, admin: Identity
) -> None:
    made = await web.fill("/keys/tokens", name="Example API App", expiry="604800")
    (secret,) = re.findall(r"<code data-copy-text>([0-9a-f]{40})</code>", made.text)
    identity = await services.accounts.authenticate_token(secret)
    assert identity is not None
    assert identity.user_id == admin.user_id
    (row,) = await services.keys.tokens(admin)
    assert (row.name, row.idle_seconds) == ("Example API App", 604_800)
    assert secret not in (await web.get("/keys")).text
    kept = await services.stores.accounts.sealed_token(admin.user_id, row.id)
    assert kept is not None
    assert secret not in kept
    await services.accounts.set_password(admin, admin.user_id, PASSWORD)
    await signed_in(services, web, 10 * admin.user_id, admin.user_id)
    path = f"/keys/tokens/{row.id}/reveal"
    refused = await web.fill(path, password="not the password")
    assert (refused.status_code, secret in refused.text) == (422, False)
    assert secret in (await web.fill(path, password=PASSWORD)).text
    older = await services.accounts.new_token(TokenKind.API, "older", admin.user_id, 0.0)
    refused = await web.fill(f"/keys/tokens/{older[1].id}/reveal", password=PASSWORD)
    assert (refused.status_code, "cannot be shown" in refused.text) == (422, True)
    assert (await web.fill(f"/keys/tokens/{row.id}/delete")).status_code == 303
    assert (await web.fill(path, password=PASSWORD)).status_code == 404
    assert await services.accounts.authenticate_token(secret) is None


async def test_versions_are_compared_and_an_old_one_is_restored_as_a_new_one(
    web: Web, services: Services, admin: Identity
) -> None:
    old = (await services.tests.document(await services.tests.get(admin, "basic_call"))).document
    new = old.replace("max_duration: 6 s", "max_duration: 8 s")
    await services.tests.update(admin, "basic_call", document=new)
    page = (await web.get("/tests/basic_call/versions?version=2")).text
    assert re.search(r'class="gone">.*max_duration: 6 s', page)
    assert re.search(r'class="new">.*max_duration: 8 s', page)
    assert "Restore version" not in page
    backwards = (await web.get("/tests/basic_call/versions?version=1&against=2")).text
    assert re.search(r'class="new">.*max_duration: 6 s', backwards)
    answer = await web.fill("/tests/basic_call/versions/1/restore", version="1")
    assert answer.status_code == 409  # somebody saved meanwhile
    answer = await web.fill("/tests/basic_call/versions/1/restore", version="2")
    assert answer.status_code == 303
    test = await services.tests.get(admin, "basic_call")
    assert (test.version, (await services.tests.document(test)).document) == (3, old)
    assert len(await services.tests.versions(test)) == 3


async def test_who_may_only_read_gets_text_and_no_fields(
    web: Web, services: Services, admin: Identity
) -> None:
    row = User(0, "vera", "", "v@example.com", Role.VIEWER, "Normal", "UTC", 0.0, None, None)
    vera = await services.stores.accounts.add_user(row, "")
    project = await services.projects.get(admin, "demo")
    await services.projects.put_member(admin, vera, project, "viewer")
    web.cookies.clear()
    await signed_in(services, web, vera.id)
    page = (await web.get("/tests/basic_call")).text
    main = page[page.index("<main") : page.index("</main>")]
    assert not re.search("<(input|select|textarea|button)", main)
    assert "max_duration: 6 s" in main
    assert "MOS of what this party heard (callee) must be" in main


async def ended(services: Services, admin: Identity, **call: Any) -> Run:
    """A run of basic_call that an agent has carried out."""
    run = await services.runs.start(admin, "basic_call", call.pop("overrides", None))
    agent = call.pop("agent", "ag")
    await services.runs.held.claim(run.id, 1, agent, 60.0)
    await services.runs.held.intend(run.id, 1, agent)
    outcome = {"verdict": "passed", "reason": "Both heard each other.", "calls": [call]}
    await services.runs.held.finish(run.session_id, 1, json.dumps(outcome), agent_id=agent)
    return await services.runs.by_id(run.id)


async def test_the_servers_of_a_run_are_listed_with_how_far_apart_they_began(
    web: Web, services: Services, admin: Identity
) -> None:
    runs = await services.runs.start_each(admin, "basic_call", {"placement.count": 2})
    assert "2 servers, of which 0 told so far" in (await web.get(f"/run/details/{runs[0].session_id}")).text
    for number, run in enumerate(runs):
        await services.runs.held.claim(run.id, 1, f"ag{number}", 60.0)
        measured = {"servers": 2, "began_at": 1000.0 + number / 1000, "error_ms": 0.25}
        outcome = json.dumps({"verdict": "passed", "together": measured})
        await services.runs.held.finish(run.session_id, 1, outcome, agent_id=f"ag{number}")
    page = (await web.get(f"/run/details/{runs[0].session_id}")).text
    assert "2 servers began within 1.0 ms, ± 0.5 ms." in page
    assert f'<a href="/run/details/{runs[1].session_id}">run {runs[1].id}</a>' in page
    assert "1.0 ms</td>" in page


async def test_a_run_that_passed_after_another_has_its_page(
    web: Web, services: Services, admin: Identity
) -> None:
    runs = [await ended(services, admin, received={"mos": 4.2}) for _ in range(2)]
    for run in runs:
        page = await web.get(f"/run/details/{run.session_id}")
        assert page.status_code == 200
        assert 'id="servers"' not in page.text


async def test_any_two_runs_stand_side_by_side(web: Web, services: Services, admin: Identity) -> None:
    first = await ended(services, admin, party="alice", call_id="abc@h", pdd_ms=20.0, codec="PCMA")
    second = await ended(
        services,
        admin,
        party="alice",
        call_id="def@h",
        pdd_ms=20.0,
        codec="PCMU",
        overrides={"transport": "tcp"},
    )
    page = (await web.get(f"/runs/compare?run={second.id}&run={first.id}")).text
    assert f"<h1>Run {first.id} and run {second.id}</h1>" in page
    marked = re.findall(r'<tr( class="differs")?><th scope="row">([^<]*)</th>', page)
    rows = {name: bool(mark) for mark, name in marked}
    assert rows["alice (1): codec"]
    assert not rows["alice (1): post-dial delay"]
    assert rows["Parameter transport"]
    assert not rows["alice (1): Call-ID"]  # two runs never share one
    assert (await web.get(f"/runs/compare?run={first.id}")).status_code == 422
    assert (await web.get("/runs/compare?run=1&run=999")).status_code == 404


async def test_runs_are_narrowed_by_day_agent_call_id_and_number(
    web: Web, services: Services, admin: Identity, clock: ManualClock
) -> None:
    first = await ended(services, admin, call_id="abc@h", destination="sip:4102@pbx")
    clock.advance(2 * 86_400.0)
    second = await ended(services, admin, call_id="def@h", destination="sip:4199@pbx")

    async def found(query: str) -> list[int]:
        page = (await web.get(f"/runs?{query}")).text
        return [int(number) for number in re.findall(r'name="run" value="(\d+)"', page)]

    day = datetime.fromtimestamp(first.created_at, UTC).date()
    assert await found("") == [second.id, first.id]
    assert await found(f"from={day}&to={day}") == [first.id]
    assert await found(f"from={day + timedelta(days=1)}") == [second.id]
    assert await found("q=abc@h") == [first.id]
    assert await found("q=4199") == [second.id]
    assert await found("from=nonsense") == [second.id, first.id]


async def test_a_test_shows_how_its_mos_and_delay_went(web: Web, services: Services, admin: Identity) -> None:
    for delay in (20.0, 40.0):
        await ended(services, admin, pdd_ms=delay, received={"mos": 4.3, "packets": 9})
    page = (await web.get("/tests/basic_call")).text
    assert "MOS of the last 2 runs that have one: last 4.30" in page
    assert "Post-dial delay of the last 2 runs that have one: last 40 ms" in page


async def test_targets_and_tests_link_to_each_other(web: Web, services: Services, admin: Identity) -> None:
    target = await services.targets.add(admin, host="pbx.example.com", concurrency=2)
    text = "name: aimed\ntitle: Aimed\ntarget: pbx.example.com:5080\nsteps: [[options: {party: a}]]\n"
    await services.tests.create(admin, text, project="demo")
    page = (await web.get("/targets")).text
    row = page[page.index(f'id="target-{target.id}"') :]
    assert 'href="/tests/demo:aimed"' in row[: row.index("</tr>")]
    assert f'href="/targets#target-{target.id}"' in (await web.get("/tests/aimed")).text
    assert "Goes to the built-in PBX" in (await web.get("/tests/basic_call")).text


async def test_projects_are_a_table_with_counts(web: Web, services: Services, admin: Identity) -> None:
    await services.runs.start(admin, "basic_call")
    page = (await web.get("/projects")).text
    table = page[page.index("<table") : page.index("</table>")]
    assert re.search(r'/tests\?project=demo">\d+<', table)
    assert '/runs?project=demo">1<' in table


async def test_an_account_is_edited_in_its_row_and_keeps_its_password(
    web: Web, services: Services, admin: Identity
) -> None:
    await services.credentials.put(admin, "office", {"user": "4101", "password": "kept-secret"})
    page = (await web.get("/credentials")).text
    assert 'value="4101"' in page
    assert "kept-secret" not in page
    answer = await web.fill("/credentials", name="office", replace="1", user="4105", domain="pbx.example.com")
    assert answer.status_code == 303
    account = (await services.credentials.revealed())["office"]
    assert account == {"user": "4105", "domain": "pbx.example.com", "password": "kept-secret"}


async def test_the_audit_log_says_it_in_words_and_links_to_what_it_is_about(
    web: Web, services: Services, admin: Identity
) -> None:
    target = await services.targets.add(admin, host="pbx.example.com")
    run = await services.runs.start(admin, "basic_call")
    await services.runs.stop(admin, run.session_id)
    page = (await web.get("/audit")).text
    assert "An administrator permitted a destination" in page
    assert f'href="/targets#target-{target.id}"' in page
    assert f'href="/run/details/{run.session_id}"' in page


async def test_after_enrolling_the_page_says_what_happens_and_waits_for_the_agent(web: Web) -> None:
    page = (await web.fill("/agents/enrol", pool="lab")).text
    assert "It takes runs of the pool lab at once" in page
    assert 'hx-select="#agentlist"' in page
    assert 'hx-select="#agentlist"' not in (await web.get("/agents")).text


async def test_a_missing_page_and_a_refused_one_keep_the_menu_for_members_only(
    web: Web, services: Services, admin: Identity
) -> None:
    for path in ("/nowhere", "/tests/no_such_test", "/run/details/no-such-run", "/docs/nothing"):
        answer = await web.get(path)
        assert answer.status_code == 404, path
        assert ('aria-label="Main"' in answer.text, "Sign out" in answer.text) == (True, True), path
    answer = await web.post("/keys", data={"name": "forged"})
    assert (answer.status_code, 'aria-label="Main"' in answer.text) == (403, True)
    answer = await web.put("/keys")
    assert (answer.status_code, "allow" in answer.headers) == (405, True)
    web.cookies.clear()
    answer = await web.get("/nowhere")
    assert (answer.status_code, 'aria-label="Main"' in answer.text) == (404, False)
    assert "ana" not in answer.text


async def test_inter_comes_from_the_platform_and_stays_in_the_cache(web: Web) -> None:
    page = await web.get("/")
    assert "font-src 'self'" in page.headers["content-security-policy"]
    preloaded = re.search(r'<link rel="preload" href="([^"]+)" as="font"', page.text)
    sheet = (await web.get(re.findall(r'href="(/assets/app.css[^"]*)"', page.text)[0])).text
    fonts = re.findall(r"url\(([^)]*woff2[^)]*)\)", sheet)
    assert preloaded
    assert preloaded[1] in fonts
    assert len(fonts) == 2
    for font in fonts:
        answer = await web.get(font)
        assert (answer.headers["content-type"], answer.content[:4]) == ("font/woff2", b"wOF2")
        assert "immutable" in answer.headers["cache-control"]
        assert "content-encoding" not in answer.headers


async def test_no_two_entries_of_the_menu_have_one_symbol(web: Web) -> None:
    menu = (await web.get("/")).text.partition('aria-label="Main"')[2].partition("</nav>")[0]
    symbols = re.findall(r'<li><a [^>]*><svg[^>]*><use href="#(i-[a-z]+)"', menu)
    assert len(symbols) == len(set(symbols)) >= 11


async def test_the_reference_of_the_api_is_a_page_of_ours_for_members_and_strangers(web: Web) -> None:
    document = (await web.get("/api/v2/openapi.json")).json()
    page = await web.get("/api/v2/docs")
    assert (page.status_code, 'aria-label="Main"' in page.text) == (200, True)
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            assert f"<code>{path}</code>" in page.text, path
            assert html.escape(told["summary"], quote=False) in html.unescape(page.text), (method, path)
    anchors = re.findall(r'id="([^"]+)"', page.text)
    assert len(anchors) == len(set(anchors))
    wanted = set(re.findall(r'href="#([^"]+)"', page.text.partition('class="manual')[2]))
    assert wanted <= set(anchors)
    body = "curl -u &#34;$KEY&#34; -H &#39;Content-Type: application/json&#39; -d &#39;{&#34;test.name&#34;: "
    assert body + "&#34;basic_call&#34;}&#39; http://here/api/v2/tests/run" in page.text
    loaded = re.findall(r'(?:src|rel="stylesheet" href|rel="preload" href)="([^"]+)"', page.text)
    sizes = [len((await web.get(path)).content) for path in loaded if path.startswith("/assets/")]
    assert len(page.content) + sum(sizes) < 350_000
    web.cookies.clear()
    page = await web.get("/api/v2/docs")
    assert (page.status_code, 'aria-label="Main"' in page.text, "<h1>API</h1>" in page.text) == (
        200,
        False,
        True,
    )
    assert (await web.get("/api/v2/docs/swagger-ui.css")).status_code == 404


async def test_calls_of_a_run_stand_beside_their_records(
    web: Web, services: Services, admin: Identity
) -> None:
    placed = {"call_id": "a@x", "party": "alice", "destination": "sip:1002@pbx", "duration_ms": 9_600.0}
    run = await ended(services, admin, **placed, started_at=1_700_000_000.0, sip_code=486)
    assert 'id="records"' not in (await web.get(f"/run/details/{run.session_id}")).text, (
        "nobody keeps records"
    )
    legs = (LegNews("1002", "b@x", 200, "OK", answered=True),)
    news = CallNews(
        "c",
        CallStep.ENDED,
        "1001",
        "1002",
        "a@x",
        1_700_000_000.0,
        answered_at=1_700_000_002.0,
        ended_at=1_700_000_016.0,
        status=200,
        legs=legs,
    )
    await services.cdrs.note([news], {})
    page = (await web.get(f"/run/details/{run.session_id}")).text
    said = "The record says ANSWERED; the test saw BUSY (486)."
    assert said in page
    assert '<a href="#records">Call records</a>' in page
    token, _ = await services.keys.create_token(admin, "records")
    mine = {"X-Auth-Token": token}
    answer = (await web.get(f"/api/v2/runs/{run.id}/reconciliation", headers=mine)).json()
    assert answer["status"] == 200
    assert (answer["data"]["calls"], answer["data"]["recorded"], answer["data"]["differing"]) == (1, 1, 1)
    (leg,) = answer["data"]["legs"]
    assert leg["differences"][0] == said
    assert leg["record"]["billsec"] == 14
    assert (await web.get("/api/v2/runs/none/reconciliation", headers=mine)).status_code == 404
