"""Renders the speech that comes with Callwright: `python tools/make_speech.py` writes the packaged WAVs.

Everything in them is made by `callwright.audio.synthesis`; no recording and no other voice went in.
"""

from __future__ import annotations

from pathlib import Path

from callwright.audio.resample import resample
from callwright.audio.speech import FOLDER, PROMPTS, TEXTS
from callwright.audio.synthesis import MAN, RATE, WOMAN, render, to_pcm
from callwright.audio.wav import WavWriter

LEVEL_DBFS = -20.0


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, voice in (("woman", WOMAN), ("man", MAN)):
        pcm = to_pcm(render(TEXTS[name].sounds, voice), LEVEL_DBFS)
        for rate in (RATE, 8000):
            target = FOLDER / f"{name}_{rate}.wav"
            with WavWriter(target, rate, channels=1) as file:
                file.write(resample(pcm, RATE, rate))
            print(f"{target.relative_to(Path.cwd())}: {len(pcm) / 2 / RATE:.2f} s")
    for name, text in PROMPTS.items():
        pcm = to_pcm(render(text.sounds, WOMAN), LEVEL_DBFS)
        target = FOLDER / f"prompt_{name}.wav"
        with WavWriter(target, 8000, channels=1) as file:
            file.write(resample(pcm, RATE, 8000))
        print(f"{target.relative_to(Path.cwd())}: {len(pcm) / 2 / RATE:.2f} s")


if __name__ == "__main__":
    main()
