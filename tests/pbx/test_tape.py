"""A call on tape: who hears the announcement, what is kept, and on which side."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from callwright.audio.codecs import codec
from callwright.audio.mp3 import Mp3Writer
from callwright.pbx.tape import RATE, Tape
from callwright.sdp.formats import AudioFormat

_KINDS = {
    "PCMU": AudioFormat("PCMU", 8000, 1, 0),
    "PCMA": AudioFormat("PCMA", 8000, 1, 8),
    "G722": AudioFormat("G722", 8000, 1, 9),
}


def tone(hertz: float, seconds: float, rate: int) -> bytes:
    samples = 8000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    return bytes(samples.astype("<i2").tobytes())


def level(pcm: bytes, hertz: float) -> float:
    """How strong a tone is in it, by the discrete Fourier transform at that frequency."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    wave = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / RATE)
    return float(2 * abs((samples * wave).mean()))


class Speaker:
    """Sends a tone in packets of 20 ms, and keeps what the tape lets go on."""

    def __init__(self, tape: Tape, side: int, name: str, hertz: float, seconds: float) -> None:
        self.tape, self.side, self.kind = tape, side, _KINDS[name]
        row = codec(name)
        self.frames = list(row.frames(tone(hertz, seconds, row.sample_rate)))
        self.heard: list[bytes] = []

    def say(self, number: int) -> None:
        header = struct.pack("!BBHII", 0x80, self.kind.payload_type or 0, number, 160 * number, 5 + self.side)
        packet = header + self.frames[number]
        left = self.tape.pass_on(self.side, self.kind, packet, 0.02 * number)
        assert left[:12] == header, "numbers and clock stay"
        self.heard.append(left[12:])


def talk(
    tape: Tape, first: Speaker, second: Speaker, seconds: float, lost: Callable[[int], bool] = lambda _: False
) -> tuple[bytes, bytes]:
    for number in range(int(seconds * 50)):
        if not lost(number):
            first.say(number)
        second.say(number)
    return tape.end(seconds)


ANNOUNCEMENT = tone(1500, 1.0, RATE)


@pytest.mark.parametrize("names", [("PCMU", "PCMU"), ("PCMA", "G722")])
def test_both_sides_hear_the_announcement_and_then_one_another(names: tuple[str, str]) -> None:
    tape = Tape(ANNOUNCEMENT)
    sides = [Speaker(tape, side, names[side], 400 + 200 * side, 3.0) for side in (0, 1)]
    left, right = talk(tape, sides[0], sides[1], seconds=3.0)
    assert tape.began == pytest.approx(1.0, abs=0.03)
    assert len(left) == len(right) == pytest.approx(2 * RATE * 2.0, abs=2000)
    assert level(left, 400) > 5000 > 100 > level(left, 600), "the caller is left"
    assert level(right, 600) > 5000 > 100 > level(right, 400), "the callee is right"
    assert level(left, 1500) < 100
    for side in sides:
        decoder = codec(side.kind.name).decoder()
        pcm = b"".join(decoder.decode(payload) for payload in side.heard[:50])
        samples = np.frombuffer(pcm, "<i2").astype(float)
        rate = len(samples) / 1.0
        wave = np.exp(-2j * np.pi * 1500 * np.arange(len(samples)) / rate)
        assert 2 * abs((samples * wave).mean()) > 5000
        assert side.heard[60:] == side.frames[60:150]


def test_nothing_is_kept_while_one_side_has_not_heard_the_announcement() -> None:
    tape = Tape(ANNOUNCEMENT)
    one = Speaker(tape, 0, "PCMU", 400, 3.0)
    for number in range(150):
        one.say(number)
    assert tape.began is None
    assert tape.end(3.0) == (b"", b"")


def test_lost_packets_are_silence_at_their_place() -> None:
    tape = Tape(tone(1500, 0.1, RATE))
    one, two = (Speaker(tape, side, "PCMU", 400, 3.0) for side in (0, 1))
    left, right = talk(tape, one, two, 3.0, lambda number: 75 <= number < 100)
    began = tape.began
    assert began is not None

    def part(pcm: bytes, start: float, end: float) -> bytes:
        return pcm[2 * int((start - began) * RATE) : 2 * int((end - began) * RATE)]

    assert level(part(left, 1.55, 1.95), 400) < 50 < 5000 < level(part(left, 2.1, 2.9), 400)
    assert level(part(right, 1.55, 1.95), 400) > 5000


def test_what_is_taken_piece_by_piece_is_the_whole() -> None:
    tape = Tape(tone(1500, 0.1, RATE))
    one, two = (Speaker(tape, side, "PCMU", 400, 6.0) for side in (0, 1))
    left = b""
    for number in range(300):
        one.say(number)
        two.say(number)
        if number % 40 == 0:
            left += tape.take(0.02 * number)[0]
    left += tape.end(6.0)[0]
    assert tape.began is not None
    assert len(left) == 2 * int((6.0 - tape.began) * RATE)
    assert level(left[RATE:], 400) > 6000


def test_packets_that_nobody_takes_are_bounded_and_hostile_ones_harmless() -> None:
    tape = Tape(b"\0\0" * 320)
    kind = _KINDS["PCMU"]
    for side in (0, 1):
        tape.pass_on(side, kind, struct.pack("!BBHII", 0x80, 0, 1, 160, 5) + bytes(160), 0.0)
    assert tape.began is not None
    for number in range(13_000):
        stamp = (number * 0x1234567) & 0xFFFFFFFF
        tape.pass_on(0, kind, struct.pack("!BBHII", 0x80, 0, number, stamp, 5) + bytes(number % 400), 1.0)
    assert tape.lost == 1_000
    for octets in (b"", b"\x80", b"\xbf" * 40, b"\x90" + bytes(11)):
        assert tape.pass_on(0, kind, octets, 1.0) == octets
    left, right = tape.end(3.0)
    assert len(left) == len(right) < 2 * RATE * 4


def test_an_mp3_is_as_long_as_what_was_written_and_keeps_the_sides_apart(tmp_path: Path) -> None:
    import av

    writer = Mp3Writer(tmp_path / "one.mp3", RATE)
    for _ in range(4):
        writer.write(tone(400, 0.5, RATE), bytes(RATE))
    writer.close()
    assert writer.seconds == 2.0
    with av.open(str(tmp_path / "one.mp3")) as file:
        assert float(file.duration or 0) / av.time_base == pytest.approx(2.0, abs=0.1)
        pieces = [frame.to_ndarray() for frame in file.decode(audio=0)]
    samples = np.concatenate(pieces, axis=1)
    loud, quiet = (float(np.sqrt((samples[n] ** 2).mean())) for n in (0, 1))
    assert loud > 0.1 > 0.001 > quiet
