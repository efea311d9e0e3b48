"""What the API refuses, and how: always its error shape, never a redirect, never a 500."""

from __future__ import annotations

import base64
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.served import Served, curl, environment, serving

JSON = "application/json"


def refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body, if it is an error of this status in the chapter's shape."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:500]}"
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"status", "message", "errors"}
    assert body["status"] == status
    assert body["message"]
    for error in body["errors"]:
        assert error["message"]
        assert "address" in error
    return body


def run(platform: Served, **fields: Any) -> httpx.Response:
    return platform.api.post("tests/run", json={"test.name": "basic_call", **fields})


# -- what is not there


@pytest.mark.parametrize("path", ["nothing", "runs/x/y", "tests/basic_call/nothing", "runs/nothing/status"])
def test_an_unknown_path_is_404_in_the_error_shape(platform: Served, path: str) -> None:
    refusal(platform.api.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", ""), ("GET", "tests/run"), ("PUT", "runs"), ("POST", "testcases"), ("TRACE", "tests")],
)
def test_an_unknown_method_is_405_in_the_error_shape(platform: Served, method: str, path: str) -> None:
    answer = platform.api.request(method, path)
    refusal(answer, 405)
    assert answer.headers["allow"]


@pytest.mark.parametrize("path", ["", "tests", "runs", "tests/basic_call", "agentpools"])
def test_a_slash_at_the_end_is_never_a_redirect(platform: Served, path: str) -> None:
    for url in (f"{platform.url}/api/v2/{path}", f"{platform.url}/api/v2/{path}/"):
        assert httpx.get(url, auth=platform.auth).status_code in (200, 404)


@pytest.mark.parametrize(
    ("fields", "address", "nearest"),
    [
        ({"test.name": "basic_cal"}, "test.name", "basic_call"),
        ({"test.name": "qqqqqqqq"}, "test.name", None),
        ({"test.name": "basic_call", "test.project": "nearb"}, "test.project", "nearby"),
        ({"test.project": "nowhere"}, "test.project", None),
        ({"test.tags": "no-such-tag"}, "test.tags", None),
    ],
)
def test_a_name_to_run_that_nothing_has_is_422_with_the_nearest_names(
    platform: Served, fields: dict[str, str], address: str, nearest: str | None
) -> None:
    platform.api.post("projects", json={"name": "nearby"})
    body = refusal(platform.api.post("tests/run", data=fields), 422)
    (error,) = body["errors"]
    assert (error["address"], error["nearest"]) == (address, nearest)
    assert error["nearest_names"][:1] == ([nearest] if nearest else [])
    assert nearest is None or nearest in body["message"]
    assert body["message"].startswith("There is no ")


def test_an_unknown_run_is_404(platform: Served) -> None:
    refusal(platform.api.get("runs/00000000-0000-4000-8000-000000000000/status"), 404)
    refusal(platform.api.get("runs/999999999"), 404)


# -- overrides


def test_an_unknown_step_is_422_that_names_its_address(platform: Served) -> None:
    body = refusal(run(platform, **{"step.7.0.dial_destination": "1"}), 422)
    assert "step.7.0" in json.dumps(body["errors"])


def test_an_unknown_action_is_422_that_names_its_address(platform: Served) -> None:
    body = refusal(run(platform, **{"step.0.9.regexpire": "1"}), 422)
    assert "step.0.9" in json.dumps(body["errors"])


def test_an_unknown_parameter_is_422_with_what_is_permitted(platform: Served) -> None:
    body = refusal(run(platform, **{"step.1.0.dial_destinatoin": "1"}), 422)
    assert "dial_destinatoin" in json.dumps(body["errors"])
    assert "dial_destination" in body["message"]


def test_a_value_of_the_wrong_type_is_422_with_the_value(platform: Served) -> None:
    body = refusal(run(platform, **{"step.1.0.max_total_calls": "many"}), 422)
    (error,) = body["errors"]
    assert error["address"] == "step.1.0.max_total_calls"
    assert "many" in error["message"]


