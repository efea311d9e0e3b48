"""`callwright load` with accounts at servers that challenge with the hashes of RFC 8760."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers import LOOPBACK, WHO_IS_IT, free_port, kamailio, run_callwright, start_callwright

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]

ROUTING = (
    """
request_route {
    if (is_method("ACK")) { exit; }
"""
    + WHO_IS_IT
    + """
    sl_send_reply("480", "Knows Who Calls");
}
"""
)
MODULES = ("tm", "sl", "pv", "usrloc", "registrar", "textops", "siputils", "auth")


def load(folder: Path, port: int, *arguments: str) -> tuple[dict[str, Any], int]:
    done = run_callwright(
        folder, "load", f"sip:nobody@{LOOPBACK}:{port}", "--accounts", "users.csv", "--rate", "50", "--json",
        *arguments, seconds=60,
    )  # fmt: skip
    return done.document(), done.process.returncode or 0


def accounts(folder: Path, wrong: str = "") -> None:
    rows = [f"{user},secret{wrong if user == 1005 else ''}" for user in range(1001, 1011)]
    (folder / "users.csv").write_text("username,password\n" + "\n".join(rows) + "\n")


def test_registrations_and_calls_answer_the_sha_256_of_kamailio(tmp_path: Path) -> None:
    accounts(tmp_path)
    parameters = 'modparam("auth", "algorithm", "SHA-256")'
    with kamailio(tmp_path, ROUTING, modules=MODULES, parameters=parameters) as proxy:
        registered, code = load(tmp_path, proxy.port, "--register", "--calls", "10")
        called, _ = load(tmp_path, proxy.port, "--calls", "10")
    assert (registered["answered"], registered["failures"], code) == (10, {}, 0)
    assert registered["challenged"] == 10
    # Who answered rightly gets past the 407, to a 480 that only the script says.
    assert (called["failures"], called["challenged"]) == ({"480": 10}, 10)
    sent = [m["text"] for call in called["ladders"] for m in call["messages"] if m["direction"] == "sent"]
    answers = [line for text in sent for line in text.splitlines() if line.startswith("Proxy-Authorization:")]
    assert answers
    assert all("algorithm=SHA-256" in line and 'response="****' in line for line in answers)


@pytest.mark.parametrize("algorithms", [("SHA-256",), ("SHA-512-256", "MD5")])
def test_registrations_answer_our_pbx_and_a_wrong_password_is_seen(
    tmp_path: Path, algorithms: tuple[str, ...]
) -> None:
    accounts(tmp_path, wrong="!")
    port = free_port()
    known = [word for user in range(1001, 1011) for word in ("--account", f"{user}:secret")]
    offered = [word for algorithm in algorithms for word in ("--digest", algorithm)]
    served = ("--listen", f"{LOOPBACK}:{port}", *known, *offered)
    with start_callwright(tmp_path, "pbx", *served, wait_for="Ctrl-C ends"):
        told, code = load(tmp_path, port, "--register", "--calls", "10")
    assert (told["answered"], told["failed"], code) == (9, 1, 1)
    (failed,) = [call for call in told["ladders"] if call["why"] == "failed"]
    texts = [message["text"] for message in failed["messages"] if message["direction"] == "sent"]
    assert 'username="1005"' in texts[-1]
    assert f"algorithm={algorithms[0]}" in texts[-1]
