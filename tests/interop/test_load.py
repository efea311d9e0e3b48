"""`callwright load` against SIPp, both ways: the counts of both sides are equal, and bad days end as told."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.interop import peers

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]

REGISTRAR = """\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="registrar">
<recv request="REGISTER"/>
<send><![CDATA[
SIP/2.0 401 Unauthorized
[last_Via:]
[last_From:]
[last_To:];tag=[pid][call_number]
[last_Call-ID:]
[last_CSeq:]
WWW-Authenticate: Digest realm="sipp", nonce="47ebe028cda119c35d4877b383027d28da013815", algorithm=MD5
Content-Length: 0

]]></send>
<recv request="REGISTER"><action><verifyauth assign_to="1" username="user" password="secret"/></action></recv>
<nop test="1" next="good"/>
<send next="end"><![CDATA[
SIP/2.0 403 Forbidden
[last_Via:]
[last_From:]
[last_To:];tag=[pid][call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
<label id="good"/>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[pid][call_number]
[last_Call-ID:]
[last_CSeq:]
[last_Contact:]
Content-Length: 0

]]></send>
<label id="end"/>
</scenario>
"""

BUSY = """\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="overloaded">
<recv request="INVITE"/>
<send retrans="500"><![CDATA[
SIP/2.0 503 Service Unavailable
[last_Via:]
[last_From:]
[last_To:];tag=[pid][call_number]
[last_Call-ID:]
[last_CSeq:]
Retry-After: 30
Content-Length: 0

]]></send>
<recv request="ACK"/>
</scenario>
"""


def sipp_server(folder: Path, *more: str) -> tuple[peers.PeerProcess, int]:
    port = peers.free_port()
    uas = peers.sipp(folder, *more, "-p", str(port), "-trace_stat", "-fd", "1", "-stf", "uas.csv", name="uas")
    peers.wait_for_port(uas, port)
    return uas, port


def sipp_counts(folder: Path, name: str) -> dict[str, int]:
    """The last line of SIPp's statistics."""
    with (folder / name).open() as file:
        rows = list(csv.reader(file, delimiter=";"))
    wanted = {"successful": "SuccessfulCall(C)", "failed": "FailedCall(C)", "created": "TotalCallCreated"}
    if len(rows) < 2 or len(rows[-1]) < len(rows[0]) - 1:  # it has just begun the file, or the line
        return dict.fromkeys(wanted, 0)
    last = dict(zip(rows[0], rows[-1], strict=False))
    return {name: int(last[column]) for name, column in wanted.items()}


def load(folder: Path, *arguments: str, seconds: float = 120) -> tuple[dict[str, Any], int]:
    """`callwright load … --json`: its document and exit code. The sum is checked each time."""
    done = peers.run_callwright(folder, "load", *arguments, "--json", seconds=seconds)
    told = done.document()
    assert told["attempted"] == told["answered"] + told["failed"] + told["canceled"]
    assert told["failed"] == sum(told["failures"].values())
    return told, done.process.returncode or 0


def test_sipp_answers_our_load(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas", "-m", "400")
    with uas:
        told, code = load(
            tmp_path, f"sip:x@127.0.0.1:{port}", "--rate", "200", "--calls", "400", "--hold", "0.2"
        )
        uas.wait()
    assert (code, told["verdict"], told["answered"]) == (0, "passed", 400)
    assert sipp_counts(tmp_path, "uas.csv")["successful"] == 400
    assert told["pdd_ms"]["count"] == told["bye_ms"]["count"] == 400


def test_sipp_loads_our_answerer(tmp_path: Path) -> None:
    port = peers.free_port()
    ours = peers.start_callwright(
        tmp_path, "load", "--answer", "--listen", f"127.0.0.1:{port}", "--calls", "400", "--json",
        wait_for="answering at",
    )  # fmt: skip
    with ours:
        with peers.sipp(
            tmp_path, "-sn", "uac", f"127.0.0.1:{port}", "-r", "200", "-m", "400", "-d", "200", name="uac"
        ) as uac:  # fmt: skip
            assert uac.wait() == 0, uac.log
        assert ours.wait() == 0
    told = ours.document()
    assert (told["verdict"], told["answered"], told["failed"]) == ("passed", 400, 0)


def test_counts_are_equal_though_each_side_loses_one_in_twenty(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas", "-lost", "5", "-timeout", "100")
    with uas:
        told, code = load(
            tmp_path, f"sip:x@127.0.0.1:{port}", "--rate", "50", "--calls", "300", "--fail-if", "failed>1%"
        )
        uas.until(lambda: sipp_counts(tmp_path, "uas.csv")["successful"] >= told["answered"], "all calls", 60)
        theirs = sipp_counts(tmp_path, "uas.csv")
    assert code == 0, told["reason"]
    assert told["messages"]["retransmitted"] > 0
    assert theirs["successful"] == told["answered"]


def test_counts_are_equal_though_the_caller_loses_one_in_twenty(tmp_path: Path) -> None:
    port = peers.free_port()
    ours = peers.start_callwright(
        tmp_path, "load", "--answer", "--listen", f"127.0.0.1:{port}", "--for", "50", "--json",
        wait_for="answering at",
    )  # fmt: skip
    with ours:
        # SIPp takes a repeated answer to its INVITE for the one to its BYE: without a pause, where ACK and
        # BYE are lost, it counts a call that nobody else has seen.
        arguments = ("-r", "50", "-m", "300", "-d", "1800", "-lost", "5", "-trace_stat", "-stf", "uac.csv")
        with peers.sipp(tmp_path, "-sn", "uac", f"127.0.0.1:{port}", *arguments, name="uac") as uac:
            uac.wait(100)
        ours.wait()
    told = ours.document()
    theirs = sipp_counts(tmp_path, "uac.csv")
    assert told["attempted"] == told["answered"] + told["failed"] + told["canceled"]
    assert told["answered"] == theirs["successful"]
    assert told["messages"]["repeated_by_peer"] > 0


def test_registrations_answer_the_challenge_of_sipp(tmp_path: Path) -> None:
    (tmp_path / "registrar.xml").write_text(REGISTRAR)
    (tmp_path / "accounts.csv").write_text("username,password\nuser,secret\nuser,secret\n")
    uas, port = sipp_server(tmp_path, "-sf", "registrar.xml", "-m", "100")
    with uas:
        told, code = load(
            tmp_path, f"sip:127.0.0.1:{port}", "--register", "--accounts", "accounts.csv", "--rate", "100",
            "--calls", "100",
        )  # fmt: skip
        assert uas.wait() == 0, uas.log
    assert (code, told["answered"], told["challenged"]) == (0, 100, 100)
    assert told["register_ms"]["count"] == 100


def test_a_wrong_password_is_a_failure_by_its_code(tmp_path: Path) -> None:
    (tmp_path / "registrar.xml").write_text(REGISTRAR)
    (tmp_path / "accounts.csv").write_text("username,password\nuser,wrong\n")
    uas, port = sipp_server(tmp_path, "-sf", "registrar.xml")
    with uas:
        told, code = load(
            tmp_path, f"sip:127.0.0.1:{port}", "--register", "--accounts", "accounts.csv", "--calls", "3",
            "--rate", "10",
        )  # fmt: skip
    assert (code, told["verdict"], told["failures"]) == (1, "failed", {"403": 3})


def test_a_target_that_asks_to_come_back_later(tmp_path: Path) -> None:
    (tmp_path / "busy.xml").write_text(BUSY)
    uas, port = sipp_server(tmp_path, "-sf", "busy.xml")
    with uas:
        told, code = load(tmp_path, f"sip:x@127.0.0.1:{port}", "--rate", "20", "--calls", "40")
    assert (code, told["failures"]) == (1, {"503": 40})
    assert told["retry_after"] == {"responses": 40, "longest_s": 30}
    assert told["worst_calls"][0]["sip_code"] == 503


def test_a_target_that_stops_answering_in_the_middle(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas")
    control = tmp_path / "control"
    ours = peers.start_callwright(
        tmp_path, "load", f"sip:x@127.0.0.1:{port}", "--rate", "20", "--for", "200", "--hold", "1", "--json",
        "--control", str(control),
    )  # fmt: skip
    with ours, uas:
        ours.until(lambda: status(control).get("answered", 0) > 10, "calls")
        uas.process.send_signal(signal.SIGSTOP)  # its port stays open, so no ICMP error tells
        attempted = status(control)["attempted"]
        ours.until(lambda: status(control).get("attempted", 0) > attempted + 20, "more calls")
        steer(control, "stop")  # gently: those under way are waited for
        code = ours.wait(90)
    told = ours.document()
    # On a machine that is too busy the generator says so, and nothing of the target.
    limited = told["generator"]["limited_seconds"]
    assert (code, told["verdict"]) in ([(1, "failed"), (3, "invalid")] if limited else [(1, "failed")])
    assert told["answered"] > 10
    assert set(told["failures"]) <= {"timeout", "bye_timeout"}
    assert sum(told["failures"].values()) > 10
    assert told["attempted"] == told["answered"] + told["failed"] + told["canceled"]
    timed_out = next(call for call in told["ladders"] if call["outcome"] == "timeout")
    assert {message["direction"] for message in timed_out["messages"]} == {"sent"}
    assert {message["summary"].split()[0] for message in timed_out["messages"]} == {"INVITE"}


def test_ctrl_c_ends_every_call_and_counts_it(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas")
    with uas:
        ours = peers.start_callwright(
            tmp_path,
            "load",
            f"sip:x@127.0.0.1:{port}",
            "--rate",
            "200",
            "--hold",
            "60",
            "--for",
            "60",
            "--json",
        )
        with ours:
            uas.until(lambda: "Statistics" in uas.log or calls_at(uas, tmp_path) > 200, "calls under way")
            ours.interrupt()
            assert ours.wait(20) == 130
        told = ours.document()
        uas.until(lambda: sipp_counts(tmp_path, "uas.csv")["successful"] >= told["answered"], "its BYEs", 20)
    assert told["verdict"] == "canceled"
    assert told["attempted"] == told["answered"] + told["canceled"] + told["failed"]
    assert told["failed"] == 0
    assert told["answered"] > 100


def calls_at(peer: peers.PeerProcess, folder: Path) -> int:
    path = folder / "uas.csv"
    return sipp_counts(folder, "uas.csv")["created"] if path.exists() else 0


def test_a_range_of_ports_that_runs_out(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas", "-mp", "17000")
    with uas:
        told, code = load(
            tmp_path, f"sip:x@127.0.0.1:{port}", "--rate", "50", "--calls", "20", "--hold", "1.5",
            "--media", "ports", "--rtp-ports", "28000-28009", "--fail-if", "asr<0%",
        )  # fmt: skip
    assert code in (0, 3)  # 3 where the machine is too busy to send RTP in time
    assert told["failures"]["no_port"] == 15
    assert told["failures"]["no_media"] == 5  # SIPp answers, and sends nothing


def test_the_same_load_over_two_processes_is_one_set_of_numbers(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas", "-m", "301")
    with uas:
        told, code = load(
            tmp_path, f"sip:x@127.0.0.1:{port}", "--rate", "150", "--calls", "301", "--cores", "2"
        )
        uas.wait()
    assert (code, told["answered"], told["generator"]["cores"]) == (0, 301, 2)


def test_media_of_two_of_us_is_judged_on_both_sides(tmp_path: Path) -> None:
    for mode in ("ports", "shared"):
        port = peers.free_port()
        ours = peers.start_callwright(
            tmp_path, "load", "--answer", "--listen", f"127.0.0.1:{port}", "--calls", "30", "--media", mode,
            "--rtp-ports", "24000-25999", "--json", wait_for="answering at",
        )  # fmt: skip
        with ours:
            told, code = load(
                tmp_path, f"sip:x@127.0.0.1:{port}", "--rate", "30", "--calls", "30", "--hold", "2",
                "--media", mode, "--rtp-ports", "26000-27999", "--fail-if", "mos_p5<4.2",
            )  # fmt: skip
            # 3 where the machine is too busy to send RTP in time; every packet is counted all the same.
            assert ours.wait() in (0, 3), ours.log
        assert code in (0, 3), told["reason"]
        theirs = ours.document()
        assert told["media"]["streams"] == theirs["media"]["streams"] == 30
        assert told["media"]["received"] + told["media"]["unmatched"] == theirs["media"]["sent"]
        assert theirs["media"]["received"] + theirs["media"]["unmatched"] == told["media"]["sent"]
        assert told["media"]["lost"] == 0


def test_a_full_disk_costs_the_report_and_not_the_load(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas")
    folder = tmp_path / "report"
    folder.mkdir()
    os.symlink("/dev/full", folder / "seconds.csv")
    os.symlink("/dev/full", folder / "report.html")
    with uas:
        told, code = load(
            tmp_path, f"sip:x@127.0.0.1:{port}", "--rate", "50", "--calls", "80", "--report", str(folder)
        )
    assert (code, told["answered"]) == (0, 80)
    assert set(told["evidence"]) == {"json"}
    assert json.loads((folder / "load.json").read_text())["answered"] == 80


def test_a_load_is_steered_over_its_socket(tmp_path: Path) -> None:
    uas, port = sipp_server(tmp_path, "-sn", "uas")
    control = tmp_path / "control"
    with uas:
        ours = peers.start_callwright(
            tmp_path, "load", f"sip:x@127.0.0.1:{port}", "--rate", "20", "--for", "60", "--json",
            "--control", str(control),
        )  # fmt: skip
        with ours:
            ours.until(lambda: status(control).get("attempted", 0) > 10, "calls")
            assert steer(control, "pause")["paused"] or steer(control, "status")["paused"]
            attempted = steer(control, "status")["attempted"]
            steer(control, "rate 100")
            steer(control, "resume")
            ours.until(lambda: status(control).get("attempted", 0) > attempted + 50, "more calls")
            assert not steer(control, "dance")["ok"]
            steer(control, "stop")
            assert ours.wait(20) == 0
    assert not control.exists()


def status(path: Path) -> dict[str, Any]:
    try:
        return steer(path, "status")
    except OSError:
        return {}


def steer(path: Path, command: str) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        sock.connect(str(path))
        sock.sendall(command.encode() + b"\n")
        answer: dict[str, Any] = json.loads(sock.makefile().readline())
        return answer


def test_capacity_is_searched_to_the_knee(tmp_path: Path) -> None:
    with Bottleneck(limit=60) as target:
        told, code = load(
            tmp_path, f"sip:x@127.0.0.1:{target.port}", "--find-capacity", "asr>=99%", "--rate", "20",
            "--trial", "2", seconds=200,
        )  # fmt: skip
    assert code == 0, told["reason"]
    assert 40 <= told["capacity"]["calls_per_second"] <= 66
    assert len(told["capacity"]["trials"]) > 4


class Bottleneck:
    """A target that answers so many calls in a second, and the others with 503."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(0.1)
        self.port = self.sock.getsockname()[1]
        self._open = True
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        window, taken = 0.0, 0
        while self._open:
            try:
                data, source = self.sock.recvfrom(65536)
            except TimeoutError:
                continue
            method = data.split(b" ", 1)[0]
            if method == b"ACK":
                continue
            status = b"200 OK"
            if method == b"INVITE":
                if time.monotonic() - window >= 1:
                    window, taken = time.monotonic(), 0
                taken += 1
                if taken > self.limit:
                    status = b"503 Service Unavailable"
            kept = [
                line
                for line in data.split(b"\r\n")
                if line.split(b":")[0] in (b"Via", b"From", b"Call-ID", b"CSeq")
            ]
            to = next(line for line in data.split(b"\r\n") if line.startswith(b"To:"))
            to += b"" if b"tag=" in to else b";tag=t"
            contact = b"Contact: <sip:t@127.0.0.1:%d>" % self.port
            lines = [b"SIP/2.0 " + status, *kept, to, contact, b"Content-Length: 0", b"", b""]
            self.sock.sendto(b"\r\n".join(lines), source)

    def __enter__(self) -> Bottleneck:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._thread.join(2)
        self.sock.close()


def test_load_goes_nowhere_without_leave(tmp_path: Path) -> None:
    done = peers.run_callwright(tmp_path, "load", "sip:x@10.1.2.3", "--json")
    assert done.process.returncode == 2
    assert "--allow 10.1.2.3" in done.document()["remedy"]
