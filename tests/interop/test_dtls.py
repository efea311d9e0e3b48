"""Calls with baresip whose keys come by DTLS, in both directions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers import LOOPBACK, baresip, free_port, run_callwright, start_callwright

pytestmark = pytest.mark.peer

MODULES = "module srtp.so\nmodule dtls_srtp.so\nmodule ice.so\n"
DTLS = ("--srtp", "dtls", "--for", "1.5", "--json", "--min-mos", "1", "--min-heard", "0")


def judged(call: dict[str, Any]) -> None:
    assert (call["verdict"], call["sip_code"]) == ("passed", 200), call["reason"]
    assert call["dtls"]["fingerprint"].startswith("sha-")
    assert call["srtp"]["auth_failures"] == 0
    assert call["received"]["packets"] > 20


def test_baresip_answers_with_keys_by_dtls(tmp_path: Path) -> None:
    account = f"<sip:peer@{LOOPBACK}>;regint=0;answermode=auto;mediaenc=dtls_srtp"
    with baresip(tmp_path, account, extra=MODULES) as peer:
        run = run_callwright(tmp_path, "call", f"sip:peer@{LOOPBACK}:{peer.port}", *DTLS)
        call = run.document()
    judged(call)
    assert call["received"]["level_dbfs"] > -60, "the echo is speech"


async def test_baresip_calls_with_keys_by_dtls(tmp_path: Path) -> None:
    port = free_port()
    account = f"<sip:peer@{LOOPBACK}>;regint=0;mediaenc=dtls_srtp"
    answering = start_callwright(
        tmp_path,
        "answer",
        *("--listen", f"{LOOPBACK}:{port}", "--calls", "1", *DTLS),
        wait_for="listening on",
    )
    with answering, await asyncio.to_thread(baresip, tmp_path, account, extra=MODULES) as peer:
        await asyncio.to_thread(peer.command, "dial", f"sip:x@{LOOPBACK}:{port}")
        assert await asyncio.to_thread(answering.wait) == 0, answering.log + peer.log
        (call,) = json.loads(answering.output)["calls"]
    judged(call)
