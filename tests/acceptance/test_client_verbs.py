"""`callwright tests push|pull|run` against a running platform, as CI types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.kit.served import Served, environment, free_port

PING = "# kept in git\nname: {name}\nsteps:\n  - - options: {{party: alice}}\n"


def client(platform: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = environment(CALLWRIGHT_URL=platform.url, CALLWRIGHT_KEY=":".join(platform.auth))
    return subprocess.run(
        [sys.executable, "-m", "callwright", "tests", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=env,
    )


def test_documents_go_there_and_come_back_as_they_were(platform: Served, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for name in ("verb_one", "verb_two"):
        (here / f"{name}.yaml").write_text(PING.format(name=name))
    pushed = client(platform, "push", str(here), "--json")
    assert pushed.returncode == 0, pushed.stderr
    assert [entry["version"] for entry in json.loads(pushed.stdout)["pushed"]] == [1, 1]
    assert client(platform, "pull", str(there)).returncode == 0
    for name in ("verb_one", "verb_two"):
        assert (there / f"{name}.yaml").read_text() == PING.format(name=name)


def test_a_document_that_is_wrong_is_told_with_its_place(platform: Served, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("name: wrong\nsteps:\n  - - cal: bob\n")
    done = client(platform, "push", str(tmp_path))
    assert done.returncode == 2
    assert "call" in done.stderr


def test_a_run_that_passes_is_0_and_leaves_junit(platform: Served, tmp_path: Path) -> None:
    junit = tmp_path / "reports" / "out.xml"
    done = client(platform, "run", "options_ping", "--wait", "--junit", str(junit), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"]["status"] == "passed"
    assert ElementTree.parse(junit).getroot().tag in ("testsuites", "testsuite")


def test_a_run_that_passed_and_could_not_be_written_down_is_3(platform: Served, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = client(platform, "run", "options_ping", "--junit", str(tmp_path / "file" / "out.xml"), "--json")
    assert json.loads(done.stdout)["run"]["status"] == "passed"
    assert done.returncode == 3
    assert "out.xml" in done.stderr


def test_a_folder_that_cannot_be_written_is_3_with_a_sentence(platform: Served, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = client(platform, "pull", str(tmp_path / "file"), "--project", "demo", "--json")
    assert done.returncode == 3
    assert "cannot be written" in json.loads(done.stdout)["reason"]


def test_tests_that_would_be_one_file_are_not_pulled(platform: Served, tmp_path: Path) -> None:
    for project in ("twins-a", "twins-b"):
        platform.api.post("projects", json={"name": project})
        answer = platform.api.post("tests", json={"document": PING.format(name="twin"), "project": project})
        assert answer.status_code == 201, answer.text
    refused = client(platform, "pull", str(tmp_path))
    assert refused.returncode == 2
    assert "twins-a:twin and twins-b:twin" in refused.stderr
    assert client(platform, "pull", str(tmp_path), "--project", "twins-b").returncode == 0
    assert (tmp_path / "twin.yaml").read_text() == PING.format(name="twin")
    for project in ("twins-a", "twins-b"):
        assert platform.api.delete(f"tests/{project}:twin").status_code == 200


def test_a_run_that_fails_is_1(platform: Served) -> None:
    overrides = ("--set", "step.1.0.dial_destination=9999", "--set", "step.1.0.max_duration=1")
    done = client(platform, "run", "basic_call", "--wait", *overrides)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("failed: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "no_such_test"),
        ("run", "basic_call", "--set", "step.9.0.x=1"),
        ("run", "basic_call", "--set", "nothing"),
        ("run", "basic_call", "--key", "cwk_0:cws_0"),
        ("run", "basic_call", "--key", "nokey"),
        ("run", "basic_call", "--url", "calls.example.com"),
        ("push", "/does/not/exist"),
    ],
)
def test_what_is_refused_is_2_with_a_sentence(platform: Served, arguments: tuple[str, ...]) -> None:
    done = client(platform, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("callwright: ")


def test_a_platform_that_is_not_there_is_3(platform: Served) -> None:
    done = client(platform, "run", "basic_call", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 3
    assert "does not answer" in done.stderr


def test_a_run_without_waiting_gives_its_session_id(platform: Served) -> None:
    done = client(platform, "run", "options_ping", "--kiosk", "--idempotency-key", "verb 1")
    again = client(platform, "run", "options_ping", "--kiosk", "--idempotency-key", "verb 1")
    assert done.returncode == 0, done.stderr
    assert "/kiosk/" in done.stderr
    assert done.stdout == again.stdout
    assert platform.finished(done.stdout.strip())["status"] == "passed"
