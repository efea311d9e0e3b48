"""MP3, which programs ask for that play recordings: encoded by LAME, as FFmpeg in PyAV has it."""

from __future__ import annotations

import io

from callwright.audio.wav import Wav

__all__ = ["MEDIA_TYPE", "encode_mp3"]

MEDIA_TYPE = "audio/mpeg"
_BITS = 32_000  # a second; speech of a telephone loses nothing by it


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
