"""Drives two sessions through the same packets, and finds where they differ. For tests and for fuzzing."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from callwright.rtp.session import Session, SessionConfig
from tests.rtp.pair import B, Blocks, Counting, config

_HEADER = Struct("!BBHII")
STRANGER = ("203.0.113.9", 9999)


def packet(
    number: int,
    timestamp: int,
    *,
    ssrc: int = 7,
    payload_type: int = 0,
    marker: bool = False,
    body: bytes = b"x" * 160,
) -> bytes:
    """An RTP packet; all numbers modulo their width."""
    second = payload_type | (0x80 if marker else 0)
    return _HEADER.pack(0x80, second, number & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc & 0xFFFFFFFF) + body


class Sender:
    """Makes a stream out of octets: each one is a step, of which most are ordinary packets in order."""

    def __init__(self) -> None:
        self.number = 65_500  # it wraps early
        self.timestamp = 0xFFFFFFFF - 2000
        self.now = 1.0
        self.ssrc = 7
        self.sent: list[bytes] = []
        self.held: list[bytes] = []

    def step(self, code: int, more: int) -> list[tuple[bytes, tuple[str, int], float]]:
        """What arrives now, as (data, source, arrival)."""
        self.now += 0.02 + (more - 128) * 0.0001
        source = B
        out = [self.audio()]
        match code:
            case 0:  # lost
                out = []
            case 1:  # many are
                self.skip(more)
            case 2:  # twice
                out *= 2
            case 3:  # held back, for a later step
                self.held += out
                out = []
            case 4:  # comes after all
                out += self.held
                self.held = []
            case 5:  # an old one again
                out.append(self.sent[-1 - 3 * more % len(self.sent)])
            case 6:  # another source of the stream
                self.ssrc = 7 + more % 4
            case 7:  # another run of numbers
                self.number += 40_000 + more
            case 8:  # a talkspurt after a silence
                self.timestamp += 160 * more
                self.now += 0.02 * more
                out = [self.audio(marker=True)]
            case 9:  # the sender's clock leaps
                self.timestamp += 100_000 * more
            case 10:
                out.append(self.other(13, b"\x40"))
            case 11:
                out.append(self.other(101, bytes([more % 20, 0x80 | 10, 0, more])))
            case 12:  # never agreed to
                out.append(self.other(97, b"?"))
            case 13:  # a stall, then all at once
                self.now += more / 100
            case 14:
                source = STRANGER
            case 15:  # an octet is wrong
                data = bytearray(out[0])
                data[more % 13] ^= 1 << more % 8
                out = [bytes(data)]
            case 16:
                out = [out[0][: more % 14]]
            case 17:  # a header extension, a padding, sources that contributed
                data = bytearray(out[0])
                data[0] |= more & 0x3F
                data[-1] = more % 7
                out = [bytes(data)]
            case 18:
                out = [packet(0, 0, payload_type=72, marker=True)]
            case 19:  # an outage
                self.skip(100 * more)
                self.now += 2.0 * more
            case 20:
                out.append(self.other(8, b"\xd5" * 160))
            case 21:  # stamped before the one that came before
                return [(data, source, self.now - more / 1000) for data in out]
            case _:
                pass
        return [(data, source, self.now + 0.0001 * place) for place, data in enumerate(out)]

    def audio(self, *, marker: bool = False) -> bytes:
        return self.make(0, bytes([self.number & 0xFF]) * 160, marker=marker)

    def other(self, payload_type: int, body: bytes) -> bytes:
        return self.make(payload_type, body)

    def make(self, payload_type: int, body: bytes, *, marker: bool = False) -> bytes:
        self.skip(1)
        data = packet(
            self.number, self.timestamp, ssrc=self.ssrc, payload_type=payload_type, marker=marker, body=body
        )
        self.sent.append(data)
        del self.sent[:-800]
        return data

    def skip(self, packets: int) -> None:
        self.number += packets
        self.timestamp += 160 * packets


def receive_alike(ours: Session, theirs: Session, script: bytes, every: int = 1) -> None:
    """Both hear what the octets of `script` make a sender say; compared after each `every` steps.

    One gets batches and the other packets one by one, as far as that makes no difference to be told.
    """
    sender = Sender()
    for each in (ours, theirs):
        each.start(1.0)
    batch: list[tuple[bytes, tuple[str, int], float]] = []
    for place in range(0, len(script) - 1, 2):
        code = script[place] % 64  # two thirds are ordinary
        batch += sender.step(code, script[place + 1])
        if place // 2 % every == every - 1 or script[place + 1] & 3 == 0 or place >= len(script) - 3:
            ours.receive_batch(batch)
            for data, source, arrival in batch:
                theirs.receive(data, source, arrival)
            batch = []
            for each in (ours, theirs):
                each.wake(sender.now)
            told = (ours.events(), ours.played(), ours.transmissions(), ours.next_wake())
            assert told == (theirs.events(), theirs.played(), theirs.transmissions(), theirs.next_wake())
        if place // 2 % every == every - 1:
            assert ours.report(sender.now) == theirs.report(sender.now)
    for each in (ours, theirs):
        each.close(sender.now)
    assert ours.played() == theirs.played()
    assert ours.transmissions() == theirs.transmissions()
    assert ours.report(sender.now) == theirs.report(sender.now)


def send_alike(ours: Session, theirs: Session, script: Sequence[tuple[int, int]]) -> None:
    """Both do what (verb, amount) says; what they send is compared after each."""
    now = 1.0
    on_its_way = 0
    for each in (ours, theirs):
        each.start(now)
    for verb, amount in script:
        now += 0.001 * amount
        said = [_act(each, verb, amount, now, on_its_way) for each in (ours, theirs)]
        assert said[0] == said[1]
        if verb == 0:
            on_its_way += len(said[0])
        elif verb == 2:
            on_its_way -= min(amount % 4, on_its_way)
        else:
            on_its_way = 0
        assert ours.transmissions() == theirs.transmissions()
        assert (ours.next_wake(), ours.dialing, ours.sent_frames()) == (
            theirs.next_wake(), theirs.dialing, theirs.sent_frames(),
        )  # fmt: skip
        assert ours.report(now) == theirs.report(now)


def _act(each: Session, verb: int, amount: int, now: float, on_its_way: int) -> list[tuple[object, ...]]:
    """One act; nothing is on its way when the session itself is to send or to change."""
    if verb == 0:
        return [tuple(made) for made in each.prepare(now, now + 0.2, 12)]
    if verb == 2:
        each.settle([now + 0.0001 * place for place in range(min(amount % 4, on_its_way))])
        return []
    if verb == 1 or on_its_way:
        each.withdraw(now)
    match verb:
        case 3 | 4 | 5:
            each.wake(now)
        case 6:
            each.send_digits("1,2#"[: 1 + amount % 4], now)
        case 7:
            each.set_direction(now, sending=amount % 2 == 0, receiving=True)
        case 8:
            each.relatch(_other_format(amount), now)
        case 9:
            each.set_source(None, now)
        case 10:
            each.set_source(Blocks() if amount % 2 else Counting(), now)
        case _:
            pass
    return []


def _other_format(amount: int) -> SessionConfig:
    ptime = (10, 20, 30)[amount % 3]
    return config(B, ptime_ms=ptime, samples_per_packet=8 * ptime, tap_received=True)
