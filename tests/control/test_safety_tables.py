"""Safety by table: what a wrong secret costs, the headers of every answer, the fence around every project."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

import argon2
import httpx
import pytest

from callwright.control.accounts import service as accounts_service
from callwright.control.accounts.model import Identity, Role, User
from callwright.control.accounts.passwords import Passwords
from callwright.control.app import create_app
from callwright.control.credentials.vault import Vault
from callwright.control.runs.model import Run
from callwright.control.services import Services, Settings

PASSWORD = "correct horse battery"
HASHED = asyncio.run(Passwords().hash(PASSWORD))
TEST = "name: {name}\ntags: [t]\nsteps: [{{options: {{party: a}}}}]"


# -- the same work for who is unknown


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that passwords were compared with."""
    found: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counting(self: Any, hashed: Any, password: Any) -> Any:
        found.append(str(hashed))
        return verify(self, hashed, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counting)
    return found


@pytest.fixture
async def people(services: Services) -> None:
    for name, category in (("api", "API"), ("person", "Normal")):
        row = User(0, name, name, f"{name}@example.com", Role.MEMBER, category, "UTC", 0.0, None, None)
        await services.stores.accounts.add_user(row, HASHED)


@pytest.mark.parametrize(
    ("how", "name", "secret", "right"),
    [
        ("basic", "api", PASSWORD, True),
        ("basic", "api", "wrong password", False),
        ("basic", "nobody", PASSWORD, False),
        ("basic", "person", PASSWORD, False),  # not of category API
        ("basic", "person", "wrong password", False),
        ("login", "person@example.com", PASSWORD, True),
        ("login", "person@example.com", "wrong password", False),
        ("login", "nobody@example.com", PASSWORD, False),
        ("login", "", PASSWORD, False),
        ("login", "not an address", PASSWORD, False),
    ],
)
async def test_who_is_unknown_costs_the_same_work_as_a_wrong_password(
    services: Services, people: None, verified: list[str], how: str, name: str, secret: str, right: bool
) -> None:
    accounts = services.accounts
    if how == "basic":
        answer: object = await accounts.authenticate_basic(name, secret)
    else:
        answer = await accounts.login(name, secret)
    assert (answer is not None) is right
    (hashed,) = verified
    parameters = argon2.extract_parameters(hashed)
    assert parameters == argon2.extract_parameters(HASHED)


