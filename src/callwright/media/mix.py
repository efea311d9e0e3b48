"""A conference: everybody hears the sum of all others. Pure; on the media thread that all of them share."""

from __future__ import annotations

from collections import deque

import numpy as np

__all__ = ["Mix"]

_MOST_WAITING = 5  # frames of one speaker for one listener: what comes faster is dropped from the old end


class Mix:
    """Frames of s16le at one rate and length; a seat for each participant, by any hashable key.

    `frame_for` takes one frame of every other participant that has spoken since, and adds them up, clipped at
    full scale; silence where nobody speaks.
    """

    def __init__(self) -> None:
        self._seats: dict[object, dict[object, deque[bytes]]] = {}  # listener -> speaker -> frames

    def __len__(self) -> int:
        return len(self._seats)

    def join(self, who: object) -> None:
        """A participant more, who hears what is said from now on."""
        self._seats[who] = {}

    def leave(self, who: object) -> None:
        """One less; nothing of theirs is heard any more."""
        self._seats.pop(who, None)
        for heard in self._seats.values():
            heard.pop(who, None)

    def said(self, who: object, pcm: bytes) -> None:
        """A frame of one participant."""
        if who not in self._seats:
            return
        for listener, heard in self._seats.items():
            if listener is not who:
                waiting = heard.get(who)
                if waiting is None:
                    waiting = heard[who] = deque(maxlen=_MOST_WAITING)
                waiting.append(pcm)

    def frame_for(self, who: object, octets: int) -> bytes:
        """What that participant hears in the next frame of `octets`."""
        frames = [waiting.popleft() for waiting in self._seats.get(who, {}).values() if waiting]
        frames = [frame for frame in frames if len(frame) == octets]
        if not frames:
            return bytes(octets)
        if len(frames) == 1:
            return frames[0]
        total = np.sum([np.frombuffer(frame, "<i2") for frame in frames], axis=0, dtype=np.int32)
        mixed: bytes = np.clip(total, -32768, 32767).astype("<i2").tobytes()
        return mixed
