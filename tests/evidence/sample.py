"""A run as it could have been: Alice calls Bob through a PBX that moves her audio to an address she cannot
reach.
"""

from __future__ import annotations

import math
import struct
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from callwright.net.tap import Packet
from callwright.outcome.call import (
    AudioFile,
    CallOutcome,
    JitterBufferOutcome,
    LostMos,
    Measurement,
    ReceivedOutcome,
    Second,
    SecondOfStream,
    StateReached,
    StreamOutcome,
)
from callwright.outcome.request import RegistrationOutcome
from callwright.outcome.run import ConditionOutcome, PhaseOutcome, RunOutcome
from callwright.outcome.terms import Blame, CallState, Direction, EndedBy, Verdict

STARTED = 1_795_232_892.0
ALICE, BOB, PBX = "198.51.100.24", "203.0.113.45", "192.0.2.10"
ALICE_CALL, BOB_CALL = "6b2f0e44@198.51.100.24", "19ce77d0@192.0.2.10"
EVIL = "<script>alert(1)</script>\u202e"


def sdp(host: str, port: int, payload_types: str, version: int = 1, direction: str = "sendrecv") -> str:
    names = {"8": "PCMA", "0": "PCMU", "9": "G722", "101": "telephone-event"}
    maps = "".join(f"a=rtpmap:{n} {names[n]}/8000\r\n" for n in payload_types.split())
    return (
        f"v=0\r\no=- 1733 {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {payload_types}\r\n{maps}a=ptime:20\r\na={direction}\r\n"
    )