def test_a_value_that_is_no_choice_is_422_with_the_permitted_ones(platform: Served) -> None:
    body = refusal(run(platform, transport="carrier pigeon"), 422)
    (error,) = body["errors"]
    assert error["permitted"] == ["udp", "tcp", "tls", "ws", "wss"]


def test_a_number_out_of_range_is_422(platform: Served) -> None:
    body = refusal(run(platform, **{"step.0.0.regexpire": 10**14}), 422)
    assert "Permitted" in body["message"]


def test_a_required_parameter_that_is_missing_is_422(platform: Served) -> None:
    body = refusal(run(platform, **{"step.1.0.dial_destination": ""}), 422)
    assert body["errors"][0]["address"] == "step.1.0.dial_destination"


def test_every_problem_is_told_at_once(platform: Served) -> None:
    body = refusal(run(platform, **{"step.1.0.max_total_calls": "x", "step.0.0.regexpire": "y"}), 422)
    assert {error["address"] for error in body["errors"]} == {
        "step.1.0.max_total_calls",
        "step.0.0.regexpire",
    }


def test_no_test_named_is_422(platform: Served) -> None:
    assert refusal(platform.api.post("tests/run", json={}), 422)["errors"][0]["address"] == "test.name"
    assert refusal(platform.api.post("tests/run"), 422)["errors"][0]["address"] == "test.name"


def test_an_unknown_report_mode_is_422(platform: Served) -> None:
    body = refusal(run(platform, **{"report.mode": "billboard"}), 422)
    assert "kiosk" in body["errors"][0]["permitted"]


def test_a_destination_that_policy_refuses_is_422_with_the_remedy(platform: Served) -> None:
    body = refusal(run(platform, target="203.0.113.9"), 422)
    assert "203.0.113.9" in body["message"]
    assert body["errors"][0]["remedy"]


