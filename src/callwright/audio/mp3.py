"""MP3, which programs ask for that play recordings: encoded by LAME, as FFmpeg in PyAV has it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from callwright.audio.wav import AudioFileError, Wav

__all__ = ["MEDIA_TYPE", "Mp3Writer", "encode_mp3", "seconds_of"]

MEDIA_TYPE = "audio/mpeg"
_BITS = 32_000  # a second; speech of a telephone loses nothing by it
_STEREO_BITS = 48_000  # a second, for both channels


def encode_mp3(wav: Wav) -> bytes:
    """Mono, at the rate of the WAV; the same octets each time. Slow: 10 ms or more for each minute."""
    import av
    import numpy as np

    written = io.BytesIO()
    with av.open(written, "w", format="mp3") as out:
        stream = out.add_stream("mp3", rate=wav.sample_rate)
        stream.bit_rate = _BITS
        stream.layout = "mono"
        samples = np.frombuffer(wav.pcm, "<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = wav.sample_rate
        blocks = av.AudioResampler("s16p", "mono", wav.sample_rate, 1152)
        for block in (*blocks.resample(frame), *blocks.resample(None)):
            out.mux(stream.encode(block))
        out.mux(stream.encode(None))
    return written.getvalue()


def seconds_of(path: Path) -> float:
    """How long a file is; 0 for one that cannot be read."""
    import av
    import av.error

    try:
        with av.open(str(path)) as file:
            return float(file.duration or 0) / av.time_base
    except (OSError, av.error.FFmpegError):
        return 0.0


class Mp3Writer:
    """A stereo file that grows: 16-bit PCM in, left and right apart. What was written is playable, though
    this process be killed.

    Raises AudioFileError, with a sentence, where the file cannot be made or FFmpeg was built without LAME.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        import av
        import av.error

        self._path, self._rate, self._failed = path, sample_rate, av.error.FFmpegError
        self._av, self._samples = av, 0
        try:
            self._file: Any = av.open(str(path), "w", format="mp3")
            self._stream: Any = self._file.add_stream("libmp3lame", rate=sample_rate, layout="stereo")
        except (OSError, self._failed) as error:
            raise AudioFileError(f"{path}: {error}") from error
        except ValueError as error:  # av.codec.codec.UnknownCodecError
            raise AudioFileError("this build of PyAV has no libmp3lame: recordings need it") from error
        self._stream.bit_rate = _STEREO_BITS

    @property
    def seconds(self) -> float:
        """Written so far."""
        return self._samples / self._rate

    def write(self, left: bytes, right: bytes) -> None:
        """s16le of both channels, as many samples each."""
        count = len(left) // 2
        if not count:
            return
        frame: Any = self._av.AudioFrame("s16p", "stereo", count)
        frame.sample_rate, frame.pts = self._rate, self._samples
        for plane, pcm in zip(frame.planes, (left, right), strict=True):
            plane.update(pcm.ljust(plane.buffer_size, b"\0"))
        self._samples += count
        self._put(frame)

    def close(self) -> None:
        """The file is complete afterwards."""
        self._put(None)
        try:
            self._file.close()
        except (OSError, self._failed) as error:
            raise AudioFileError(f"{self._path}: {error}") from error

    def _put(self, frame: Any) -> None:
        try:
            self._file.mux(self._stream.encode(frame))
        except (OSError, self._failed) as error:
            raise AudioFileError(f"{self._path}: {error}") from error
