"""Another sample rate for PCM, by FFmpeg's windowed-sinc resampler."""

from __future__ import annotations

from typing import Any


class Resampler:
    """Resamples a stream of s16le mono from one rate to another, keeping its filter between the pieces."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self.source_rate, self.target_rate = source_rate, target_rate
        self._resampler: Any = None
        self._pts = 0
        if source_rate != target_rate:
            import av

            self._av = av
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=target_rate)

    def feed(self, pcm: bytes) -> bytes:
        """What is ready of `pcm`; some milliseconds stay in the filter."""
        if self._resampler is None or not pcm:
            return pcm
        frame: Any = self._av.AudioFrame("s16", "mono", len(pcm) // 2)
        frame.sample_rate, frame.pts = self.source_rate, self._pts
        frame.planes[0].update(pcm)
        self._pts += len(pcm) // 2
        return self._joined(self._resampler.resample(frame))

    def finish(self) -> bytes:
        """What was left in the filter. Nothing can be fed after it."""
        if self._resampler is None or not self._pts:
            return b""
        return self._joined(self._resampler.resample(None))

    @staticmethod
    def _joined(frames: list[Any]) -> bytes:
        return b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in frames)


def resample(pcm: bytes, source_rate: int, target_rate: int) -> bytes:
    """A whole clip of s16le mono at another rate, to the sample as long as before."""
    if source_rate == target_rate:
        return pcm
    resampler = Resampler(source_rate, target_rate)
    size = 2 * round(len(pcm) // 2 * target_rate / source_rate)
    return (resampler.feed(pcm) + resampler.finish())[:size].ljust(size, b"\0")
