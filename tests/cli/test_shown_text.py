"""Whatever the network or the API wrote, no line on the terminal can act there."""

from __future__ import annotations

import ast
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

import callwright.cli
from callwright.cli import load_view, pbx_bans, softphone
from callwright.cli.main import run

HOSTILE = "busy\x1b[2J\x1b]0;owned\x07\u009b31m\u202egnp"
ACTING = ("\x1b", "\x07", "\u009b", "\u202e")
ROOM = Path(callwright.cli.__file__).parent


def assert_calm(text: str) -> None:
    assert "busy\u241b[2J" in text
    assert [mark for mark in ACTING if mark in text] == []


class FakeApi:
    """Answers as a platform whose peer wrote every text."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(self, method: str, path: str, **_: object) -> Any:
        started = {"session_id": HOSTILE, "report_url": HOSTILE, "name": HOSTILE, "version": HOSTILE}
        return SimpleNamespace(json=lambda: {"data": started})

    def get(self, path: str) -> Any:
        return {"run": {"is_finished": True, "phase": "failed", "result_description": HOSTILE}}


@pytest.mark.parametrize(
    ("arguments", "code"), [(["run", "x", "--wait"], 1), (["run", "x"], 0), (["push", "FOLDER"], 0)]
)
def test_verbs_of_tests_show_what_the_platform_answers_without_its_controls(
    arguments: list[str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "a.yaml").write_text("name: a\n")
    monkeypatch.setattr("callwright.cli.tests.Client", FakeApi)
    typed = [str(tmp_path) if word == "FOLDER" else word for word in arguments]
    assert run(["tests", *typed]) == code
    captured = capsys.readouterr()
    assert_calm(captured.out)
    assert [mark for mark in ACTING if mark in captured.err] == []


def test_the_answer_of_a_load_is_shown_without_its_controls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "load.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(path))
        door.listen()
        door.settimeout(30)

        def answer() -> None:
            peer, _ = door.accept()
            with peer:
                peer.recv(100)
                peer.sendall(json.dumps({"ok": True, "state": HOSTILE}).encode() + b"\n")

        thread = threading.Thread(target=answer)
        thread.start()
        code = run(["load-ctl", str(path), "status"])
        thread.join()
    assert code == 0
    assert_calm(capsys.readouterr().out)


def test_the_answer_of_a_pbx_is_shown_without_its_controls(capsys: pytest.CaptureFixture[str]) -> None:
    ban = {"source": HOSTILE, "accounts": 3, "ends_in_s": 1.0}
    pbx_bans.show({"released": [HOSTILE], "bans": [ban], "permitted": [HOSTILE]})
    captured = capsys.readouterr()
    assert_calm(captured.out)
    assert_calm(captured.err)


def test_the_line_of_progress_shows_no_controls_but_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = softphone.ProgressLine()
    monkeypatch.setattr(progress, "_live", True)
    progress.show(HOSTILE)
    assert_calm(capsys.readouterr().err.removeprefix("\r\x1b[2K"))


def test_a_line_over_the_screen_of_a_load_shows_no_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    view = load_view.View("load", enabled=False)
    monkeypatch.setattr(view, "_live", object())
    painted: list[Callable[[], object]] = []
    monkeypatch.setattr(view, "_paint", lambda: painted.append(view.look))
    view.say(HOSTILE)
    assert painted
    assert_calm(view._said[-1])


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_only_the_console_prints(path: Path) -> None:
    """`show` and `say` of the console are safe; a bare `print` is not, even as an argument."""
    if path.name == "console.py":
        return
    names = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)]
    assert [node.lineno for node in names if node.id == "print"] == []
