"""A small formant synthesiser in the manner of Klatt (1980): it made the speech that comes with Callwright.

Glottal pulses and noise go through a cascade of resonators at the formants; a branch of its own makes
the noise of fricatives and bursts. Targets for each sound are smoothed into tracks, which gives the
transitions by which consonants are recognised. It needs numpy for the tracks and is run by
`tools/make_speech.py`, never in a call.

Sounds are written in ARPABET, a stressed vowel with a 1 behind it, `,` and `.` for a short and a long pause.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

RATE = 16000
_FRAME = 32  # samples for which the filters stay as they are: 2 ms


@dataclass(frozen=True, slots=True)
class Voice:
    """Whose voice it is."""

    pitch: float
    """Hz, in the middle of a phrase."""
    formants: float
    """Factor on the formants of a man's vocal tract."""
    open_quotient: float
    """Share of a period in which the glottis is open."""
    tilt: float
    """0 to 1: how much the upper harmonics are damped."""
    breath: float
    """Noise mixed into the voice."""
    tempo: float = 1.0
    """Factor on all durations."""


MAN = Voice(pitch=112, formants=1.0, open_quotient=0.55, tilt=0.1, breath=0.03)
WOMAN = Voice(pitch=196, formants=1.16, open_quotient=0.65, tilt=0.2, breath=0.05)


class _Noise(NamedTuple):
    """Two bands of frication, each (centre Hz, bandwidth Hz, gain), and what passes unfiltered."""

    first: tuple[float, float, float]
    second: tuple[float, float, float]
    flat: float = 0.0


class _Sound(NamedTuple):
    ms: float
    f: tuple[float, float, float]
    voice: float = 0.0
    breath: float = 0.0
    noise: _Noise | None = None
    nasal: float = 0.0
    to: tuple[float, float, float] | None = None
    """Where a diphthong goes."""


_VOWELS: dict[str, tuple[float, tuple[float, float, float], tuple[float, float, float] | None]] = {
    "IY": (130, (300, 2100, 2950), None),
    "IH": (90, (400, 1820, 2570), None),
    "EY": (150, (490, 1780, 2520), (330, 2120, 2700)),
    "EH": (105, (540, 1720, 2500), None),
    "AE": (140, (640, 1680, 2430), None),
    "AA": (140, (710, 1180, 2550), None),
    "AO": (140, (590, 920, 2500), None),
    "AH": (95, (620, 1220, 2550), None),
    "OW": (150, (540, 1080, 2350), (400, 820, 2300)),
    "UH": (90, (450, 1080, 2350), None),
    "UW": (130, (320, 1000, 2250), None),
    "ER": (130, (480, 1280, 1620), None),
    "AY": (170, (700, 1200, 2520), (380, 1950, 2550)),
    "AW": (170, (690, 1280, 2520), (430, 920, 2350)),
    "OY": (180, (560, 880, 2400), (380, 1900, 2500)),
    "AX": (55, (520, 1320, 2480), None),
    "IX": (55, (430, 1650, 2500), None),
}

_S = _Noise((4300, 900, 0.5), (6300, 1500, 1.0))
_SH = _Noise((2700, 700, 1.6), (4700, 1500, 0.9))
_F = _Noise((1400, 1800, 0.1), (4500, 5000, 0.12))
_TH = _Noise((1500, 1500, 0.05), (5500, 4000, 0.14), 0.01)
_P = _Noise((700, 700, 0.5), (1800, 1500, 0.2), 0.05)
_T = _Noise((3900, 1000, 0.9), (5600, 1800, 0.7))
_K = _Noise((2000, 400, 1.1), (3900, 1200, 0.25))

_LABIAL, _ALVEOLAR, _VELAR = (300, 950, 2150), (300, 1720, 2650), (300, 1900, 2500)

