"""Loads over TCP and TLS: against SIPp, against our own phone, and two of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop import peers
from tests.interop import sipp_scenarios as scenarios
from tests.interop.test_load import load, sipp_counts
from tests.net.certificates import Authority

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]


@pytest.mark.parametrize(("connections", "opened"), [("one", 1), ("per-call", 60)])
def test_sipp_answers_our_load_over_tcp(tmp_path: Path, connections: str, opened: int) -> None:
    port = peers.free_port()
    uas = peers.sipp(
        tmp_path, "-sn", "uas", "-m", "60", "-t", "t1", "-max_socket", "200", "-p", str(port), "-trace_stat",
        "-fd", "1", "-stf", "uas.csv", name="uas",
    )  # fmt: skip
    with uas:
        peers.wait_for_port(uas, port, tcp=True)
        told, code = load(
            tmp_path, f"sip:x@127.0.0.1:{port};transport=tcp", "--rate", "40", "--calls", "60",
            "--hold", "0.2", "--connections", connections,
        )  # fmt: skip
        uas.wait()
    assert code in (0, 3), told["reason"]  # 3 where the machine is too busy
    assert (told["answered"], told["failed"]) == (60, 0)
    counted = sipp_counts(tmp_path, "uas.csv")
    # SIPp waits 4 s after its answer to the BYE: to it a call has failed whose connection ends meanwhile.
    assert counted["successful" if connections == "one" else "created"] == 60
    assert told["messages"]["retransmitted"] == 0
    assert told["connections"]["opened"] == opened
    assert (told["connections"]["handshakes"], told["handshakes_per_s"]) == (0, None)


def test_sipp_loads_our_answerer_over_tcp(tmp_path: Path) -> None:
    port = peers.free_port()
    arguments = ("--answer", "--listen", f"127.0.0.1:{port}", "--transport", "tcp", "--calls", "60", "--json")
    with peers.start_callwright(tmp_path, "load", *arguments, wait_for="answering at") as ours:
        given = ("-sn", "uac", f"127.0.0.1:{port}", "-t", "t1", "-r", "40", "-m", "60", "-d", "200")
        with peers.sipp(tmp_path, *given, name="uac") as uac:
            assert uac.wait() == 0, uac.log
        assert ours.wait() == 0
    told = ours.document()
    assert (told["verdict"], told["answered"], told["failed"]) == ("passed", 60, 0)
    assert told["connections"]["accepted"] == 1


@pytest.mark.parametrize(("connections", "handshakes"), [("one", 1), ("per-call", 50)])
def test_two_loads_speak_over_mutual_tls(tmp_path: Path, connections: str, handshakes: int) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("answer", addresses=["127.0.0.1"])
    ours_cert, ours_key = authority.issue("caller", dns=["caller.test"], addresses=["127.0.0.1"])
    port = peers.free_port()
    arguments = ("--answer", "--listen", f"127.0.0.1:{port}", "--transport", "tls", "--calls", "50", "--json",
                 "--cert", str(cert), "--key", str(key), "--ca", str(authority.ca),
                 "--require-client-certificate")  # fmt: skip
    uri = f"sip:x@127.0.0.1:{port};transport=tls"
    with peers.start_callwright(tmp_path, "load", *arguments, wait_for="answering at") as answer:
        told, code = load(tmp_path, uri, "--ca", str(authority.ca), "--calls", "2", "--rate", "10")
        assert (code, told["answered"]) == (1, 0)  # without a certificate of ours
        told, code = load(
            tmp_path, uri, "--ca", str(authority.ca), "--cert", str(ours_cert), "--key", str(ours_key),
            "--calls", "50", "--rate", "40", "--connections", connections, "--prack", "required",
        )  # fmt: skip
        assert answer.wait() == 0
    assert code in (0, 3), told["reason"]
    assert (told["answered"], told["failed"]) == (50, 0)
    assert told["connections"]["handshakes"] == handshakes
    assert told["connections"]["handshake_ms"]["count"] == handshakes
    assert told["handshakes_per_s"] > 0
    assert answer.document()["answered"] == 50


def test_a_certificate_of_another_name_gets_no_call(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("answer", dns=["somebody.test"])
    port = peers.free_port()
    arguments = ("--answer", "--listen", f"127.0.0.1:{port}", "--transport", "tls", "--for", "60", "--json",
                 "--cert", str(cert), "--key", str(key))  # fmt: skip
    with peers.start_callwright(tmp_path, "load", *arguments, wait_for="answering at") as answer:
        uri = f"sip:x@127.0.0.1:{port};transport=tls"
        told, code = load(tmp_path, uri, "--ca", str(authority.ca), "--calls", "2", "--rate", "10")
        answer.interrupt()
    assert (code, told["failures"]) == (1, {"unreachable": 2})
    assert told["connections"]["failed"] >= 1


def test_where_nobody_listens_each_call_is_refused(tmp_path: Path) -> None:
    uri = f"sip:x@127.0.0.1:{peers.free_port()};transport=tcp"
    told, code = load(tmp_path, uri, "--calls", "3", "--rate", "30", "--connections", "per-call")
    assert (code, told["failures"]) == (1, {"refused": 3})


def test_our_phone_is_called_over_tcp_and_heard(tmp_path: Path) -> None:
    with scenarios.Answering(tmp_path, transport="tcp") as answer:
        told, code = load(
            tmp_path,
            f"sip:x@127.0.0.1:{answer.port}",
            "--transport",
            "tcp",
            "--hold",
            "2",
            "--media",
            "ports",
        )
        theirs = answer.call()
    assert code in (0, 3), told["reason"]
    assert (told["answered"], theirs["direction"]) == (1, "incoming")
    assert theirs["received"]["packets"] > 50
