"""Each verb that opens a socket or a database prints the keys with `--json` that it always printed.

`CALLWRIGHT_SURFACE=write` adds new ones to `tests/surface/printed.txt`. The verbs that need nothing, and the
result types, are in `tests/surface`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.served import Served, environment, free_port
from tests.surface.facts import keys, read, write

WRITTEN = Path(__file__).parents[1] / "surface" / "printed.txt"
#: Their nested keys are those of the result types in `surface.txt`, and some come only with a flaw.
_TYPED = ("register", "options", "call", "answer", "run", "run refused")
#: Maps whose keys are data: what failed, what was set, what was kept.
_MAPS = re.compile(r"\b(failures|parameters|evidence|distribution)\.[^ ]+$")


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "callwright", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    )


def printed(process: subprocess.Popen[str], *, stop: bool = False) -> Any:
    if stop:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out.startswith("{"), err
    return json.loads(out)


def told(*arguments: str, **variables: str) -> Any:
    return printed(start(*arguments, **variables))


def compare(documents: dict[str, Any]) -> None:
    """No key that is written down of these verbs is missing from what they printed."""
    named = ((verb, key) for verb, document in documents.items() for key in keys(document))
    shown = ((verb, key) for verb, key in named if verb not in _TYPED or "." not in key)
    found = {f"json {verb} " + _MAPS.sub(r"\1.*", key) for verb, key in shown}
    written = read(WRITTEN)
    if os.environ.get("CALLWRIGHT_SURFACE") == "write":
        write(written | found, WRITTEN)
    gone = sorted(
        line for line in written - found if any(line.startswith(f"json {verb} ") for verb in documents)
    )
    assert not gone, f"These keys are gone, and scripts of others break: {'; '.join(gone)}"


@pytest.fixture
def pbx(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    place, control = f"127.0.0.1:{free_port()}", tmp_path / "pbx.sock"
    accounts = ("--account", "1001:one", "--account", "1002:two")
    process = start("pbx", "--listen", place, *accounts, "--control", str(control), "--json")
    assert process.stderr is not None
    process.stderr.readline()
    yield process, place, control
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_phones_and_the_pbx_print_the_keys_that_they_always_printed(
    pbx: tuple[subprocess.Popen[str], str, Path],
) -> None:
    process, place, control = pbx
    account = ("--user", "1001", "--password", "one")
    registered = told("register", f"sip:1001@{place}", "--password", "one", "--json")
    pinged = told("options", f"sip:{place}", "--json")
    listening = start(
        "answer", "--register", f"sip:1002@{place}", "--password", "two", "--calls", "1", "--json"
    )
    assert listening.stderr is not None
    while "1002" not in listening.stderr.readline():
        pass
    called = told("call", f"sip:1002@{place}", *account, "--for", "2", "--json")
    answered = printed(listening)
    compare(
        {
            "register": registered,
            "options": pinged,
            "call": called,
            "answer": answered,
            "pbx bans": told("pbx", "bans", "--control", str(control), "--json"),
            "pbx": printed(process, stop=True),
        }
    )


def test_a_run_and_a_load_print_the_keys_that_they_always_printed(tmp_path: Path) -> None:
    place, report = f"127.0.0.1:{free_port()}", tmp_path / "report"
    line = tmp_path / "load.sock"
    far = start("load", "--answer", "--listen", place, "--media", "shared", "--calls", "4", "--json")
    assert far.stderr is not None
    far.stderr.readline()
    near = start(
        *("load", f"sip:x@{place}", "--rate", "4", "--calls", "4", "--hold", "2", "--media", "shared"),
        *("--control", str(line), "--report", str(report), "--json"),
    )
    while not line.exists() and near.poll() is None:
        pass
    steered = told("load-ctl", str(line), "status", "--json")
    placed = printed(near)
    compare(
        {
            "load": placed,
            "load --answer": printed(far),
            "load-ctl": steered,
            "load.json": json.loads((report / "load.json").read_text()),
            "run": told("run", "basic_call", "--json"),
            "run refused": told("run", "basic_call", "--set", "nothing", "--json"),
        }
    )


def test_administration_prints_the_keys_that_it_always_printed(platform: Served, tmp_path: Path) -> None:
    data = ("--data", str(platform.data), "--json")
    copy, documents = tmp_path / "backup.tar.gz", tmp_path / "documents"
    documents.mkdir()
    (documents / "keys_one.yaml").write_text("name: keys_one\nsteps: [{options: {party: a}}]\n")
    there = {"CALLWRIGHT_URL": platform.url, "CALLWRIGHT_KEY": ":".join(platform.auth)}
    made = told("keys", "create", "--name", "keys", *data)
    compare(
        {
            "keys create": made,
            "keys list": told("keys", "list", *data),
            "keys revoke": told("keys", "revoke", made["public_key"], *data),
            "users create": told("users", "create", "zoe", "--email", "zoe@example.com", *data),
            "users list": told("users", "list", *data),
            "users role": told("users", "role", "zoe", "member", *data),
            "users password": told("users", "password", "zoe", *data),
            "users join": told("users", "join", "zoe", "demo", *data),
            "users leave": told("users", "leave", "zoe", "demo", *data),
            "users delete": told("users", "delete", "zoe", *data),
            "backup": told("backup", "--to", str(copy), *data),
            "restore": told("restore", str(copy), "--data", str(tmp_path / "restored"), "--json"),
            "migrate": told("migrate", "--data", str(tmp_path / "restored"), "--json"),
            "tests push": told("tests", "push", str(documents), "--json", **there),
            "tests pull": told("tests", "pull", str(tmp_path / "pulled"), "--json", **there),
            "tests run": told("tests", "run", "options_ping", "--wait", "--json", **there),
        }
    )
