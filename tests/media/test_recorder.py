"""The recorder: two directions on one time axis, losses concealed, the disk's errors kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.audio.codecs import PCMU
from callwright.audio.tones import tone
from callwright.audio.wav import read_wav
from callwright.media.recorder import Recorder
from callwright.net.media_choice import frame_sums
from callwright.rtp.session import PlayedFrame, SentFrame
from tests.kit.examples import examples

FRAMES = list(PCMU.frames(tone(seconds=0.4, level=-10.0), 20))
SILENCE = PCMU.silence(20)


def played(index: int, payload: bytes | None, lost: int = 0) -> PlayedFrame:
    at = 0.02 * index
    return PlayedFrame(media_time=at, payload=payload, payload_type=0, lost=lost, play_time=100.05 + at)


def record(path: Path | None) -> Recorder:
    recorder = Recorder(path, 8000, "PCMU")
    for index, frame in enumerate(FRAMES):
        recorder.sent(SentFrame(0.02 * index, SILENCE, 0, 100.0 + 0.02 * index), "PCMU")
        recorder.received(played(index, frame), "PCMU", 20.0, 100.0)
    recorder.close()
    return recorder


def test_a_recording_has_both_directions_on_one_time_axis(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    recorder = record(path)
    wav = read_wav(path)
    assert (wav.channels, wav.sample_rate) == (2, 8000)
    # What was heard begins 50 ms late, by the jitter buffer, so the file is that much longer.
    assert wav.duration == pytest.approx(0.45, abs=0.005)
    assert recorder.duration_s == pytest.approx(wav.duration)
    assert max(abs(s) for s in memoryview(wav.pcm).cast("h")[:350]) < 20


def test_what_is_heard_is_known_without_a_file() -> None:
    sound = record(None).sound()
    assert sound.level_dbfs == pytest.approx(-10.0, abs=0.3)
    assert sound.silence_pct == 0.0


def test_a_loss_is_filled_so_that_what_follows_stays_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    recorder = Recorder(path, 8000, "PCMU")
    for index in range(5):
        recorder.received(played(index, FRAMES[index]), "PCMU", 20.0, 100.0)
    recorder.received(played(5, None, lost=2), "PCMU", 20.0, 100.0)
    for index in range(7, 10):
        recorder.received(played(index, FRAMES[index]), "PCMU", 20.0, 100.0)
    recorder.close()
    wav = read_wav(path)
    assert wav.duration == pytest.approx(0.25, abs=0.003)
    samples = memoryview(wav.pcm).cast("h")
    filled = samples[int(0.152 * 8000) : int(0.168 * 8000)]
    assert max(abs(s) for s in filled) > 1000, "the start of the gap holds no concealment"


def test_a_disk_that_is_full_is_told_and_the_listening_goes_on() -> None:
    recorder = record(Path("/dev/full"))
    assert recorder.error is not None
    assert "/dev/full" in recorder.error
    assert recorder.sound().level_dbfs == pytest.approx(-10.0, abs=0.3)


def test_a_payload_that_is_none_is_counted_and_passed_over() -> None:
    recorder = Recorder(None, 16000, "G722")
    recorder.received(played(0, b"\x01"), "no such codec", 20.0, 100.0)
    recorder.close()
    assert recorder.unreadable == 1


FRAME = st.builds(
    PlayedFrame,
    media_time=st.floats(0, 5, allow_nan=False),
    payload=st.one_of(st.none(), st.binary(max_size=170), st.sampled_from(FRAMES)),
    payload_type=st.sampled_from([0, 0, 0, 8, 9, 77]),
    lost=st.just(0),
    play_time=st.floats(99, 108, allow_nan=False),
)


@pytest.mark.skipif(frame_sums() is None, reason="callwright.net._media was not built")
@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.lists(FRAME, max_size=12), max_size=4))
def test_frames_listened_to_together_are_heard_as_one_by_one(batches: list[list[PlayedFrame]]) -> None:
    codecs = {0: "PCMU", 8: "PCMA", 9: "no such codec"}
    together, one_by_one = Recorder(None, 8000, "PCMU"), Recorder(None, 8000, "PCMU")
    for frames in batches:
        together.heard(frames, codecs, 20.0, 100.0)
        for frame in frames:
            if frame.payload_type in codecs:
                one_by_one.received(frame, codecs[frame.payload_type], 20.0, 100.0)
    together.close()
    one_by_one.close()
    assert together.sound() == one_by_one.sound()
    assert together.levels == pytest.approx(one_by_one.levels, abs=1e-9)
    assert together.unreadable == one_by_one.unreadable
