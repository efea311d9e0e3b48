"""What a leg without a phone says and does: clips one after the other, echo, a conference, a recording.

A program belongs to one MediaLeg. Its verbs run on the media thread (`MediaLeg.run`), and so do its reports.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from callwright.audio.codecs import Codec, CodecError, Decoder, Encoder, codec
from callwright.audio.wav import AudioFileError, WavWriter
from callwright.media.mix import Mix
from callwright.media.source import EchoSource, clip_frames, load_clip
from callwright.rtp.session import FrameSource, PlayedFrame

__all__ = ["RATE", "Dictation", "Program"]

RATE = 8000
"""Samples a second of recordings and conferences."""
_MOST_HOLE_S = 10.0  # silence written where nothing came


class Program:
    """A frame source that can be told something else at any time. At first it is silent.

    `on_played` is called on the media thread when the clips of `play` are over.
    """

    live = True

    def __init__(self, on_played: Callable[[], None]) -> None:
        self._on_played = on_played
        self._row: Codec = codec("PCMU")
        self._ptime = 20
        self._encoder: Encoder | None = None
        self._decoders: dict[str, Decoder] = {}
        self._clips: deque[str] = deque()
        self._repeats: tuple[str, ...] = ()
        self._frames: Sequence[bytes] | None = None
        self._next = 0
        self._echo: EchoSource | None = None
        self._mix: Mix | None = None
        self._recorded: deque[tuple[float, bytes]] | None = None

    # -- for the leg

    def source(self, codec_name: str, ptime: int) -> FrameSource:
        """The source for what was agreed."""
        row = codec(codec_name)
        if (row, ptime) != (self._row, self._ptime):
            self._row, self._ptime, self._frames, self._encoder = row, ptime, None, None
        return self

    def next_frame(self) -> bytes | None:
        """See FrameSource."""
        if self._echo is not None:
            return self._echo.next_frame()
        if self._mix is not None:
            return self._encode(self._mix.frame_for(self, 2 * self._row.frame_samples(self._ptime)))
        while self._frames is None or self._next >= len(self._frames):
            if not self._begin():
                return self._encode(bytes(2 * self._row.frame_samples(self._ptime)))
        frame = self._frames[self._next]
        self._next += 1
        return frame

    def heard(self, frames: Sequence[PlayedFrame], codecs: Mapping[int, str]) -> None:
        """What came of the far end, in the order of play-out."""
        for frame in frames:
            if frame.payload is None:
                continue
            if self._echo is not None:
                self._echo.push(frame.payload)
            if self._mix is None and self._recorded is None:
                continue
            pcm = self._decode(frame.payload, codecs.get(frame.payload_type))
            if pcm is None:
                continue
            if self._mix is not None:
                self._mix.said(self, pcm)
            if self._recorded is not None:
                self._recorded.append((frame.play_time, pcm))

    # -- what it is told, on the media thread

    def play(self, clips: Sequence[str], *, repeat: bool = False) -> None:
        """Play these (names of `load_clip`) in order, instead of anything else; nothing: silence."""
        self._stop()
        self._clips.extend(clips)
        self._repeats = tuple(clips) if repeat else ()

    def echo(self) -> None:
        """Send back what comes."""
        self._stop()
        self._echo = EchoSource()

    def join(self, mix: Mix) -> None:
        """Be a participant of that conference."""
        self._stop()
        self._mix = mix
        mix.join(self)

    def record(self, frames: deque[tuple[float, bytes]]) -> None:
        """From now on put there what comes: (when it is played, PCM at RATE), for whoever writes it."""
        self._recorded = frames

    def stop_recording(self) -> None:
        """Keep no more."""
        self._recorded = None

    def close(self) -> None:
        """Leave everything."""
        self._stop()
        self._recorded = None

    # -- inside

    def _stop(self) -> None:
        self._clips.clear()
        self._repeats, self._frames, self._echo = (), None, None
        if self._mix is not None:
            self._mix.leave(self)
            self._mix = None

    def _begin(self) -> bool:
        """Go on with the next clip; False: nothing is left to play."""
        if not self._clips and self._frames is not None:
            self._frames = None
            if not self._repeats:
                self._on_played()
            self._clips.extend(self._repeats)
        if not self._clips:
            return False
        clip = load_clip(self._clips.popleft(), self._row.sample_rate)
        self._frames, self._next = clip_frames(clip, self._row.name, self._ptime), 0
        return True

    def _encode(self, pcm: bytes) -> bytes:
        if self._encoder is None:
            self._encoder = self._row.encoder(self._ptime)
        return self._encoder.encode(pcm)

    def _decode(self, payload: bytes, name: str | None) -> bytes | None:
        if name is None:
            return None
        try:
            row = codec(name)
            if row.sample_rate != RATE:
                return None
            decoder = self._decoders.get(name)
            if decoder is None:
                decoder = self._decoders[name] = row.decoder()
            return decoder.decode(payload)
        except (CodecError, KeyError):
            return None


class Dictation:
    """Writes what a program keeps into a mono WAV, a hole as silence. Errors are kept in `error`."""

    def __init__(self, path: Path, frames: deque[tuple[float, bytes]]) -> None:
        self.error: str | None = None
        self._frames = frames
        self._began: float | None = None
        self._written = 0  # samples
        self._writer: WavWriter | None = None
        try:
            self._writer = WavWriter(path, RATE, channels=1)
        except AudioFileError as error:
            self.error = str(error)

    @property
    def seconds(self) -> float:
        """Length so far."""
        return self._written / RATE

    def work(self) -> None:
        """Write what has come."""
        while self._frames:
            at, pcm = self._frames.popleft()
            if self._began is None:
                self._began = at
            hole = round((at - self._began) * RATE) - self._written
            if hole > RATE // 10:
                self._put(bytes(2 * min(hole, int(_MOST_HOLE_S * RATE))))
            self._put(pcm)

    def close(self) -> None:
        """The file is complete afterwards."""
        self.work()
        if self._writer is not None:
            try:
                self._writer.close()
            except AudioFileError as error:
                self.error = str(error)

    def _put(self, pcm: bytes) -> None:
        if self._writer is None:
            return
        self._written += len(pcm) // 2
        try:
            self._writer.write(pcm)
        except AudioFileError as error:
            self.error = str(error)
