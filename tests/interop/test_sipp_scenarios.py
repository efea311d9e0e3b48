"""`callwright load --sipp` beside SIPp: the scenarios that SIPp ships, run by both against the same peer, put
the same messages on the wire, but for what each call makes anew."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.interop import peers
from tests.kit.programs import program

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]

#: Scenario of the caller, that of its peer, and what shortens it.
PAIRS = [("uac", "uas"), ("regexp", "uas"), ("branchc", "branchs"), ("uac_pcap", "uas")]


def shipped(name: str, folder: Path) -> Path:
    """A scenario out of SIPp, with pauses that a test can wait for."""
    made = subprocess.run([program("sipp"), "-sd", name], capture_output=True, check=False, timeout=20).stdout
    text = made.decode("latin-1")
    text = re.sub(r'(<pause\s+milliseconds\s*=\s*)"\d+"', r'\1"300"', text)
    text = text.replace("pcap/", "/usr/share/sip-tester/")
    path = folder / f"{name}.xml"
    path.write_text(text[text.index("<?xml") :], "latin-1")
    return path


def sent_by(messages: str, direction: str) -> list[str]:
    """The messages of one direction in a peer's log, with what differs from call to call made alike."""
    found = re.findall(
        rf"UDP message {direction} \[?\d+\]? bytes ?:?\s*\n\n(.*?)(?=\n-{{20,}}|\Z)", messages, re.DOTALL
    )
    return [_alike(text) for text in found]


def _alike(text: str) -> str:
    text = text.replace("\r", "").strip()
    text = re.sub(r"branch=[^;\s]+", "branch=B", text)
    text = re.sub(r"tag=[^;\s>]+", "tag=T", text)
    text = re.sub(r"(?m)^Call-ID:.*$", "Call-ID: C", text)
    text = re.sub(r"((?:127\.0\.0\.1|nnl\.cym):)\d+", r"\1P", text)
    return re.sub(r"m=audio \d+", "m=audio P", text)


@pytest.mark.parametrize(("mine", "theirs"), PAIRS, ids=[mine for mine, _ in PAIRS])
def test_the_caller_says_what_sipp_says(tmp_path: Path, mine: str, theirs: str) -> None:
    ours, other = shipped(mine, tmp_path), shipped(theirs, tmp_path)
    heard = {}
    for who in ("sipp", "callwright"):
        port, local = peers.free_port(), peers.free_port()
        with peers.sipp(tmp_path, "-sf", str(other), "-p", str(port), "-m", "1", name=f"{who}-peer") as peer:
            peers.wait_for_port(peer, port)
            if who == "sipp":
                arguments = [
                    "-sf",
                    str(ours),
                    "-m",
                    "1",
                    "-p",
                    str(local),
                    "-mp",
                    str(peers.free_port(pair=True)),
                    "-d",
                    "300",
                    f"127.0.0.1:{port}",
                ]
                with peers.sipp(tmp_path, *arguments, name="caller") as caller:
                    assert caller.wait(60) == 0, caller.log
            else:
                allowed = ["--allow", "CA.cym.com"] if mine == "branchc" else []
                arguments = ["--sipp", str(ours), "--hold", "0.3", *allowed, "--json"]
                run = peers.run_callwright(tmp_path, "load", f"sip:service@127.0.0.1:{port}", *arguments)
                assert run.document()["succeeded"] == 1, run.log
        heard[who] = sent_by(peers.sipp_messages(tmp_path, f"{who}-peer"), "received")
    assert len(heard["sipp"]) >= 3
    assert heard["callwright"] == heard["sipp"]


@pytest.mark.parametrize(("theirs", "mine"), [("uac", "uas"), ("branchc", "branchs")])
def test_the_callee_says_what_sipp_says(tmp_path: Path, theirs: str, mine: str) -> None:
    ours, other = shipped(mine, tmp_path), shipped(theirs, tmp_path)
    heard = {}
    for who in ("sipp", "callwright"):
        port, local = peers.free_port(), peers.free_port()
        if who == "sipp":
            running = peers.sipp(
                tmp_path, "-sf", str(ours), "-p", str(port), "-mp", "20000", "-m", "1", name="callee"
            )
        else:
            arguments = ["--answer", "--listen", f"127.0.0.1:{port}", "--sipp", str(ours), "--calls", "1"]
            running = peers.start_callwright(tmp_path, "load", *arguments, "--json")
        with running as callee:
            peers.wait_for_port(callee, port)
            arguments = [
                "-sf",
                str(other),
                "-m",
                "1",
                "-p",
                str(local),
                "-mp",
                str(peers.free_port(pair=True)),
                "-d",
                "300",
                f"127.0.0.1:{port}",
            ]
            with peers.sipp(tmp_path, *arguments, name=f"{who}-caller") as caller:
                assert caller.wait(60) == 0, caller.log
            if who == "callwright":
                assert callee.wait(30) == 0, callee.log
        heard[who] = sent_by(peers.sipp_messages(tmp_path, f"{who}-caller"), "received")
    assert len(heard["sipp"]) >= 3
    assert heard["callwright"] == heard["sipp"]
