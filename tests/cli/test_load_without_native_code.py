"""`callwright load` where its native loop cannot run: it says what is missing, and places nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from callwright.cli.main import run
from callwright.host.operator import EXIT_PLATFORM

LOAD = ["load", "sip:x@127.0.0.1:9", "--calls", "1", "--json"]


def refused(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert run(LOAD) == EXIT_PLATFORM
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["blame"]) == ("error", "platform")
    return dict(told)


def test_load_says_how_to_get_native_code_that_was_not_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "callwright.generator._loop", None)
    told = refused(capsys)
    assert "not built here" in told["reason"]
    assert "gcc" in told["remedy"]


def test_load_says_that_it_runs_on_linux_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux" in refused(capsys)["reason"]


def test_the_environment_asks_for_no_native_code() -> None:
    pytest.importorskip("callwright.generator._loop")
    done = subprocess.run(
        [sys.executable, "-c", "from callwright.generator.loop import native_loop; native_loop()"],
        env={**os.environ, "CALLWRIGHT_PURE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot be used: CALLWRIGHT_PURE asks for no native code" in done.stderr
