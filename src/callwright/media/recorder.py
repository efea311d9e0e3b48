"""Listens to a call while it goes on: what can be heard in it, and a stereo WAV of both directions.

The media thread puts frames in, which costs it an append; whoever owns the call takes them out now and then
(`work`), so that little is left to do when the call ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from callwright.audio import g711
from callwright.audio.activity import Activity, Sound, tables_of
from callwright.audio.codecs import Codec, CodecError, Decoder, codec
from callwright.audio.concealment import Concealer
from callwright.audio.level import dbfs
from callwright.audio.resample import Resampler
from callwright.audio.wav import AudioFileError, WavWriter
from callwright.net.media_choice import code_sums, frame_sums
from callwright.rtp.session import PlayedFrame, SentFrame

if TYPE_CHECKING:
    from callwright.audio.dtmf import DtmfDetector

_MAX_GAP_S = 60.0  # silence written for one hole; a longer one is cut to this
_MAX_SKEW_S = 1.0  # RTP time against our own clock, from where we believe our own clock
_SUM_CODES = code_sums()
_SUM_FRAMES = frame_sums()
_LAWS = {"PCMU": g711.ulaw, "PCMA": g711.alaw}


class _Track:
    """One direction on the common time axis: PCM by position, holes filled with silence."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pcm = bytearray()
        self._start = 0  # position, in samples, of the first that is still held

    @property
    def end(self) -> int:
        return self._start + len(self._pcm) // 2

    def put(self, at: float, pcm: bytes) -> None:
        """`pcm` at `at` seconds. What overlaps the end by a rounding error is joined to it."""
        hole = int(at * self._rate) - self.end
        if hole > self._rate // 500:
            self._pcm += bytes(2 * min(hole, int(_MAX_GAP_S * self._rate)))
        self._pcm += pcm

    def take(self, until: int) -> bytes:
        size = 2 * max(0, until - self._start)
        taken = bytes(self._pcm[:size])
        del self._pcm[:size]
        self._start += len(taken) // 2
        return taken