# -- credentials


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"nocolon").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\x00").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"cwk_0000:cws_0000").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"1:notmytoken").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"admin:wrong password").decode()},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer"},
        {"Authorization": "Digest username=x"},
        {"X-Auth-Token": "x" * 5_000},
    ],
)
def test_wrong_credentials_are_401(platform: Served, header: dict[str, str]) -> None:
    answer = httpx.get(f"{platform.url}/api/v2/tests", headers=header)
    refusal(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_an_unknown_key_and_a_wrong_secret_are_told_and_timed_alike(platform: Served) -> None:
    times: dict[str, list[float]] = {"cwk_" + "0" * 20: [], platform.public_key: []}
    told = set()
    with httpx.Client() as client:
        for _ in range(25):
            for public, taken in times.items():
                began = time.perf_counter()
                answer = client.get(f"{platform.url}/api/v2/", auth=(public, "cws_" + "0" * 48))
                taken.append(time.perf_counter() - began)
                told.add((answer.status_code, answer.text, answer.headers["www-authenticate"]))
    assert len(told) == 1
    unknown, wrong = (statistics.median(taken) for taken in times.values())
    assert abs(unknown - wrong) < 0.005


@pytest.fixture(scope="module")
def member(platform: Served) -> dict[str, Any]:
    """A user of category API who may only look."""
    body = {"username": "looker", "password": "only looking", "role": "viewer", "category": "API"}
    answer = platform.api.post("users", json=body)
    assert answer.status_code == 201, answer.text
    user: dict[str, Any] = answer.json()["data"]
    return user


def test_credentials_work_in_all_their_forms(platform: Served, member: dict[str, Any]) -> None:
    looker = (member["username"], "only looking")
    url = f"{platform.url}/api/v2/tests"
    made = httpx.post(f"{platform.url}/api/v2/keys", auth=looker, json={"name": "mine"})
    assert made.status_code == 201, made.text
    key = made.json()["data"]
    pair = f"{key['public_key']}:{key['secret']}"
    for more in (
        {"auth": looker},
        {"auth": (key["public_key"], key["secret"])},
        {"headers": {"Authorization": f"Bearer {pair}"}},
    ):
        assert httpx.get(url, **more).status_code == 200


def test_what_the_role_does_not_permit_is_403(platform: Served, member: dict[str, Any]) -> None:
    looker = (member["username"], "only looking")
    for method, path in (("POST", "tests/run"), ("POST", "kill"), ("GET", "audit"), ("POST", "users")):
        refusal(httpx.request(method, f"{platform.url}/api/v2/{path}", auth=looker, json={}), 403)


def test_a_user_who_is_no_api_user_has_no_password_here(platform: Served) -> None:
    """An administrator's password opens the pages; programs have keys."""
    refusal(httpx.get(f"{platform.url}/api/v2/tests", auth=("admin", platform.password)), 401)


def test_a_revoked_key_is_401(platform: Served) -> None:
    key = platform.api.post("keys", json={"name": "short lived"}).json()["data"]
    auth = (key["public_key"], key["secret"])
    assert httpx.get(f"{platform.url}/api/v2/", auth=auth).status_code == 200
    assert platform.api.delete(f"keys/{key['public_key']}").status_code == 200
    refusal(httpx.get(f"{platform.url}/api/v2/", auth=auth), 401)


# -- bodies


def post(platform: Served, content: bytes, kind: str | None) -> httpx.Response:
    headers = {} if kind is None else {"Content-Type": kind}
    return platform.api.post("tests/run", content=content, headers=headers)


def test_ten_megabytes_of_form_are_413(platform: Served) -> None:
    big = b"test.name=basic_call&x=" + b"a" * 10_000_000
    refusal(post(platform, big, "application/x-www-form-urlencoded"), 413)


def test_ten_megabytes_without_a_length_are_413(platform: Served) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"a" * 100_000

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refusal(platform.api.post("tests/run", content=pieces(), headers=headers), 413)


@pytest.mark.parametrize("kind", ["text/html", "application/xml", "image/png", None])
def test_a_body_of_another_type_is_415(platform: Served, kind: str | None) -> None:
    refusal(post(platform, b"<x/>", kind), 415)


def test_a_compressed_body_is_415(platform: Served) -> None:
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    refusal(platform.api.post("tests/run", content=b"\x1f\x8b", headers=headers), 415)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"basic_call"',
        b"null",
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"test.name": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"test.name": "basic\\u0000call"}',
        b'{"test.name": "\\ud800"}',
        b'{"test.name": "\xff\xfe"}',
        b"{" + b",".join(b'"k%d": 1' % n for n in range(50_000)) + b"}",
    ],
    ids=range(11),
)
def test_json_that_is_none_or_a_bomb_is_400(platform: Served, body: bytes) -> None:
    began = time.monotonic()
    refusal(post(platform, body, JSON), 400)
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    "body",
    [b"test.name=%00", b"test.name=%ff%fe", b"test.name=\xff", b"&".join(b"a=1" for _ in range(5_000))],
)
def test_a_form_that_cannot_be_kept_is_400(platform: Served, body: bytes) -> None:
    refusal(post(platform, body, "application/x-www-form-urlencoded"), 400)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"nothing", "multipart/form-data; boundary=x"),
        (b"--x--\r\n", "multipart/form-data"),
        (
            b'--x\r\nContent-Disposition: form-data; name="test.name"\r\n\r\n\xff\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="test.name"\r\n\r\na\0b\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ],
    ids=range(5),
)
def test_multipart_that_is_broken_is_400(platform: Served, body: bytes, kind: str) -> None:
    refusal(post(platform, body, kind), 400)


@pytest.mark.parametrize(
    "path", ["tests/%00", "tests/%ff", "tests?search=%00", "tests?search=%ff", "runs/%ed%a0%80"]
)
def test_text_that_nobody_could_store_is_400_in_a_url_too(platform: Served, path: str) -> None:
    status, body = curl("-u", ":".join(platform.auth), f"{platform.url}/api/v2/{path}")
    assert status == 400
    assert body["status"] == 400


