"""A request whose answer goes to the user of the endpoint: OPTIONS, MESSAGE, INFO and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callwright.sip.client_request import ClientRequest
from callwright.sip.events import (
    Event,
    FailureCause,
    RequestFailed,
    RequestTimedOut,
    ResponseReceived,
)
from callwright.sip.message import Response

if TYPE_CHECKING:
    from callwright.sip.call import Call
    from callwright.sip.user_agent import UserAgent


# Their 481 speaks of another usage of the dialog than the call (RFC 5057 section 5.1).
_OTHER_USAGES = ("NOTIFY", "REFER", "SUBSCRIBE")


class Inquiry:
    """Turns what became of a request into an event."""

    def __init__(self, agent: UserAgent, call: Call | None = None) -> None:
        self._agent = agent
        self._call = call

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """Nobody waits for provisionals here."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """The handle tells it."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """The final response."""
        self._agent.emit(ResponseReceived(now, handle, response, self._call))
        if response.status == 481 and self._call is not None and handle.method not in _OTHER_USAGES:
            self._call.closing.lost(response, now)

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """None will come."""
        event: Event
        if cause is FailureCause.TIMED_OUT:
            event = RequestTimedOut(now, handle, reason, self._call)
        else:
            event = RequestFailed(now, handle, handle.hop, reason, self._call)
        self._agent.emit(event)
