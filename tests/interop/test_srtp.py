"""Encrypted calls with baresip, in both directions, and libsrtp as the judge of what was on the wire."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pylibsrtp
import pytest

from callwright.srtp.key_file import read_keys
from tests.interop.peers import LOOPBACK, baresip, free_port, run_callwright, start_callwright

pytestmark = pytest.mark.peer

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AEAD_AES_256_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}


ANY_QUALITY = ("--min-mos", "1", "--min-heard", "0")
"""Whether the audio is opened is asked here; a busy machine may be late with it."""


def datagrams(capture: Path) -> Iterator[tuple[int, int, bytes]]:
    """(source port, destination port, payload) of what a capture of raw IPv4 has of UDP."""
    data = capture.read_bytes()
    at = 24
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at + 8)
        packet = data[at + 16 : at + 16 + size]
        at += 16 + size
        if packet[0] == 0x45 and packet[9] == 17:
            source, target = struct.unpack_from("!HH", packet, 20)
            yield source, target, packet[28:]


def opened(folder: Path, keys: Path) -> list[list[bytes]]:
    """The RTP that libsrtp finds in a capture: what was sent, and what was received."""
    found: list[list[bytes]] = []
    for line in read_keys(keys.read_text()):
        policy = pylibsrtp.Policy(line.key, pylibsrtp.Policy.SSRC_ANY_INBOUND, 0, PROFILES[line.suite])
        session = pylibsrtp.Session(policy)
        ports = (line.source[1], line.target[1])
        found.append(
            [
                session.unprotect(payload)  # raises for what the key does not open
                for source, target, payload in datagrams(folder / "signalling.pcap")
                if (source, target) == ports
            ]
        )
    return found


def judged(call: dict[str, Any], suite: str) -> None:
    assert (call["verdict"], call["sip_code"]) == ("passed", 200), call["reason"]
    assert call["srtp"]["suite"] == suite
    assert call["srtp"]["auth_failures"] == 0
    assert call["received"]["packets"] > 20


@pytest.mark.parametrize(("suite", "encryption"), list(zip(PROFILES, ("srtp", "srtp-mand"), strict=True)))
def test_baresip_answers_encrypted_and_libsrtp_opens_the_capture(
    tmp_path: Path, suite: str, encryption: str
) -> None:
    account = f"<sip:peer@{LOOPBACK}>;regint=0;answermode=auto;mediaenc={encryption}"
    with baresip(tmp_path, account, extra="module srtp.so") as peer:
        report, keys = tmp_path / "report", tmp_path / "keys.txt"
        run = run_callwright(
            tmp_path,
            "call",
            f"sip:peer@{LOOPBACK}:{peer.port}",
            *("--srtp", "required", "--srtp-suite", suite, "--for", "1.5", "--json"),
            *("--report", str(report), "--keys", str(keys), *ANY_QUALITY),
        )
        call = run.document()
    judged(call, suite)
    assert call["received"]["level_dbfs"] > -60, "the echo is speech"
    assert keys.stat().st_mode & 0o077 == 0
    sent, received = opened(report, keys)
    assert len(sent) == call["sent"]["packets"]
    assert len(received) >= call["received"]["packets"]
    assert len({packet[12:] for packet in sent}) > 20, "speech, once it is open"
    secrets = [line.split("inline:")[1] for line in keys.read_text().splitlines() if "inline:" in line]
    for file in report.iterdir():
        assert not any(secret.encode() in file.read_bytes() for secret in secrets), file.name


async def test_baresip_calls_encrypted(tmp_path: Path) -> None:
    port = free_port()
    account = f"<sip:peer@{LOOPBACK}>;regint=0;mediaenc=srtp-mand"
    answering = start_callwright(
        tmp_path,
        "answer",
        *("--listen", f"{LOOPBACK}:{port}", "--srtp", "required", "--calls", "1", "--for", "1.5", "--json"),
        *ANY_QUALITY,
        wait_for="listening on",
    )
    with answering, await asyncio.to_thread(baresip, tmp_path, account, extra="module srtp.so") as peer:
        await asyncio.to_thread(peer.command, "dial", f"sip:x@{LOOPBACK}:{port}")
        assert await asyncio.to_thread(answering.wait) == 0, answering.log + peer.log
        (call,) = json.loads(answering.output)["calls"]
    judged(call, call["srtp"]["suite"])
