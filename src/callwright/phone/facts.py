"""What one call has shown so far: the signalling half of a CallOutcome, gathered as it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from callwright.outcome.call import IdentityOutcome, StateReached
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import CallState, Direction, EndedBy, Failure
from callwright.sip.headers import Headers
from callwright.sip.message import Request, Response
from callwright.sip.uri import NameAddr, SipSyntaxError

_MAX_STATES = 256
_MAX_MESSAGES = 32
_MAX_REMARKS = 32


@dataclass(slots=True)
class CallFacts:
    """Mutable notes of a call; times are monotonic seconds."""

    id: str
    direction: Direction
    started: float
    wall: float
    on_state: Callable[[StateReached], None] | None = None
    codecs_offered: tuple[str, ...] = ()
    states: list[StateReached] = field(default_factory=list)
    messages: list[CapturedMessage] = field(default_factory=list)
    provisionals: list[int] = field(default_factory=list)
    reliable: list[int] = field(default_factory=list)  # those that a PRACK acknowledged
    updates: int = 0  # requests UPDATE of either side that were answered 2xx
    sip_code: int | None = None
    sip_reason: str | None = None
    user_agent: str | None = None
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    ended_by: EndedBy | None = None
    failure: Failure | None = None
    failure_detail: str | None = None
    auto_answered: bool | None = None
    redirected_to: tuple[str, ...] = ()
    caller_identity: str | None = None
    caller_name: str | None = None
    asserted_identity: str | None = None
    preferred_identity: str | None = None
    privacy: str | None = None
    identity: IdentityOutcome | None = None
    early_media_at: float | None = None
    dtmf_sent: str = ""
    info_digits: str = ""
    transfers: list[RequestOutcome] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    discarded: str | None = None  # a final response that came and could not be used: which, and why

    def reach(self, state: CallState, now: float, code: int | None = None) -> None:
        """Note a state; the same state twice in a row is one, unless its code differs."""
        last = self.states[-1] if self.states else None
        if (last and last.state is state and last.code == code) or len(self.states) >= _MAX_STATES:
            return
        reached = StateReached(max(0.0, now - self.started), state, code)
        self.states.append(reached)
        if self.on_state:
            self.on_state(reached)

    def ring(self, now: float) -> None:
        if self.ringing_at is None:
            self.ringing_at = now

    def fail(self, failure: Failure, detail: str | None = None) -> None:
        """The first failure is the cause; what follows from it is not."""
        if self.failure is not None:
            return
        if self.discarded is not None and failure in (Failure.TIMEOUT, Failure.NO_ANSWER):
            failure, detail = Failure.MALFORMED, self.discarded  # it did answer
        self.failure, self.failure_detail = failure, detail

    def end(self, by: EndedBy, now: float) -> None:
        if self.ended_at is None:
            self.ended_at, self.ended_by = now, by

    def hear(self, message: Request | Response) -> None:
        """Keep the headers of the first INVITE and of the first response of each status."""
        start = message.method if isinstance(message, Request) else str(message.status)
        if len(self.messages) < _MAX_MESSAGES and all(kept.start != start for kept in self.messages):
            self._keep(start, message)
        agent = message.headers.get("User-Agent") or message.headers.get("Server")
        if agent and self.user_agent is None:
            self.user_agent = agent

    def _keep(self, start: str, message: Request | Response) -> None:
        self.messages.append(CapturedMessage(start, tuple(message.headers)))

    def hear_within(self, request: Request | None) -> None:
        """Keep the headers of a request inside the dialog, each of them; those that end it in any case."""
        if request is None:
            return
        final = request.method in ("BYE", "CANCEL")
        if final or len(self.messages) < _MAX_MESSAGES:
            self._keep("re-INVITE" if request.method == "INVITE" else request.method, request)

    def remark(self, text: str) -> None:
        """Once, and not without end."""
        if text not in self.remarks and len(self.remarks) < _MAX_REMARKS:
            self.remarks.append(text)

    def discard(self, status: int, method: str, fault: str) -> None:
        """A response that came and had to be thrown away."""
        what = f"a {status} to our {method}" if status else f"a response to our {method}"
        self.remark(f"{what[0].upper()}{what[1:]} came and could not be used: {fault}.")
        if status >= 200 or not status:
            self.discarded = f"{what}: {fault}"

    def identify(self, headers: Headers) -> None:
        """Who the peer says that calls: P-Asserted-Identity (RFC 3325), else From."""
        self.asserted_identity = headers.get("P-Asserted-Identity")
        self.preferred_identity = headers.get("P-Preferred-Identity")
        self.privacy = headers.get("Privacy")
        for name in ("P-Asserted-Identity", "From"):
            for value in headers.get_all(name):
                try:
                    shown = NameAddr.parse(value)
                except SipSyntaxError:
                    continue
                self.caller_identity = shown.uri.user or shown.uri.host
                self.caller_name = shown.display_name or None
                return
