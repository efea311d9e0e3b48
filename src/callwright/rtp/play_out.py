"""The primary buffer's packets in play-out order, gaps told, for a decoder or recorder."""

from __future__ import annotations

from typing import NamedTuple

_MAX_PENDING = 1024
_MAX_UNDRAINED = 6000  # two minutes at 20 ms


class PlayedFrame(NamedTuple):
    """A frame of the far end in play-out order; payload None: `lost` frames are missing here."""

    media_time: float  # seconds since the first packet of the stream
    payload: bytes | None
    payload_type: int
    lost: int
    play_time: float  # monotonic seconds


_Entry = tuple[
    float, float, bytes | None, int
]  # play time, media time, payload (None: no audio), payload type


class PlayOut:
    """Holds packets until their play-out time and gives them out in order of sequence number.

    A number that has not come when its successor is due is a gap; packets that carry no audio are passed
    over.
    """

    __slots__ = ("_begun", "_frame", "_next", "_pending", "_played", "_position", "_type", "undrained")

    def __init__(self) -> None:
        self._pending: dict[int, _Entry] = {}
        self._played: list[PlayedFrame] = []
        self._next: int | None = None
        self._begun = False  # something of this run was played
        self._position = 0.0  # media time of the last frame played
        self._frame = 0.02
        self._type = 0
        self.undrained = 0  # frames dropped since nobody fetched them

    def push(
        self, number: int, play_time: float, media_time: float, payload: bytes | None, payload_type: int
    ) -> None:
        if self._next is None:
            self._next = number
        elif number < self._next:
            # Before the first packet, or after its place was given up.
            if self._begun:
                return
            self._next = number
        if len(self._pending) < _MAX_PENDING:
            self._pending[number] = (play_time, media_time, payload, payload_type)

    def begin(self) -> None:
        """Another run of sequence numbers follows: what is pending is played."""
        self._advance(None)
        self._next = None
        self._begun = False

    def play(self, now: float) -> None:
        """Let everything that is due by `now` become available."""
        if self._pending:
            self._advance(now)

    def finish(self) -> None:
        self._advance(None)

    def next_due(self) -> float | None:
        """When something becomes due; None when nothing is held."""
        if not self._pending:
            return None
        return self._pending[min(self._pending)][0]

    def _advance(self, now: float | None) -> None:
        pending = self._pending
        while pending and self._next is not None:
            number = self._next if self._next in pending else min(pending)
            play_time, media_time, payload, payload_type = pending[number]
            if now is not None and play_time > now:
                return
            missing = number - self._next
            del pending[number]
            self._next = number + 1
            self._begun = True
            if missing > 0:
                self._add(PlayedFrame(self._position + self._frame, None, self._type, missing, play_time))
            if payload is None:
                continue
            step = media_time - self._position
            if missing == 0 and 0.0 < step <= 0.2:
                self._frame = step
            self._position = media_time
            self._type = payload_type
            self._add(PlayedFrame(media_time, payload, payload_type, 0, play_time))

    def _add(self, frame: PlayedFrame) -> None:
        if len(self._played) >= _MAX_UNDRAINED:
            self.undrained += len(self._played)
            self._played.clear()
        self._played.append(frame)

    def drain(self) -> list[PlayedFrame]:
        played, self._played = self._played, []
        return played
