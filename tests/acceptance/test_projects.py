"""Two projects on one platform: whoever is in the one cannot see, run, stop, hear, or learn of the other."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.kit.served import Served

#: Stands in every name of the project that must stay unknown.
WORD = "zanzibar"
PASSWORD = "in one project only"
DOCUMENT = "name: {name}\ntitle: Of {name}\ntags: [{name}]\nsteps:\n  - - options: {{party: alice}}\n"
SLOW = (
    "name: {name}\ntags: [slow-{name}]\nparties: {{alice: , bob: }}\n"
    "steps:\n  - - accept: {{party: bob}}\n    - call: {{party: alice, dial_destination: bob, "
    "max_duration: 300 s}}\n"
)


@dataclass
class Two:
    """Ada is a member of `harbour`; all of `theirs` belongs to the other project."""

    platform: Served
    ada: httpx.Client
    pages: httpx.Client
    csrf: str
    theirs: dict[str, Any]


def made(answer: httpx.Response, status: int = 201) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


@pytest.fixture(scope="module")
def two(platform: Served) -> Iterator[Two]:
    api = platform.api
    ours = made(api.post("projects", json={"name": "harbour"}))
    theirs: dict[str, Any] = {"project": made(api.post("projects", json={"name": WORD}))}
    made(api.post("tests", json={"document": DOCUMENT.format(name="crane"), "project": "harbour"}))
    theirs["test"] = made(
        api.post("tests", json={"document": DOCUMENT.format(name=f"{WORD}-test"), "project": WORD})
    )
    made(api.post("tests", json={"document": SLOW.format(name=f"{WORD}-slow"), "project": WORD}))
    account = {"name": f"{WORD}-account", "user": "4101", "password": "secret", "project": WORD}
    theirs["account"] = made(api.post("credentials", json=account))
    theirs["run"] = platform.run(f"{WORD}-test")
    platform.finished(theirs["run"])
    theirs["live"] = platform.run(f"{WORD}-slow")
    platform.until(
        lambda run: run["phase"] == "running", lambda: platform.get(f"runs/{theirs['live']}/status")["run"]
    )
    body = {"username": "ada", "password": PASSWORD, "category": "API", "projects": ["harbour"]}
    assert made(api.post("users", json=body))["projects"] == [{"project": "harbour", "role": "member"}]
    assert ours["role"] == "admin"
    root = f"{platform.url}/api/v2/"
    with (
        httpx.Client(base_url=root, auth=("ada", PASSWORD), timeout=30) as ada,
        httpx.Client(base_url=platform.url, timeout=30, follow_redirects=True) as pages,
    ):
        assert pages.post("/login", data={"email": "ada", "password": PASSWORD}).status_code == 200
        csrf = re.search(r'name="_csrf" value="([0-9a-f]+)"', pages.get("/keys").text)
        assert csrf is not None
        yield Two(platform, ada, pages, csrf[1], theirs)
    api.post(f"runs/{theirs['live']}/stop")


def told(answer: httpx.Response, *more: str) -> bool:
    """Whether the answer says anything of the other project beyond what was asked."""
    text = answer.text
    for asked in more:
        text = text.replace(asked, "")
    return WORD in text


def test_lists_show_what_is_ones_own(two: Two) -> None:
    for path in (
        "tests",
        f"tests?search={WORD[:4]}",
        f"tests?tag={WORD}-test",
        "runs?limit=1000",
        f"runs?project_id={two.theirs['project']['id']}",
        f"runs?test_id={two.theirs['test']['id']}",
        f"runs?test_name={WORD}-test",
        f"runs?tag={WORD}-test",
        "runs?status=running",
        "credentials",
        "projects",
        "keys",
        "agents",
        "agentpools",
        "targets",
        "kill",
    ):
        answer = two.ada.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert not told(answer), path
    assert [row["name"] for row in two.ada.get("tests").json()["data"]] == ["crane"]
    assert [row["name"] for row in two.ada.get("projects").json()["data"]] == ["harbour"]
    assert two.ada.get("runs").json()["data"] == []


def test_what_is_theirs_is_unknown_like_what_never_was(two: Two) -> None:
    numbers = {two.theirs["run"]: two.platform.get(f"runs/{two.theirs['run']}/status")["run"]["id"]}
    never = "00000000-0000-4000-8000-000000000000"
    below = ("", "/status", "/events", "/sip", "/pcap", "/junit", "/audio", "/metrics", "/evidence")
    asked: list[tuple[str, str, dict[str, Any] | None]] = [
        *(("GET", "runs/{}" + path, None) for path in (*below, "/evidence/report.html")),
        ("POST", "runs/{}/stop", {}),
        ("POST", "runs/{}/kiosk", {}),
        ("DELETE", "runs/{}/kiosk", None),
    ]
    for method, path, body in asked:
        unknown = two.ada.request(method, path.format(never), json=body)
        assert unknown.status_code == 404
        for theirs in (two.theirs["run"], two.theirs["live"], str(numbers[two.theirs["run"]])):
            answer = two.ada.request(method, path.format(theirs), json=body)
            assert answer.status_code == 404, (method, path, answer.text)
            assert answer.text.replace(theirs, never) == unknown.text
    document = DOCUMENT.format(name=f"{WORD}-test")
    for method, path, body in (
        ("GET", "tests/{}", None),
        ("GET", "tests/{}/document", None),
        ("GET", "tests/{}/versions", None),
        ("PATCH", "tests/{}", {"document": document}),
        ("DELETE", "tests/{}", None),
        ("POST", "tests/run", {"test.name": "{}"}),
    ):
        answers = []
        for name in (f"{WORD}-test", f"{WORD}:{WORD}-test", "qqq-never", "qqq:qqq-never"):
            filled = {key: value.replace("{}", name) for key, value in body.items()} if body else None
            answer = two.ada.request(method, path.format(name), json=filled)
            assert answer.status_code == (422 if body and "test.name" in body else 404), (
                method,
                path,
                answer.text,
            )
            answers.append(answer.text.replace(name, "NAME"))
        assert len(set(answers)) == 1, answers
    for body in ({"test.project": WORD}, {"project.name": WORD}, {"test.tags": f"{WORD}-test"}):
        answer = two.ada.post("tests/run", json=body)
        assert answer.status_code == 422
        assert not told(answer, *body.values())
    for method, path in (
        ("GET", f"projects/{WORD}/members"),
        ("PATCH", f"credentials/{WORD}-account"),
        ("DELETE", f"credentials/{WORD}-account"),
        ("GET", f"tests?project={WORD}"),
        ("DELETE", f"credentials/{WORD}-account?project={WORD}"),
    ):
        answer = two.ada.request(method, path, json={} if method == "PATCH" else None)
        assert answer.status_code == 404, (path, answer.text)


def test_nothing_is_put_into_their_project_nor_taken_from_it(two: Two) -> None:
    document = DOCUMENT.format(name="smuggled")
    assert two.ada.post("tests", json={"document": document, "project": WORD}).status_code == 404
    assert two.ada.put("tests", json={"document": document, "project": WORD}).status_code == 404
    account = {"name": "smuggled", "user": "1", "project": WORD}
    assert two.ada.post("credentials", json=account).status_code == 404
    assert two.ada.post("keys", json={"name": "smuggled", "project": WORD}).status_code == 404
    assert two.ada.post("projects", json={"name": WORD}).status_code == 403
    assert two.ada.put(f"projects/{WORD}/members/ada", json={"role": "member"}).status_code == 403
    borrowing = f"name: borrowing\nparties: {{alice: {{credentials: {WORD}-account}}}}\n"
    borrowing += "steps:\n  - - register: {party: alice}\n"
    assert two.ada.post("tests", json={"document": borrowing}).status_code == 201
    assert two.ada.post("tests/run", json={"test.name": "borrowing"}).status_code == 422
    two.ada.delete("tests/borrowing")


def test_a_name_that_is_theirs_is_free_here(two: Two) -> None:
    """Else trying names would tell which tests they have."""
    document = DOCUMENT.format(name=f"{WORD}-test").replace("Of ", "Mine ")
    try:
        mine = made(two.ada.post("tests", json={"document": document}))
        assert mine["project_name"] == "harbour"
        assert two.ada.get(f"tests/{WORD}-test").json()["data"]["title"] == f"Mine {WORD}-test"
        run = made(two.ada.post("tests/run", json={"test.name": f"{WORD}-test"}), 200)["session_id"]
        status = two.platform.finished(run)
        assert (status["project_name"], status["is_finished"]) == ("harbour", 1)
        # Who sees both says which.
        both = two.platform.api.get(f"tests/{WORD}-test")
        assert both.status_code == 409
        assert f"{WORD}:{WORD}-test" in both.text
        assert two.platform.get(f"tests/{WORD}:{WORD}-test")["data"]["project_name"] == WORD
        body = {"test.name": f"{WORD}-test", "test.project": "harbour"}
        again = made(two.platform.api.post("tests/run", json=body), 200)
        assert two.ada.get(f"runs/{again['session_id']}").status_code == 200
        shared = {"name": f"{WORD}-account", "user": "9"}
        assert made(two.ada.post("credentials", json=shared))["project"] == "harbour"
    finally:
        two.ada.delete(f"tests/{WORD}-test")
        two.ada.delete(f"credentials/{WORD}-account")


def test_pages_say_nothing_of_the_other_project(two: Two) -> None:
    for path in (
        "/",
        "/?part=now",
        "/tests",
        f"/tests?q={WORD[:4]}",
        f"/tests?project={WORD}",
        "/tests/new",
        "/tests/new?from=blank",
        "/runs?blame=target",
        "/runs?status=running",
        "/runs?tag=slow",
        "/agents",
        "/targets",
        "/credentials",
        "/keys",
        "/projects",
    ):
        answer = two.pages.get(path)
        assert answer.status_code == 200, path
        assert not told(answer), path
        assert two.theirs["live"] not in answer.text
    never = "00000000-0000-4000-8000-000000000000"
    for path in ("/run/details/{}", "/run/details/{}/events", "/run/details/{}/files/report.html"):
        unknown = two.pages.get(path.format(never))
        assert unknown.status_code == 404
        for theirs in (two.theirs["run"], two.theirs["live"]):
            answer = two.pages.get(path.format(theirs))
            assert answer.status_code == 404
            assert answer.text.replace(theirs, never) == unknown.text
    for path in (f"/tests/{WORD}-test", f"/tests/{WORD}:{WORD}-test", f"/tests/{WORD}-test/versions"):
        answer = two.pages.get(path)
        assert answer.status_code == 404
        assert not told(answer, f"{WORD}:{WORD}-test", f"{WORD}-test")
    for what in ("stop", "share", "unshare", "again"):
        path = f"/run/details/{two.theirs['live']}/{what}"
        assert two.pages.post(path, data={"_csrf": two.csrf}).status_code == 404
    for path in (f"/tests/{WORD}-test/run", f"/tests/{WORD}-test/delete", f"/tests/{WORD}-test"):
        answer = two.pages.post(path, data={"_csrf": two.csrf, "document": "name: x"})
        assert answer.status_code == 404, (path, answer.text)
    for path in ("/members", "/audit"):
        assert two.pages.get(path).status_code == 403
    assert two.platform.get(f"runs/{two.theirs['live']}/status")["run"]["phase"] != "canceled"


def test_a_role_in_a_project_is_all_that_somebody_may_there(two: Two) -> None:
    api = two.platform.api
    assert made(api.put("projects/harbour/members/ada", json={"role": "viewer"}), 200)["role"] == "viewer"
    try:
        assert two.ada.get("tests/crane").status_code == 200
        assert two.ada.post("tests/run", json={"test.name": "crane"}).status_code == 403
        assert two.ada.delete("tests/crane").status_code == 403
        page = two.pages.get("/tests/crane")
        assert "Save version" not in page.text
        assert "/run" not in re.findall(r'action="([^"]+)"', page.text)
    finally:
        made(api.put("projects/harbour/members/ada", json={"role": "member"}), 200)
    bad = api.put("projects/harbour/members/ada", json={"role": "admin"})
    assert bad.status_code == 422
    assert bad.json()["errors"][0]["permitted"] == ["viewer", "runner", "member"]
    members = two.ada.get("projects/harbour/members").json()["data"]
    assert [(one["username"], one["role"]) for one in members] == [("ada", "member")]


def test_a_key_of_one_project_is_good_there_alone_whoever_owns_it(two: Two) -> None:
    """The administrator's own, too; and it makes no wider key."""
    key = made(two.platform.api.post("keys", json={"name": "harbour ci", "project": "harbour"}))
    assert key["project"] == "harbour"
    root = f"{two.platform.url}/api/v2/"
    with httpx.Client(base_url=root, auth=(key["public_key"], key["secret"]), timeout=30) as narrowed:
        assert [row["name"] for row in narrowed.get("tests").json()["data"]] == ["crane"]
        assert narrowed.get(f"runs/{two.theirs['run']}").status_code == 404
        assert narrowed.get("users").status_code == 403
        assert narrowed.get("audit").status_code == 403
        assert [row["id"] for row in narrowed.get("keys").json()["data"]] == [key["id"]]
        second = made(narrowed.post("keys", json={"name": "second"}))
        assert second["project"] == "harbour"
        run = made(narrowed.post("tests/run", json={"test.name": "crane"}), 200)
        assert two.platform.finished(run["session_id"])["project_name"] == "harbour"
        assert narrowed.delete(f"keys/{two.platform.public_key}").status_code == 404


