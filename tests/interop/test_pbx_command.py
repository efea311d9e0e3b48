"""`callwright pbx` as a process: accounts from a file, a call to baresip, and its last word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.interop.peers import LOOPBACK, baresip, free_port, run_callwright, start_callwright

pytestmark = pytest.mark.peer


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("accounts.yaml", "0043123: no\n1002:\n  secret: other\n  display_name: Bob Brown\n"),
        ("accounts.csv", "user,secret,display_name\n0043123,no,\n1002,other,Bob Brown\n"),
    ],
)
def test_the_command_serves_the_accounts_of_a_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    port = free_port()
    arguments = ("--listen", f"{LOOPBACK}:{port}", "--accounts", name, "--relay", "--json")
    with start_callwright(tmp_path, "pbx", *arguments, wait_for="Ctrl-C ends") as pbx:
        line = f"<sip:1002@{LOOPBACK}:{port};transport=udp>;auth_pass=other;answermode=auto;regint=60"
        with baresip(tmp_path, line):
            pbx.wait_for("1002: added")
            call = run_callwright(
                tmp_path,
                *("call", f"sip:1002@{LOOPBACK}:{port}", "--user", "0043123", "--password", "no"),
                *("--for", "1.5", "--json"),
            )
            assert call.process.returncode == 0, call.log
            assert call.document()["verdict"] == "passed"
        pbx.interrupt()
        assert pbx.wait() == 130
        document = pbx.document()
    assert (document["verdict"], document["exit_code"]) == ("canceled", 130)
    assert [(c["caller"], c["callee"], c["sip_code"]) for c in document["calls"]] == [
        ("0043123", "1002", 200)
    ]
    assert document["calls"][0]["relayed"]["from_callee"] > 50
    assert re.search(r"call 1: 200 after 1\.\d s of talk, ended by the caller", pbx.log)


def test_a_registration_ended_by_ctrl_c_is_canceled_in_its_document_too(tmp_path: Path) -> None:
    port = free_port()
    served = ("--listen", f"{LOOPBACK}:{port}", "--account", "1001:secret")
    stay = (f"sip:1001@{LOOPBACK}:{port}", "--password", "secret", "--for", "60", "--json")
    with start_callwright(tmp_path, "pbx", *served, wait_for="Ctrl-C ends") as pbx:
        with start_callwright(tmp_path, "register", *stay, wait_for="registered: 1001") as ours:
            ours.interrupt()
            assert ours.wait() == 130
            document = ours.document()
        pbx.wait_for("1001: removed")
    assert (document["verdict"], document["blame"]) == ("canceled", None)
    assert document["reason"].startswith("Ctrl-C ended it. 1001@127.0.0.1 registered")
