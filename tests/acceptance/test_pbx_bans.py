"""`callwright pbx bans`: an address that tries many accounts is banned, told, listed and released."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callwright.cli.main import run
from tests.interop.peers import LOOPBACK, PeerProcess, free_port, start_callwright
from tests.kit.networks import Networks, two_networks

GUESSER = Path(__file__).with_name("guesser.py")


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = run(["pbx", "bans", *words, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def guesses(networks: Networks, folder: Path, count: int, source: str) -> list[int]:
    """The last status for each account that was tried."""
    command = networks.command(networks.far, str(GUESSER), source, networks.ours, "5060", str(count))
    with PeerProcess(command, folder=folder, name="guesser") as guesser:
        assert guesser.wait(60) == 0, guesser.log
        statuses: list[int] = json.loads(guesser.output)
        return statuses


def test_address_that_tries_many_accounts_is_banned_until_it_is_released(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control = ("--control", str(tmp_path / "pbx.sock"))
    with two_networks() as networks:
        first, second = networks.theirs
        listen = ("--listen", f"{networks.ours}:5060", "--account", "1001:secret", *control)
        command = networks.command(networks.near, "-m", "callwright", "pbx", *listen, "--permit", second)
        with PeerProcess(command, folder=tmp_path, name="pbx") as pbx:
            pbx.wait_for("Ctrl-C ends")
            assert guesses(networks, tmp_path, 12, first) == [401] * 10 + [403] * 2
            assert guesses(networks, tmp_path, 12, second) == [401] * 12, "slowed, and never banned"
            pbx.wait_for(f"{first} is banned for 3600 s: wrong passwords for 10 accounts")
            code, answer = asked(capsys, *control)
            assert code == 0
            (ban,) = answer["bans"]
            assert (ban["source"], ban["accounts"]) == (first, 10)
            assert 3_400 < ban["ends_in_s"] <= 3_600
            assert answer["permitted"] == [second]
            code, answer = asked(capsys, "release", first, *control)
            assert (code, answer["released"], answer["bans"]) == (0, [first], [])
            pbx.wait_for(f"{first} is no longer banned: a person released it")
            assert guesses(networks, tmp_path, 1, first) == [401]


def test_bans_of_a_pbx_are_found_without_its_socket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    code, document = asked(capsys)
    assert (code, document["reason"]) == (1, "no PBX of yours is running")
    listen = ("--listen", f"{LOOPBACK}:{free_port()}", "--account", "1001:secret")
    with start_callwright(tmp_path, "pbx", *listen, wait_for="Ctrl-C ends"):
        assert asked(capsys) == (0, {"ok": True, "bans": [], "permitted": [], "released": []})
        assert asked(capsys, "permit", "192.0.2.0/24")[1]["permitted"] == ["192.0.2.0/24"]
        for words in (("release",), ("list", "192.0.2.1"), ("release", "pbx.example.com"), ("forget", "1")):
            assert asked(capsys, *words)[0] == 2
    assert list((tmp_path / "callwright").iterdir()) == []


def test_running_pbx_reads_its_plan_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, control = tmp_path / "pbx.yaml", ("--control", str(tmp_path / "pbx.sock"))
    plan.write_text("users: {1001: a}")
    port = free_port()
    words = ("pbx", "--listen", f"{LOOPBACK}:{port}", "--plan", str(plan), *control)
    register = ["register", f"sip:1002@{LOOPBACK}:{port}", "--password", "b", "--json"]
    with start_callwright(tmp_path, *words) as pbx:
        pbx.wait_for("Ctrl-C ends")
        assert run(register) == 1
        plan.write_text("users: {1001: a, 1002: b}")
        assert run(["pbx", "reload", *control]) == 0
        assert run(register) == 0
        plan.write_text("users: {1001: a, 1002: {}}")
        capsys.readouterr()
        assert run(["pbx", "reload", *control]) == 2
        assert "users 1002: password is missing" in capsys.readouterr().err
        assert run(register) == 0, "the plan before goes on to count"
