"""From a scenario of SIPp to a test document: the calls that its messages make, in the words of a phone.

A document says what is to happen, and the phone words the messages: so what a scenario says of each header is
not kept, but for headers of its own. What is kept nowhere is told in `notes`; what a phone cannot be told is
refused by name and line, and is what `callwright load --sipp` is for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from callwright.sipp.message import Received, received
from callwright.sipp.scenario import Label, Nop, Pause, Recv, Scenario, Send, Spread, Step, Timewait
from callwright.sipp.template import Keyword

__all__ = ["CannotTranslate", "Translation", "translate"]

_OURS = {
    *("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m", "max-forwards"),
    *("content-type", "c", "content-length", "l", "allow", "supported", "k", "user-agent", "expires"),
    *("authorization", "proxy-authorization", "route"),
}
_CODECS = {"0": "PCMU", "8": "PCMA", "9": "G722"}
_NAMED = {"pcmu": "PCMU", "pcma": "PCMA", "g722": "G722", "opus": "opus"}
_MARK = "\ufffd"
"""Stands for a keyword in a text that is read."""


class CannotTranslate(ValueError):
    """What no document says. `problems`: sentences with their lines."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(slots=True)
class Translation:
    """``document``: as YAML has it. ``notes``: what was left out or is to be filled in."""

    document: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def translate(scenario: Scenario, name: str, target: str = "") -> Translation:
    """``target``: host or host:port that is called, "": whoever runs it says. Raises CannotTranslate."""
    return _Translator(scenario, target).whole(name)


