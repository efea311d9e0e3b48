"""The speech that `--play speech` sends: two voices made by the project itself, for which nobody can
ask a licence.

The WAVs beside this file were rendered once by `tools/make_speech.py`, at 16 kHz and at 8 kHz, so that
a plain call needs no resampler.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from callwright.audio.wav import Wav, read_wav

FOLDER = Path(__file__).parent / "speech"
RATES = (8000, 16000)


class Text(NamedTuple):
    """What a voice says."""

    words: str
    sounds: str
    """The same in ARPABET, for the synthesiser."""


TEXTS: dict[str, Text] = {
    "woman": Text(
        "Hello. This is Callwright speaking. The line is open, and I hear you well. "
        "One, two, three, four, five.",
        "HH AX L OW1 . "
        "DH IH S IX Z K AO1 L R AY1 T S P IY1 K IX NG . "
        "DH AX L AY1 N IX Z OW1 P AX N , AX N D AY1 HH IY1 R Y UW W EH1 L . "
        "W AH1 N , T UW1 , TH R IY1 , F AO1 R , F AY1 V .",
    ),
    "man": Text(
        "Hello. I am calling you, and the line is open. Can you hear me now? "
        "Six, seven, eight, nine, ten. See you soon.",
        "HH AX L OW1 . "
        "AY AE M K AO1 L IX NG Y UW1 , AX N D DH AX L AY1 N IX Z OW1 P AX N . "
        "K AE1 N Y UW HH IY1 R M IY N AW1 . "
        "S IH1 K S , S EH1 V AX N , EY1 T , N AY1 N , T EH1 N . "
        "S IY1 Y UW S UW1 N .",
    ),
}
"""By the name of the voice."""


@lru_cache(maxsize=8)
def speech(voice: str = "woman", sample_rate: int = 16000) -> Wav:
    """The packaged clip of a voice, at `sample_rate` if that is 8000 or 16000, else at 16000.

    `KeyError` names the voices.
    """
    if voice not in TEXTS:
        raise KeyError(f"no voice {voice!r}; there are {', '.join(TEXTS)}")
    return read_wav(FOLDER / f"{voice}_{sample_rate if sample_rate in RATES else 16000}.wav")
