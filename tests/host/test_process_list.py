"""Passwords on a command line are not left where every user of the machine reads them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from callwright.host.process_list import secrets_among


@pytest.mark.parametrize(
    ("typed", "secrets"),
    [
        ("call sip:a@b --user a --password hunter22", ["hunter22"]),
        ("call sip:a@b --password=hunter22", ["hunter22"]),
        ("pbx --account 1:one --account=2:two:2", ["one", "two:2"]),
        ("run t --set alice=4101:geheim --set party.bob.password=auch", ["geheim", "auch"]),
        ("run t --set target=pbx.test:5060 --set step.1.0.dial_destination=sip:a@b:5060", []),
        ("call sip:a@b --password", [""]),
        ("options sip:a@b", []),
    ],
)
def test_what_is_a_secret_is_known(typed: str, secrets: list[str]) -> None:
    assert list(secrets_among(typed.split())) == secrets


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no list of processes to look at")
def test_the_list_of_processes_shows_stars() -> None:
    program = (
        "import sys; from callwright.host import process_list; process_list.hide(sys.argv[1:]);"
        "print(open('/proc/self/cmdline', 'rb').read())"
    )
    command = [sys.executable, "-c", program, "call", "sip:a@b", "--user", "alice", "--password", "hunter22"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "hunter22" not in shown
    assert r"alice\x00--password\x00********" in shown
