"""Calls whose audio stops, moves, or does not arrive: what people see at the command line."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.acceptance.scripted import ScriptedPeer, answers, header, sdp
from tests.interop.peers import LOOPBACK, PeerProcess, run_callwright, start_callwright

SSRC = 0x11223344
Plan = Callable[["Voice", int], "socket.socket | None"]
"""By which socket the packet of that number leaves; None: it does not."""


def rtp(number: int, *, ssrc: int = SSRC, marker: bool = False) -> bytes:
    tone = bytes((0x10, 0x90)) * 80
    return struct.pack("!BBHII", 0x80, 0x80 * marker, number & 0xFFFF, 160 * number, ssrc) + tone


class Voice:
    """The far end's audio: a packet each 20 ms from its own socket, but as `plan` says."""

    def __init__(self, sock: socket.socket, plan: Plan) -> None:
        self.sock = sock
        self.ended = threading.Event()
        self.to: tuple[str, int] | None = None
        self._plan = plan
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self, invite: str) -> None:
        if self.to is None:
            port = next(line for line in invite.splitlines() if line.startswith("m=audio ")).split()[1]
            self.to = (LOOPBACK, int(port))
            self._thread.start()

    def _run(self) -> None:
        began = time.monotonic()
        for number in range(2000):
            sock = self._plan(self, number)
            if sock is not None and self.to is not None:
                sock.sendto(rtp(number), self.to)
            if self.ended.wait(max(0.0, began + 0.02 * (number + 1) - time.monotonic())):
                return