class _Translator:
    def __init__(self, scenario: Scenario, target: str) -> None:
        self._scenario, self._target = scenario, target
        self._problems: list[str] = []
        self._notes: dict[str, None] = {}
        self._steps = [step for step in scenario.steps if self._counts(step)]
        self._at = 0

    def whole(self, name: str) -> Translation:
        found: list[list[dict[str, Any]]] = []
        while self._at < len(self._steps) and len(self._problems) < 20:
            step = self._steps[self._at]
            before = self._at
            action = self._answered() if self._scenario.answers else self._placed()
            if action is not None:
                found.append([action])
            if self._at == before:
                self._problem(step, f"{_words(step)} begins nothing that a document has")
                self._at += 1
        if not found and not self._problems:
            self._problems.append("line 1: There is no call in it.")
        if self._problems:
            raise CannotTranslate(self._problems)
        document: dict[str, Any] = {
            "name": name,
            "title": self._scenario.name or name,
            "tags": ["sipp"],
            "steps": found,
        }
        return Translation(document, list(self._notes))

    # -- what is looked at

    def _counts(self, step: Step) -> bool:
        """Refuses what a document cannot say, and leaves out what it need not."""
        if step.turn.to or step.turn.chance < 1.0:
            self._problem(step, "next, test and chance lead elsewhere, and a document has no jumps")
        if step.only_if or step.unless:
            self._problem(step, "condexec asks for a variable, and a document has none")
        for action in step.actions:
            if action.name in ("log", "warning"):
                self._note(f"line {action.line}: what is logged is left out: the report has every message")
            elif action.name == "exec" and "int_cmd" not in action.attributes:
                self._note(f"line {action.line}: the audio is the phone's own (play), not that of a capture")
            else:
                self._problems.append(f"line {action.line}: {action.name} is not in a document.")
        if isinstance(step, Recv) and step.pattern is not None:
            self._problem(step, "regexp_match awaits a pattern, and a document one answer")
        if isinstance(step, Label | Timewait):
            return False
        if isinstance(step, Nop):
            return False
        return not (isinstance(step, Recv) and step.optional)

    def _problem(self, step: Step, sentence: str) -> None:
        self._problems.append(f"line {step.line}: {sentence}.")

    def _note(self, sentence: str) -> None:
        self._notes[sentence] = None

    def _peek(self) -> Step | None:
        return self._steps[self._at] if self._at < len(self._steps) else None

    def _sends(self, *methods: str) -> Send | None:
        step = self._peek()
        return step if isinstance(step, Send) and (step.method or str(step.status)) in methods else None

    def _take_send(self, *methods: str) -> Send | None:
        step = self._sends(*methods)
        self._at += step is not None
        return step

    def _take_recv(self, pattern: str) -> Recv | None:
        step = self._peek()
        if isinstance(step, Recv) and re.fullmatch(pattern, step.words):
            self._at += 1
            return step
        return None

    def _pauses(self) -> float:
        """The pauses that come now, in seconds; what is spread counts by its middle."""
        total = 0.0
        while isinstance(step := self._peek(), Pause):
            self._at += 1
            if step.variable:
                self._problem(step, "a pause as long as a variable says")
            elif step.a is None:
                self._note(f"line {step.line}: the pause has no length; max_duration says it")
                total += 10.0
            elif step.spread is Spread.UNIFORM:
                total += (step.a + step.b) / 2
            else:
                total += step.a
        return total

    # -- the side that calls

    def _placed(self) -> dict[str, Any] | None:
        pause = self._pauses()
        if pause:
            return {"wait": _seconds(pause)}
        first = self._peek()
        if not isinstance(first, Send):
            return None
        if first.method == "INVITE":
            return self._called()
        if first.method not in ("REGISTER", "OPTIONS", "MESSAGE"):
            return None
        self._at += 1
        while self._take_recv("401|407") and self._take_send(first.method):
            self._note(f"line {first.line}: credentials are those of the party: --set NAME=user:password")
        final = self._take_recv("[2-6][0-9][0-9]")
        if final is None:
            self._problem(first, f"{first.method} awaits no answer")
            return None
        action = self._single(first)
        if final.words[0] != "2":
            next(iter(action.values()))["expect"] = f"code = {final.words}"
        return action

    def _single(self, first: Send) -> dict[str, Any]:
        message = _read(first)
        headers = self._headers(first, message)
        if first.method == "REGISTER":
            said: dict[str, Any] = {}
            expires = message.first("expires") if message else ""
            if expires.isdigit() and int(expires) > 0:
                said["regexpire"] = int(expires)
            return {"register": said | headers}
        told = {"destination": self._destination(first, message)}
        if first.method == "OPTIONS":
            return {"options": told | headers}
        kind = message.first("content-type") if message else ""
        text = message.body.strip().replace(_MARK, "") if message else ""
        return {"message": told | {"text": text or "-", "type": kind or "text/plain"} | headers}

    def _called(self) -> dict[str, Any] | None:
        invite = self._take_send("INVITE")
        assert invite is not None
        while self._take_recv("401|407"):
            self._take_send("ACK")
            if self._take_send("INVITE") is None:
                break
            self._note(f"line {invite.line}: credentials are those of the party: --set NAME=user:password")
        message = _read(invite)
        said: dict[str, Any] = {"dial_destination": self._destination(invite, message)}
        caller = _user(message.first("from")) if message else ""
        if caller and _MARK not in caller:
            said["caller_id"] = caller
        if message is not None and message.body:
            codecs = _codecs(message.body)
            if codecs:
                said["codecs"] = codecs
        else:
            self._note(f"line {invite.line}: the INVITE has no SDP; the phone's has")
        said |= self._headers(invite, message)
        ringing = self._take_recv("1[0-9][0-9]")
        pause = self._pauses()
        if self._take_send("CANCEL") is not None:
            self._take_recv("200")
            self._take_recv("487")
            self._take_send("ACK")
            return {"call": said | {"cancel_after": _seconds(pause), "expect": "code = 487"}}
        while ringing is not None and self._take_recv("1[0-9][0-9]"):
            pass
        final = self._take_recv("[2-6][0-9][0-9]")
        if final is None or self._take_send("ACK") is None:
            self._problem(invite, "the INVITE is not answered and acknowledged as a phone does it")
            return None
        if final.words[0] != "2":
            return {"call": said | {"expect": f"code = {final.words}"}}
        said["max_duration"] = _seconds(max(self._pauses(), 0.1))
        said |= self._unheard()
        if self._take_send("BYE") is not None:
            self._take_recv("200")
        elif self._take_recv("BYE") is not None:
            self._take_send("200")
            said["max_duration"] = "86400 s"
        else:
            self._problem(invite, "the call is not ended by a BYE")
            return None
        return {"call": said}

    # -- the side that answers

    def _answered(self) -> dict[str, Any] | None:
        first = self._peek()
        if not isinstance(first, Recv):
            return None
        if first.request != "INVITE":
            return None
        self._at += 1
        said: dict[str, Any] = {}
        ring = self._pauses()
        while (step := self._sends("100", "180", "183")) is not None:
            self._at += 1
            ring += self._pauses()
            if step.status == 183:
                said["early_media"] = True
        if ring:
            said["ring"] = _seconds(ring)
        final = self._peek()
        if not isinstance(final, Send) or final.status < 200:
            self._problem(first, "the INVITE is not answered")
            return None
        self._at += 1
        message = _read(final)
        said |= self._headers(final, message)
        self._take_recv("ACK")
        said["max_total_calls"] = 1
        if final.status >= 300:
            return {"accept": said | {"reject": final.status}}
        if message is not None and _codecs(message.body):
            said["codecs"] = _codecs(message.body)
        said |= self._unheard()
        pause = self._pauses()
        if self._take_recv("BYE") is not None:
            self._take_send("200")
        elif self._take_send("BYE") is not None:
            self._take_recv("200")
            said["hangup_after"] = _seconds(max(pause, 0.1))
        return {"accept": said}

    def _unheard(self) -> dict[str, Any]:
        self._note("media is no: a scenario of SIPp asks for no audio. Leave it out where there is some")
        return {"media": False}

    # -- what messages say

    def _destination(self, step: Send, message: Received | None) -> str:
        user, host = _user(f"<{message.target}>") if message else "", ""
        if message is not None:
            host = message.target.partition(":")[2].rpartition("@")[2]
        if _MARK in user or not user:
            user = "service"
            self._note(f"line {step.line}: the number to dial is not said: set dial_destination")
        if self._target:
            return f"sip:{user}@{self._target}"
        if host and _MARK not in host:
            return f"sip:{user}@{host}"
        return user

    def _headers(self, step: Send, message: Received | None) -> dict[str, Any]:
        found: dict[str, str] = {}
        for name, value in message.fields if message else ():
            if name.lower() in _OURS:
                continue
            if _MARK in value:
                self._note(f"line {step.line}: the header {name} has keywords, and is left out")
            else:
                found[name] = value
        return {"headers": found} if found else {}


