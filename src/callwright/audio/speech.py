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

PROMPTS: dict[str, Text] = {
    "absent": Text(
        "The person you are calling is not here. Please speak after the tone.",
        "DH AX P ER1 S AX N Y UW AX R K AO1 L IX NG IX Z N AA1 T HH IY1 R . "
        "P L IY1 Z S P IY1 K AE1 F T ER DH AX T OW1 N .",
    ),
    "empty": Text("You have no messages.", "Y UW HH AE1 V N OW1 M EH1 S IX JH IX Z ."),
    "end": Text("No more messages. Goodbye.", "N OW1 M AO1 R M EH1 S IX JH IX Z . G UH D B AY1 ."),
    "again": Text("Please try again.", "P L IY1 Z T R AY1 AX G EH1 N ."),
    "number": Text("Please enter the number.", "P L IY1 Z EH1 N T ER DH AX N AH1 M B ER ."),
    "recorded": Text("This call is recorded.", "DH IX S K AO1 L IX Z R IX K AO1 R D IX D ."),
    "goodbye": Text("Goodbye.", "G UH D B AY1 ."),
}
"""What the PBX says, by name; in the voice of the woman, at 8 kHz."""


@lru_cache(maxsize=16)
def prompt(name: str) -> Wav:
    """A prompt of the PBX, at 8 kHz. `KeyError` names them all."""
    if name not in PROMPTS:
        raise KeyError(f"no prompt {name!r}; there are {', '.join(PROMPTS)}")
    return read_wav(FOLDER / f"prompt_{name}.wav")


@lru_cache(maxsize=8)
def speech(voice: str = "woman", sample_rate: int = 16000) -> Wav:
    """The packaged clip of a voice, at `sample_rate` if that is 8000 or 16000, else at 16000.

    `KeyError` names the voices.
    """
    if voice not in TEXTS:
        raise KeyError(f"no voice {voice!r}; there are {', '.join(TEXTS)}")
    return read_wav(FOLDER / f"{voice}_{sample_rate if sample_rate in RATES else 16000}.wav")