class Speaker:
    """A far end that answers every call, and talks as `plan` says; `with Speaker(plan) as peer`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._plain = answers()
        self._voice: Voice | None = None
        self._peer = ScriptedPeer(self._answer)

    def __enter__(self) -> ScriptedPeer:
        return self._peer.__enter__()

    def __exit__(self, *_: object) -> None:
        if self._voice is not None:
            self._voice.ended.set()
        self._peer.__exit__()

    def _answer(self, peer: ScriptedPeer, message: str, source: tuple[str, int]) -> Sequence[bytes]:
        if message.startswith("INVITE"):
            self._voice = self._voice or Voice(peer.media, self._plan)
            self._voice.begin(message)
        if message.startswith("BYE") and self._voice is not None:
            self._voice.ended.set()
        return self._plain(peer, message, source)


def stops(voice: Voice, number: int) -> socket.socket | None:
    """After half a second."""
    return voice.sock if number < 25 else None


@pytest.fixture
def second() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOOPBACK, 0))
    return sock


def called(folder: Path, plan: Plan, *arguments: str) -> PeerProcess:
    with Speaker(plan) as peer:
        return run_callwright(folder, "call", peer.uri, "--json", *arguments)


def test_audio_that_stops_fails_the_call_and_is_told(tmp_path: Path) -> None:
    ended = called(tmp_path, stops, "--for", "3")
    assert ended.process.returncode == 1, ended.log
    document = ended.document()
    received = document["received"]
    assert document["verdict"] == "failed"
    assert "silent from 0:01 to the end" in document["reason"]
    assert received["heard_pct"] < 40
    assert received["mos"] < 2.6
    (gap,) = received["gaps"]
    assert (gap["why"], gap["to_s"] > 2.9) == ("stopped", True)


def repeats(voice: Voice, number: int) -> None:
    """Its packet after half a second, over and over."""
    assert voice.to is not None
    voice.sock.sendto(rtp(min(number, 25)), voice.to)


def murmurs(voice: Voice, number: int) -> None:
    """Comfort noise, and nothing else."""
    assert voice.to is not None
    noise = struct.pack("!BBHII", 0x80, 13, number, 160 * number, SSRC) + b"\x40"
    voice.sock.sendto(noise, voice.to)


def test_a_sender_that_repeats_one_packet_fails_the_call(tmp_path: Path) -> None:
    ended = called(tmp_path, repeats, "--for", "3")
    assert ended.process.returncode == 1, ended.log
    received = ended.document()["received"]
    assert received["heard_pct"] < 40
    assert [gap["why"] for gap in received["gaps"]] == ["stopped"]


def test_comfort_noise_alone_fails_the_call_as_silence(tmp_path: Path) -> None:
    ended = called(tmp_path, murmurs, "--for", "2")
    assert ended.process.returncode == 1, ended.log
    document = ended.document()
    assert "heard silence: comfort noise came, and no audio" in document["reason"]
    received = document["received"]
    assert (received["mos"], received["silence_pct"], received["audio_packets"]) == (None, 100.0, 0)


def test_the_same_call_passes_when_it_does_not_have_to_be_heard(tmp_path: Path) -> None:
    ended = called(tmp_path, stops, "--for", "2", "--min-heard", "0", "--min-mos", "1")
    assert ended.process.returncode == 0, ended.log


def test_conditions_of_a_test_see_that_audio_stopped(tmp_path: Path) -> None:
    with Speaker(stops) as peer:
        document = tmp_path / "dead.yaml"
        document.write_text(
            "name: dead\nparties: [alice]\nsteps:\n"
            f"  - - call: {{from: alice, to: '{peer.uri}', max_duration: 3 s}}\n"
            "conditions:\n"
            "  - caller.mos >= 4.0\n  - caller.silence <= 20 %\n  - caller.heard >= 80 %\n"
            "  - caller.loss <= 1 %\n  - caller.longest_gap < 1 s\n"
        )
        arguments = ("--set", f"target={LOOPBACK}", "--allow", LOOPBACK, "--json")
        ended = run_callwright(tmp_path, "run", str(document), *arguments)
    assert ended.process.returncode == 1, ended.log
    assert not any(condition["passed"] for condition in ended.document()["conditions"])


def test_a_source_port_that_changes_in_mid_call_is_followed(tmp_path: Path, second: socket.socket) -> None:
    document = called(tmp_path, lambda v, n: v.sock if n < 50 else second, "--for", "3").document()
    assert document["received"]["packets"] > 100
    assert document["received"]["heard_pct"] > 80
    assert any("RTP moved from" in remark for remark in document["remarks"])


def test_reports_of_a_far_end_that_hears_nothing_fail_the_call(tmp_path: Path) -> None:
    """Its receiver reports say: fraction lost 0, lost 1, highest sequence number 0."""

    def plan(voice: Voice, number: int) -> socket.socket:
        if number in (50, 100, 130):
            voice.sock.settimeout(0.0)
            ours = next(data for data in iter(lambda: voice.sock.recv(2048), b"") if data[1] in (0, 128))
            report = struct.pack("!BBHII", 0x81, 201, 7, SSRC, int.from_bytes(ours[8:12], "big"))
            assert voice.to is not None
            control.sendto(report + struct.pack("!IIIII", 1, 0, 0, 0, 0), (LOOPBACK, voice.to[1] + 1))
        return voice.sock

    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ended = called(tmp_path, plan, "--for", "3")
    control.close()
    document = ended.document()
    assert ended.process.returncode == 1, ended.log
    assert document["sent"]["loss_pct"] == 100.0
    assert document["sent"]["mos"] < 2
    assert document["received"]["mos"] > 4


def test_stragglers_of_the_old_port_do_not_latch_after_a_re_invite(
    tmp_path: Path, second: socket.socket
) -> None:
    """The far end moves its audio by re-INVITE; three packets of the old port come after our answer."""
    moved = threading.Event()
    plain = answers()
    voice = Voice(second, lambda v, n: v.sock)

    def answer(peer: ScriptedPeer, message: str, source: tuple[str, int]) -> Sequence[bytes]:
        if message.startswith("SIP/2.0 200") and "1 INVITE" in header(message, "CSeq"):
            assert old.to is not None
            if not moved.is_set():
                moved.set()
                old.ended.set()
                for number in range(3):
                    peer.media.sendto(rtp(2000 + number), old.to)
                voice.begin(invite[0])
                return [request("ACK", 1, peer, "")]
        if message.startswith("INVITE"):
            invite.append(message)
            old.sock = peer.media
            old.begin(message)
        if message.startswith("ACK") and not moved.is_set():
            body = sdp(second.getsockname()[1]).decode()
            threading.Timer(0.5, lambda: peer.socket.sendto(request("INVITE", 1, peer, body), source)).start()
        if message.startswith("BYE"):
            voice.ended.set()
        return plain(peer, message, source)

    def request(method: str, number: int, peer: ScriptedPeer, body: str) -> bytes:
        text = invite[0]
        contact = header(text, "Contact").strip("<>")
        lines = [
            f"{method} {contact} SIP/2.0",
            f"Via: SIP/2.0/UDP {LOOPBACK}:{peer.port};branch=z9hG4bKmoved{method}",
            f"From: {header(text, 'To')};tag=peer",
            f"To: {header(text, 'From')}",
            f"Call-ID: {header(text, 'Call-ID')}",
            f"CSeq: {number} {method}",
            "Max-Forwards: 70",
            f"Contact: <sip:sut@{LOOPBACK}:{peer.port}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        return "\r\n".join(lines).encode()

    invite: list[str] = []
    old = Voice(second, lambda v, n: v.sock)
    with ScriptedPeer(answer) as peer:
        ended = run_callwright(tmp_path, "call", peer.uri, "--for", "3", "--json")
        old.ended.set()
        voice.ended.set()
    second.settimeout(0.0)
    heard = 0
    while True:
        try:
            heard += len(second.recv(2048)) > 0
        except BlockingIOError:
            break
    assert moved.is_set()
    assert heard > 60, "of about 120 packets"
    assert ended.document()["received"]["packets"] > 100, ended.log


def test_callwright_answer_judges_audio_that_stops_too(tmp_path: Path) -> None:
    caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    caller.bind((LOOPBACK, 0))
    caller.settimeout(10)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    arguments = ("answer", "--listen", f"{LOOPBACK}:{port}", "--calls", "1", "--json")
    process = start_callwright(tmp_path, *arguments, wait_for="listening")
    voice = Voice(caller, stops)
    body = sdp(caller.getsockname()[1]).decode()

    def request(method: str, number: int, to: str, body: str = "") -> bytes:
        return (
            f"{method} sip:x@{LOOPBACK}:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {LOOPBACK}:{caller.getsockname()[1]};branch=z9hG4bK{method}\r\n"
            f"From: <sip:a@{LOOPBACK}>;tag=a\r\nTo: {to}\r\nCall-ID: stops\r\nCSeq: {number} {method}\r\n"
            f"Max-Forwards: 70\r\nContact: <sip:a@{LOOPBACK}:{caller.getsockname()[1]}>\r\n"
            + ("Content-Type: application/sdp\r\n" if body else "")
            + f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    caller.sendto(request("INVITE", 1, f"<sip:x@{LOOPBACK}>", body), (LOOPBACK, port))
    answer = ""
    while not answer.startswith("SIP/2.0 200"):
        answer = caller.recv(65_536).decode("utf-8", "replace")
    to = header(answer, "To")
    caller.sendto(request("ACK", 1, to), (LOOPBACK, port))
    voice.begin(answer)
    time.sleep(2.5)  # as long as the call lasts
    caller.sendto(request("BYE", 2, to), (LOOPBACK, port))
    process.wait(20)
    voice.ended.set()
    caller.close()
    (call,) = process.document()["calls"]
    assert call["verdict"] == "failed", process.log
    assert call["received"]["gaps"][0]["why"] == "stopped"