def _read(step: Send) -> Received | None:
    """Its message, with a mark for each keyword."""

    def fill(keyword: Keyword) -> str | None:
        return None if keyword.name in ("routes", "authentication") else _MARK

    text = step.template.fill(fill)
    end = "\r\n" if step.template.body_at >= 0 else "\r\n\r\n"
    return received((text + end).encode())


def _user(value: str) -> str:
    address = value.partition("<")[2].partition(">")[0] if "<" in value else value.partition(";")[0]
    rest = address.partition(":")[2]
    return rest.rpartition("@")[0].partition(";")[0] if "@" in rest else ""


def _codecs(body: str) -> list[str]:
    named = {
        match.group(1): _NAMED.get(match.group(2).lower(), "")
        for match in re.finditer(r"(?m)^a=rtpmap:(\d+) ([\w-]+)/", body)
    }
    line = next((line for line in body.splitlines() if line.startswith("m=audio ")), "")
    found = [named.get(word, _CODECS.get(word, "")) for word in line.split(" ")[3:]]
    return list(dict.fromkeys(codec for codec in found if codec))


def _seconds(value: float) -> str:
    return f"{value:g} s"


def _words(step: Step) -> str:
    return f"<{type(step).__name__.lower()}> of {step.words}" if isinstance(step, Send | Recv) else step.words