@pytest.mark.parametrize("known", [True, False])
async def test_an_unknown_key_costs_the_same_comparison_as_a_wrong_secret(
    services: Services, admin: Identity, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    public, _ = await services.keys.create("ci", await services.accounts.user(admin.user_id))
    compared: list[tuple[int, int]] = []
    compare = accounts_service.hmac.compare_digest  # type: ignore[attr-defined]

    def counting(one: Any, other: Any) -> bool:
        compared.append((len(one), len(other)))
        return bool(compare(one, other))

    monkeypatch.setattr("callwright.control.accounts.service.hmac.compare_digest", counting)
    name = public if known else public[:-4] + "zzzz"
    assert await services.accounts.authenticate_basic(name, "0" * 64) is None
    assert compared == [(64, 64)]


# -- headers


@dataclass(frozen=True)
class House:
    """Two projects, a member of each, and in each a test and a run."""

    services: Services
    theirs: Run
    ours: Run
    member: Identity
    key: tuple[str, str]
    cookie: str

    def client(self, **more: Any) -> httpx.AsyncClient:
        app = create_app(self.services, Settings(rate_limit=0, **more))
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here")


@pytest.fixture
async def house(services: Services, admin: Identity, people: None, monkeypatch: pytest.MonkeyPatch) -> House:
    # What passwords cost is not looked at here, and would be most of the time.
    monkeypatch.setattr("callwright.control.accounts.passwords._hash", lambda password: HASHED)
    monkeypatch.setattr("callwright.control.accounts.passwords._fits", lambda _, given: given == PASSWORD)
    runs = {}
    for name in ("ours", "theirs"):
        await services.projects.create(admin, name)
        await services.tests.create(admin, TEST.format(name=f"test_of_{name}"), project=name)
        runs[name] = await services.runs.start(admin, f"test_of_{name}", report_mode="kiosk")
        await _evidence(services, runs[name])
        await services.credentials.put(
            admin,
            f"line_of_{name}",
            {"user": "1", "password": "s3cret"},
            project_id=(await services.projects.get(admin, name)).id,
        )
    user = await services.accounts.user_by_name("person")
    project = await services.projects.get(admin, "ours")
    await services.projects.put_member(admin, user, project, Role.MEMBER)
    key = await services.keys.create("ci", user)
    login = await services.accounts.login("person@example.com", PASSWORD)
    assert isinstance(login, tuple)
    member = await services.accounts.authenticate_token(login[0])
    assert member is not None
    return House(services, runs["theirs"], runs["ours"], member, key, login[0])


async def _evidence(services: Services, run: Run) -> None:
    data = b"<script>alert(1)</script>"
    sha256 = hashlib.sha256(data).hexdigest()
    await services.evidence.write(run.session_id, 1, "report.html", 0, data)
    await services.evidence.complete(run.session_id, 1, "report.html", len(data), sha256, "text/html")


PAGE = {
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}
PAGE_POLICY = ("default-src 'none'", "script-src 'self'", "form-action 'self'", "base-uri 'none'")
FILE = {
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "private, no-store",
}


@pytest.mark.parametrize(
    ("path", "signed_in", "framed"),
    [
        ("/login", False, False),
        ("/", False, False),
        ("/", True, False),
        ("/tests", True, False),
        ("/tests/test_of_ours", True, False),
        ("/runs", True, False),
        ("/run/details/{run}", True, False),
        ("/run/details/none", True, False),
        ("/nowhere", True, False),
        ("/agents", True, False),
        ("/audit", True, False),
        ("/kiosk/{kiosk}/{run}", False, True),
        ("/kiosk/wrong/{run}", False, False),
    ],
)
async def test_every_page_has_every_header_of_safety(
    house: House, path: str, signed_in: bool, framed: bool
) -> None:
    async with house.client() as client:
        if signed_in:
            client.cookies.set("callwright_session", house.cookie)
        kiosk = house.services.runs.kiosk_token(house.ours)
        answer = await client.get(path.format(run=house.ours.session_id, kiosk=kiosk))
    assert answer.status_code < 500
    found = {name: answer.headers.get(name) for name in PAGE}
    if path.startswith("/run/details/{run}"):  # it names its public link, so no proxy may pack it either
        assert found["cache-control"] == "no-store, no-transform"
        found["cache-control"] = "no-store"
    assert found == PAGE
    policy = answer.headers["content-security-policy"]
    assert [part for part in PAGE_POLICY if part not in policy] == []
    assert ("frame-ancestors *" in policy) is framed
    assert ("frame-ancestors 'none'" in policy) is not framed
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/runs/{run}/evidence/report.html",
        "/run/details/{run}/files/report.html",
        "/kiosk/{kiosk}/{run}/files/report.html",
    ],
)
async def test_a_file_of_evidence_is_in_a_sandbox_wherever_it_is_fetched(house: House, path: str) -> None:
    async with house.client() as client:
        client.cookies.set("callwright_session", house.cookie)
        kiosk = house.services.runs.kiosk_token(house.ours)
        where = path.format(run=house.ours.session_id, kiosk=kiosk)
        auth = house.key if path.startswith("/api") else None
        for headers in ({}, {"Range": "bytes=0-3"}):
            answer = await client.get(where, auth=auth, headers=headers)
            assert answer.status_code in (200, 206), answer.text
            assert {name: answer.headers.get(name) for name in FILE} == FILE
            assert answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("public_url", "secure"), [("https://here", True), ("http://here", False), (None, False)]
)
async def test_the_cookie_of_a_session_is_for_this_site_and_no_script(
    house: House, public_url: str | None, secure: bool
) -> None:
    async with house.client(public_url=public_url) as client:
        fields = {"email": "person@example.com", "password": PASSWORD}
        answer = await client.post("/login", data=fields)
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 303
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert ("secure" in cookie) is secure