_CONSONANTS: dict[str, tuple[_Sound, ...]] = {
    "W": (_Sound(65, (300, 640, 2150), 0.6),),
    "Y": (_Sound(60, (270, 2150, 3000), 0.6),),
    "R": (_Sound(65, (330, 1080, 1420), 0.65),),
    "L": (_Sound(65, (340, 1050, 2850), 0.6),),
    "M": (_Sound(70, (300, 1000, 2150), 0.55, nasal=1),),
    "N": (_Sound(65, (300, 1650, 2600), 0.55, nasal=1),),
    "NG": (_Sound(75, (300, 1950, 2700), 0.55, nasal=1),),
    "HH": (_Sound(65, (500, 1500, 2500), 0.0, 0.25),),
    "F": (_Sound(95, (330, 1000, 2100), noise=_F),),
    "V": (_Sound(60, (270, 1050, 2100), 0.4, noise=_F),),
    "TH": (_Sound(90, (330, 1350, 2550), noise=_TH),),
    "DH": (_Sound(45, (290, 1350, 2550), 0.45, noise=_TH),),
    "S": (_Sound(105, (330, 1450, 2550), noise=_S),),
    "Z": (_Sound(75, (270, 1450, 2550), 0.35, noise=_S),),
    "SH": (_Sound(110, (320, 1800, 2700), noise=_SH),),
    "B": (_Sound(55, _LABIAL, 0.12), _Sound(8, _LABIAL, 0.3, noise=_P)),
    "D": (_Sound(50, _ALVEOLAR, 0.12), _Sound(10, _ALVEOLAR, 0.3, noise=_T)),
    "G": (_Sound(55, _VELAR, 0.12), _Sound(14, _VELAR, 0.3, noise=_K)),
    "P": (_Sound(70, _LABIAL), _Sound(10, _LABIAL, noise=_P), _Sound(35, _LABIAL, 0.0, 0.35)),
    "T": (_Sound(60, _ALVEOLAR), _Sound(10, _ALVEOLAR, noise=_T), _Sound(30, _ALVEOLAR, 0.0, 0.3)),
    "K": (_Sound(65, _VELAR), _Sound(18, _VELAR, noise=_K), _Sound(38, _VELAR, 0.0, 0.3)),
    "DX": (_Sound(28, _ALVEOLAR, 0.25),),
    "CH": (_Sound(55, _ALVEOLAR), _Sound(80, (320, 1800, 2700), noise=_SH)),
    "JH": (_Sound(50, _ALVEOLAR, 0.12), _Sound(55, (290, 1800, 2700), 0.3, noise=_SH)),
    ",": (_Sound(260, (500, 1500, 2500)),),
    ".": (_Sound(520, (500, 1500, 2500)),),
}

_GAIN = {"noise": 1.6, "breath": 1.4}


class _Piece(NamedTuple):
    sound: _Sound
    ms: float
    accent: bool
    pause: bool
    phrase: int


def _pieces(text: str, tempo: float) -> list[_Piece]:
    """The sounds in order, with their durations; the last vowel of a phrase and what follows are longer."""
    words = text.split()
    longer = set()
    for end, word in enumerate(words):
        if word in (",", "."):
            start = end - 1
            while start > 0 and words[start].rstrip("1") not in _VOWELS:
                start -= 1
            longer |= set(range(start, end))
    pieces = []
    phrase = 0
    for place, word in enumerate(words):
        name = word.rstrip("1")
        stretch = tempo * (1.35 if place in longer else 1.0)
        if name in _VOWELS:
            ms, formants, to = _VOWELS[name]
            stressed = word.endswith("1")
            sound = _Sound(ms, formants, 1.0 if stressed else 0.75, to=to)
            pieces.append(_Piece(sound, ms * stretch * (1.1 if stressed else 0.8), stressed, False, phrase))
        elif name in _CONSONANTS:
            pause = name in (",", ".")
            for sound in _CONSONANTS[name]:
                ms = sound.ms * (1.0 if pause else stretch if sound.ms > 30 else tempo)
                pieces.append(_Piece(sound, ms, False, pause, phrase))
            phrase += pause
        else:
            raise ValueError(f"{word!r} is no sound")
    return pieces


