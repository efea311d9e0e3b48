"""What goes wrong in the field: each is told in a clear sentence, with the right exit code, in good time, and
with one JSON document that has every key."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.scripted import ScriptedPeer, answers, header, response, sdp
from tests.interop.peers import LOOPBACK, free_port, run_callwright

STREAM = {
    *("codec", "packets", "lost", "late", "discarded", "duplicated", "reordered", "jitter_ms"),
    "max_jitter_ms",
    *("loss_pct", "burst_ratio", "mos", "r_factor", "mos_scale", "ie", "bpl", "ta_ms", "provisional"),
}
CALL = {
    *("verdict", "blame", "reason", "sip_code", "pdd_ms", "setup_ms", "duration_ms", "ended_by", "sent"),
    "received",
}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """`document`, if it has every key of a call."""
    assert document.keys() >= CALL
    assert document["sent"].keys() >= STREAM
    assert {*STREAM, "silence_pct", "clipping_pct", "level_dbfs", "dtmf"} <= document["received"].keys()
    assert document["verdict"] in ("passed", "failed", "invalid", "error", "canceled")
    assert document["blame"] in ("target", "network", "platform", "test", None)
    assert (document["blame"] is None) == (document["verdict"] == "passed")
    assert document["reason"]
    return document


def call(folder: Path, *arguments: str, code: int, within: float = 20.0) -> dict[str, Any]:
    """`callwright call … --json`; its one complete document, after that exit code and in that time."""
    started = time.monotonic()
    ended = run_callwright(folder, "call", *arguments, "--json", seconds=within + 20)
    assert ended.process.returncode == code, ended.log
    assert time.monotonic() - started < within, ended.log
    assert "Traceback" not in ended.log
    return complete(ended.document())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_closed_port_is_told_within_a_second(tmp_path: Path, transport: str) -> None:
    port = free_port()
    document = call(tmp_path, f"sip:x@{LOOPBACK}:{port}", "--transport", transport, code=1, within=6)
    assert document["failure"] == "unreachable"
    assert f"{LOOPBACK}:{port}" in document["reason"]
    ended = next(state["at"] for state in document["states"] if state["state"] == "failed")
    assert ended < 1.0  # from the INVITE; the process itself may be slow to start on a busy machine


def test_a_host_that_does_not_resolve_is_named(tmp_path: Path) -> None:
    document = call(tmp_path, "sip:x@no-such-host.invalid", code=1)
    assert document["failure"] == "unresolved"
    assert "no-such-host.invalid" in document["reason"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff" * 200,
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: " + b"x" * 64_000,
        b"a" * 65_000,
    ],
    ids=["octets", "http", "no headers", "long header", "64 KiB"],
)
def test_garbage_is_passed_over_and_the_real_answer_counts(tmp_path: Path, garbage: bytes) -> None:
    proper = answers("486 Busy Here")

    def answer(peer: ScriptedPeer, message: str, source: tuple[str, int]) -> Sequence[bytes]:
        return [garbage, *proper(peer, message, source)] if message.startswith("INVITE") else []

    with ScriptedPeer(answer) as peer:
        document = call(tmp_path, peer.uri, code=1)
    assert document["sip_code"] == 486


def test_nothing_but_garbage_until_we_give_up(tmp_path: Path) -> None:
    with ScriptedPeer(lambda *_: [b"\x00garbage\r\n" * 50]) as peer:
        document = call(tmp_path, peer.uri, "--ring", "1", code=1, within=15)
    assert document["verdict"] == "failed"
    assert document["sip_code"] is None


@pytest.mark.parametrize(
    "body",
    [
        sdp("70000"),
        sdp("-1"),
        sdp("9999999999999999999"),
        sdp(4000, "4294967296"),
        sdp(4000, "0 " * 5000),
        b"v=0\r\n",
        b"\xff\xfe\x00" * 100,
        sdp(4000, "0").replace(b"127.0.0.1", b"999.1.1.1"),
        sdp(4000, "0", "a=ptime:99999999999\r\na=rtpmap:0 PCMU/0\r\n"),
        sdp(4000, "18"),
        sdp(0, "0"),
    ],
    ids=[
        *("port 70000", "port -1", "port of 19 digits", "payload type 4294967296", "5000 payload types"),
        *("almost empty", "binary", "bad address", "bad ptime and rtpmap", "a codec not offered", "port 0"),
    ],
)
def test_an_answer_with_impossible_sdp_is_hung_up_on(tmp_path: Path, body: bytes) -> None:
    with ScriptedPeer(answers("200 OK", body)) as peer:
        document = call(tmp_path, peer.uri, "--for", "0.5", code=1, within=10)
        peer.wait_for("BYE")
    assert peer.methods().count("ACK") >= 1
    assert document["sip_code"] == 200
    assert document["blame"] in ("target", "network")


def test_rtp_of_one_byte_and_other_noise_does_no_harm(tmp_path: Path) -> None:
    proper = answers()

    def answer(peer: ScriptedPeer, message: str, source: tuple[str, int]) -> Sequence[bytes]:
        if message.startswith("ACK"):
            invite = peer.received[0]
            port = int(next(line for line in invite.splitlines() if line.startswith("m=audio")).split()[1])
            for noise in (
                b"\x80",
                b"",
                b"\x80" * 11,
                b"\xff" * 1400,
                b"\x9f\x00" + b"\xff" * 20,
                b"\x80\xc8",
            ):
                peer.media.sendto(noise, (LOOPBACK, port))
                peer.media.sendto(noise, (LOOPBACK, port + 1))
            return []
        return proper(peer, message, source)

    with ScriptedPeer(answer) as peer:
        document = call(tmp_path, peer.uri, "--for", "0.6", code=1)
    assert document["received"]["mos"] is None
    assert "heard nothing" in document["reason"]


def test_answered_without_a_packet_is_failed_and_says_so(tmp_path: Path) -> None:
    with ScriptedPeer(answers()) as peer:
        document = call(tmp_path, peer.uri, "--for", "0.6", code=1)
    assert document["verdict"] == "failed"
    assert document["blame"] == "target"
    assert "no RTP packet came" in document["reason"]
    assert document["received"]["packets"] in (0, None)


def test_an_invite_lost_once_is_repeated_and_counted(tmp_path: Path) -> None:
    proper = answers()

    def answer(peer: ScriptedPeer, message: str, source: tuple[str, int]) -> Sequence[bytes]:
        return [] if len(peer.received) == 1 else proper(peer, message, source)

    with ScriptedPeer(answer) as peer:
        document = call(tmp_path, peer.uri, "--for", "0.1", "--no-media", code=0)
    assert document["retransmissions"] == 1
    assert 450 < document["setup_ms"] < 900
    assert peer.methods() == ["INVITE", "INVITE", "ACK", "BYE"]


def test_our_header_is_in_the_invite(tmp_path: Path) -> None:
    with ScriptedPeer(answers("486 Busy Here")) as peer:
        call(tmp_path, peer.uri, "--header", "X-Trace: 4 2", "--from", "Al <sip:al@a.example>", code=1)
        invite = peer.wait_for("INVITE")
    assert header(invite, "X-Trace") == "4 2"
    assert "<sip:al@a.example>" in header(invite, "From")


def test_the_advertised_address_is_where_a_peer_would_send(tmp_path: Path) -> None:
    with ScriptedPeer(answers("486 Busy Here")) as peer:
        call(tmp_path, peer.uri, "--bind", LOOPBACK, "--advertise", "192.0.2.77", code=1)
        invite = peer.wait_for("INVITE")
    assert "c=IN IP4 192.0.2.77" in invite
    assert "192.0.2.77" in header(invite, "Contact")
    assert "192.0.2.77" in header(invite, "Via")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("",), "URI"),
        (("sip:",), "SIP"),
        (("sip:x@127.0.0.1:99999",), "port"),
        (("sip:x@127.0.0.1", "--codec", "G999"), "G999"),
        (("sip:x@127.0.0.1", "--rtp-ports", "9-5"), "--rtp-ports"),
        (("sip:x@127.0.0.1", "--header", "no colon"), "--header"),
        (("sip:x@127.0.0.1", "--dtmf", "12x"), "--dtmf"),
        (("sip:x@127.0.0.1", "--play", "/nowhere/at/all.wav"), "/nowhere/at/all.wav"),
        (("sip:x@127.0.0.1", "--password", "secret"), "--user"),
        (("sip:x@127.0.0.1", "--transport", "pigeon"), "pigeon"),
        (("sip:x@127.0.0.1", "--no-such-flag"), "--no-such-flag"),
        (("sip:x@127.0.0.1", "--min-mos", "9"), "--min-mos"),
        (("sip:x@127.0.0.1", "--ptime", "5"), "--ptime"),
        ((), "URI"),
    ],
)
def test_wrong_usage_is_exit_2_with_a_whole_document(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    document = call(tmp_path, *arguments, code=2, within=10)
    assert document["verdict"] == "error"
    assert document["blame"] == "test"
    assert words in document["reason"]


def test_a_wav_that_is_a_pdf_is_refused_before_anybody_is_called(tmp_path: Path) -> None:
    file = tmp_path / "prompt.wav"
    file.write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"0" * 4000)
    with ScriptedPeer(answers()) as peer:
        document = call(tmp_path, peer.uri, "--play", str(file), code=2)
        assert peer.received == []
    assert "PDF" in document["reason"]
    assert "prompt.wav" in document["reason"]


def test_a_listening_port_in_use_is_the_platforms_fault(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, 0))
        port = taken.getsockname()[1]
        ended = run_callwright(tmp_path, "answer", "--listen", f"{LOOPBACK}:{port}", "--json")
    assert ended.process.returncode == 3, ended.log
    document = ended.document()
    assert document["verdict"] == "error"
    assert document["blame"] == "platform"
    assert str(port) in document["reason"]
    assert "in use" in document["reason"]


def test_rtp_ports_that_are_all_taken_are_told(tmp_path: Path) -> None:
    low = free_port(pair=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, ScriptedPeer(answers()) as peer:
        taken.bind(("0.0.0.0", low))
        document = call(tmp_path, peer.uri, "--rtp-ports", f"{low}-{low + 1}", code=3)
        assert peer.received == []
    assert document["blame"] == "platform"
    assert f"{low}-{low + 1}" in document["reason"]


def test_a_folder_that_cannot_be_written_loses_no_result(tmp_path: Path) -> None:
    """A file stands where the folder should be: told before anybody is called."""
    obstacle = tmp_path / "file"
    obstacle.write_text("")
    with ScriptedPeer(answers("486 Busy Here")) as peer:
        document = call(tmp_path, peer.uri, "--report", str(obstacle / "report"), code=3)
        assert peer.received == []
    assert document["verdict"] == "error"
    assert document["blame"] == "platform"
    assert str(obstacle) in document["reason"]


def test_every_verb_prints_one_document_when_it_is_misused(tmp_path: Path) -> None:
    for arguments in (
        ("answer", "--listen", "127.0.0.1:x"),
        ("register", "sip:127.0.0.1"),
        ("options", "sip:"),
        ("options",),
        ("no-such-verb",),
    ):
        ended = run_callwright(tmp_path, *arguments, "--json")
        assert ended.process.returncode == 2, ended.log
        document = json.loads(ended.output)
        assert document["verdict"] == "error"
        assert document["blame"] == "test"
        assert document["reason"]
        assert ended.output.count("\n") == 1


def test_options_and_register_tell_a_closed_port(tmp_path: Path) -> None:
    port = free_port()
    for arguments in (
        ("options", f"sip:{LOOPBACK}:{port}"),
        ("register", f"sip:1001@{LOOPBACK}:{port}", "--password", "x"),
    ):
        started = time.monotonic()
        ended = run_callwright(tmp_path, *arguments, "--json")
        assert ended.process.returncode == 1, ended.log
        assert time.monotonic() - started < 6
        document = ended.document()
        assert document["failure"] == "unreachable"
        assert str(port) in document["reason"]


def test_any_answer_to_options_is_alive(tmp_path: Path) -> None:
    def answer(peer: ScriptedPeer, message: str, source: tuple[str, int]) -> Sequence[bytes]:
        return [response(message, "404 Not Found", extra=["Server: Scripted/1"])]

    with ScriptedPeer(answer) as peer:
        ended = run_callwright(tmp_path, "options", peer.uri, "--json")
    assert ended.process.returncode == 0, ended.log
    document = ended.document()
    assert (document["verdict"], document["sip_code"]) == ("passed", 404)
    assert document["user_agent"] == "Scripted/1"