@pytest.mark.parametrize(
    "path",
    [
        *("tests?limit=0", "tests?limit=-1", "runs?limit=100000", "runs?limit=x", "runs?after=x"),
        *("runs?after=99999999999999999999999", "runs?status=odd", "runs?phase=odd", "runs?since=yesterday"),
    ],
)
def test_a_query_that_makes_no_sense_names_its_parameter(platform: Served, path: str) -> None:
    answer = platform.api.get(path)
    assert answer.status_code in (400, 422), answer.text
    body = refusal(answer, answer.status_code)
    assert path.partition("?")[2].partition("=")[0] in json.dumps(body)


def test_a_document_with_ten_thousand_steps_is_judged_in_good_time(platform: Served) -> None:
    document = "name: long\nsteps:\n" + "  - - wait: 1 s\n" * 10_000
    began = time.monotonic()
    answer = platform.api.post("tests", content=document, headers={"Content-Type": "application/yaml"})
    assert answer.status_code in (201, 422), answer.text
    assert time.monotonic() - began < 10


def test_a_document_that_is_wrong_is_422_with_line_and_column(platform: Served) -> None:
    document = "name: wrong\nsteps:\n  - - cal: {to: bob}\n"
    body = refusal(platform.api.post("tests", json={"document": document}), 422)
    (error, *_) = body["errors"]
    assert (error["line"], error["address"], error["nearest"]) == (3, "step.0.0", "call")


def test_a_name_that_is_taken_is_409(platform: Served) -> None:
    document = "name: basic_call\nsteps:\n  - - options: {party: alice}\n"
    refusal(platform.api.post("tests", json={"document": document}), 409)


# -- too much


def test_too_many_requests_of_one_key_are_429_with_retry_after(tmp_path: Path) -> None:
    flags = ("--rate-limit", "5", "--no-agent", "--no-pbx", "--no-demo")
    with serving(tmp_path / "data", *flags) as served:
        answers = [served.api.get("") for _ in range(60)]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused
        for answer in refused:
            refusal(answer, 429)
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        with httpx.Client(auth=("cwk_x", "y")) as stranger:
            wrong = [stranger.get(f"{served.url}/api/v2/") for _ in range(250)]
        assert {answer.status_code for answer in wrong} == {401, 429}


def test_the_command_revokes_a_key_and_on_request_what_it_made(platform: Served) -> None:
    def revoke(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "callwright", "keys", "revoke", *arguments]
        where = ("--data", str(platform.data))
        return subprocess.run(
            (*command, *where), capture_output=True, text=True, timeout=90, env=environment()
        )

    first = platform.api.post("keys", json={"name": "leaked"}).json()["data"]
    with httpx.Client(base_url=platform.api.base_url, auth=(first["public_key"], first["secret"])) as leaked:
        second = leaked.post("keys", json={"name": "hidden"}).json()["data"]
        with httpx.Client(base_url=leaked.base_url, auth=(second["public_key"], second["secret"])) as hidden:
            alone = revoke(first["public_key"])
            assert (alone.returncode, alone.stdout) == (0, f"revoked  {first['public_key']}\n")
            assert f"What it made still works: key {second['id']} (hidden)." in alone.stderr
            assert (leaked.get("tests").status_code, hidden.get("tests").status_code) == (401, 200)
            with_made = revoke(first["public_key"], "--with-made", "--json")
            assert with_made.returncode == 0, with_made.stderr
            made = {"kind": "key", "id": str(second["id"]), "name": "hidden"}
            assert json.loads(with_made.stdout) == {
                "revoked": first["public_key"],
                "also": [made],
                "left": [],
            }
            assert hidden.get("tests").status_code == 401
    unknown = revoke("cwk_nobody", "--with-made")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "cwk_nobody" in unknown.stderr