def _hann(np: Any, track: Any, ms: float) -> Any:
    """Smoothed over `ms`, the ends held."""
    size = max(3, round(ms * RATE / 1000 / _FRAME) | 1)
    window = np.hanning(size + 2)[1:-1]
    padded = np.pad(track, size // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


@dataclass(slots=True)
class _Tracks:
    """One value for each frame."""

    f: list[list[float]]
    voice: list[float]
    breath: list[float]
    noise: list[float]
    nasal: list[float]
    pitch: list[float]
    kind: list[_Noise]


def _tracks(pieces: list[_Piece], voice: Voice) -> _Tracks:
    import numpy as np

    counts = [max(1, round(piece.ms * RATE / 1000 / _FRAME)) for piece in pieces]
    total = sum(counts)
    f = np.zeros((3, total))
    plain = {key: np.zeros(total) for key in ("voice", "breath", "noise", "nasal")}
    kind: list[_Noise] = []
    accent = np.zeros(total)
    pitch = np.zeros(total)
    at = 0
    for place, (piece, count) in enumerate(zip(pieces, counts, strict=True)):
        sound = piece.sound
        span = slice(at, at + count)
        target = sound.f
        if sound.breath and not sound.noise and place + 1 < len(pieces) and sound.ms > 60:
            target = pieces[place + 1].sound.f  # h is the next vowel, whispered
        for n in range(3):
            end = (sound.to or target)[n]
            f[n, span] = np.interp(np.arange(count), [count * 0.25, count * 0.85], [target[n], end])
        plain["voice"][span], plain["breath"][span] = sound.voice, sound.breath
        plain["noise"][span], plain["nasal"][span] = float(sound.noise is not None), sound.nasal
        kind += [sound.noise or (kind[-1] if kind else _S)] * count
        if piece.accent:
            middle, width = at + count * 0.4, 0.09 * RATE / _FRAME
            accent += np.exp(-(((np.arange(total) - middle) / width) ** 2))
        at += count
    edges = np.cumsum([0, *counts])
    for phrase in range(pieces[-1].phrase + 1):
        own = [n for n, piece in enumerate(pieces) if piece.phrase == phrase]
        first, last = edges[own[0]], edges[own[-1] + 1]
        spoken = edges[own[-1]] if pieces[own[-1]].pause else last
        along = np.clip((np.arange(first, last) - first) / max(1, spoken - first), 0, 1)
        pitch[first:last] = 1.1 - 0.2 * along - 0.14 * np.clip((along - 0.85) / 0.15, 0, 1)
    pitch = _hann(np, pitch, 60) * (1 + 0.16 * np.minimum(accent, 1.2)) * voice.pitch
    wander = np.arange(total) * _FRAME / RATE
    pitch *= 1 + 0.006 * np.sin(2 * np.pi * 3.1 * wander) + 0.004 * np.sin(2 * np.pi * 7.3 * wander + 1)
    formants = [(_hann(np, f[n], (50, 70, 70)[n]) * voice.formants).tolist() for n in range(3)]
    return _Tracks(
        f=formants,
        voice=_hann(np, plain["voice"], 18).tolist(),
        breath=_hann(np, plain["breath"], 14).tolist(),
        noise=_hann(np, plain["noise"], 10).tolist(),
        nasal=_hann(np, plain["nasal"], 24).tolist(),
        pitch=pitch.tolist(),
        kind=kind,
    )


def _random() -> Iterator[float]:
    """Noise that is the same on every machine."""
    state = 20261
    while True:
        total = 0
        for _ in range(3):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            total += state >> 8
        yield total / 0x7FFFFF / 1.5 - 1.0


class _Resonator:
    """Two poles; gain 1 at 0 Hz, or, as `band`, 1 at its centre."""

    __slots__ = ("a", "b", "band", "c", "x1", "x2", "y1", "y2")

    def __init__(self, *, band: bool = False) -> None:
        self.a = self.b = self.c = self.y1 = self.y2 = self.x1 = self.x2 = 0.0
        self.band = band

    def tune(self, frequency: float, bandwidth: float) -> None:
        r = math.exp(-math.pi * bandwidth / RATE)
        self.b = 2 * r * math.cos(2 * math.pi * min(frequency, 0.48 * RATE) / RATE)
        self.c = -r * r
        self.a = (1 - r * r) / 2 if self.band else 1 - self.b - self.c

    def __call__(self, x: float) -> float:
        y = self.a * (x - self.x2 if self.band else x) + self.b * self.y1 + self.c * self.y2
        self.x2, self.x1, self.y2, self.y1 = self.x1, x, self.y1, y
        return y


class _Antiresonator(_Resonator):
    """Two zeros, gain 1 at 0 Hz: undoes a resonator of the same tuning."""

    __slots__ = ()

    def __call__(self, x: float) -> float:
        y = (x - self.b * self.x1 - self.c * self.x2) / self.a
        self.x2, self.x1 = self.x1, x
        return y


class _Glottis:
    """Flow derivative of the KLGLOTT88 pulse, its upper harmonics damped by one pole."""

    def __init__(self, voice: Voice) -> None:
        self._oq, self._tilt = voice.open_quotient, voice.tilt
        self._phase = self._smooth = 0.0
        self.open = False

    def __call__(self, pitch: float) -> float:
        self._phase += pitch / RATE
        if self._phase >= 1:
            self._phase -= 1
        t = self._phase / self._oq
        self.open = t < 1
        # u = t² − t³ rises slowly and closes at once: u' = 2t − 3t²
        self._smooth += (1 - self._tilt) * ((2 * t - 3 * t * t if t < 1 else 0.0) - self._smooth)
        return self._smooth


def render(text: str, voice: Voice) -> list[float]:
    """The samples of `text` at 16 kHz, at no level in particular. `ValueError` names what is no sound."""
    tracks = _tracks(_pieces(text, voice.tempo), voice)
    glottis, noise = _Glottis(voice), _random()
    scale = voice.formants
    formants = [_Resonator() for _ in range(6)]
    for resonator, (f, b) in zip(formants[3:], ((3350, 220), (3900, 300), (5200, 600)), strict=True):
        resonator.tune(f * scale, b)
    pole, zero = _Resonator(), _Antiresonator()
    pole.tune(280 * scale, 90)
    bands = (_Resonator(band=True), _Resonator(band=True))
    out: list[float] = []
    for frame in range(len(tracks.voice)):
        f1, f2, f3 = (tracks.f[n][frame] for n in range(3))
        formants[0].tune(f1, 60 + 50 * tracks.nasal[frame] + 120 * tracks.breath[frame])
        formants[1].tune(f2, 90)
        formants[2].tune(f3, 140)
        zero.tune((280 + 220 * tracks.nasal[frame]) * scale, 90)
        kind = tracks.kind[frame]
        bands[0].tune(*kind.first[:2])
        bands[1].tune(*kind.second[:2])
        voicing, pitch = tracks.voice[frame], tracks.pitch[frame]
        breath = _GAIN["breath"] * tracks.breath[frame]
        hiss = _GAIN["noise"] * tracks.noise[frame]
        for _ in range(_FRAME):
            white = next(noise)
            source = voicing * glottis(pitch)
            aspiration = (breath + voicing * voice.breath) * white * (1.0 if glottis.open else 0.5)
            sample = zero(pole(source + aspiration))
            for resonator in formants:
                sample = resonator(sample)
            rough = hiss * white * (1.0 if glottis.open or voicing < 0.1 else 0.5)
            sample += kind.first[2] * bands[0](rough) + kind.second[2] * bands[1](rough) + kind.flat * rough
            out.append(sample)
    return out


def to_pcm(samples: list[float], level_dbfs: float) -> bytes:
    """s16le with the active part (what is within 30 dB of the loudest 20 ms) at `level_dbfs`."""
    size = RATE // 50
    powers = [sum(x * x for x in samples[n : n + size]) / size for n in range(0, len(samples), size)]
    active = [power for power in powers if power > max(powers) / 1000]
    gain = 32768 * 10 ** (level_dbfs / 20) / math.sqrt(sum(active) / len(active))
    return array("h", [max(-32767, min(32767, round(gain * x))) for x in samples]).tobytes()
