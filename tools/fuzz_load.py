"""Fuzzes what the native load loop reads of the wire against its pure twin, until the first difference.

    python tools/fuzz_load.py [-max_total_time=60] [other options of libFuzzer] [corpus folder]

Four readers, chosen by the first octet of the input: SIP messages, SDP, RTP streams, challenges. Needs
atheris (`pip install '.[fuzz]'`) and the built extension. The torture messages are among the first corpus.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        "callwright.generator.load_digest",
        "callwright.generator.load_message",
        "callwright.generator.load_stream",
    ]
):
    from callwright.generator import load_digest, load_message
    from callwright.generator.load_numbers import Numbers
    from callwright.generator.load_stream import Stream, is_rtp

with atheris.instrument_imports(include=["callwright.generator.load_media"]):
    from callwright.generator.load_media import NOWHERE, read_audio

from callwright.generator import _loop
from callwright.generator.loop import LoopConfig, MediaConfig, networks_of
from callwright.sip.transport import Address

TORTURE = Path(__file__).resolve().parents[1] / "tests" / "data" / "torture"
MESSAGE, SDP, RTP, CHALLENGE = 0, 1, 2, 3
MEDIA = MediaConfig(mode="ports", host="127.0.0.1", low=20_000, high=29_999, payload=bytes(160))
SDP_EXAMPLE = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1/8\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 0\r\nc=IN IP4 10.0.0.1\r\na=ssrc:7 cname:x\r\nm=video 1 RTP/AVP 1\r\n"
)
CHALLENGE_EXAMPLE = b'Digest realm="a \\"b\\"", nonce="n", algorithm=SHA-256-sess, qop="auth,x", opaque="o"'


def made() -> _loop.LoadLoop:
    return _loop.LoadLoop(
        LoopConfig(
            local=Address("127.0.0.1", 0),
            salt=1,
            seed=bytes(16),
            messages={},
            answerer=True,
            networks=networks_of(["0.0.0.0/0"]),
            media=MEDIA,
        )
    )


LOOP = made()


def check_message(data: bytes) -> None:
    ours, theirs = _loop.read(data), load_message.read(data)
    if ours != theirs:
        raise AssertionError(f"read differs: {ours!r} is not {theirs!r}")


def check_sdp(data: bytes) -> None:
    said = read_audio(data)
    usable = said.host and said.port and ":" not in said.host and said.host not in NOWHERE
    twin = said if usable else None
    ours = _loop.audio(LOOP, data)
    if ours is not None:
        socket.inet_pton(socket.AF_INET, ours[0])
    if ours != twin:
        raise AssertionError(f"SDP differs: {ours!r} is not {twin!r}")


def check_rtp(data: bytes) -> None:
    """Packets of four octets each: what to add to number, arrival and timestamp, and which payload type."""
    packets, sequence, arrival = [], 0, 10**18
    for at in range(0, len(data) - 3, 4):
        step, wait, shift, kind = data[at : at + 4]
        sequence = (sequence + (step if step < 200 else (step - 255) * 97)) & 0xFFFF
        arrival += wait * 500_000
        stamp = (sequence * 160 + shift * 1_000_003) & 0xFFFFFFFF if shift > 128 else sequence * 160
        head = bytes([0x80, kind]) + sequence.to_bytes(2, "big") + stamp.to_bytes(4, "big") + b"ssrc"
        packets.append((arrival, head))
    LOOP.begin(registering=False, calls=0, rate=0.0)
    ours = _loop.judged(LOOP, packets), LOOP.histograms()
    numbers = Numbers()
    stream = Stream(None, 20_000, ssrc=1, sequence=0, timestamp=0, at=0)
    for arrival, packet in packets:
        if is_rtp(packet):
            stream.account(packet, arrival, MEDIA, numbers)
    twin = stream.judged(MEDIA, numbers) if stream.received else -1, numbers.histograms()
    if ours != twin:
        raise AssertionError(f"the judgement of a stream differs: {ours[0]} is not {twin[0]}")


def check_challenge(data: bytes) -> None:
    ours, theirs = (
        room.authorization(
            data,
            proxy=False,
            user=b"u",
            password=b"p",
            method=b"INVITE",
            uri=b"sip:a@b",
            cnonce=bytes(16),
        )
        for room in (_loop, load_digest)
    )
    if ours != theirs:
        raise AssertionError(f"the answer to a challenge differs: {ours!r} is not {theirs!r}")


CHECKS = (check_message, check_sdp, check_rtp, check_challenge)


def compare(data: bytes) -> None:
    if data:
        CHECKS[data[0] % len(CHECKS)](data[1:])


def main() -> None:
    arguments = sys.argv
    if all(argument.startswith("-") for argument in arguments[1:]):
        corpus = Path(tempfile.mkdtemp(prefix="callwright-fuzz-"))
        for case in sorted(TORTURE.rglob("*.dat")):
            (corpus / case.name).write_bytes(bytes([MESSAGE]) + case.read_bytes())
        (corpus / "sdp").write_bytes(bytes([SDP]) + SDP_EXAMPLE)
        (corpus / "challenge").write_bytes(bytes([CHALLENGE]) + CHALLENGE_EXAMPLE)
        (corpus / "rtp").write_bytes(bytes([RTP]) + bytes([1, 40, 0, 0] * 20 + [255, 0, 200, 0, 3, 90, 0, 0]))
        arguments = [*arguments, str(corpus)]
    atheris.Setup(arguments, compare)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
