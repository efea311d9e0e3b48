"""Loads of test documents over real sockets: against SIPp, between our own engines, stopped, and refused."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.interop import peers
from tests.interop.test_load import sipp_counts, sipp_server

pytestmark = [pytest.mark.peer, pytest.mark.timeout(180)]


def written(folder: Path, text: str) -> str:
    path = folder / "document.yaml"
    path.write_text(text)
    return str(path)


def against(port: int, parameters: str, *conditions: str) -> str:
    looks = "".join(f"  - {condition}\n" for condition in conditions)
    return (
        f"name: many\ntarget: 127.0.0.1:{port}\nparties: {{alice: {{user: 4101}}}}\nsteps:\n"
        f"  - - call: {{from: alice, to: 4102, media: no, {parameters}}}\n"
        + (f"conditions:\n{looks}" if looks else "")
    )


def loads_of(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By role; the sum of each is checked."""
    for load in told["loads"]:
        assert load["attempted"] == load["answered"] + load["failed"] + load["canceled"]
    return {load["role"]: load for load in told["loads"]}


def test_sipp_answers_the_load_of_a_document(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas", "-m", "240")
    document = against(
        port, "ramp: 40:200:2 s, max_duration: 200 ms", "failed = 0", "pdd_p95 < 1 s", "calls = 240"
    )
    with uas:
        report = tmp_path / "report"
        done = peers.run_callwright(
            tmp_path, "run", written(tmp_path, document), "--json", "--report", str(report)
        )
        uas.wait()
    told = done.document()
    assert (done.process.returncode, told["verdict"]) == (0, "passed"), told["reason"]
    assert [condition["passed"] for condition in told["conditions"]] == [True, True, True]
    load = loads_of(told)["caller"]
    assert (load["answered"], load["pdd_ms"]["count"], sum(load["seconds"]["attempted"])) == (240, 240, 240)
    assert sipp_counts(tmp_path, "uas.csv")["successful"] == 240
    page = (report / "report.html").read_text()
    assert 'id="load"' in page
    assert "polyline" in page
    assert "240 calls" in (report / "junit.xml").read_text()


def test_a_condition_that_does_not_hold_is_the_reason(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas")
    document = against(port, "load: yes, max_total_calls: 5, max_duration: 100 ms", "pdd_p99 < 0.001 ms")
    with uas:
        done = peers.run_callwright(tmp_path, "run", written(tmp_path, document), "--json")
    told = done.document()
    assert (done.process.returncode, told["verdict"], told["blame"]) == (1, "failed", "target")
    assert "where less than 0.001 ms was asked for" in told["reason"]


def test_a_test_document_drives_callwright_load_with_columns_of_its_accounts(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas", "-m", "20")
    document = against(
        port, "call_rate: 50, max_total_calls: 20, max_duration: 0.1, headers: {X-Row: '{number}'}"
    )
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("username,number\n1001,7001\n1002,7002\n")
    path = written(tmp_path, document.replace("to: 4102", "to: '{number}'"))
    with uas:
        done = peers.run_callwright(
            tmp_path, "load", "--scenario", path, "--accounts", str(accounts), "--json"
        )
        uas.wait()
    told = done.document()
    assert (done.process.returncode, told["answered"]) == (0, 20), told
    heard = peers.sipp_messages(tmp_path, "uas")
    assert heard.count(f"INVITE sip:7001@127.0.0.1:{port} ") == heard.count("X-Row: 7001") == 10
    assert "From: <sip:1002@127.0.0.1>" in heard


def test_what_callwright_load_cannot_do_of_a_document_is_refused_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, against(5060, "dtmf: 12"))
    done = peers.run_callwright(tmp_path, "load", "--scenario", path, "--json")
    assert done.process.returncode == 2
    (error,) = done.document()["errors"]
    assert (error["address"], error["key"], error["line"]) == ("step.0.0.dtmf", "dtmf", 5)


def test_two_engines_load_each_other_without_a_server_and_media_is_measured(tmp_path: Path) -> None:
    document = written(
        tmp_path,
        "name: ours\nparties: {alice: , bob: }\nsteps:\n  - - accept: {party: bob, ring: 50 ms, min_mos: 1}\n"
        "  - - call: {from: alice, to: bob, load: yes, call_rate: 20, max_total_calls: 30, "
        "max_duration: 1 s, min_mos: 1}\n",
    )
    done = peers.run_callwright(tmp_path, "run", document, "--json")
    told = done.document()
    loads = loads_of(told)
    assert (loads["caller"]["answered"], loads["answerer"]["answered"]) == (30, 30), told["reason"]
    assert loads["caller"]["media"]["streams"] == 30
    assert told["verdict"] in ("passed", "invalid")  # on a busy machine it says that it could not keep up
    assert loads["caller"]["media"]["mos"]["count"] == 30
    assert loads["caller"]["media"]["received"] > 1000


def test_ctrl_c_ends_the_calls_of_a_load_and_counts_them(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas")
    document = written(tmp_path, against(port, "call_rate: 100, max_total_calls: 100000, max_duration: 60 s"))
    with uas:
        ours = peers.start_callwright(tmp_path, "run", document, "--json")
        with ours:
            uas.until(
                lambda: (tmp_path / "uas.csv").exists() and sipp_counts(tmp_path, "uas.csv")["created"] > 50,
                "calls",
            )
            ours.process.send_signal(signal.SIGINT)
            assert ours.wait(30) == 130
        told = ours.document()
    load = loads_of(told)["caller"]
    assert (told["verdict"], load["verdict"]) == ("canceled", "canceled")
    assert load["attempted"] > 50
    assert load["failed"] == 0


def test_a_load_goes_nowhere_that_nobody_permitted(tmp_path: Path) -> None:
    """A private address is good enough for one call, not for a load."""
    text = against(5060, "load: yes").replace("127.0.0.1:5060", "10.255.255.1")
    done = peers.run_callwright(tmp_path, "run", written(tmp_path, text), "--json")
    assert done.process.returncode == 2
    assert "--allow 10.255.255.1" in done.output
