"""What the application answers, asked in this process: methods, queries, ranges, guesses, names, audits."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from callwright.control.accounts.model import PLATFORM, Identity
from callwright.control.api.auth import Gate
from callwright.control.api.limits import RateLimit
from callwright.control.api.problems import ApiProblem
from callwright.control.app import create_app
from callwright.control.runs.model import Run
from callwright.control.services import Services, Settings
from callwright.net.clock import ManualClock

PING = "name: {name}\nsteps:\n  - - options: {{party: alice}}\n"


@pytest.fixture
async def key(services: Services, admin: Identity) -> tuple[str, str]:
    return await services.keys.create("ci", await services.accounts.user(admin.user_id))


@pytest.fixture
async def api(services: Services, key: tuple[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://here", auth=key) as client:
        yield client


@pytest.fixture
async def run(services: Services, admin: Identity) -> Run:
    await services.tests.ensure_demo(admin)
    return await services.runs.start(admin, "basic_call")


async def audited(services: Services) -> list[tuple[str, str]]:
    return [(entry.action, entry.object) for entry in await services.audit.log(PLATFORM)]


# -- methods


async def test_head_is_get_without_its_body(api: httpx.AsyncClient) -> None:
    for path in ("/api/v2/runs", "/api/v2/tests", "/healthz", "/login", "/api/v2/openapi.json"):
        whole, head = await api.get(path), await api.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        for name in ("content-type", "content-length"):
            assert head.headers[name] == whole.headers[name]


async def test_head_where_there_is_no_get_is_405_and_allow_names_head_where_there_is(
    api: httpx.AsyncClient,
) -> None:
    refused = await api.head("/api/v2/tests/run")
    assert refused.status_code == 405
    assert "HEAD" not in refused.headers["allow"]
    assert "HEAD" in (await api.delete("/api/v2/runs")).headers["allow"]
    assert "HEAD" in (await api.options("/api/v2/runs")).headers["allow"]


async def test_head_of_a_stream_ends(api: httpx.AsyncClient, run: Run) -> None:
    async with asyncio.timeout(30):
        head = await api.head(f"/api/v2/runs/{run.session_id}/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


# -- queries


async def test_a_filter_that_is_not_known_is_422_with_what_is_permitted(api: httpx.AsyncClient) -> None:
    for path, address, permitted in (
        ("runs?stauts=failed", "stauts", "status"),
        ("runs?blame=weather", "blame", "network"),
        ("runs?phase=done", "phase", "passed"),
        ("runs?status=done", "status", "running"),
        ("tests?serach=x", "serach", "search"),
        ("audit?befor=3", "befor", "after"),
    ):
        answer = await api.get(f"/api/v2/{path}")
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert error["address"] == address
        assert permitted in error["permitted"]
        assert error["value"]


async def test_a_filter_that_comes_twice_is_422(api: httpx.AsyncClient) -> None:
    assert (await api.get("/api/v2/runs?status=passed&status=failed")).status_code == 422


async def test_a_route_without_filters_does_not_look_at_its_query(api: httpx.AsyncClient, run: Run) -> None:
    assert (await api.get(f"/api/v2/runs/{run.session_id}/status?_=1732309420")).status_code == 200
    assert (await api.get("/api/v2/?_=1732309420")).status_code == 200


# -- starting a run


async def test_a_pool_that_is_not_there_is_422(api: httpx.AsyncClient, run: Run) -> None:
    asked = {"test.name": "basic_call", "agentpool.name": "viena"}
    answer = await api.post("/api/v2/tests/run", data=asked)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["address"], error["value"]) == ("agentpool.name", "viena")
    await api.post("/api/v2/agentpools", data={"name": "viena"})
    assert (await api.post("/api/v2/tests/run", data=asked)).status_code == 200


async def test_a_key_of_idempotency_that_is_too_long_is_named_as_it_is_written(
    api: httpx.AsyncClient, run: Run
) -> None:
    answer = await api.post(
        "/api/v2/tests/run", data={"test.name": "basic_call"}, headers={"Idempotency-Key": "k" * 300}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["address"] == "Idempotency-Key"


async def test_another_end_of_the_public_link_is_another_request(api: httpx.AsyncClient, run: Run) -> None:
    async def start(**more: str) -> httpx.Response:
        fields = {"test.name": "basic_call", "report.mode": "kiosk", **more}
        return await api.post("/api/v2/tests/run", data=fields, headers={"Idempotency-Key": "one"})

    first = await start()
    assert (await start()).json() == first.json()
    assert (await start(**{"report.days": "3"})).status_code == 409


async def test_a_refusal_by_policy_has_a_remedy_that_can_be_followed_here(
    api: httpx.AsyncClient, run: Run
) -> None:
    async def refused(**fields: str) -> tuple[str, str]:
        answer = await api.post(
            "/api/v2/tests/run",
            data={"test.name": "basic_call", "party.alice": "a:b", "party.bob": "b:c"} | fields,
        )
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        return error["message"], error["remedy"]

    for target in ("8.8.8.8", "169.254.169.254", "[::ffff:8.8.8.8]"):
        assert "page Targets" in (await refused(target=target))[1]
    assert await refused(target="0.0.0.0") == (
        "0.0.0.0 is the unspecified address; no call goes there.",
        "",
    )
    message, remedy = await refused(**{"target": "127.0.0.1:5999", "step.1.0.dial_destination": "112"})
    assert "emergency" in message
    assert "page Targets" in remedy
    assert "file" not in remedy


# -- files


@pytest.fixture
async def file(services: Services, run: Run) -> tuple[str, bytes]:
    """The address of a recording, and what is in it."""
    data = bytes(range(256)) * 8
    await services.evidence.write(run.session_id, 1, "a.wav", 0, data)
    await services.evidence.complete(run.session_id, 1, "a.wav", len(data), hashlib.sha256(data).hexdigest())
    return f"/api/v2/runs/{run.session_id}/evidence/a.wav", data


async def test_a_file_has_a_tag_and_who_has_it_is_told_so(
    api: httpx.AsyncClient, file: tuple[str, bytes]
) -> None:
    path, data = file
    tag = (await api.get(path)).headers["etag"]
    assert tag == f'"{hashlib.sha256(data).hexdigest()}"'
    for given in (tag, f'"x", W/{tag}', "*"):
        answer = await api.get(path, headers={"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert (await api.get(path, headers={"If-None-Match": '"x"'})).status_code == 200


async def test_a_range_of_another_file_is_answered_with_the_whole(
    api: httpx.AsyncClient, file: tuple[str, bytes]
) -> None:
    path, data = file
    tag = (await api.get(path)).headers["etag"]
    part = await api.get(path, headers={"Range": "bytes=2-5", "If-Range": tag})
    assert (part.status_code, part.content) == (206, data[2:6])
    assert part.headers["etag"] == tag
    for other in ('"x"', f"W/{tag}", "Sun, 22 Nov 2026 21:00:00 GMT"):
        whole = await api.get(path, headers={"Range": "bytes=2-5", "If-Range": other})
        assert (whole.status_code, whole.content) == (200, data)


async def test_a_range_that_is_none_is_answered_with_the_whole(
    api: httpx.AsyncClient, file: tuple[str, bytes]
) -> None:
    path, data = file
    for span in ("bytes=5-2", "bytes=0-1,4-5", "octets=0-1", "bytes=", "bytes=-", "bytes=a-b"):
        answer = await api.get(path, headers={"Range": span})
        assert (answer.status_code, answer.content) == (200, data), span


async def test_head_of_a_file_tells_its_size(api: httpx.AsyncClient, file: tuple[str, bytes]) -> None:
    path, data = file
    head = await api.head(path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")


async def test_the_document_says_what_files_are_answered_with(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/api/v2/openapi.json")).json()["paths"]
    for name, kind in (("pcap", "application/vnd.tcpdump.pcap"), ("junit", "application/xml")):
        answers = paths[f"/api/v2/runs/{{run_id}}/{name}"]["get"]["responses"]
        assert {"200", "206", "304", "416"} <= answers.keys()
        assert list(answers["200"]["content"]) == [kind]


async def test_the_document_says_which_answers_are_documents(api: httpx.AsyncClient) -> None:
    for chapter, path, kinds in (
        ("v2", "/api/v2/tests/{name}/document", {"application/yaml"}),
        ("v3", "/api/v3/monitors/export", {"application/yaml", "text/csv"}),
    ):
        paths = (await api.get(f"/api/{chapter}/openapi.json")).json()["paths"]
        assert paths[path]["get"]["responses"]["200"]["content"].keys() == kinds


# -- names


async def test_a_test_of_another_project_cannot_take_an_address_with_a_project(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    for project in ("billing", "other"):
        await services.projects.create(admin, project)
    await services.tests.create(admin, PING.format(name="x"), project="billing")
    await services.tests.create(admin, PING.format(name='"billing:x"'), project="other")
    found = await services.tests.get(admin, "billing:x")
    assert found.project_name == "billing"
    assert (await services.tests.get(admin, "other:billing:x")).project_name == "other"
    changed = PING.format(name="x") + "# changed\n"
    assert (await api.put("/api/v2/tests?project=billing", json={"document": changed})).status_code == 200
    assert (await services.tests.get(admin, "x", project="billing")).version == 2
    assert (await services.tests.get(admin, "other:billing:x")).version == 1


async def test_pages_of_tests_leave_none_out_where_two_projects_have_one_name(
    api: httpx.AsyncClient, services: Services, admin: Identity
) -> None:
    for project in ("billing", "other", "third"):
        await services.projects.create(admin, project)
        await services.tests.create(admin, PING.format(name="x"), project=project)
    seen, url = [], "/api/v2/tests?limit=1"
    while url:
        answer = (await api.get(url)).json()
        seen += [row["project_name"] for row in answer["data"]]
        url = answer["next"]
    assert seen == ["billing", "other", "third"]


async def test_a_name_that_no_address_reaches_is_refused(api: httpx.AsyncClient) -> None:
    for name in (".", "..", "import", "openapi", "run", "new"):
        answer = await api.post("/api/v2/tests", json={"document": PING.format(name=f'"{name}"')})
        assert answer.status_code == 422, name
        assert answer.json()["errors"][0]["address"] == "name"


# -- the audit log


async def test_what_administrators_do_over_the_api_is_in_the_audit_log(
    api: httpx.AsyncClient, services: Services
) -> None:
    await api.post("/api/v2/projects", json={"name": "billing"})
    await api.post("/api/v2/tests", json={"document": PING.format(name="x"), "project": "billing"})
    await api.delete("/api/v2/tests/x")
    await api.post("/api/v2/agentpools", json={"name": "vienna"})
    token = (await api.post("/api/v2/agents/tokens", json={"pool": "vienna"})).json()["data"]["token"]
    assert token
    assert {
        ("project.created", "project billing"),
        ("test.deleted", "test x"),
        ("pool.created", "pool vienna"),
        ("agent.enrolment", "pool vienna"),
    } <= set(await audited(services))
    assert token not in str(await services.audit.log(PLATFORM))


# -- guesses at passwords


class Slow:
    """Accounts that take until they are let go, and know nobody."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()

    async def authenticate_basic(self, name: str, secret: str) -> Identity | None:
        self.asked += 1
        await self.go.wait()
        return None

    async def authenticate_token(self, token: str) -> Identity | None:
        return await self.authenticate_basic("", token)

    authenticate_bearer = authenticate_token


