"""The pages, asked in this process by somebody who is signed in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from callwright.control.accounts.model import Identity, Role, TokenKind, User
from callwright.control.app import create_app
from callwright.control.services import Services, Settings
from callwright.control.web.visitor import COOKIE

PASSWORD = "correct horse battery"


class Web(httpx.AsyncClient):
    """Sends forms as a page of ours would."""

    async def token(self) -> str:
        found: str = (await self.get("/session")).json()["csrf"]
        return found

    async def fill(self, path: str, **fields: str) -> httpx.Response:
        return await self.post(path, data={"_csrf": await self.token(), **fields})


async def signed_in(services: Services, web: Web, user_id: int) -> None:
    """As after a login, without the time that a password takes to compare."""
    token = f"{user_id:040x}"
    await services.stores.accounts.add_token(
        kind=TokenKind.SESSION,
        name="",
        token_hash=hashlib.sha256(token.encode()).hexdigest(),
        user_id=user_id,
        idle_seconds=3600.0,
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
    (target,) = await services.runs.targets()
    assert (target.host, target.concurrency, target.created_by) == ("198.51.100.7", 2, "ana")
    page = (await web.get("/start")).text
    assert "Asking 198.51.100.7: no answer yet" in page
    assert "secret-of-4101" not in page


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
    project = await services.tests.project(admin, "demo")
    await services.accounts.put_member(admin, vera, project, "viewer")
    web.cookies.clear()
    await signed_in(services, web, vera.id)
    page = (await web.get("/tests/basic_call")).text
    main = page[page.index("<main") : page.index("</main>")]
    assert not re.search("<(input|select|textarea|button)", main)
    assert "max_duration: 6 s" in main
    assert "MOS of what this party heard (callee) must be" in main
