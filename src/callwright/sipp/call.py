"""One call of a scenario: the step where it stands, its variables, and what it has said and heard."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from callwright.sip.transport import Address, Hop
from callwright.sipp.closing import ack_of, bye_as_callee, bye_as_caller, cancel_of, response_to
from callwright.sipp.counting import Counts, Durations
from callwright.sipp.message import Received, received
from callwright.sipp.scenario import Action, Label, Nop, Pause, Recv, Send, Spread, Step, Timewait
from callwright.sipp.template import Template
from callwright.sipp.variables import CallFails, Variables, act
from callwright.sipp.words import Chance, Facts, Setting, Words, challenges_of

__all__ = ["Call", "CallHost", "Said"]

_T2 = 4.0
_MOST_INVITES, _MOST_OTHERS = 5, 7  # times that a message is repeated, as in SIPp
_MOST_KEPT = 64  # messages that are known when they come once more
_MOST_SAID = 100
_MOST_STEPS = 10_000  # in one go: a scenario that jumps in a circle without waiting
_OK_ANYWAY = ("INFO", "NOTIFY", "OPTIONS", "UPDATE", "MESSAGE")


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a call. `at`: seconds from its begin."""

    at: float
    sent: bool
    text: str


class CallHost(Chance, Protocol):
    """What a call stands on."""

    setting: Setting
    counts: Counts
    shared: dict[str, str]

    def transmit(self, data: bytes, hop: Hop) -> None: ...

    def wake_at(self, call: Call, moment: float) -> None: ...

    def refused(self, text: str) -> str:
        """Why this message may not leave; "": it may."""
        ...

    def play(self, call: Call, action: Action, now: float) -> str:
        """Begin to send audio; "" or why not."""
        ...

    def log(self, call: Call, line: str, *, warning: bool) -> None: ...

    def stop(self, now: float, *, gently: bool) -> None: ...

    def ended(self, call: Call, now: float) -> None: ...


