"""The audio of a call that the PBX serves itself, as its machines see it: descriptions and wishes in, digits
and the end of clips out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from callwright.pbx.path import NoMediaPath
from callwright.sip.transport import Hop

__all__ = ["Digit", "Heard", "NoStages", "Played", "Stage", "Stages"]


@dataclass(frozen=True, slots=True)
class Digit:
    """A key was pressed: 0 to 9, *, #, A to D."""

    digit: str


@dataclass(frozen=True, slots=True)
class Played:
    """All that was to be played has been."""


Heard = Digit | Played


class Stage(Protocol):
    """One party's audio. What reads a description raises ValueError, with a sentence, where nothing comes of
    it."""

    @property
    def theirs(self) -> bytes:
        """The last description of the party."""
        ...

    def answer(self, offer: bytes) -> bytes:
        """Our answer to an offer, the first or a further one; audio flows by it from now on."""
        ...

    def offer(self) -> bytes:
        """An offer of ours."""
        ...

    def conclude(self, answer: bytes) -> None:
        """The party's answer to it: audio flows from now on."""
        ...

    def play(self, *clips: str, repeat: bool = False) -> None:
        """Play clips in order, in place of all else; names of built-in ones, or WAV files. None: silence."""
        ...

    def echo(self) -> None:
        """Send back what comes."""
        ...

    def join(self, room: str) -> None:
        """Hear everybody in that room, and be heard."""
        ...

    def record(self, path: Path) -> None:
        """Write what comes into a WAV."""
        ...

    def stop_recording(self) -> float:
        """The file is complete; its length in seconds, 0 where nothing was recorded."""
        ...

    def close(self) -> None:
        """Nothing is sent any more."""
        ...


class Stages(Protocol):
    """Where stages come from."""

    def open(self, hop: Hop, hear: Callable[[Heard, float], None]) -> Stage:
        """For a party that signals over `hop`; `hear(what, now)` is told what it does. Raises NoMediaPath."""
        ...


class NoStages:
    """A PBX without audio of its own."""

    def open(self, hop: Hop, hear: Callable[[Heard, float], None]) -> Stage:
        """See Stages."""
        raise NoMediaPath("this PBX has no audio of its own")
