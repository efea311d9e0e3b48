"""Reliable provisionals and session timers of `callwright load`: SIPp and our own phone are the judges."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.interop import peers
from tests.interop import sipp_scenarios as scenarios
from tests.interop.sipp_scenarios import SCENARIOS
from tests.interop.test_load import load

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]


def without_update(name: str, folder: Path) -> Path:
    """A scenario of PRACK whose caller offers nothing anew before the answer, and whose callee rings."""
    text = (SCENARIOS / f"{name}.xml").read_text().replace("183 Session Progress", "180 Ringing")
    text = text.replace('response="183"', 'response="180"')
    if name == "uas_prack":
        text = re.sub(r'  <recv request="UPDATE">.*?(?=  <send retrans)', "", text, flags=re.DOTALL)
        text = text.replace('header="Require:"', 'header="Supported:"')
    else:
        begin = text.rindex("  <send", 0, text.index("UPDATE [next_url]"))
        end = text.index('  <recv response="200" rrs="true"/>')
        text = text[:begin] + text[end:]
    path = folder / f"{name}_ring.xml"
    path.write_text(text)
    return path


def test_sipp_is_acknowledged_by_a_load(tmp_path: Path) -> None:
    port = peers.free_port()
    scenario = without_update("uas_prack", tmp_path)
    peer = peers.sipp(tmp_path, "-sf", str(scenario), "-p", str(port), "-m", "40", "-timeout", "40")
    with peer:
        peers.wait_for_port(peer, port)
        told, code = load(
            tmp_path, f"sip:x@127.0.0.1:{port}", "--codec", "PCMA", "--rate", "20", "--calls", "40",
            "--hold", "0.2",
        )  # fmt: skip
        assert peer.wait() == 0, peer.log[-4000:]
    assert (code, told["verdict"], told["answered"]) == (0, "passed", 40)
    assert told["prack"] == {"reliable": 40, "acknowledged": 40, "failed": 0}


def test_sipp_acknowledges_a_load_that_answers(tmp_path: Path) -> None:
    port = peers.free_port()
    scenario = without_update("uac_prack", tmp_path)
    arguments = ("--answer", "--listen", f"127.0.0.1:{port}", "--calls", "40", "--json")
    with peers.start_callwright(tmp_path, "load", *arguments, wait_for="answering at") as ours:
        given = (
            f"127.0.0.1:{port}",
            "-sf",
            str(scenario),
            "-s",
            "sut",
            "-r",
            "20",
            "-m",
            "40",
            "-timeout",
            "40",
        )
        with peers.sipp(tmp_path, *given, name="uac") as uac:
            assert uac.wait() == 0, uac.log[-4000:]
        assert ours.wait() == 0
    told = ours.document()
    assert (told["verdict"], told["answered"]) == ("passed", 40)
    assert told["prack"] == {"reliable": 40, "acknowledged": 40, "failed": 0}


def test_sipp_refuses_a_short_session_and_is_refreshed(tmp_path: Path) -> None:
    with scenarios.server(tmp_path, "uas_session_timer", echo=False) as peer:
        told, code = load(
            tmp_path, peer.uri, "--codec", "PCMA", "--hold", "4", "--session-expires", "4", "--min-se", "4",
            "--refresh-by", "update",
        )  # fmt: skip
        peer.succeeded()
    assert (code, told["verdict"]) == (0, "passed"), told
    assert told["session"] == {"refreshed": 1, "too_brief": 1}


def test_our_phone_requires_both_of_a_load_that_answers(tmp_path: Path) -> None:
    port = peers.free_port()
    arguments = ("--answer", "--listen", f"127.0.0.1:{port}", "--calls", "1", "--min-se", "4", "--json")
    with peers.start_callwright(
        tmp_path, "load", *arguments, "--media", "ports", "--ring-time", "0.3", wait_for="answering at"
    ) as ours:
        done = peers.run_callwright(
            tmp_path, "call", f"sip:x@127.0.0.1:{port}", "--prack", "required", "--session-expires", "4",
            "--min-se", "4", "--refresher", "remote", "--for", "5", "--json",
        )  # fmt: skip
        ours.wait()
    told, theirs = ours.document(), done.document()
    assert theirs["verdict"] == "passed", theirs["reason"]
    assert (theirs["reliable_codes"], theirs["session_expires_s"]) == ([180], 4)
    assert theirs["session_refreshes"] >= 1
    assert told["prack"]["acknowledged"] == 1
    assert told["session"]["refreshed"] == theirs["session_refreshes"]


def test_our_phone_is_called_by_a_load_that_requires_both(tmp_path: Path) -> None:
    with scenarios.Answering(
        tmp_path, "--prack", "required", "--min-se", "4", "--early-media", "--after", "1"
    ) as answer:
        told, code = load(
            tmp_path, f"sip:x@127.0.0.1:{answer.port}", "--prack", "required", "--session-expires", "4",
            "--min-se", "4", "--refresher", "local", "--hold", "5", "--media", "ports",
        )  # fmt: skip
        theirs = answer.call()
    assert (code, told["verdict"]) in ((0, "passed"), (3, "invalid")), told["reason"]
    assert told["answered"] == 1
    assert told["prack"]["failed"] == 0
    assert told["prack"]["acknowledged"] == len(theirs["reliable_codes"]) >= 1
    assert told["session"]["refreshed"] == theirs["session_refreshes"] >= 1