class Call:
    """`outcome` "": it goes on; "succeeded", "canceled", or what went wrong, with `sentence` about it."""

    def __init__(self, host: CallHost, number: int, call_id: str, hop: Hop, now: float) -> None:
        self.began = now
        self.outcome = self.sentence = ""
        self.said: list[Said] = []
        self.whole = True
        self.peer_media: Address | None = None
        self._host, self._setting, self._steps = host, host.setting, host.setting.scenario.steps
        self._variables = Variables(host.shared, host.setting.scenario.shared)
        self.facts = Facts(number, call_id, hop, host.token(), self._variables)
        self._words = Words(host.setting, self.facts, host)
        self._methods: set[str] = set()
        self._watches: dict[str, float] = {}
        self._wait_until = self._repeat_at = math.inf
        self._waited_from = now
        self._repeated: tuple[bytes, float, int, int, bool] | None = None
        self._known: OrderedDict[bytes, bytes] = OrderedDict()  # what came, and what was said to it
        self._last: bytes = b""
        self._invite: Received | None = None  # ours, or theirs
        self._answer: Received | None = None  # theirs, or ours
        self._acknowledged = self._closed = False

    @property
    def over(self) -> bool:
        return bool(self.outcome)

    # -- the verbs

    def begin(self, now: float) -> None:
        self._go(now)

    def wake(self, now: float) -> None:
        """The time of something has come, or nearly."""
        if now >= self._repeat_at:
            self._repeat(now)
        if not self.over and now >= self._wait_until:
            self._waited(now)
        self._arm()

    def receive(self, data: bytes, message: Received, hop: Hop, now: float) -> None:
        """A message of this call, while it lasts and for a while after."""
        if data in self._known:
            self._host.counts.repeated += 1
            again = self._known[data]
            if again:
                self._host.counts.resent += 1
                self._host.transmit(again, self.facts.hop)
            return
        self._keep(data.decode("utf-8", "surrogateescape"), False, now)
        if self.over:
            self._after_the_end(message, now)
            return
        if hop.remote != self.facts.hop.remote and self._setting.remote is None:
            self.facts.hop = hop  # the side that calls may come from another port after a while
        found = self._awaited(message)
        if found is None:
            self._unexpected(message, now)
        else:
            self._take(data, message, found, now)
        self._arm()

    def abort(self, outcome: str, sentence: str, now: float) -> None:
        """End it now, and the call with the peer."""
        if not self.over:
            self._close(now)
            self._end(outcome, sentence, now)

    def failed_to_send(self, reason: str, now: float) -> None:
        self.abort("not sent", reason, now)

    # -- steps

    def _go(self, now: float) -> None:
        """Do steps until one waits."""
        for _ in range(_MOST_STEPS):
            if self.over:
                return
            if self.facts.index >= len(self._steps):
                self._end("succeeded", "", now)
                return
            step = self._steps[self.facts.index]
            skipped = (step.only_if and step.only_if not in self._variables) or (
                step.unless and step.unless in self._variables
            )
            if skipped or isinstance(step, Label):
                self.facts.index += 1
            elif isinstance(step, Recv):
                wait = step.wait if step.wait is not None else self._setting.patience
                self._waited_from = now
                if not step.optional or not self._only_optional_left():
                    self._wait_until = now + wait
                    return
                self.facts.index += 1  # nothing but what may come, to the end: it need not
            elif isinstance(step, Pause):
                self._wait_until = now + self._length(step)
                return
            elif isinstance(step, Timewait):
                self._end("succeeded", "", now)
                return
            else:
                try:
                    if isinstance(step, Send):
                        self._send(step, now)
                    self._done(step, now)
                    self._act(step, now)
                except CallFails as error:
                    self.abort(error.outcome, str(error), now)
                    return
                self._turn(step)
        self.abort("endless", "The scenario jumps in a circle in which it waits for nothing.", now)

    def _only_optional_left(self) -> bool:
        return all(
            (isinstance(step, Recv) and step.optional) or isinstance(step, Label)
            for step in self._steps[self.facts.index :]
        )

    def _length(self, step: Pause) -> float:
        if step.variable:
            try:
                value = float(self._variables[step.variable]) / 1000.0
            except ValueError:
                value = 0.0
            return min(max(value, 0.0), 86_400.0) if math.isfinite(value) else 0.0
        if step.a is None:
            return self._setting.pause
        chance = (self._host.below(1 << 30) + 0.5) / (1 << 30)
        if step.spread is Spread.UNIFORM:
            return step.a + (step.b - step.a) * chance
        if step.spread is Spread.EXPONENTIAL:
            return -step.a * math.log(chance)
        if step.spread is Spread.NORMAL:
            other = (self._host.below(1 << 30) + 0.5) / (1 << 30)
            normal = math.sqrt(-2.0 * math.log(chance)) * math.cos(2.0 * math.pi * other)
            return max(0.0, step.a + step.b * normal)
        return step.a

    def _waited(self, now: float) -> None:
        """A pause is over, or what was awaited did not come."""
        self._wait_until = math.inf
        step = self._steps[self.facts.index]
        if isinstance(step, Recv):
            self._host.counts.steps[self.facts.index].late += 1
            if step.late:
                self.facts.index = self._setting.scenario.labels[step.late]
                self._go(now)
                return
            what = self._mandatory()
            self.abort(
                "timeout",
                f"line {what.line}: {what.words} did not come in {now - self._waited_from:.1f} s",
                now,
            )
            return
        self._done(step, now)
        self._turn(step)
        self._go(now)

    def _mandatory(self) -> Recv:
        """What is waited for in the end."""
        here = self._steps[self.facts.index]
        assert isinstance(here, Recv)
        for step in self._steps[self.facts.index :]:
            if isinstance(step, Recv) and not step.optional:
                return step
        return here

    def _done(self, step: Step, now: float) -> None:
        self._host.counts.steps[self.facts.index].done += 1
        for name in step.watches.ends:
            begun = self._watches.get(name, self.began)
            self._host.counts.response_times.setdefault(name, Durations()).add(now - begun)
        for name in step.watches.begins:
            self._watches[name] = now

    def _turn(self, step: Step) -> None:
        turn = step.turn
        goes = turn.to and (not turn.test or turn.test in self._variables)
        if goes and turn.chance < 1.0:
            goes = self._host.below(1_000_000) < turn.chance * 1_000_000
        self.facts.index = self._setting.scenario.labels[turn.to] if goes else self.facts.index + 1

    def _act(self, step: Step, now: float) -> None:
        for action in step.actions:
            if action.name in ("log", "warning") and action.text is not None:
                self._host.log(self, self._fill(action.text)[:1000], warning=action.name == "warning")
            elif action.name == "exec":
                self._execute(action, now)
            else:
                act(action, self._variables, self.facts.heard, self._fill, self._host.wall())
            if self.over:
                return

    def _execute(self, action: Action, now: float) -> None:
        command = action.attributes.get("int_cmd")
        if command is None:
            why = self._host.play(self, action, now)
            if why:
                raise CallFails("no audio", f"line {action.line}: {why}")
        elif command == "stop_call":
            self._close(now)
            self._end("succeeded", "", now)
        else:
            self._host.stop(now, gently=command == "stop_gracefully")

    # -- what is sent

    def _send(self, step: Send, now: float) -> None:
        if step.method and step.method not in ("ACK", "CANCEL"):
            self.facts.cseq += 1
        text = self._fill(step.template)
        if step.template.body_at >= 0 or "\r\n\r\n" in text:
            text += "\r\n"
        else:
            text += "\r\n\r\n"
        why = self._host.refused(text)
        if why:
            raise CallFails("not permitted", f"line {step.line}: {why}")
        data = text.encode("utf-8", "surrogateescape")
        counts = self._host.counts
        self._note(step, data)
        if step.lost and self._host.below(10_000) < step.lost * 100:
            counts.steps[self.facts.index].lost += 1
        else:
            self._transmit(data, now)
        self._last = data
        if self._known:
            last = next(reversed(self._known))
            self._known[last] = data
        if step.repeat and not self.facts.hop.transport.reliable:
            self._repeated = (data, step.repeat, 0, self.facts.index, step.method == "INVITE")
            self._repeat_at = now + step.repeat

    def _note(self, step: Send, data: bytes) -> None:
        """What has to be known to end the call, whatever comes."""
        message = received(data)
        if step.method:
            self._methods.add(step.method)
        if message is None:
            return
        if step.method == "INVITE":
            self._invite, self._answer, self._acknowledged = message, None, False
        elif step.method == "ACK":
            self._acknowledged = True
        elif step.method == "BYE":
            self._closed = True
        elif step.status and self._setting.scenario.answers and message.cseq[1] == "INVITE":
            if step.status >= 200:
                self._answer = message
            if step.status >= 300:
                self._closed = True

    def _transmit(self, data: bytes, now: float) -> None:
        self._host.counts.sent += 1
        self._keep(data.decode("utf-8", "surrogateescape"), True, now)
        self._host.transmit(data, self.facts.hop)

    def _repeat(self, now: float) -> None:
        self._repeat_at = math.inf
        if self._repeated is None or self.over:
            return
        data, interval, times, index, invites = self._repeated
        if times >= (_MOST_INVITES if invites else _MOST_OTHERS):
            step = self._steps[index]
            self.abort(
                "no answer", f"line {step.line}: {step.words} was sent {times + 1} times, unheard", now
            )
            return
        counts = self._host.counts
        counts.resent += 1
        counts.steps[index].resent += 1
        self._keep(data.decode("utf-8", "surrogateescape"), True, now)
        self._host.transmit(data, self.facts.hop)
        interval = interval * 2 if invites else min(interval * 2, _T2)
        self._repeated = (data, interval, times + 1, index, invites)
        self._repeat_at = now + interval

    # -- what comes

    def _awaited(self, message: Received) -> int | None:
        """The index of the step that awaits it."""
        for index in range(self.facts.index, len(self._steps)):
            step = self._steps[index]
            if isinstance(step, Label | Nop) and index > self.facts.index:
                break
            if not isinstance(step, Recv):
                break
            if self._matches(step, message):
                return index
            if not step.optional:
                break
        for index in range(self.facts.index - 1, -1, -1):  # what may come, and comes late
            step = self._steps[index]
            if isinstance(step, Recv) and step.optional and self._matches(step, message):
                return index
            if not isinstance(step, Recv) or not step.optional:
                break
        for index, step in enumerate(self._steps):
            if isinstance(step, Recv) and step.anywhere and self._matches(step, message):
                return index
        return None

    def _matches(self, step: Recv, message: Received) -> bool:
        if message.status:
            if not step.status or message.cseq[1] not in self._methods:
                return False
            text = str(message.status)
            return step.pattern(text) is not None if step.pattern is not None else text == step.status
        if not step.request:
            return False
        if step.pattern is not None:
            return step.pattern(message.method) is not None
        return message.method == step.request

    def _take(self, data: bytes, message: Received, index: int, now: float) -> None:
        step = self._steps[index]
        assert isinstance(step, Recv)
        counts = self._host.counts
        if step.lost and self._host.below(10_000) < step.lost * 100:
            counts.steps[index].lost += 1
            return
        self._learn(data, message, step)
        here, self.facts.index = self.facts.index, index
        try:
            self._done(step, now)
            self._act(step, now)
        except CallFails as error:
            self.abort(error.outcome, str(error), now)
            return
        if self.over:
            return
        if step.optional:
            leads = step.turn.to and (not step.turn.test or step.turn.test in self._variables)
            if not leads:
                self.facts.index = here
                return
        self._wait_until = math.inf
        self._turn(step)
        self._go(now)

    def _learn(self, data: bytes, message: Received, step: Recv) -> None:
        self._repeated, self._repeat_at = None, math.inf
        self.facts.heard = message
        self._known[data] = b""
        while len(self._known) > _MOST_KEPT:
            self._known.popitem(last=False)
        if message.peer_tag:
            self.facts.peer_tag = message.peer_tag
        if message.status >= 200 and message.cseq[1] == "INVITE" and not self._setting.scenario.answers:
            self._answer = message
            self._closed = message.status >= 300
        elif message.method == "INVITE":
            if self._invite is None or not self._acknowledged:
                self._invite = message
        elif message.method == "ACK":
            self._acknowledged = True
        elif message.method in ("BYE", "CANCEL"):
            self._closed = True
        if step.keeps_route:
            recorded = [
                part.strip() for _, value in message.every("record-route") for part in value.split(",")
            ]
            self.facts.routes = recorded[::-1] if message.status else recorded
            value = message.first("contact")
            if "<" in value:
                value = value.partition("<")[2].partition(">")[0]
            self.facts.next_url = value or self.facts.next_url
        if step.wants_credentials:
            self.facts.challenges = challenges_of(message)
        media = _media_of(message.body)
        if media is not None:
            self.peer_media = media

    def _unexpected(self, message: Received, now: float) -> None:
        counts = self._host.counts
        if message.method == "ACK":
            counts.stray += 1
            return
        if message.method in _OK_ANYWAY:
            self._say(response_to(message, 200, self.facts.tag), now)
            return
        at = min(self.facts.index, len(self._steps) - 1)
        counts.steps[at].unexpected += 1
        step = self._steps[at]
        came = f"{message.status} ({message.cseq[1]})" if message.status else message.method
        awaited = (
            f"{self._mandatory().words} was awaited" if isinstance(step, Recv) else "nothing was awaited"
        )
        line = self._mandatory().line if isinstance(step, Recv) else step.line
        if message.method in ("BYE", "CANCEL"):
            self._say(response_to(message, 200, self.facts.tag), now)
            if message.method == "CANCEL" and self._invite is not None and self._answer is None:
                self._say(response_to(self._invite, 487, self.facts.tag), now)
            self._closed = True
        elif message.status >= 200 and message.cseq[1] == "INVITE" and not self._setting.scenario.answers:
            self._answer = message
        self.abort("unexpected", f"line {line}: {came} came where {awaited}", now)

    def _after_the_end(self, message: Received, now: float) -> None:
        """A 2xx that comes too late has begun a call at the peer, which is ended; a BYE is answered."""
        if 200 <= message.status < 300 and message.cseq[1] == "INVITE" and self._invite is not None:
            if not self._setting.scenario.answers and not (self._acknowledged and self._closed):
                self._answer = message
                self._acknowledged = self._closed = False
                self._close(now)
        elif message.method in ("BYE", "CANCEL", *_OK_ANYWAY):
            self._say(response_to(message, 200 if message.method != "CANCEL" else 481, self.facts.tag), now)

    def _fill(self, template: Template) -> str:
        return template.fill(self._words)

    # -- the end

    def _close(self, now: float) -> None:
        """Say to the peer that it is over, where a call is up or coming."""
        invite, answer, setting = self._invite, self._answer, self._setting
        if invite is None or (self._closed and (answer is None or answer.status < 300)):
            return
        via = self._via()
        number = self.facts.cseq + 1
        if not setting.scenario.answers:
            if answer is None:
                self._say(cancel_of(invite), now)
                return
            if not self._acknowledged:
                self._say(ack_of(invite, answer, via), now)
                self._acknowledged = True
            if answer.status < 300:
                self._say(bye_as_caller(invite, answer, self._via(), number), now)
        elif answer is None:
            self._say(response_to(invite, 480, self.facts.tag), now)
        elif answer.status < 300:
            self._say(bye_as_callee(invite, answer, via, number), now)
        self._closed = True

    def _via(self) -> str:
        transport, local = self.facts.hop.transport.value, self._setting.local
        return f"Via: SIP/2.0/{transport} {local};branch=z9hG4bK-{self._host.token()}"

    def _say(self, text: str, now: float) -> None:
        """A message that the scenario does not have, to where the call goes."""
        if not self._host.refused(text):
            self._transmit(text.encode("utf-8", "surrogateescape"), now)

    def _end(self, outcome: str, sentence: str, now: float) -> None:
        self.outcome, self.sentence = outcome, sentence
        self._wait_until = self._repeat_at = math.inf
        self._host.ended(self, now)

    def _arm(self) -> None:
        moment = min(self._wait_until, self._repeat_at)
        if not self.over and math.isfinite(moment):
            self._host.wake_at(self, moment)

    def _keep(self, text: str, sent: bool, now: float) -> None:
        if len(self.said) < _MOST_SAID:
            self.said.append(Said(max(0.0, now - self.began), sent, text))
        else:
            self.whole = False


def _media_of(body: str) -> Address | None:
    """Where the peer wants audio, by the c= and m= lines of its SDP."""
    host, port = "", 0
    for line in body.splitlines():
        if line.startswith("c=IN IP") and (not host or not port):
            host = line[9:].strip().partition("/")[0]
        elif line.startswith("m=audio ") and not port:
            text = line[8:].partition(" ")[0].partition("/")[0]
            port = int(text) if text.isdigit() and len(text) < 6 else 0
    return Address(host, port) if host and 0 < port < 65536 else None
