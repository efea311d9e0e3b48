"""The outline of a WAV file for a page: the loudest sample of each slice of time."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

SLICES_PER_SECOND = 25
MOST_SLICES = 1200


@dataclass(frozen=True, slots=True)
class Waveform:
    """`peaks` has one tuple of values from 0 to 1 for each channel."""

    seconds: float
    peaks: tuple[tuple[float, ...], ...]


def read_waveform(path: Path) -> Waveform | None:
    """The outline of 16-bit PCM; None for a file that is absent, empty, of another kind, or no WAV at all."""
    import numpy as np

    try:
        with wave.open(str(path), "rb") as source:
            channels, width, rate = source.getnchannels(), source.getsampwidth(), source.getframerate()
            data = source.readframes(source.getnframes())
    except (OSError, EOFError, wave.Error):
        return None
    if width != 2 or rate <= 0 or not channels:
        return None
    frames = len(data) // (2 * channels)
    if not frames:
        return None
    samples = np.frombuffer(data, "<i2", frames * channels).reshape(frames, channels).astype(np.float32)
    seconds = frames / rate
    slices = int(min(max(seconds * SLICES_PER_SECOND, 1), MOST_SLICES, frames))
    starts = np.linspace(0, frames, slices, endpoint=False).astype(int)
    peaks = np.maximum.reduceat(np.abs(samples), starts, axis=0) / 32768.0
    return Waveform(seconds, tuple(tuple(round(float(v), 3) for v in peaks[:, n]) for n in range(channels)))
