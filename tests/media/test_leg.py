"""A media leg, without a phone and in virtual time: who it hears, and when it sends."""

from __future__ import annotations

import asyncio
import struct
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from callwright.media.leg import MediaLeg
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy
from callwright.phone.permission import Permission
from callwright.policy.destination import Purpose, Rules, Target
from callwright.sdp.formats import AudioFormat
from callwright.sdp.negotiation import Negotiated

PCMU = AudioFormat("PCMU", 8000, payload_type=0)
PEER = "198.51.100.7"  # the SIP peer, a target of the run
STRANGER = "203.0.113.9"
AGREED = Negotiated(PCMU, 0, {0: PCMU}, PEER, 5000, PEER, 5001, "sendrecv", 20)


class Engine:
    """Gives out the session instead of running it."""

    def open_ports(self, host: str) -> Any:
        return SimpleNamespace(
            local=SimpleNamespace(port=4000), local_rtcp=SimpleNamespace(port=4001), close=lambda: None
        )

    def start_time(self, interval: float) -> float:
        return 0.0

    def start(self, session: Any, ports: Any, **_: object) -> Any:
        self.session = session

        def run(work: Any) -> Future[Any]:
            done: Future[Any] = Future()
            done.set_result(work())
            return done

        return SimpleNamespace(run=run)


def rtp(sequence: int) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence, 160 * sequence, 7) + b"\xff" * 160


@pytest.mark.parametrize(
    ("source", "port", "heard"), [(PEER, 5000, 5), (STRANGER, 5000, 0), (STRANGER, 5002, 0), (PEER, 53, 0)]
)
async def test_rtp_of_a_stranger_is_not_heard_though_it_comes_first(
    source: str, port: int, heard: int
) -> None:
    permission = Permission(Purpose.RUN, Rules(targets=(Target(network=f"{PEER}/32"),)))
    engine: Any = Engine()
    leg = MediaLeg(engine, ManualClock(), seeded_entropy(3), host="192.0.2.1", permits=permission.gate(PEER))
    leg.adjust(AGREED, sending=True, answered=True)
    for sequence in range(5):
        engine.session.receive(rtp(sequence), (source, port), 0.02 * sequence)
    received = engine.session.report(1.0).received
    assert (received.packets if received else 0) == heard
    await asyncio.sleep(0)


async def test_audio_taken_out_and_put_back_flows_again() -> None:
    engine: Any = Engine()
    clock, sent = ManualClock(), []
    leg = MediaLeg(engine, clock, seeded_entropy(3), host="192.0.2.1", permits=lambda _: True)
    for agreed in (AGREED, replace(AGREED, disabled=True), AGREED):
        leg.adjust(agreed, sending=True, answered=True)
        engine.session.wake(clock.advance(0.05))
        sent.append(any(not packet.is_rtcp for packet in engine.session.transmissions()))
    assert sent == [True, False, True]