class Asked:
    """What the gate looks at of a connection."""

    def __init__(self, name: str) -> None:
        pair = base64.b64encode(f"{name}:a guess".encode()).decode()
        self.headers = {"authorization": f"Basic {pair}"}
        self.client = type("Address", (), {"host": "192.0.2.7"})
        self.scope: dict[str, Any] = {"state": {}}
        self.opt: dict[str, Any] = {}


async def test_guesses_that_come_at_once_are_not_more_than_the_limit(clock: ManualClock) -> None:
    accounts = Slow()
    gate = Gate(accounts, clock, requests=RateLimit(0, 0), failures=RateLimit(1, 5))
    asked: list[Any] = [Asked("bob") for _ in range(50)]
    tasks = [asyncio.ensure_future(gate(one, one)) for one in asked]
    while sum(task.done() for task in tasks) < 45:
        await asyncio.sleep(0)
    assert accounts.asked == 5
    accounts.go.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(end.status for end in ends if isinstance(end, ApiProblem)) == [401] * 5 + [429] * 45


async def test_guesses_at_the_page_that_come_at_once_are_not_more_than_the_limit(services: Services) -> None:
    app = create_app(services, Settings())
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        answers = await asyncio.gather(
            *(client.post("/login", data={"email": "ana", "password": f"guess {n}"}) for n in range(25))
        )
    assert sorted(answer.status_code for answer in answers) == [401] * 10 + [429] * 15


def test_what_turned_out_well_is_given_back() -> None:
    limit = RateLimit(1, 2)
    for _ in range(5):
        assert limit.wait("bob", 0.0) == 0.0
        limit.give_back("bob")
    limit.give_back("nobody")
    assert [limit.wait("bob", 0.0) > 0 for _ in range(3)] == [False, False, True]
