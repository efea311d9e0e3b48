"""Every test of the catalogue runs as it is: PBX and parties on loopback, real sockets, real audio."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from callwright.scenario.catalogue import NAMES

Run = tuple[int, dict[str, Any], str, Path]
AT_ONCE = 3  # more of them on two cores would be a test of the machine


def run(name: str, folder: Path, *more: str) -> Run:
    command = [sys.executable, "-m", "callwright", "run", name, "--json", "--report", str(folder), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    return done.returncode, json.loads(done.stdout), done.stderr, folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    base = tmp_path_factory.mktemp("catalogue")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(NAMES, pool.map(lambda name: run(name, base / name), NAMES), strict=True))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_it_passes_with_all_its_conditions(runs: dict[str, Run], name: str) -> None:
    code, document, told, _ = runs[name]
    failed = [condition for condition in document["conditions"] if not condition["passed"]]
    assert (document["verdict"], failed) == ("passed", []), document["reason"] + told
    assert code == 0
    assert document["blame"] is None


@pytest.mark.timeout(300)
def test_basic_call_leaves_all_of_its_evidence(runs: dict[str, Run]) -> None:
    _, document, _, folder = runs["basic_call"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert document["reason"] in page
    assert json.loads((folder / "run.json").read_text())["verdict"] == "passed"
    assert ElementTree.parse(folder / "junit.xml").getroot().find(".//failure") is None
    assert (folder / "signalling.pcap").stat().st_size > 100_000
    for call in document["calls"]:
        (audio,) = call["audio"]
        assert (folder / audio["path"]).stat().st_size > 100_000
        assert audio["channels"] == 2


@pytest.mark.timeout(300)
def test_both_sides_of_a_call_tell_the_same_story(runs: dict[str, Run]) -> None:
    _, document, _, _ = runs["basic_call"]
    caller, callee = sorted(document["calls"], key=lambda call: call["direction"], reverse=True)
    assert (caller["address"], callee["address"]) == ("step.1.0", "step.0.1")
    assert caller["ended_by"] == "local"
    assert callee["ended_by"] == "remote"
    for one, other in ((caller, callee), (callee, caller)):
        assert one["received"]["lost"] == 0
        assert abs(one["sent"]["packets"] - other["received"]["packets"]) <= 2
        assert one["received"]["mos"] > 4.0


def test_a_condition_that_does_not_hold_fails_the_run_and_is_told(tmp_path: Path) -> None:
    document = tmp_path / "strict.yaml"
    document.write_text(
        "name: strict\nparties: {alice: , bob: }\nsteps:\n"
        "  - - register: {party: bob}\n    - accept: {party: bob, media: no}\n"
        "  - - call: {from: alice, dial_destination: bob, max_duration: 1 s, media: no}\n"
        "conditions:\n  - caller.pdd < 0.001 ms\n"
    )
    code, result, _, folder = run(str(document), tmp_path / "evidence")
    assert (code, result["verdict"]) == (1, "failed")
    assert "where less than 0.001 ms was asked for" in result["reason"]
    assert ElementTree.parse(folder / "junit.xml").getroot().find(".//failure") is not None


def test_an_override_reaches_the_wire(tmp_path: Path) -> None:
    changes = [
        "--set",
        "step.1.0.max_total_calls=2",
        "--set",
        "step.1.0.max_duration=1",
        "--set",
        "alice.user=4242",
    ]
    code, result, told, _ = run("basic_call", tmp_path, *changes)
    assert code == 0, told
    placed = [call for call in result["calls"] if call["direction"] == "outgoing"]
    assert len(placed) == 2
    assert {call["local"] for call in placed} == {"sip:4242@127.0.0.1"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["basic_cal"], ["basic_call"]),
        (["basic_call", "--set", "step.1.0.dial_destinatoin=1"], ["step.1.0", "dial_destination"]),
        (["basic_call", "--set", "step.7.0.play=tone"], ["step.7.0"]),
        (["basic_call", "--set", "step.1.0.max_duration=soon"], ["step.1.0.max_duration", "soon"]),
        (["basic_call", "--set", "target=203.0.113.7"], ["203.0.113.7", "--allow"]),
        (["/nowhere/test.yaml"], ["/nowhere/test.yaml"]),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_remedy(arguments: list[str], words: list[str]) -> None:
    command = [sys.executable, "-m", "callwright", "run", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    document = json.loads(done.stdout)
    told = json.dumps(document) + done.stderr
    for word in words:
        assert word in told


def test_every_problem_of_a_document_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    document = tmp_path / "wrong.yaml"
    document.write_text(
        "name: wrong\nsteps:\n  - - cal: {dial_destination: 1}\n"
        "  - - call: {dial_destinaton: 0043, max_duration: long}\n"
    )
    command = [sys.executable, "-m", "callwright", "run", str(document), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    errors = json.loads(done.stdout)["errors"]
    assert len(errors) >= 3
    assert all(error["line"] and error["column"] for error in errors)
    assert {"call", "dial_destination"} <= {error["nearest"] for error in errors}
