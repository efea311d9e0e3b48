"""`callwright pbx`: what it takes, and what it says when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callwright.cli.main import run


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "serves nobody"),
        (["--account", "1001"], "USER:SECRET"),
        (["--account", "1001:a", "--listen", "127.0.0.1:99999"], "--listen"),
        (["--account", "1001:a", "--account", "1001:b", "--listen", "127.0.0.1:0"], "twice"),
        (["--account", "1001:a", "--transport", "sctp"], "--transport"),
        (["--account", "1001:a", "--transport", "tls"], "certificate"),
        (["--account", "1001:a", "--digest", "ROT13", "--listen", "127.0.0.1:0"], "ROT13"),
        (["--accounts", "/nowhere/accounts.csv"], "accounts.csv"),
    ],
)
def test_what_cannot_be_done_is_told_with_exit_code_two(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pbx", *arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert json.loads(captured.out)["exit_code"] == 2


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.yaml", "1001: secret\n1002: {display_name: Bob}\n", "1002 has no secret"),
        ("a.yaml", "- 1001\n", "a mapping"),
        ("a.yaml", "1001: [\n", "a.yaml"),
        ("a.yaml", "1001: {secret: a, colour: red}\n", "'colour'"),
        ("a.csv", "user,secret\n1001\n", "line 2"),
    ],
)
def test_a_bad_file_of_accounts_is_told_by_name(
    tmp_path: Path, name: str, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert run(["pbx", "--accounts", str(file), "--listen", "127.0.0.1:0"]) == 2
    assert sentence in capsys.readouterr().err


PLAN = "users: {1001: {password: a, forwarding: {busy: 600}}}\ngroups: {600: {members: [1001]}}\n"


def test_plan_without_a_problem_passes_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pbx.yaml"
    file.write_text(PLAN)
    assert run(["pbx", "check", str(file)]) == 0
    assert "1 accounts, 1 other numbers, no problem" in capsys.readouterr().out


def test_problems_of_a_plan_fail_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pbx.yaml"
    file.write_text(PLAN.replace("busy: 600", "busy: 700"))
    assert run(["pbx", "check", str(file), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == ["account 1001, forwarding: '700' is not a number of this PBX."]


def test_way_of_a_number_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pbx.yaml"
    file.write_text(PLAN)
    assert run(["pbx", "route", "600", "--plan", str(file)]) == 0
    assert capsys.readouterr().out == "600: group, rings 1001 at once for 20 s\n"


def test_bad_plan_is_refused_with_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pbx.yaml"
    file.write_text("users: {1001: {}}")
    assert run(["pbx", "--plan", str(file), "--listen", "127.0.0.1:0"]) == 2
    assert "pbx.yaml: users 1001: password is missing" in capsys.readouterr().err