class _Decoding:
    """Payloads of one direction to PCM at the recording's rate, losses concealed as our play-out does."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._decoders: dict[str, tuple[Codec, Decoder]] = {}
        self._concealers: dict[int, Concealer] = {}
        self._resamplers: dict[int, Resampler] = {}
        self._last_rate = rate

    @property
    def rate(self) -> int:
        """That of what was decoded last."""
        return self._last_rate

    def decode(self, name: str, payload: bytes) -> tuple[bytes, int]:
        """(PCM, its rate). Raises CodecError or KeyError."""
        if name not in self._decoders:
            row = codec(name)
            self._decoders[name] = (row, row.decoder())
        row, decoder = self._decoders[name]
        self._last_rate = row.sample_rate
        return decoder.decode(payload), row.sample_rate

    def received(self, pcm: bytes, rate: int) -> bytes:
        self._last_rate = rate
        return self._at_rate(self._concealer(rate).received(pcm), rate)

    def lost(self, milliseconds: float) -> bytes:
        rate = self._last_rate
        return self._at_rate(self._concealer(rate).lost(int(milliseconds)), rate)

    def _concealer(self, rate: int) -> Concealer:
        if rate not in self._concealers:
            self._concealers[rate] = Concealer(rate)
        return self._concealers[rate]

    def _at_rate(self, pcm: bytes, rate: int) -> bytes:
        if rate == self._rate:
            return pcm
        if rate not in self._resamplers:
            self._resamplers[rate] = Resampler(rate, self._rate)
        return self._resamplers[rate].feed(pcm)


class Recorder:
    """Errors of the disk are kept in `error` and never end the call.

    `path` None: nothing is written, the audio is only listened to. `codec_name` is what is sent. `detect`:
    DTMF tones are listened for.
    """

    def __init__(self, path: Path | None, sample_rate: int, codec_name: str, *, detect: bool = False) -> None:
        self.path = path
        self.sample_rate = sample_rate
        self.codec_name = codec_name
        self.error: str | None = None
        self.levels: dict[int, float] = {}  # second since the start of the stream -> loudest frame, dBFS
        self.unreadable = 0  # payloads that their codec could not decode
        self._detect = detect
        self._detectors: dict[int, DtmfDetector] = {}  # by sample rate
        self._digits = ""
        self._activity = Activity(sample_rate)
        self._own_activity = Activity(sample_rate)
        self._writer: WavWriter | None = None
        self._sent: deque[tuple[float, str, bytes]] = deque()
        self._received: deque[tuple[float, str, bytes | None, float]] = deque()
        self._left, self._right = _Track(sample_rate), _Track(sample_rate)
        self._decode_sent, self._decode_received = _Decoding(sample_rate), _Decoding(sample_rate)
        self._offset: float | None = None
        self._laws_of: dict[int, str] = {}
        self._known_laws: dict[int, tuple[bytes, bytes, int, int] | None] = {}
        if path is not None:
            try:
                self._writer = WavWriter(path, sample_rate)
            except AudioFileError as error:
                self.error = str(error)

    @property
    def writing(self) -> bool:
        return self._writer is not None

    @property
    def waiting(self) -> bool:
        """There is something for `work` to do."""
        return bool(self._received or self._sent)

    @property
    def duration_s(self) -> float:
        return self._writer.frames / self.sample_rate if self._writer else 0.0

    @property
    def digits(self) -> str | None:
        """The DTMF digits in the audio itself that came; None where nobody listened for them."""
        return self._digits if self._detect else None

    def sound(self) -> Sound:
        """What was heard of the far end."""
        return self._activity.sound()

    def own_sound(self) -> Sound:
        """What we sent, of a call that is recorded."""
        return self._own_activity.sound()

    # -- on the media thread

    def sent(self, frame: SentFrame, codec_name: str) -> None:
        self._sent.append((frame.media_time, codec_name, frame.payload))

    def received(self, frame: PlayedFrame, codec_name: str, ptime: float, started: float) -> None:
        at = frame.play_time - started
        if self._offset is None or abs(self._offset + frame.media_time - at) > _MAX_SKEW_S:
            self._offset = at - frame.media_time
        missing = ptime * frame.lost if frame.payload is None else 0.0
        self._received.append((self._offset + frame.media_time, codec_name, frame.payload, missing))

    def heard(
        self, frames: list[PlayedFrame], codecs: Mapping[int, str], ptime: float, started: float
    ) -> None:
        """`received` for each frame, by the codec of its payload type.

        Where nothing is written and the native room is there, G.711 is listened to at once: that takes less
        than to put it aside.
        """
        if self._writer is not None or _SUM_FRAMES is None or self._detect:
            for frame in frames:
                name = codecs.get(frame.payload_type)
                if name is not None:
                    self.received(frame, name, ptime, started)
            return
        self._offset, sums, levels, others = _SUM_FRAMES(
            frames, self._laws(codecs), started, self._offset, _MAX_SKEW_S, self._activity.threshold
        )
        self._activity.add_sums(*sums)
        for second, mean in levels:
            self._note_level(second, dbfs(mean, 1))
        for at, frame in others:
            self._received.append((at, codecs[frame.payload_type], frame.payload, 0.0))

    def _laws(self, codecs: Mapping[int, str]) -> dict[int, tuple[bytes, bytes, int, int] | None]:
        if self._laws_of != codecs:
            self._laws_of = dict(codecs)
            self._known_laws = {
                number: tables_of(_LAWS[name]()) if name in _LAWS else None for number, name in codecs.items()
            }
        return self._known_laws

    # -- by the owner of the call

    def work(self, limit: int = 500) -> None:
        """Listen to, decode and write what has come: at most `limit` frames of each direction."""
        for _ in range(min(limit, len(self._received))):
            self._take_received(*self._received.popleft())
        if self._writer is None:
            self._sent.clear()
            return
        for _ in range(min(limit, len(self._sent))):
            at, name, payload = self._sent.popleft()
            try:
                pcm, rate = self._decode_sent.decode(name, payload)
            except (CodecError, KeyError):
                continue
            if name in _LAWS:
                self._own_activity.add_payload(payload, _LAWS[name](), _SUM_CODES)
            else:
                self._own_activity.add_pcm(pcm)
            self._left.put(max(0.0, at), self._decode_sent.received(pcm, rate))
        self._write(min(self._left.end, self._right.end))

    def _take_received(self, at: float, name: str, payload: bytes | None, missing: float) -> None:
        decoding = self._decode_received
        if payload is None:
            self._listen(bytes(2 * int(decoding.rate * min(missing, 1000.0) / 1000)), decoding.rate)
            if self._writer is not None:
                self._right.put(max(0.0, at), decoding.lost(min(missing, 1000 * _MAX_GAP_S)))
            return
        law = _LAWS.get(name)
        pcm, rate = b"", 8000
        if law is None or self._writer is not None or self._detect:
            try:
                pcm, rate = decoding.decode(name, payload)
            except (CodecError, KeyError):
                self.unreadable += 1
                return
        self._listen(pcm, rate)
        if law is not None:
            level = self._activity.add_payload(payload, law(), _SUM_CODES)
        else:
            level = self._activity.add_pcm(pcm)
        self._note_level(int(at), level)
        if self._writer is not None:
            self._right.put(max(0.0, at), decoding.received(pcm, rate))

    def _listen(self, pcm: bytes, rate: int) -> None:
        if not self._detect:
            return
        from callwright.audio.dtmf import DtmfDetector  # brings numpy, which most calls do without

        if rate not in self._detectors:
            self._detectors[rate] = DtmfDetector(rate)
        self._digits += self._detectors[rate].feed(pcm)

    def _note_level(self, second: int, level: float) -> None:
        if level > self.levels.get(second, float("-inf")):
            self.levels[second] = level

    def _write(self, until: int) -> None:
        if self._writer is None:
            return
        try:
            self._writer.write(self._left.take(until), self._right.take(until))
        except AudioFileError as error:
            self.error = str(error)

    def close(self) -> None:
        """Write the rest; the file is complete afterwards."""
        while self._sent or self._received:
            self.work()
        if self._writer is None:
            return
        self._write(max(self._left.end, self._right.end))
        try:
            self._writer.close()
        except AudioFileError as error:
            self.error = str(error)