# -- projects


async def test_no_address_of_the_api_gives_anything_of_another_project(house: House) -> None:
    """Every address of the document, with a test, a run or an account of the other project in it."""
    theirs = {
        "run_id": house.theirs.session_id,
        "name": "test_of_theirs",
        "session_id": house.theirs.session_id,
        "path": "report.html",
        "project": "theirs",
    }
    async with house.client() as client:
        document = (await client.get("/api/v2/openapi.json")).json()
        asked = 0
        for path, operations in document["paths"].items():
            for method in operations:
                if method not in ("get", "post", "put", "patch", "delete"):
                    continue
                where = path
                for name in ("/credentials/{name}", "/projects/{name}"):
                    value = "line_of_theirs" if "credentials" in name else "theirs"
                    where = where.replace(name, name.replace("{name}", value))
                for name, value in theirs.items():
                    where = where.replace(f"{{{name}}}", value)
                if "{" in where or (where == path and "{" in path):
                    continue
                for form in (where, where.replace(house.theirs.session_id, str(house.theirs.id))):
                    body: dict[str, Any] = {"document": TEST.format(name="test_of_theirs"), "user": "1"}
                    body |= {"test.name": "test_of_theirs", "email": "x"}
                    url = form if form.startswith("/api") else f"/api/v2{form}"
                    async with asyncio.timeout(20):
                        answer = await client.request(
                            method, url, auth=house.key, json=None if method == "get" else body
                        )
                    asked += 1
                    if where == path:  # a list, or something new: nothing of theirs is in it
                        _holds_nothing_of_theirs(answer, house, f"{method} {url}")
                    else:
                        assert answer.status_code in (403, 404, 405, 409, 422), (
                            f"{method} {url}: {answer.text}"
                        )
                        assert house.theirs.session_id not in answer.text or house.theirs.session_id in url
        assert asked > 40


def _holds_nothing_of_theirs(answer: httpx.Response, house: House, what: str) -> None:
    for word in (house.theirs.session_id, "line_of_theirs"):
        assert word not in answer.text, what
    if answer.status_code == 200:
        assert '"test_of_theirs"' not in answer.text, what
        assert '"theirs"' not in answer.text, what


@pytest.mark.parametrize("path", ["runs?project=theirs", "tests?project=theirs", "runs?test=test_of_theirs"])
async def test_no_filter_names_another_project(house: House, path: str) -> None:
    async with house.client() as client:
        answer = await client.get(f"/api/v2/{path}", auth=house.key)
    assert answer.status_code in (404, 422) or answer.json()["data"] == []


@pytest.mark.parametrize(
    "path",
    [
        *("/run/details/{run}", "/run/details/{run}/events", "/run/details/{run}/files/report.html"),
        *("/tests/test_of_theirs", "/tests/theirs:test_of_theirs", "/tests/test_of_theirs/versions"),
    ],
)
async def test_no_page_shows_anything_of_another_project(house: House, path: str) -> None:
    async with house.client() as client:
        client.cookies.set("callwright_session", house.cookie)
        answer = await client.get(path.format(run=house.theirs.session_id))
        assert answer.status_code == 404
        for listing in ("/", "/tests", "/runs", "/credentials", "/projects", "/keys"):
            shown = (await client.get(listing)).text
            for word in ("test_of_theirs", house.theirs.session_id, "line_of_theirs", ">theirs<"):
                assert word not in shown, listing


async def test_a_vault_binds_what_it_seals_to_its_record() -> None:
    vault = Vault(b"k" * 32, lambda n: b"n" * n)
    assert not vault.opens(vault.seal("x", "credential/1/a"), "credential/2/a")
    assert vault.opens(vault.seal("x", "a"), "a")
