"""What a leg without a phone plays and hears: clips in order, echo, a conference, a recording."""

from __future__ import annotations

from array import array
from collections import deque
from pathlib import Path

import pytest

from callwright.audio.codecs import codec
from callwright.audio.wav import WavWriter, read_wav
from callwright.media.mix import Mix
from callwright.media.program import Dictation, Program
from callwright.rtp.session import PlayedFrame

CODECS = {0: "PCMU"}


def pcm(value: int, samples: int = 160) -> bytes:
    return array("h", [value] * samples).tobytes()


def clip(folder: Path, name: str, *values: int) -> str:
    """A WAV with a frame of each value."""
    with WavWriter(folder / name, 8000, channels=1) as file:
        for value in values:
            file.write(pcm(value))
    return str(folder / name)


def heard(value: int, at: float = 0.0) -> PlayedFrame:
    return PlayedFrame(at, codec("PCMU").encoder().encode(pcm(value)), 0, 0, at)


def level(payload: bytes | None) -> int:
    """The first sample of a frame, rounded to what the coding leaves of it."""
    assert payload is not None
    found = array("h", codec("PCMU").decoder().decode(payload))[0]
    return round(found, -3)


class Heard:
    def __init__(self) -> None:
        self.times = 0
        self.program = Program(self.count)

    def count(self) -> None:
        self.times += 1

    def frames(self, count: int) -> list[int]:
        source = self.program.source("PCMU", 20)
        return [level(source.next_frame()) for _ in range(count)]


def test_clips_play_in_order_and_their_end_is_told_once(tmp_path: Path) -> None:
    listener = Heard()
    assert listener.frames(1) == [0]
    listener.program.play([clip(tmp_path, "a.wav", 1000, 2000), clip(tmp_path, "b.wav", 4000)])
    assert listener.frames(3) == [1000, 2000, 4000]
    assert listener.times == 0
    assert listener.frames(3) == [0, 0, 0]
    assert listener.times == 1


def test_music_goes_round_and_never_ends(tmp_path: Path) -> None:
    listener = Heard()
    listener.program.play([clip(tmp_path, "a.wav", 1000, 2000)], repeat=True)
    assert listener.frames(5) == [1000, 2000, 1000, 2000, 1000]
    assert listener.times == 0


def test_something_else_is_played_at_once(tmp_path: Path) -> None:
    listener = Heard()
    listener.program.play([clip(tmp_path, "a.wav", 1000, 2000)])
    listener.frames(1)
    listener.program.play([clip(tmp_path, "b.wav", 4000)])
    assert listener.frames(2) == [4000, 0]
    assert listener.times == 1


def test_echo_sends_back_what_came() -> None:
    listener = Heard()
    listener.program.echo()
    listener.program.heard([heard(3000), heard(5000)], CODECS)
    assert listener.frames(2) == [3000, 5000]
    assert listener.program.next_frame() is None


def test_everybody_in_a_conference_hears_the_sum_of_the_others() -> None:
    mix, three = Mix(), [Heard(), Heard(), Heard()]
    for one in three:
        one.program.join(mix)
    for one, value in zip(three, (1000, 2000, 4000), strict=True):
        one.program.heard([heard(value)], CODECS)
    assert [one.frames(2) for one in three] == [[6000, 0], [5000, 0], [3000, 0]]
    three[2].program.close()
    assert len(mix) == 2
    three[0].program.heard([heard(1000)], CODECS)
    assert [one.frames(1) for one in three] == [[0], [1000], [0]]


def test_sum_is_clipped_at_full_scale_and_waiting_frames_are_bounded() -> None:
    mix = Mix()
    for who in "abc":
        mix.join(who)
    for _ in range(50):
        mix.said("a", pcm(30_000))
        mix.said("b", pcm(30_000))
    assert array("h", mix.frame_for("c", 320))[0] == 32_767
    assert [any(mix.frame_for("c", 320)) for _ in range(6)] == [True] * 4 + [False] * 2


@pytest.mark.parametrize("name", ["PCMU", "PCMA"])
def test_what_comes_is_written_with_holes_as_silence(tmp_path: Path, name: str) -> None:
    program = Program(lambda: None)
    frames: deque[tuple[float, bytes]] = deque()
    program.record(frames)
    encoder = codec(name).encoder()
    for at in (10.0, 10.02, 10.54):
        program.heard([PlayedFrame(at, encoder.encode(pcm(8000)), 7, 0, at)], {7: name})
    dictation = Dictation(tmp_path / "m.wav", frames)
    dictation.close()
    program.stop_recording()
    program.heard([heard(8000, 11.0)], CODECS)
    assert not frames
    wav = read_wav(tmp_path / "m.wav")
    assert (wav.sample_rate, wav.channels) == (8000, 1)
    assert wav.duration == pytest.approx(0.56)
    samples = array("h", wav.pcm)
    assert (round(samples[0], -3), samples[2000], round(samples[-1], -3)) == (8000, 0, 8000)


def test_what_no_codec_reads_is_passed_over() -> None:
    program = Program(lambda: None)
    frames: deque[tuple[float, bytes]] = deque()
    program.record(frames)
    program.heard([PlayedFrame(0, b"x" * 160, 99, 0, 0), PlayedFrame(0, None, 0, 3, 0)], CODECS)
    assert not frames
