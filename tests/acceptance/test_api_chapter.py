"""The rest of the chapter: tests, runs and what they leave, agents, accounts, targets, the switch."""

from __future__ import annotations

import json
import wave
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from tests.kit.served import Served

PING = "name: {name}\ntitle: A ping\ntags: [ping]\nsteps:\n  - - options: {{party: alice}}\n"
YAML = {"Content-Type": "application/yaml"}


def data(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["status"] == status
    return body["data"]


# -- tests


def test_a_test_is_made_read_changed_and_deleted(platform: Served) -> None:
    api = platform.api
    made = data(api.post("tests", json={"document": PING.format(name="short ping")}), 201)
    assert (made["name"], made["title"], made["version"], made["tags"]) == (
        "short ping",
        "A ping",
        1,
        ["ping"],
    )
    assert data(api.get("tests/short ping"))["document"] == PING.format(name="short ping")
    changed = PING.format(name="short ping") + "description: Changed\n"
    assert data(api.patch("tests/short ping", json={"document": changed, "version": 1}))["version"] == 2
    stale = api.patch("tests/short ping", json={"document": changed, "version": 1})
    assert stale.status_code == 409
    versions = data(api.get("tests/short ping/versions"))
    assert [entry["version"] for entry in versions] == [2, 1]
    old = api.get("tests/short ping/document", params={"version": 1})
    assert old.text == PING.format(name="short ping")
    assert old.headers["content-type"].startswith("application/yaml")
    data(api.delete("tests/short ping"))
    assert api.get("tests/short ping").status_code == 404


@pytest.mark.parametrize("how", ["json", "form", "multipart", "yaml"])
def test_a_document_comes_in_every_form(platform: Served, how: str) -> None:
    document = PING.format(name=f"ping by {how}")
    ways: dict[str, dict[str, Any]] = {
        "json": {"json": {"document": document}},
        "form": {"data": {"document": document}},
        "multipart": {"files": {"document": ("ping.yaml", document)}},
        "yaml": {"content": document, "headers": YAML},
    }
    assert data(platform.api.post("tests", **ways[how]), 201)["name"] == f"ping by {how}"


def test_import_makes_changes_or_leaves_alone(platform: Served) -> None:
    def put(document: str) -> Any:
        return data(platform.api.put("tests", content=document, headers=YAML))

    assert put(PING.format(name="kept in git"))["version"] == 1
    assert put(PING.format(name="kept in git"))["version"] == 1
    assert put(PING.format(name="kept in git") + "# a comment\n")["version"] == 2


def test_lists_are_read_page_by_page(platform: Served) -> None:
    whole = [row["name"] for row in platform.get("tests")["data"]]
    names: list[str] = []
    url: str | None = "tests?limit=3"
    while url is not None:
        page = platform.get(url)
        assert len(page["data"]) <= 3
        names += [row["name"] for row in page["data"]]
        url = page["next"]
    assert names == whole


def test_the_catalogue_has_parameters_and_full_examples(platform: Served) -> None:
    entries = {entry["name"]: entry for entry in platform.get("testcases")["data"]}
    assert "steps:" in entries["basic_call"]["document"]
    assert entries["basic_call"]["parameters"]
    assert platform.get("testcases/basic_call")["data"] == entries["basic_call"]


# -- runs


@pytest.fixture(scope="module")
def call(platform: Served) -> str:
    """The session id of a call that has ended."""
    session_id = platform.run("basic_call", **{"step.1.0.max_duration": "3 s"})
    assert platform.finished(session_id)["status"] == "passed"
    return session_id


def test_a_run_tells_verdict_conditions_and_calls(platform: Served, call: str) -> None:
    run = platform.get(f"runs/{call}")["data"]
    assert (run["verdict"], run["blame"], run["phase"]) == ("passed", None, "passed")
    assert len(run["conditions"]) == 4
    assert all(condition["passed"] for condition in run["conditions"])
    assert {leg["party"] for leg in run["calls"]} == {"alice", "bob"}
    assert run["parameters"]["step.1.0.max_duration"]
    assert platform.get(f"runs/{run['id']}")["data"]["session_id"] == call


def test_a_run_leaves_its_messages_capture_audio_figures_and_junit(platform: Served, call: str) -> None:
    ladder = platform.get(f"runs/{call}/sip")
    assert any(row["kind"] == "message" for row in ladder["rows"])
    capture = platform.api.get(f"runs/{call}/pcap")
    assert capture.content[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1", b"\x0a\x0d\x0d\x0a")
    suite = ElementTree.fromstring(platform.api.get(f"runs/{call}/junit").content)
    assert suite.tag in ("testsuites", "testsuite")
    metrics = platform.get(f"runs/{call}/metrics")["data"]
    assert len(metrics) == 2
    assert all(leg["mos"] > 3.5 and leg["seconds"] for leg in metrics)
    recordings = platform.get(f"runs/{call}/audio")["data"]
    assert recordings
    octets = httpx.get(recordings[0]["url"], auth=platform.auth).content
    assert len(octets) == recordings[0]["size"]
    with wave.open(BytesIO(octets)) as audio:
        assert audio.getnchannels() in (1, 2)


def test_a_file_is_given_by_range(platform: Served, call: str) -> None:
    (first, *_) = platform.get(f"runs/{call}/audio")["data"]

    def part(span: str) -> httpx.Response:
        return httpx.get(first["url"], auth=platform.auth, headers={"Range": span})

    whole = httpx.get(first["url"], auth=platform.auth).content
    middle = part("bytes=4-11")
    assert (middle.status_code, middle.content) == (206, whole[4:12])
    assert middle.headers["content-range"] == f"bytes 4-11/{len(whole)}"
    assert part("bytes=-5").content == whole[-5:]
    assert part(f"bytes={len(whole)}-").status_code == 416


def test_a_file_that_is_none_is_404_wherever_it_leads(platform: Served, call: str) -> None:
    for name in ("nothing.txt", "../../../secret.key", "..%2f..%2f..%2fsecret.key", "%2fetc%2fpasswd"):
        answer = platform.api.get(f"runs/{call}/evidence/{name}")
        assert answer.status_code == 404, name


def test_runs_are_filtered(platform: Served, call: str) -> None:
    def ids(**wanted: str) -> set[str]:
        return {row["session_id"] for row in platform.get("runs", params=wanted)["data"]}

    assert call in ids(status="passed", test_name="basic_call", tag="media", since="2020-01-01")
    assert call not in ids(status="failed")
    assert call not in ids(test_name="options_ping")
    assert call not in ids(until="2020-01-01 00:00:00")


def test_a_run_is_stopped(platform: Served) -> None:
    session_id = platform.run("basic_call", **{"step.1.0.max_duration": "60 s"})
    platform.until(
        lambda run: run["phase"] == "running", lambda: platform.get(f"runs/{session_id}/status")["run"]
    )
    assert platform.api.post(f"runs/{session_id}/stop").status_code == 200
    run = platform.finished(session_id, 15)
    assert (run["status"], run["phase"]) == ("failed", "canceled")


def test_a_run_is_told_as_it_happens(platform: Served) -> None:
    session_id = platform.run("basic_call", **{"step.1.0.max_duration": "2 s"})
    events: list[tuple[str, str]] = []
    url = f"{platform.url}/api/v2/runs/{session_id}/events"
    with httpx.stream("GET", url, auth=platform.auth, timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in stream.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                events.append((name, value))
    assert events[0][0] == "run"
    assert events[-1] == ("end", session_id)
    states = [json.loads(value)["phase"] for name, value in events if name == "run"]
    assert states[-1] == "passed"
    kinds = {json.loads(value)["kind"] for name, value in events if name == "progress"}
    assert "state" in kinds
    assert "metrics" in kinds


# -- agents


def test_agents_and_pools_are_listed(platform: Served) -> None:
    (agent, *_) = platform.get("agents")["data"]
    assert (agent["name"], agent["pool"], agent["alive"]) == ("embedded", "default", True)
    assert platform.get(f"agents/{agent['id']}")["data"]["capacity"] == agent["capacity"] > 0
    pools = {pool["name"]: pool for pool in platform.get("agentpools")["data"]}
    assert pools["default"]["alive"] >= 1


def test_an_agent_enrols_with_a_token_that_is_good_once(platform: Served) -> None:
    token = data(platform.api.post("agents/tokens", json={"pool": "lab", "hours": 1}), 201)["token"]
    body = {"token": token, "name": "lab-1", "capacity": 7, "labels": {"site": "vienna"}}
    made = data(httpx.post(f"{platform.url}/api/v2/agents/enrol", json=body))
    assert made.keys() >= {"agent_id", "nats_url", "user", "password", "pool", "lease_seconds"}
    assert (made["pool"], made["capacity"]) == ("lab", 7)
    again = httpx.post(f"{platform.url}/api/v2/agents/enrol", json=body | {"name": "lab-2"})
    assert again.status_code == 403
    listed = platform.get("agents/tokens")["data"]
    assert token not in json.dumps(listed)
    drained = data(platform.api.patch(f"agents/{made['agent_id']}", json={"state": "draining"}))
    assert drained["state"] == "draining"
    assert data(platform.api.delete(f"agents/{made['agent_id']}"))["state"] == "revoked"


# -- accounts


def test_a_secret_of_a_sip_account_never_comes_back(platform: Served) -> None:
    api = platform.api
    body = {"name": "office", "user": "4101", "password": "very secret", "domain": "pbx.example.com"}
    made = data(api.post("credentials", json=body), 201)
    assert made["has_password"] is True
    changed = data(api.patch("credentials/office", json={"display_name": "Office"}))
    assert (changed["display_name"], changed["user"], changed["has_password"]) == ("Office", "4101", True)
    assert "very secret" not in json.dumps([made, changed, platform.get("credentials")])
    assert api.post("credentials", json=body).status_code == 409
    data(api.delete("credentials/office"))
    assert api.delete("credentials/office").status_code == 404


def test_sip_accounts_are_imported_from_csv(platform: Served) -> None:
    table = "name,user,password,domain\nlab_1,5001,one,pbx.lab\nlab_2,5002,two,pbx.lab\n"

    def post(text: str) -> httpx.Response:
        return platform.api.post("credentials/import", content=text, headers={"Content-Type": "text/csv"})

    assert data(post(table)) == {"created": 2, "updated": 0}
    assert data(post(table)) == {"created": 0, "updated": 2}
    for wrong in ("name,user,shoe_size\na,1,44\n", "user\n1\n", 'name,user\n"a,1\n', "name,user\n,1\n", ""):
        assert post(wrong).status_code == 422, wrong


def test_keys_are_shown_once_and_listed_without_secrets(platform: Served) -> None:
    key = data(platform.api.post("keys", data={"name": "ci"}), 201)
    assert key["secret"]
    assert key["secret"] not in json.dumps(platform.get("keys"))
    assert data(platform.api.delete(f"keys/{key['id']}"))["deleted"] == str(key["id"])


def test_users_and_projects(platform: Served) -> None:
    body = {"username": "bob", "password": "a long password", "email": "bob@example.com"}
    user = data(platform.api.post("users", json=body), 201)
    assert (user["role"], user["category"]) == ("member", "Normal")
    assert platform.api.post("users", json=body | {"role": "king"}).status_code == 422
    assert platform.api.post("users", json=body).status_code == 409
    assert "bob" in {entry["username"] for entry in platform.get("users")["data"]}
    data(platform.api.delete(f"users/{user['id']}"))
    data(platform.api.post("projects", json={"name": "trunks"}), 201)
    assert "trunks" in {entry["name"] for entry in platform.get("projects")["data"]}


# -- safety


def test_a_target_permits_what_policy_refused(platform: Served) -> None:
    wish = {"test.name": "options_ping", "target": "198.51.100.7"}
    assert platform.api.post("tests/run", json=wish).status_code == 422
    target = data(platform.api.post("targets", json={"host": "198.51.100.7", "concurrency": 5}), 201)
    accepted = platform.api.post("tests/run", json=wish)
    assert accepted.status_code == 200
    platform.api.post(f"runs/{accepted.json()['data']['session_id']}/stop")
    data(platform.api.delete(f"targets/{target['id']}"))
    assert platform.api.post("tests/run", json=wish).status_code == 422
    assert platform.api.post("targets", json={"network": "not one"}).status_code == 422
    assert platform.api.post("targets", json={"host": "a.example", "country": "XX"}).status_code == 422
    french = data(platform.api.post("targets", json={"host": "198.51.100.7", "country": "fr"}), 201)
    assert french["country"] == "FR"
    assert [row["country"] for row in data(platform.api.get("targets"))] == ["FR"]
    data(platform.api.delete(f"targets/{french['id']}"))
    assert platform.api.post("targets", json={}).status_code == 422


def test_the_kill_switch_stops_everything_within_a_second(platform: Served) -> None:
    session_id = platform.run("basic_call", **{"step.1.0.max_duration": "60 s"})
    platform.until(
        lambda run: run["phase"] == "running", lambda: platform.get(f"runs/{session_id}/status")["run"]
    )
    switched = data(platform.api.post("kill", json={"reason": "a test of it"}))
    try:
        assert switched["engaged"] is True
        assert switched["stopped"] >= 1
        run = platform.finished(session_id, 3)
        assert run["phase"] == "canceled"
        refused = platform.api.post("tests/run", json={"test.name": "options_ping"})
        assert refused.status_code == 409
        assert httpx.get(f"{platform.url}/healthz").status_code == 503
    finally:
        data(platform.api.delete("kill"))
    assert platform.finished(platform.run("options_ping"))["status"] == "passed"


def test_the_audit_log_says_who_did_what(platform: Served) -> None:
    entries = platform.get("audit", params={"limit": 500})["data"]
    assert {"key.created", "user.created"} <= {entry["action"] for entry in entries}
    assert all(entry["user"] for entry in entries)


def test_an_agent_that_asks_without_its_token_learns_nothing(platform: Served) -> None:
    agent = platform.get("agents")["data"][0]["id"]
    for asked in ({"agent_id": agent, "token": "0" * 64}, {"agent_id": "nobody", "token": "é"}):
        assert httpx.post(f"{platform.url}/api/v2/agents/ask", json=asked).status_code == 401
    wrong = {"agent_id": agent, "token": "0" * 64, "runs": [{"run_id": -1, "attempt": 1}]}
    assert httpx.post(f"{platform.url}/api/v2/agents/ask", json=wrong).status_code == 422
