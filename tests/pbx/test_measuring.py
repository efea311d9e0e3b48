"""What a relay measures of the streams that pass it, in virtual time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest

from callwright.net.forwarder import Forwarder
from callwright.net.ports import PortPair
from callwright.pbx.crossing import Crossing
from callwright.pbx.measuring import RoundTrip
from callwright.pbx.path import LegSide, MediaPath
from callwright.pbx.record import Relayed
from callwright.pbx.relay import RelayPaths
from callwright.policy.destination import Rules
from callwright.sip.transport import Address, Hop, Transport

HERE = Address("127.0.0.1", 5060)
ALICE, BOB = ("127.0.0.1", 40_000), ("127.0.0.1", 50_000)


class Wire(Forwarder):
    """A forwarder without a thread: a test hands the packets over."""

    def __init__(self) -> None:
        super().__init__()
        self.crossing: Crossing | None = None

    def start(self, crossing: Crossing, pairs: tuple[PortPair, PortPair]) -> None:  # type: ignore[override]
        self.crossing = crossing
        for pair in pairs:
            pair.close()

    def stop(self, pairs: tuple[PortPair, PortPair]) -> None:
        pass


def description(port: int, formats: str = "0", direction: str = "sendrecv", more: str = "") -> bytes:
    lines = ["v=0", "o=- 7 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
    lines += [f"m=audio {port} RTP/AVP {formats}", f"a={direction}", *filter(None, [more]), ""]
    return "\r\n".join(lines).encode()


class Talk:
    """A relayed call that was answered at second 0."""

    def __init__(self, offer: bytes, answer: bytes) -> None:
        self.wire = Wire()
        sides = [Hop(Transport.UDP, HERE, Address("127.0.0.1", port)) for port in (5071, 5072)]
        self.path: MediaPath = RelayPaths(self.wire, Rules()).open(sides[0], sides[1:], 0.0)
        self.offer(offer, answer, 0.0)
        self.path.answered(0.0)

    def offer(self, offer: bytes, answer: bytes, now: float) -> None:
        for side, body in ((LegSide.CALLER, offer), (LegSide.CALLEE, answer)):
            self.path.carry(body, side, speaker_host="127.0.0.1", listener_local="127.0.0.1")
        self.path.settle(now)

    def send(
        self,
        side: LegSide,
        numbers: range,
        *,
        lost: Callable[[int], bool] = lambda number: False,
        late: Callable[[int], float] = lambda number: 0.0,
        payload_type: int = 0,
    ) -> None:
        """Packets of 20 ms, packet n at n times 20 ms, but for those that are lost."""
        assert self.wire.crossing is not None
        for number in numbers:
            if not lost(number):
                header = struct.pack("!BBHII", 0x80, payload_type, number & 0xFFFF, 160 * number, 7 + side)
                source = ALICE if side is LegSide.CALLER else BOB
                at = 0.02 * number + late(number)
                self.wire.crossing.route(side, False, header + bytes(160), source, at)

    def end(self, now: float, by: LegSide | None = LegSide.CALLER) -> Relayed:
        relayed = self.path.close(now, by)
        assert relayed is not None
        return relayed


@pytest.fixture
def talk() -> Iterator[Talk]:
    made = Talk(description(40_000), description(50_000))
    yield made
    made.path.close(0.0)


def test_loss_of_each_direction_is_counted_apart(talk: Talk) -> None:
    talk.send(LegSide.CALLER, range(1000), lost=lambda number: number % 20 == 7)
    talk.send(LegSide.CALLEE, range(1000))
    relayed = talk.end(20.0)
    assert relayed.caller is not None
    assert relayed.callee is not None
    assert (relayed.caller.loss_pct, relayed.callee.loss_pct) == (5.0, 0.0)
    assert (relayed.caller.codec, relayed.caller.packets) == ("PCMU/8000", 950)
    assert relayed.caller.mos is not None
    assert relayed.callee.mos is not None
    assert relayed.callee.mos > 4.3 > relayed.caller.mos > 3.5
    assert relayed.callee.r_factor == pytest.approx(92.4, abs=1.5)


def test_jitter_is_that_of_arrivals_at_the_relay(talk: Talk) -> None:
    talk.send(LegSide.CALLER, range(1000), late=lambda number: 0.008 * (number % 2))
    talk.send(LegSide.CALLEE, range(1000))
    relayed = talk.end(20.0)
    assert relayed.caller is not None
    assert relayed.callee is not None
    assert relayed.caller.jitter_ms == pytest.approx(8.0, abs=0.5)
    assert relayed.callee.jitter_ms == pytest.approx(0.0, abs=0.001)


def test_a_side_that_falls_silent_has_lost_what_was_due(talk: Talk) -> None:
    talk.send(LegSide.CALLER, range(500))
    talk.send(LegSide.CALLEE, range(1000))
    relayed = talk.end(20.0, LegSide.CALLEE)
    assert relayed.caller is not None
    assert relayed.caller.loss_pct == pytest.approx(50.0, abs=1.0)


def test_a_side_that_never_sent_has_lost_everything_and_no_score(talk: Talk) -> None:
    talk.send(LegSide.CALLEE, range(500))
    relayed = talk.end(10.0)
    assert relayed.caller is not None
    assert (relayed.caller.loss_pct, relayed.caller.mos, relayed.caller.codec) == (100.0, None, None)


def test_time_on_hold_is_no_loss(talk: Talk) -> None:
    for side in LegSide:
        talk.send(side, range(500))
    talk.offer(description(40_000, direction="sendonly"), description(50_000, direction="recvonly"), 10.0)
    talk.send(LegSide.CALLER, range(500, 1500))
    talk.offer(description(40_000), description(50_000), 30.0)
    for side in LegSide:
        talk.send(side, range(1500, 2000) if side is LegSide.CALLER else range(500, 501))
    talk.path.pause(30.1)
    relayed = talk.end(300.0)
    assert relayed.callee is not None
    assert relayed.callee.loss_pct == 0.0
    assert talk.path.silent_since() is None


def test_the_codec_that_came_is_told_not_the_one_offered_first() -> None:
    talk = Talk(description(40_000, "0 8 96", more="a=rtpmap:96 opus/48000/2"), description(50_000, "8 96"))
    talk.send(LegSide.CALLER, range(100), payload_type=8)
    relayed = talk.end(2.0)
    assert relayed.caller is not None
    assert relayed.caller.codec == "PCMA/8000"


def test_octets_that_are_no_rtp_change_no_figure(talk: Talk) -> None:
    talk.send(LegSide.CALLER, range(100))
    assert talk.wire.crossing is not None
    for octets in (b"", b"\x80", bytes(12), b"\x90\x00" + bytes(10), b"\xff" * 1500):
        talk.wire.crossing.route(0, False, octets, ALICE, 2.0)
        talk.wire.crossing.route(0, True, b"\x80\xc8" + octets, ALICE, 2.0)
    relayed = talk.end(2.0)
    assert relayed.caller is not None
    assert (relayed.caller.packets, relayed.caller.loss_pct) == (100, 0.0)


def test_round_trips_are_told_from_reports_that_pass() -> None:
    trip = RoundTrip()
    assert trip.ms is None
    sender = struct.pack("!BBHIQIII", 0x80, 200, 6, 7, 0x0001_2345_6789_0000, 0, 0, 0)
    trip.receive(0, sender, 10.0)
    block = struct.pack("!IIIIII", 7, 0, 0, 0, 0x2345_6789, 65536)  # kept for a second
    trip.receive(1, struct.pack("!BBHI", 0x81, 201, 7, 8) + block, 11.25)
    assert trip.ms == pytest.approx(250.0)
    trip.receive(1, struct.pack("!BBHI", 0x81, 201, 7, 8) + block, 99.0)
    assert trip.ms == pytest.approx(250.0), "a minute is no round trip"
