"""Each line of the original API's document, as its users type it: only the base URL is another."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import httpx
import pytest

from tests.kit.served import Served, curl

RUN_KEYS = {
    *("agentpool_name", "has_passed", "id", "is_failed", "is_finished", "project_id", "project_name"),
    *("result_description", "session_id", "started_at", "status", "session_status", "stopped_at", "tags"),
    *("test_id", "test_name", "testcase_name"),
}
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def auth(platform: Served) -> list[str]:
    return ["-u", f"{platform.public_key}:{platform.secret}"]


def started(platform: Served, answer: tuple[int, Any], *, kiosk: bool = False) -> dict[str, str]:
    """The data of an accepted run, if it is exactly what the document promises."""
    status, body = answer
    assert status == 200, body
    assert body["status"] == 200
    assert body.keys() == {"data", "status"}
    data: dict[str, str] = body["data"]
    assert data.keys() == {"report_url", "session_id", "status_url"}
    assert re.fullmatch(UUID, data["session_id"])
    assert data["status_url"] == f"{platform.url}/api/v2/runs/{data['session_id']}/status"
    if kiosk:
        assert re.fullmatch(rf"{platform.url}/kiosk/{UUID}/{data['session_id']}", data["report_url"])
    else:
        assert data["report_url"] == f"{platform.url}/run/details/{data['session_id']}"
    return data


def test_the_endpoints_are_listed(platform: Served, auth: list[str]) -> None:
    status, body = curl("-X", "GET", *auth, f"{platform.url}/api/v2/")
    assert status == 200
    paths = {entry["path"] for entry in body["data"]}
    assert {"/api/v2/tests", "/api/v2/tests/run", "/api/v2/runs/{run_id}/status"} <= paths


def test_tests_are_listed_with_their_parameters(platform: Served, auth: list[str]) -> None:
    status, body = curl("-X", "GET", *auth, f"{platform.url}/api/v2/tests")
    assert status == 200
    assert body["status"] == 200
    rows = {row["name"]: row for row in body["data"]}
    assert {"basic_call", "media_analysis", "options_ping"} <= rows.keys()
    parameters = {entry["address"]: entry for entry in rows["basic_call"]["parameters"]}
    dialled = parameters["step.1.0.dial_destination"]
    assert (dialled["type"], dialled["value"], dialled["required"]) == ("destination", "bob", True)
    assert parameters["step.0.0.regexpire"]["default"] is not None


def test_a_test_runs_by_form(platform: Served, auth: list[str]) -> None:
    url = f"{platform.url}/api/v2/tests/run"
    started(platform, curl(url, "-X", "POST", *auth, "-F", "test.name=options_ping"))


def test_a_test_runs_by_json(platform: Served, auth: list[str]) -> None:
    answer = curl(
        f"{platform.url}/api/v2/tests/run",
        *("-X", "POST", *auth, "-H", "Content-Type: application/json"),
        *("--data", '{"test.name": "options_ping"}'),
    )
    started(platform, answer)


def test_a_test_runs_by_url_encoded_form(platform: Served, auth: list[str]) -> None:
    url = f"{platform.url}/api/v2/tests/run"
    started(platform, curl(url, "-X", "POST", *auth, "-d", "test.name=options_ping"))


def test_the_dialled_destination_is_overridden(platform: Served, auth: list[str]) -> None:
    data = started(
        platform,
        curl(
            f"{platform.url}/api/v2/tests/run",
            *("-X", "POST", *auth, "-F", "test.name=basic_call"),
            *("-F", 'step.1.0.dial_destination="431231234"', "-F", "step.1.0.max_duration=1"),
        ),
    )
    run = platform.finished(data["session_id"])
    assert run["status"] == "failed"
    assert "404" in run["result_description"]
    calls = platform.get(f"runs/{data['session_id']}")["data"]["calls"]
    assert "431231234" in json.dumps(calls)


def test_overrides_come_by_json_too(platform: Served, auth: list[str]) -> None:
    body = json.dumps(
        {"test.name": "basic_call", "step.1.0.dial_destination": "431231234", "step.1.0.max_duration": 1}
    )
    answer = curl(
        f"{platform.url}/api/v2/tests/run",
        *("-X", "POST", *auth, "-H", "Content-Type: application/json", "--data", body),
    )
    data = started(platform, answer)
    assert platform.finished(data["session_id"])["status"] == "failed"


def test_kiosk_mode_gives_a_link_that_needs_no_account(platform: Served, auth: list[str]) -> None:
    url = f"{platform.url}/api/v2/tests/run"
    line = ("-X", "POST", *auth, "-F", "test.name=options_ping", "-F", "report.mode=kiosk")
    data = started(platform, curl(url, *line), kiosk=True)
    platform.finished(data["session_id"])
    assert platform.get(f"runs/{data['session_id']}")["data"]["kiosk_url"] == data["report_url"]
    revoked = platform.api.delete(f"runs/{data['session_id']}/kiosk").json()
    assert revoked["data"]["kiosk_url"] is None


def test_a_run_is_running_and_then_passed(platform: Served, auth: list[str]) -> None:
    url = f"{platform.url}/api/v2/tests/run"
    line = ("-X", "POST", *auth, "-F", "test.name=basic_call", "-F", "step.1.0.max_duration=2 s")
    data = started(platform, curl(url, *line))
    status, body = curl(data["status_url"], *auth)
    assert status == 200
    assert body["status"] == 200
    assert body["run"]["status"] == body["run"]["session_status"] == "running"
    run = platform.finished(data["session_id"])
    assert run["status"] == run["session_status"] == "passed", run
    assert run.keys() >= RUN_KEYS
    assert (run["has_passed"], run["is_failed"], run["is_finished"]) == (1, 0, 1)
    assert run["result_description"] == ""
    assert (run["test_name"], run["testcase_name"]) == ("basic_call", "Basic call")
    assert json.loads(run["tags"]) == ["call", "media"]
    assert run["phase"] == "passed"
    for moment in (run["started_at"], run["stopped_at"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", moment)


def test_a_ci_client_polls_until_the_session_is_no_longer_running(platform: Served) -> None:
    """As the CI action of the original does it: JSON, Basic, session_status."""
    with httpx.Client(auth=platform.auth, follow_redirects=False) as client:
        answer = client.post(f"{platform.url}/api/v2/tests/run", json={"test.name": "options_ping"})
        url = answer.json()["data"]["status_url"]
        deadline = time.monotonic() + 30
        while (run := client.get(url).json()["run"])["session_status"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert run["session_status"] == "passed"


def test_tags_of_a_run_stand_beside_those_of_its_test(platform: Served, auth: list[str]) -> None:
    url = f"{platform.url}/api/v2/tests/run"
    line = ("-X", "POST", *auth, "-F", "test.name=options_ping", "-F", "test.tags=nightly,prod")
    data = started(platform, curl(url, *line))
    tags = json.loads(platform.get(f"runs/{data['session_id']}/status")["run"]["tags"])
    assert {"nightly", "prod"} <= set(tags)


def test_the_same_idempotency_key_gives_the_same_run(platform: Served, auth: list[str]) -> None:
    url = f"{platform.url}/api/v2/tests/run"
    line = (*auth, "-H", "Idempotency-Key: build 17", "-F", "test.name=options_ping")
    first, second = started(platform, curl(url, *line)), started(platform, curl(url, *line))
    assert first == second
    status, body = curl(url, *auth, "-H", "Idempotency-Key: build 17", "-F", "test.name=registration")
    assert (status, body["status"]) == (409, 409)


def test_the_idempotency_key_of_many_at_once_gives_one_run(platform: Served) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def post(_: int) -> str:
        answer = platform.api.post(
            "tests/run", json={"test.name": "options_ping"}, headers={"Idempotency-Key": "build 18"}
        )
        session_id: str = answer.json()["data"]["session_id"]
        return session_id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(post, range(16)))) == 1


def test_urls_are_made_from_the_host_of_the_request(platform: Served, auth: list[str]) -> None:
    line = (*auth, "-H", "Host: calls.example.com", "-F", "test.name=options_ping")
    _, body = curl(f"{platform.url}/api/v2/tests/run", *line)
    assert body["data"]["status_url"].startswith("http://calls.example.com/api/v2/runs/")


def test_every_test_of_a_project_runs(platform: Served, auth: list[str]) -> None:
    platform.api.post("projects", json={"name": "pings"})
    for name in ("ping one", "ping two"):
        document = f"name: {name}\nsteps:\n  - - options: {{party: alice}}\n"
        made = platform.api.post("tests", json={"document": document, "project": "pings"})
        assert made.status_code == 201, made.text
    status, body = curl(f"{platform.url}/api/v2/tests/run", *auth, "-F", "test.project=pings")
    assert status == 200
    assert len(body["data"]["runs"]) == 2
    assert body["data"]["session_id"] == body["data"]["runs"][0]["session_id"]
    for entry in body["data"]["runs"]:
        assert platform.finished(entry["session_id"])["project_name"] == "pings"