@dataclass
class Wire:
    """Packets of the two phones; the PBX is a stranger, so it is seen through them only."""

    packets: list[Packet] = field(default_factory=list)

    def sip(
        self,
        at: float,
        phone: Literal["alice", "bob"],
        direction: Literal["in", "out"],
        first: str,
        cseq: str,
        *,
        branch: str = "1",
        call_id: str | None = None,
        to_tag: bool = False,
        body: str = "",
        more: Sequence[str] = (),
    ) -> None:
        alice = phone == "alice"
        local = (ALICE, 49152) if alice else (BOB, 5060)
        transport = "TCP" if alice else "UDP"
        contact_host = (ALICE if alice else BOB) if direction == "out" else PBX
        request = not first.startswith("SIP/2.0")
        sender = contact_host if request else (PBX if direction == "out" else (ALICE if alice else BOB))
        product = "ExamplePBX 4.3.0" if direction == "in" else "Callwright 0.1.0"
        to = "sip:4102@pbx.example.com" if alice else "sip:4102@203.0.113.45"
        lines = [
            first,
            f"Via: SIP/2.0/{transport} {sender}:5060;branch=z9hG4bK-{branch}",
            'From: "Alice" <sip:4101@pbx.example.com>;tag=c1a9',
            f"To: <{to}>" + (";tag=as5d2e81" if to_tag else ""),
            f"Call-ID: {call_id or (ALICE_CALL if alice else BOB_CALL)}",
            f"CSeq: {cseq}",
            f"Contact: <sip:4101@{contact_host}:5060;transport={transport.lower()}>",
            *(["Max-Forwards: 70"] if request else []),
            f"{'User-Agent' if request else 'Server'}: {product}",
            *more,
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        data = ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
        remote = (PBX, 5060)
        self.packets.append(Packet(STARTED + at, 100 + at, direction, "sip", transport, local, remote, data))

    def rtp(
        self,
        start: float,
        seconds: float,
        direction: Literal["in", "out"],
        local: tuple[str, int],
        remote: tuple[str, int],
        ssrc: int,
        lose: Sequence[int] = (),
    ) -> None:
        for n in range(int(seconds * 50)):
            if n not in lose:
                at = start + n * 0.02
                header = struct.pack("!BBHII", 0x80, 8, n + 1000, n * 160, ssrc)
                packet = Packet(
                    STARTED + at, 100 + at, direction, "rtp", "UDP", local, remote, header + b"\xd5" * 160
                )
                self.packets.append(packet)


def packets() -> list[Packet]:
    wire = Wire()
    challenge = (
        'WWW-Authenticate: Digest realm="pbx.example.com", nonce="8f2c", algorithm=SHA-256, qop="auth"'
    )
    answer = (
        'Authorization: Digest username="4102", realm="pbx.example.com", nonce="8f2c", '
        'uri="sip:pbx.example.com", response="6629fae49393a05397450978507c4ef1", '
        'algorithm=SHA-256, qop=auth, nc=00000001, cnonce="0a4f"'
    )
    register = "REGISTER sip:pbx.example.com SIP/2.0"
    wire.sip(
        0.002, "bob", "out", register, "1 REGISTER", branch="r1", call_id="reg-bob", more=["Expires: 300"]
    )
    wire.sip(
        0.020,
        "bob",
        "in",
        "SIP/2.0 401 Unauthorized",
        "1 REGISTER",
        branch="r1",
        call_id="reg-bob",
        more=[challenge],
    )
    wire.sip(
        0.021,
        "bob",
        "out",
        register,
        "2 REGISTER",
        branch="r2",
        call_id="reg-bob",
        more=["Expires: 300", answer],
    )
    wire.sip(
        0.039,
        "bob",
        "in",
        "SIP/2.0 200 OK",
        "2 REGISTER",
        branch="r2",
        call_id="reg-bob",
        more=["Expires: 300"],
    )

    invite = "INVITE sip:4102@pbx.example.com SIP/2.0"
    wire.sip(0.043, "alice", "out", invite, "1 INVITE", branch="f519", body=sdp(ALICE, 40002, "8 0 9 101"))
    wire.sip(0.061, "alice", "in", "SIP/2.0 100 Trying", "1 INVITE", branch="f519")
    to_bob = "INVITE sip:4102@203.0.113.45:5060 SIP/2.0"
    evil = [f"X-Note: {EVIL}\x00 & \"quotes\" 'too'"]
    for at in (0.064, 0.564):
        wire.sip(
            at, "bob", "in", to_bob, "101 INVITE", branch="ac46", body=sdp(PBX, 16402, "8 0 101"), more=evil
        )
    wire.sip(0.583, "bob", "out", "SIP/2.0 100 Trying", "101 INVITE", branch="ac46")
    wire.sip(0.590, "bob", "out", "SIP/2.0 180 Ringing", "101 INVITE", branch="ac46", to_tag=True)
    wire.sip(0.608, "alice", "in", "SIP/2.0 180 Ringing", "1 INVITE", branch="f519", to_tag=True)
    ok = "SIP/2.0 200 OK"
    wire.sip(2.594, "bob", "out", ok, "101 INVITE", branch="ac46", to_tag=True, body=sdp(BOB, 41210, "8 101"))
    wire.sip(2.596, "bob", "in", "ACK sip:4102@203.0.113.45 SIP/2.0", "101 ACK", branch="9c7b", to_tag=True)
    wire.sip(2.612, "alice", "in", ok, "1 INVITE", branch="f519", to_tag=True, body=sdp(PBX, 16400, "8 101"))
    wire.sip(2.614, "alice", "out", "ACK sip:4102@192.0.2.10 SIP/2.0", "1 ACK", branch="4071", to_tag=True)
    wire.sip(
        6.640,
        "alice",
        "in",
        "INVITE sip:4101@198.51.100.24:5060;transport=tcp SIP/2.0",
        "102 INVITE",
        branch="e814",
        to_tag=True,
        body=sdp("10.0.0.12", 16400, "8 101", 2),
    )
    wire.sip(
        6.642,
        "alice",
        "out",
        ok,
        "102 INVITE",
        branch="e814",
        to_tag=True,
        body=sdp(ALICE, 40002, "8 101", 2),
    )
    wire.sip(
        6.661, "alice", "in", "ACK sip:4101@198.51.100.24 SIP/2.0", "102 ACK", branch="ebdc", to_tag=True
    )
    wire.sip(18.902, "alice", "out", "BYE sip:4102@192.0.2.10 SIP/2.0", "2 BYE", branch="575c", to_tag=True)
    wire.sip(18.920, "alice", "in", ok, "2 BYE", branch="575c", to_tag=True)
    wire.sip(18.921, "bob", "in", "BYE sip:4102@203.0.113.45 SIP/2.0", "102 BYE", branch="a37e", to_tag=True)
    wire.sip(18.940, "bob", "out", ok, "102 BYE", branch="a37e", to_tag=True)

    wire.rtp(2.630, 4.02, "out", (ALICE, 40002), (PBX, 16400), 1)
    wire.rtp(6.662, 12.24, "out", (ALICE, 40002), ("10.0.0.12", 16400), 1)
    wire.rtp(2.660, 16.24, "in", (ALICE, 40002), (PBX, 16400), 4, lose=(510, 511))
    wire.rtp(2.650, 3.99, "in", (BOB, 41210), (PBX, 16402), 3)
    wire.rtp(2.620, 16.26, "out", (BOB, 41210), (PBX, 16402), 2)
    return sorted(wire.packets, key=lambda packet: packet.now)


def _seconds(heard_until: float) -> tuple[Second, ...]:
    found = []
    for n in range(3, 19):
        if n < heard_until:
            bump = 16 * math.exp(-((n - 13) ** 2) / 4)
            lost = 2 if n == 13 else 0
            mos = 4.38 - bump / 50
            heard = SecondOfStream(50 - lost, lost, 1 if n == 12 else 0, 2.2 + bump, mos, -22.0)
        else:
            heard = SecondOfStream(0, 0, 0, None, None, None)
        reported = SecondOfStream(50, 0, None, 1.8, None, None) if n % 5 == 3 else SecondOfStream(packets=50)
        found.append(Second(float(n) - 0.04, reported, heard))
    return tuple(found)


def _buffers(mos: float) -> tuple[JitterBufferOutcome, ...]:
    return (
        JitterBufferOutcome("fixed 50 ms", 50, mos - 0.21, 84.0, 2, 31, 4.0, 1.6, 0, 25.1, 71, False, "Good"),
        JitterBufferOutcome("fixed 200 ms", 200, mos, 90.1, 2, 0, 0.2, 1.0, 0, 25.1, 221, False, "Excellent"),
        JitterBufferOutcome("adaptive", 64, None, provisional=True),
    )


def calls() -> tuple[CallOutcome, ...]:
    heard = ReceivedOutcome(
        codec="PCMA",
        packets=810,
        lost=2,
        late=1,
        discarded=31,
        duplicated=0,
        reordered=1,
        jitter_ms=3.4,
        max_jitter_ms=18.1,
        loss_pct=0.25,
        burst_ratio=1.0,
        mos=4.31,
        r_factor=90.1,
        mos_scale="nb",
        ie=0,
        bpl=25.1,
        ta_ms=71,
        provisional=False,
        silence_pct=41.0,
        clipping_pct=0.0,
        level_dbfs=-21.8,
        dtmf="12#",
    )
    deaf = ReceivedOutcome(
        codec="PCMA", packets=199, lost=0, jitter_ms=2.2, max_jitter_ms=2.9, loss_pct=0.0, mos=4.38, dtmf=""
    )
    alice = CallOutcome(
        verdict=Verdict.PASSED,
        blame=None,
        reason="Answered after 2.6 s; Alice heard Bob at MOS 4.31, Excellent.",
        sip_code=200,
        pdd_ms=565,
        setup_ms=2569,
        duration_ms=16290,
        ended_by=EndedBy.LOCAL,
        sent=StreamOutcome(codec="PCMA", packets=813, lost=0, jitter_ms=1.8, loss_pct=0.0),
        received=heard,
        id="call-1",
        address="step.1.0",
        party="Alice",
        local="sip:4101@pbx.example.com",
        remote="sip:4102@pbx.example.com",
        destination="sip:4102@pbx.example.com",
        call_id=ALICE_CALL,
        user_agent="ExamplePBX 4.3.0",
        peer="tcp:192.0.2.10:5060",
        started_at=STARTED + 0.04,
        states=(
            StateReached(0.003, CallState.CALLING),
            StateReached(0.021, CallState.TRYING, 100),
            StateReached(0.568, CallState.RINGING, 180),
            StateReached(2.572, CallState.ANSWERED, 200),
            StateReached(2.574, CallState.CONFIRMED),
            StateReached(18.86, CallState.ENDED),
        ),
        rtt_ms=18.4,
        band="Excellent",
        causes=LostMos(0.0, 0.02, 0.03, 0.05),
        jitter_buffers=_buffers(4.31),
        seconds=_seconds(99),
        audio=(AudioFile("alice.wav", "stereo", 8000, 2, 16.3),),
        measurement=Measurement(0.4, 1.1, 813),
    )
    bob = CallOutcome(
        verdict=Verdict.FAILED,
        blame=Blame.TARGET,
        reason="Bob stopped hearing Alice 4.2 s after answering.",
        sip_code=200,
        pdd_ms=26,
        setup_ms=2530,
        duration_ms=16325,
        ended_by=EndedBy.REMOTE,
        sent=StreamOutcome(),
        received=deaf,
        id="call-2",
        address="step.0.1",
        party="Bob",
        direction=Direction.INCOMING,
        local="sip:4102@203.0.113.45",
        remote='"Alice" <sip:4101@pbx.example.com>',
        call_id=BOB_CALL,
        user_agent="ExamplePBX 4.3.0",
        peer="udp:192.0.2.10:5060",
        started_at=STARTED + 0.064,
        states=(
            StateReached(0.0, CallState.INCOMING),
            StateReached(0.526, CallState.RINGING, 180),
            StateReached(2.53, CallState.ANSWERED, 200),
            StateReached(2.532, CallState.CONFIRMED),
            StateReached(18.857, CallState.ENDED),
        ),
        band="Excellent",
        causes=LostMos(0.0, 0.02, 0.01, 0.0),
        jitter_buffers=_buffers(4.38)[:2],
        seconds=_seconds(6.6),
        audio=(AudioFile("bob.wav", "stereo", 8000, 2, 16.3),),
        measurement=Measurement(0.5, 0.9, 813),
    )
    return alice, bob


def run() -> RunOutcome:
    return RunOutcome(
        verdict=Verdict.FAILED,
        blame=Blame.TARGET,
        reason=(
            "Bob stopped hearing Alice 4.2 s after answering: the PBX moved her audio to 10.0.0.12, "
            "a private address she cannot reach."
        ),
        name="basic_call",
        title="Extension call, audio both ways",
        conditions=(
            ConditionOutcome("received.packets_pct >= 95", ">= 95", "26", False, "step.0.1", "call-2"),
            ConditionOutcome("mos_5s >= 3.9", ">= 3.9 in every 5 s", None, False, "step.0.1", "call-2"),
            ConditionOutcome("mos >= 3.9", ">= 3.9", "4.31", True, "step.1.0", "call-1"),
            ConditionOutcome(f"header X-Note = {EVIL}", EVIL, EVIL + "\x00", True, "step.0.1", "call-2"),
            ConditionOutcome("pdd_ms <= 1000", "<= 1000", "565", True, "step.1.0", "call-1"),
            ConditionOutcome("codec = PCMA", "PCMA", "PCMA", True, None, None),
        ),
        calls=calls(),
        registrations=(
            RegistrationOutcome(
                Verdict.PASSED,
                None,
                "4102 registered in 37 ms.",
                200,
                "step.0.0",
                "Bob",
                "sip:4102@pbx.example.com",
                "pbx.example.com",
                started_at=STARTED + 0.002,
                registered_ms=37,
                expires_s=300,
                unregistered=True,
                authenticated=True,
            ),
        ),
        id="run-1",
        started_at=STARTED,
        stopped_at=STARTED + 18.95,
        duration_ms=18950,
        phases=(
            PhaseOutcome("step.0", 0.0, 41),
            PhaseOutcome("step.1", 0.041, 18900),
            PhaseOutcome("teardown", 18.941, 9),
        ),
        parameters={"step.1.0.dial_destination": "sip:4102@pbx.example.com", "step.0.0.password": "hunter22"},
        evidence={},
        warnings=("The clock of this host is not synchronised.",),
        version="0.1.0",
    )


def write_wav(path: Path, seed: int, until: float = 16.3, seconds: float = 16.3) -> None:
    """Stereo, 8 kHz: something with the envelope of speech, left sent, right received until `until`."""
    frames = bytearray()
    for n in range(int(seconds * 8000)):
        t = n / 8000
        left = _talk(t, seed) * math.sin(t * 1300)
        right = _talk(t, seed + 3) * math.sin(t * 1700) if t < until else 0.0
        frames += struct.pack("<hh", int(left * 9000), int(right * 9000))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(frames))


def _talk(t: float, seed: int) -> float:
    phrase = math.sin((t + seed) * 1.1) > 0.1
    return abs(math.sin((t + seed) * 7) * math.sin((t + seed) * 2.3)) if phrase else 0.0
