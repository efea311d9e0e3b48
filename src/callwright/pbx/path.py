"""The way of media through a bridged call, as the B2BUA sees it: descriptions in, descriptions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Protocol

from callwright.pbx.record import Relayed
from callwright.pbx.tape import Tape
from callwright.sip.transport import Hop

__all__ = ["DirectPath", "DirectPaths", "LegSide", "MediaPath", "MediaPaths", "NoMediaPath"]


class LegSide(IntEnum):
    """Whose leg of a bridged call."""

    CALLER = 0
    CALLEE = 1

    @property
    def other(self) -> LegSide:
        return LegSide.CALLEE if self is LegSide.CALLER else LegSide.CALLER


class NoMediaPath(Exception):
    """No ports are left for another call; `reason` is a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MediaPath(Protocol):
    """The media of one bridged call."""

    def carry(self, body: bytes, speaker: LegSide, *, speaker_host: str, listener_local: str) -> bytes:
        """The description of `speaker` as the other side shall get it.

        `speaker_host` is the numeric address that the speaker signals from, `listener_local` our own address
        towards the other side. It counts from `settle()` on (the first one of a side at once). Raises
        SdpError for what cannot be read, NoMediaPath without free ports.
        """
        ...

    def listen(self, told: Callable[[LegSide, str, float], None]) -> None:
        """`told(side, key, now)` of each key that a side presses (RFC 4733), where it passes here in plain
        RTP."""
        ...

    def record(self, tape: Tape | None) -> bool:
        """What passes goes on the tape too, None: no longer; False: nothing passes here."""
        ...

    def admit(self, callees: Sequence[Hop]) -> None:
        """Others are called too: media of the callee's side may come from their hosts."""
        ...

    def settle(self, now: float) -> None:
        """Offer and answer have met: what was carried last counts."""
        ...

    def answered(self, now: float) -> None:
        """The call is up: audio is due from now on, where the descriptions promise it."""
        ...

    def pause(self, now: float) -> None:
        """Neither side sends here until offer and answer meet again: somebody hears music."""
        ...

    def revert(self) -> None:
        """The offer was refused: what counted before goes on to count."""
        ...

    def silent_since(self) -> float | None:
        """Since when (monotonic seconds) neither side sent anything, though it ought to; None: no matter."""
        ...

    def close(self, now: float, ended_by: LegSide | None = None) -> Relayed | None:
        """The call is over, `ended_by` one of the sides or by us; what has gone through, None where nothing
        does."""
        ...


class MediaPaths(Protocol):
    """Makes the path of each call."""

    def open(self, caller: Hop, callees: Sequence[Hop], now: float, *, direct: bool = False) -> MediaPath:
        """Between who signals over these hops; `direct`: one of them wants it so. Raises NoMediaPath."""
        ...


class DirectPath:
    """Media goes from phone to phone: nothing of a description is needed here, so it is passed on octet for
    octet, whatever is in it."""

    def carry(self, body: bytes, speaker: LegSide, *, speaker_host: str, listener_local: str) -> bytes:
        """See MediaPath."""
        return body

    def listen(self, told: Callable[[LegSide, str, float], None]) -> None:
        """Media does not pass here."""

    def record(self, tape: Tape | None) -> bool:
        """Nothing passes here."""
        return False

    def admit(self, callees: Sequence[Hop]) -> None:
        """Media does not pass here."""

    def settle(self, now: float) -> None:
        """Nothing changes here."""

    def answered(self, now: float) -> None:
        """Nothing is heard here."""

    def pause(self, now: float) -> None:
        """Nothing is heard here."""

    def revert(self) -> None:
        """Nothing changed here."""

    def silent_since(self) -> float | None:
        """Nobody here can know."""
        return None

    def close(self, now: float, ended_by: LegSide | None = None) -> Relayed | None:
        """Nothing to close."""
        return None


class DirectPaths:
    """Direct media for every call."""

    def open(self, caller: Hop, callees: Sequence[Hop], now: float, *, direct: bool = False) -> MediaPath:
        """See MediaPaths."""
        return DirectPath()
