"""Where the audio of a call comes from: clips, encoded once for each codec and shared, and echoes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from callwright.audio.codecs import Codec, Encoder, codec
from callwright.rtp.session import FrameSource

SPEECH, TONE, SILENCE, ECHO = "speech", "tone", "silence", "echo"
BEEP, MUSIC, RINGING = "beep", "music", "ringing"
BUILT_IN = (SPEECH, TONE, SILENCE, ECHO, BEEP, MUSIC, RINGING)
SAY = "say:"
"""Before the name of a prompt (`audio.speech.PROMPTS`)."""
_MELODY = (262, 330, 392, 523, 392, 330, 294, 349, 440, 587, 440, 349)  # Hz: two broken chords


@dataclass(frozen=True, slots=True)
class Clip:
    """PCM to play: s16le mono; plays again from the start when it is over."""

    name: str
    sample_rate: int
    pcm: bytes


def load_clip(play: str, sample_rate: int, voice: str = "woman") -> Clip:
    """The clip that `play` names, at `sample_rate`; `voice` is who speaks, where it is our own speech. Raises
    KeyError for an unknown prompt.

    Raises AudioFileError, with the file's name and what is wrong with it, for a file that is no usable WAV.
    """
    if play.startswith(SAY):
        return _said(play, sample_rate)
    if play in BUILT_IN:
        return _built_in(play, sample_rate, voice)
    return _file(play, sample_rate, Path(play).stat().st_mtime_ns if Path(play).exists() else 0)


@lru_cache(maxsize=16)
def _file(path: str, sample_rate: int, _modified: int) -> Clip:
    from callwright.audio.wav import AudioFileError, read_wav

    wav = read_wav(path)
    if not wav.pcm:
        raise AudioFileError(f"{path} holds no audio: there is nothing to play")
    return Clip(path, sample_rate, _at_rate(wav.pcm, wav.sample_rate, sample_rate))


def _at_rate(pcm: bytes, rate: int, wanted: int) -> bytes:
    if rate == wanted:
        return pcm
    from callwright.audio.resample import resample

    return resample(pcm, rate, wanted)


@lru_cache(maxsize=32)
def _said(play: str, sample_rate: int) -> Clip:
    from callwright.audio.speech import prompt

    spoken = prompt(play.removeprefix(SAY))
    return Clip(play, sample_rate, _at_rate(spoken.pcm, spoken.sample_rate, sample_rate))


@lru_cache(maxsize=16)
def _built_in(play: str, sample_rate: int, voice: str) -> Clip:
    if play == TONE:
        from callwright.audio.tones import tone

        return Clip(play, sample_rate, tone(1004.0, 1.0, sample_rate=sample_rate))
    if play == BEEP:
        from callwright.audio.tones import tone

        return Clip(
            play, sample_rate, tone(1000.0, 0.4, sample_rate=sample_rate) + bytes(sample_rate // 5 * 2)
        )
    if play == MUSIC:
        from callwright.audio.tones import tones

        notes = [tones((note, 2 * note), 0.3, sample_rate, (-24.0, -34.0)) for note in _MELODY]
        return Clip(play, sample_rate, b"".join(notes))
    if play == RINGING:
        from callwright.audio.tones import tone

        return Clip(play, sample_rate, tone(425.0, 1.0, sample_rate=sample_rate) + bytes(8 * sample_rate))
    if play == SPEECH:
        from callwright.audio.speech import speech

        spoken = speech(voice, 8000 if sample_rate == 8000 else 16000)
        return Clip(play, sample_rate, _at_rate(spoken.pcm, spoken.sample_rate, sample_rate))
    return Clip(play, sample_rate, bytes(2 * sample_rate // 5))


class _Frames:
    """The frames of a clip for one codec and packet time: encoded as they are first needed, then kept.

    Any number of calls on the media thread share one; encoding a frame takes some 10 µs for G.711.
    """

    def __init__(self, clip: Clip, row: Codec, ptime: int) -> None:
        size = row.frame_bytes(ptime)
        self._chunks: Iterator[int] = iter(range(0, len(clip.pcm), size))
        self._clip, self._size = clip, size
        self._encoder: Encoder | None = row.encoder(ptime)
        self.made: list[bytes] = []  # those that were needed so far
        self._lock = threading.Lock()

    def frame(self, index: int) -> bytes:
        """Frame `index`, counted round and round."""
        frames = self.made
        if self._encoder is None:
            return frames[index % len(frames)]
        with self._lock:
            while self._encoder is not None and len(frames) <= index:
                start = next(self._chunks, None)
                if start is None:
                    self._encoder = None
                    break
                pcm = self._clip.pcm[start : start + self._size].ljust(self._size, b"\0")
                frames.append(self._encoder.encode(pcm))
        return frames[index % len(frames)]


@lru_cache(maxsize=64)
def _frames(clip: Clip, codec_name: str, ptime: int) -> _Frames:
    return _Frames(clip, codec(codec_name), ptime)


def clip_frames(clip: Clip, codec_name: str, ptime: int) -> Sequence[bytes]:
    """All frames of a clip, once through, encoded."""
    frames = _frames(clip, codec_name, ptime)
    count = max(1, -(-len(clip.pcm) // codec(codec_name).frame_bytes(ptime)))
    if len(frames.made) < count:
        frames.frame(count - 1)
    return frames.made[:count]


class ClipSource:
    """An rtp FrameSource that plays a clip again and again."""

    def __init__(self, clip: Clip, codec_name: str, ptime: int) -> None:
        self._frames = _frames(clip, codec_name, ptime)
        self._made = self._frames.made
        self._next = 0

    def next_frame(self) -> bytes | None:
        index = self._next
        self._next = index + 1
        made = self._made
        return made[index] if index < len(made) else self._frames.frame(index)

    def next_frames(self, count: int) -> list[bytes]:
        """`count` times `next_frame`."""
        begin = self._next
        self._next = end = begin + count
        made = self._made
        if end <= len(made):
            return made[begin:end]
        return [self._frames.frame(index) for index in range(begin, end)]


class Interlude:
    """An rtp FrameSource that plays frames once, then goes on with another source."""

    def __init__(self, frames: Sequence[bytes], then: FrameSource) -> None:
        self._frames = deque(frames)
        self._then = then
        self.live = bool(getattr(then, "live", False))

    def next_frame(self) -> bytes | None:
        return self._frames.popleft() if self._frames else self._then.next_frame()


class EchoSource:
    """An rtp FrameSource that sends back what came, in its order; silent while nothing comes."""

    live = True
    #: A fifth of a second: what comes faster than it is sent back is dropped from the old end.
    LIMIT = 10

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque(maxlen=self.LIMIT)

    def push(self, payload: bytes) -> None:
        self._waiting.append(payload)

    def next_frame(self) -> bytes | None:
        return self._waiting.popleft() if self._waiting else None


class NoSource:
    """An rtp FrameSource that has nothing: of a codec that can only be received."""

    live = True

    def next_frame(self) -> bytes | None:
        return None


def prepare(play: str, codecs: Iterable[str], ptime: int, voice: str = "woman") -> None:
    """Load and try what a call will need, before it is placed: codecs take a while to load, and a call in
    which both sides speak has no such while."""
    for name in codecs:
        row = codec(name)
        row.decoder()
        if row.receive_only:
            continue
        if play != ECHO:
            ClipSource(load_clip(play, row.sample_rate, voice), name, ptime).next_frame()
        else:
            row.encoder(ptime)
