"""Voicemail: leaving a message, and hearing those that were left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from callwright.pbx.booth import Booth
from callwright.pbx.menu import Farewell, Quiet
from callwright.pbx.messages import Mailboxes, VoiceMessage
from callwright.sip.legible import legible

__all__ = ["LeaveMessage", "ListenMessages"]

_LONGEST = 180.0  # seconds of a message
_SHORTEST = 1.0  # below it nobody has spoken


class LeaveMessage(Quiet):
    """A prompt, a beep, and what the party says then; `#` or hanging up ends it. `changed(user, now)`."""

    def __init__(
        self,
        user: str,
        box: str,
        mailboxes: Mailboxes,
        changed: Callable[[str, float], None],
        greeting: tuple[str, ...] = (),
    ) -> None:
        self._user, self._box, self._mailboxes, self._changed = user, box, mailboxes, changed
        self._greeting = greeting or ("say:absent",)
        self._recording = False

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        if self._mailboxes.full(self._box):
            booth.become(Farewell("say:goodbye"), now)
        else:
            booth.play(*self._greeting, "beep")

    def played(self, booth: Booth, now: float) -> None:
        """See Act."""
        if booth.stage is None or self._recording:
            return
        try:
            path = self._mailboxes.path(self._box, booth.record.id)
        except OSError:
            booth.become(Farewell("say:goodbye"), now)
            return
        self._recording = True
        booth.stage.record(path)
        booth.after(_LONGEST, lambda at: booth.become(Farewell("say:goodbye"), at), now)

    def digit(self, booth: Booth, digit: str, now: float) -> None:
        """See Act."""
        if digit == "#" and self._recording:
            booth.become(Farewell("say:goodbye"), now)

    def left(self, booth: Booth, now: float) -> None:
        """See Act."""
        if not self._recording or booth.stage is None:
            return
        self._recording = False
        seconds = booth.stage.stop_recording()
        record = booth.record
        if seconds < _SHORTEST:
            self._mailboxes.delete(self._box, record.id)
            return
        left_at = record.wall(now) or record.began
        caller = legible(record.caller or record.caller_number)
        try:
            took = round(seconds, 3)
            self._mailboxes.keep(VoiceMessage(record.id, self._user, caller, left_at, took, box=self._box))
        except OSError:
            return  # the audio is there; whoever looks after the disk finds it
        self._changed(self._user, now)


class ListenMessages(Quiet):
    """Plays the messages of a user, new ones first: 1 again, 7 delete, # next."""

    def __init__(
        self, user: str, box: str, mailboxes: Mailboxes, changed: Callable[[str, float], None]
    ) -> None:
        self._user, self._box, self._mailboxes, self._changed = user, box, mailboxes, changed
        self._waiting: deque[VoiceMessage] = deque()
        self._present: VoiceMessage | None = None

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        self._waiting.extend(self._mailboxes.messages(self._box))
        if self._waiting:
            self._next(booth, now)
        else:
            booth.become(Farewell("say:empty"), now)

    def played(self, booth: Booth, now: float) -> None:
        """See Act."""
        self._note_heard(now)
        self._next(booth, now)

    def digit(self, booth: Booth, digit: str, now: float) -> None:
        """See Act."""
        if digit == "1":
            self._play(booth)
        elif digit == "7" and self._present is not None:
            self._mailboxes.delete(self._box, self._present.id)
            self._present = None
            self._changed(self._user, now)
            self._next(booth, now)
        elif digit == "#":
            self._note_heard(now)
            self._next(booth, now)

    def _next(self, booth: Booth, now: float) -> None:
        if not self._waiting:
            booth.become(Farewell("say:end"), now)
            return
        self._present = self._waiting.popleft()
        self._play(booth)

    def _play(self, booth: Booth) -> None:
        if self._present is not None:
            booth.play(str(self._mailboxes.path(self._box, self._present.id)), "beep")

    def _note_heard(self, now: float) -> None:
        message = self._present
        if message is not None and not message.heard:
            self._mailboxes.keep(replace(message, heard=True))
            self._present = replace(message, heard=True)
            self._changed(self._user, now)
