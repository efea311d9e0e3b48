"""The callee's half of reliable provisional responses (RFC 3262 section 3): sent until their PRACK comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from callwright.sip.events import ProvisionalConfirmed
from callwright.sip.fields import CSeq, RAck
from callwright.sip.glance import cseq_of
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import Response
from callwright.sip.timers import Alarm
from callwright.sip.transaction.server import ServerTransaction

if TYPE_CHECKING:
    from callwright.sip.inbound_call import InboundCall

Build = Callable[[tuple[tuple[str, str], ...]], Response]
"""Makes the response, with the headers that make it reliable."""


class Provisionals:
    """Of one inbound call. One is unacknowledged at a time; others, and an answer, wait for its PRACK."""

    __slots__ = (
        "_answer",
        "_call",
        "_deadline",
        "_interval",
        "_next",
        "_offered",
        "_open",
        "_repeat",
        "_waiting",
    )

    def __init__(self, call: InboundCall) -> None:
        self._call = call
        self._next = 0
        self._open: tuple[int, Response] | None = None  # RSeq, and what is sent again
        self._waiting: list[Build] = []
        self._answer: Callable[[float], object] | None = None
        self._offered = False  # the last with a body had our offer, which no PRACK has answered yet
        self._interval = 0.0
        self._repeat: Alarm | None = None
        self._deadline: Alarm | None = None

    @property
    def offered(self) -> bool:
        """Our offer in one of them is unanswered."""
        return self._offered

    @property
    def waits(self) -> bool:
        """The user has answered, and the 2xx waits for a PRACK."""
        return self._answer is not None

    def send(self, build: Build, now: float) -> None:
        """Send one when it is its turn."""
        if self._open is not None or self._waiting:
            if len(self._waiting) < self._call.agent.config.limits.provisionals:
                self._waiting.append(build)
            return
        self._send(build, now)

    def defer(self, answer: Callable[[float], object]) -> bool:
        """True: a 2xx has to wait for a PRACK, as an SDP in a provisional is not acknowledged (section 3)."""
        if (self._open is not None and self._open[1].body) or self._waiting:
            self._answer = answer
            return True
        return False

    def receive(self, transaction: ServerTransaction, now: float) -> None:
        """A PRACK."""
        call = self._call
        agent, request = call.agent, transaction.request
        try:
            rack = request.headers.rack
        except (SipSyntaxError, LookupError):
            agent.reply(transaction, 400, now, reason="Bad or Missing RAck")
            return
        invite = CSeq(cseq_of(call.request.headers)[0], "INVITE")
        if self._open is None or rack != RAck(self._open[0], invite):
            agent.reply(transaction, 481, now)
            return
        self.stop(keep=True)
        status = self._open[1].status
        self._open = None
        answers, self._offered = self._offered, False
        dialog, body = call.dialog, request.body
        if answers:
            call.agree(bool(body))
        again = bool(body) and not answers
        if again and dialog is not None and dialog.agreed:
            agent.emit(ProvisionalConfirmed(now, call, request, status))
            call.modification.receive(transaction, now)
        elif again:
            agent.reply(transaction, 488, now, reason="Offer Before an Answer")
        else:
            agent.reply(transaction, 200, now)
            agent.emit(ProvisionalConfirmed(now, call, request, status))
        self._go_on(now)

    def stop(self, *, keep: bool = False) -> None:
        """Repeat nothing more; a late PRACK is still known. `keep`: what waits has its turn yet."""
        for alarm in (self._repeat, self._deadline):
            if alarm is not None:
                alarm.cancel()
        self._repeat = self._deadline = None
        if not keep:
            self._waiting.clear()
            self._answer = None

    # -- inside

    def _go_on(self, now: float) -> None:
        if not self._call.waits_for_user:
            return
        if self._waiting:
            self._send(self._waiting.pop(0), now)
        elif self._answer is not None:
            answer, self._answer = self._answer, None
            answer(now)

    def _send(self, build: Build, now: float) -> None:
        call = self._call
        agent = call.agent
        if not self._next:  # between 1 and 2^31 - 1, so that it can rise
            self._next = int.from_bytes(agent.entropy(3), "big") + 1
        else:
            self._next += 1
        response = build((("Require", "100rel"), ("RSeq", str(self._next))))
        if not call.transaction.respond(response, now):
            return
        self._open = (self._next, response)
        if response.body:
            if call.request.body:
                call.agree(True)
            elif call.dialog is not None and not call.dialog.agreed:
                self._offered = True
        timers = agent.config.timers
        self._interval = timers.t1
        self._repeat = agent.agenda.at(now + timers.t1, self._again)
        self._deadline = agent.agenda.at(now + timers.transaction_timeout, self._unheard)

    def _again(self, now: float) -> None:
        """Doubling without an upper bound, on every transport."""
        if self._open is None:
            return
        self._call.transaction.repeat_provisional(self._open[1], now)
        self._interval *= 2
        self._repeat = self._call.agent.agenda.at(now + self._interval, self._again)

    def _unheard(self, now: float) -> None:
        self.stop()
        if self._open is not None:
            self._call.never_acknowledged(self._open[1].status, now)
