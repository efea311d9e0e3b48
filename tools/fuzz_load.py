"""Fuzzes what the native load loop reads of the wire against `sip.message`, `sdp`, `rtp.reception`
and `sip.digest`, until the first difference.

    python tools/fuzz_load.py [-max_total_time=60] [other options of libFuzzer] [corpus folder]

Four readers, chosen by the first octet of the input: SIP messages, SDP, RTP streams, challenges. Needs
atheris (`pip install '.[fuzz]'`) and the built extension. The torture messages are among the first corpus.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["callwright.sip", "callwright.sdp", "callwright.rtp"]):
    from callwright.rtp import reception  # noqa: F401
    from callwright.sdp import description  # noqa: F401
    from callwright.sip import digest, message  # noqa: F401

from tests.generator.oracle import check_challenge, check_message, check_sdp, check_stream

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


def stream(data: bytes) -> None:
    """Packets of two octets each: what to add to the number, and to the arrival."""
    first = top = 65_536
    arrival = 10**18
    packets = [(arrival, rtp(first))]
    for at in range(0, len(data) - 1, 2):
        step, wait = data[at], data[at + 1]
        arrival += wait * 500_000
        # Up to 60 back within a run, up to 194 ahead, or two in order of another run.
        number = max(first, top - step) if step <= 60 else top + step - 60
        if step == 255:
            number = first = top + 40_000
            packets.append((arrival, rtp(number)))
            number += 1
        top = max(top, number)
        packets.append((arrival, rtp(number)))
    LOOP.begin(registering=False, calls=0, rate=0.0)
    check_stream(LOOP, packets)


def rtp(number: int) -> bytes:
    sequence, stamp = number & 0xFFFF, (number * 160) & 0xFFFFFFFF
    return bytes([0x80, 0]) + sequence.to_bytes(2, "big") + stamp.to_bytes(4, "big") + b"ssrc" + bytes(160)


def sdp(data: bytes) -> None:
    check_sdp(LOOP, data)


CHECKS = (check_message, sdp, stream, check_challenge)


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
        (corpus / "rtp").write_bytes(bytes([RTP]) + bytes([61, 40] * 20 + [255, 0, 200, 40, 3, 90, 0, 0]))
        arguments = [*arguments, str(corpus)]
    atheris.Setup(arguments, compare)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