def test_who_leaves_the_project_hears_no_more(two: Two) -> None:
    """A stream that is open ends; the key and the session see nothing at once."""
    api = two.platform.api
    slow = SLOW.format(name="harbour-slow")
    made(api.post("tests", json={"document": slow, "project": "harbour"}))
    run = made(two.ada.post("tests/run", json={"test.name": "harbour-slow"}), 200)["session_id"]
    heard: list[str] = []
    begun = threading.Event()

    def listen() -> None:
        with two.ada.stream("GET", f"runs/{run}/events") as stream:
            for line in stream.iter_lines():
                begun.set()
                heard.append(line)

    listener = threading.Thread(target=listen)
    listener.start()
    assert begun.wait(20)
    assert made(api.delete("projects/harbour/members/ada"), 200)["deleted"] == "ada"
    try:
        listener.join(30)
        assert not listener.is_alive()
        assert "event: end" in heard
        assert two.ada.get(f"runs/{run}").status_code == 404
        assert two.ada.get("tests").json()["data"] == []
        assert two.pages.get(f"/run/details/{run}").status_code == 404
        assert "You are in no project yet" in two.pages.get("/tests").text
        assert api.get(f"runs/{run}/status").json()["run"]["is_finished"] == 0
    finally:
        made(api.put("projects/harbour/members/ada", json={"role": "member"}), 200)
        api.post(f"runs/{run}/stop")
