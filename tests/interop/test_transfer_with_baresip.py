"""baresip as the transferee: it is referred to another phone of ours, and tells what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.peers import LOOPBACK, baresip, free_port, run_callwright, start_callwright

pytestmark = pytest.mark.peer


def test_baresip_follows_our_refer_and_tells_its_outcome(tmp_path: Path) -> None:
    port = free_port()
    # Without media: the one sound device that baresip has here stays with its first call.
    carol = start_callwright(
        tmp_path,
        *("answer", "--listen", f"{LOOPBACK}:{port}", "--calls", "1", "--for", "2", "--no-media", "--json"),
        wait_for="listening on",
    )
    with carol, baresip(tmp_path, f"<sip:bob@{LOOPBACK}>;answermode=auto;regint=0") as peer:
        placed = run_callwright(
            tmp_path,
            *("call", f"sip:bob@{LOOPBACK}:{peer.port}", "--for", "20", "--json"),
            *("--transfer", f"sip:carol@{LOOPBACK}:{port}", "--transfer-after", "1"),
        )
        assert placed.process.returncode == 0, placed.log + peer.log
        outcome = placed.document()
        (transfer,) = outcome["transfers"]
        assert (transfer["sip_code"], transfer["transfer_code"]) == (202, 200), peer.log
        assert outcome["ended_by"] == "local", "we hang up once the transfer is done"
        carol.wait(20)
    (call,) = carol.document()["calls"]
    assert call["verdict"] == "passed", call["reason"]
    assert call["sip_code"] == 200
