"""Tests over TLS: the built-in PBX brings its own certificate, another one's is trusted by `--ca`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.interop.peers import LOOPBACK, free_port, run_callwright, start_callwright
from tests.net.certificates import Authority

SHORT = ("--set", "transport=tls", "--set", "step.1.0.max_duration=1")


def test_the_built_in_pbx_serves_tls_without_any_file(tmp_path: Path) -> None:
    ended = run_callwright(tmp_path, "run", "basic_call", *SHORT, "--json", "--report", str(tmp_path / "r"))
    assert ended.process.returncode == 0, ended.log
    assert {call["peer"].partition(":")[0] for call in ended.document()["calls"]} == {"tls"}


def test_a_pbx_of_ones_own_authority_is_trusted_by_its_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    identity = authority.issue("pbx", addresses=[LOOPBACK])
    port = free_port()
    pbx = start_callwright(
        tmp_path,
        *("pbx", "--transport", "tls", "--listen", f"{LOOPBACK}:{port}"),
        *("--cert", str(identity.cert), "--key", str(identity.key)),
        *("--account", "4101:a", "--account", "4102:b"),
        wait_for="accounts",
    )
    aimed = ("--set", f"target={LOOPBACK}:{port}", "--set", "alice=4101:a", "--set", "bob=4102:b", *SHORT)
    with pbx:
        trusted = run_callwright(tmp_path, "run", "basic_call", *aimed, "--ca", str(authority.ca), "--json")
        unknown = run_callwright(tmp_path, "run", "basic_call", *aimed, "--json")
        careless = run_callwright(tmp_path, "run", "basic_call", *aimed, "--insecure", "--json")
    assert trusted.process.returncode == 0, trusted.log
    assert careless.process.returncode == 0, careless.log
    assert unknown.process.returncode == 1, unknown.log
    assert "certificate" in json.loads(unknown.output)["reason"]
