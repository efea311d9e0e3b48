"""Menus, and the services that are simple: an echo, a conference."""

from __future__ import annotations

from collections.abc import Callable

from callwright.pbx.booth import Booth
from callwright.pbx.plan import ConferenceRoom, Menu
from callwright.sip.timers import Alarm

__all__ = ["ConferenceAct", "EchoAct", "Elsewhere", "Farewell", "MenuAct", "Quiet"]

_BETWEEN = 3.0  # seconds between two digits of a number
_LONGEST = 32  # digits


class Quiet:
    """An act that hears nothing; others are made of it."""

    answers = True

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""

    def digit(self, booth: Booth, digit: str, now: float) -> None:
        """See Act."""

    def played(self, booth: Booth, now: float) -> None:
        """See Act."""

    def unreached(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.hang_up(now)

    def reached(self, booth: Booth, now: float) -> None:
        """See Act."""

    def left(self, booth: Booth, now: float) -> None:
        """See Act."""


class Farewell(Quiet):
    """Play something, and hang up."""

    def __init__(self, *clips: str) -> None:
        self._clips = clips

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.play(*self._clips)

    def played(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.hang_up(now)


class Elsewhere(Quiet):
    """Send the party on; when nobody answers there, that is the end."""

    def __init__(self, number: str) -> None:
        self._number = number

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.send_on(self._number, now)


class EchoAct(Quiet):
    """A beep, then the party hears itself."""

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.play("beep")

    def played(self, booth: Booth, now: float) -> None:
        """See Act."""
        if booth.stage is not None:
            booth.stage.echo()


class MenuAct(Quiet):
    """`known(number)`: whether a whole number may be dialled, where the menu permits that."""

    def __init__(self, menu: Menu, known: Callable[[str], bool]) -> None:
        self._menu, self._known = menu, known
        self._rounds = 0
        self._digits = ""
        self._alarm: Alarm | None = None

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        self._round(booth, now)

    def played(self, booth: Booth, now: float) -> None:
        """See Act."""
        self._wait(booth, self._menu.seconds, now)

    def digit(self, booth: Booth, digit: str, now: float) -> None:
        """See Act."""
        keys = dict(self._menu.keys)
        if not self._menu.direct:
            self._chosen(booth, keys.get(digit), now)
            return
        self._digits = (self._digits + digit)[:_LONGEST]
        if not any(len(key) and self._digits == key for key in keys) and self._known(self._digits):
            self._chosen(booth, self._digits, now)
            return
        booth.play()
        self._wait(booth, _BETWEEN, now)

    def unreached(self, booth: Booth, now: float) -> None:
        """See Act."""
        self._again(booth, now)

    def left(self, booth: Booth, now: float) -> None:
        """See Act."""
        self._stop()

    def _round(self, booth: Booth, now: float, *before: str) -> None:
        self._rounds += 1
        self._digits = ""
        self._stop()
        if self._rounds <= self._menu.tries:
            booth.play(*before, *self._menu.prompts)
        elif self._menu.otherwise:
            booth.become(Elsewhere(self._menu.otherwise), now)
        else:
            booth.become(Farewell("say:goodbye"), now)

    def _again(self, booth: Booth, now: float) -> None:
        self._round(booth, now, "say:again")

    def _chosen(self, booth: Booth, number: str | None, now: float) -> None:
        self._stop()
        if number is None:
            self._again(booth, now)
        else:
            booth.send_on(number, now)

    def _wait(self, booth: Booth, seconds: float, now: float) -> None:
        self._stop()

        def over(at: float) -> None:
            if self._digits:
                self._chosen(booth, dict(self._menu.keys).get(self._digits), at)
            else:
                self._again(booth, at)

        self._alarm = booth.after(seconds, over, now)

    def _stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


class ConferenceAct(Quiet):
    """`present` holds who is in which room."""

    def __init__(self, room: ConferenceRoom, present: dict[str, set[Booth]]) -> None:
        self._room, self._present = room, present
        self._digits = ""
        self._tries = 0

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        if self._room.pin:
            booth.play("say:number")
        else:
            self._enter(booth, now)

    def digit(self, booth: Booth, digit: str, now: float) -> None:
        """See Act."""
        if not self._room.pin or booth in self._present.get(self._room.number, ()):
            return
        if digit != "#":
            self._digits = (self._digits + digit)[:_LONGEST]
        if digit == "#" or len(self._digits) >= len(self._room.pin):
            right, self._digits = self._digits == self._room.pin, ""
            if right:
                self._enter(booth, now)
                return
            self._tries += 1
            if self._tries >= 3:
                booth.become(Farewell("say:goodbye"), now)
            else:
                booth.play("say:again")

    def left(self, booth: Booth, now: float) -> None:
        """See Act."""
        there = self._present.get(self._room.number)
        if there is not None:
            there.discard(booth)
            if not there:
                del self._present[self._room.number]

    def _enter(self, booth: Booth, now: float) -> None:
        there = self._present.setdefault(self._room.number, set())
        if len(there) >= self._room.most:
            booth.become(Farewell("say:goodbye"), now)
        elif booth.stage is not None:
            there.add(booth)
            booth.stage.join(self._room.number)
