"""Fuzzes the native RTP streams against their pure twins; ends at the first difference, or never.

    python tools/fuzz_rtp.py [-max_total_time=60] [other options of libFuzzer] [corpus folder]

Needs atheris (`pip install '.[fuzz]'`) and the built extension. Each input is a script for the sender of
tests/rtp/twins.py: packets in order, lost, doubled, late, broken, of other sources, over each wrap.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["callwright.rtp"]):
    from callwright.rtp import incoming, outgoing, session

from tests.rtp import twins
from tests.rtp.pair import B, Counting, config, entropy

from callwright.rtp import _streams


def on(incoming_stream: object, outgoing_stream: object) -> session.Session:
    """A session on one of the twins."""
    session.IncomingStream, session.OutgoingStream = incoming_stream, outgoing_stream  # type: ignore[assignment,misc]
    return session.Session(config(B, tap_received=True, tap_sent=True), entropy(5), Counting())


def compare(data: bytes) -> None:
    """One input: what is received, and what is sent."""
    if not data:
        return

    def pair() -> tuple[session.Session, session.Session]:
        return on(_streams.IncomingStream, _streams.OutgoingStream), on(
            incoming.IncomingStream, outgoing.OutgoingStream
        )

    twins.receive_alike(*pair(), data[1:4001], every=1 + data[0] % 50)
    acts = [(data[place] % 10, data[place + 1]) for place in range(0, min(len(data), 200) - 1, 2)]
    twins.send_alike(*pair(), acts)


if __name__ == "__main__":
    atheris.Setup(sys.argv, compare)
    atheris.Fuzz()
