"""The end of an answered call (RFC 3261 section 15): our BYE, theirs, both at once, a dialog that is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callwright.sip.client_request import ClientRequest
from callwright.sip.events import EndCause, FailureCause, RequestAnswered, Side
from callwright.sip.message import Response

if TYPE_CHECKING:
    from callwright.sip.call import Call, HeaderPairs
    from callwright.sip.dialog import Dialog
    from callwright.sip.transaction.server import ServerTransaction


class Closing:
    """How one call ends."""

    __slots__ = ("_call", "_said")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._said = False  # our BYE is on its way, and CallEnded follows

    def say(self, dialog: Dialog, now: float, headers: HeaderPairs = (), *, tell: bool = True) -> None:
        """Send BYE. With `tell` the call is ENDING, and CallEnded follows when the BYE is done."""
        call = self._call
        farewell = _Farewell(call if tell else None)
        handle, branch = call.prepare(dialog, "BYE", farewell, headers=headers)
        if tell:
            self._said = True
            call.ending(now)
        if call.timeline.bye_at is None:
            call.timeline.bye_at = now
        handle.start(branch, now)

    def receive(self, transaction: ServerTransaction, now: float) -> None:
        """The peer's BYE."""
        call = self._call
        call.agent.reply(transaction, 200, now)
        if call.timeline.bye_at is None:
            call.timeline.bye_at = now
        if self._said:  # when two BYEs cross, ours decides
            call.agent.emit(RequestAnswered(now, transaction.request, call))
        else:
            call.end(now, Side.REMOTE, EndCause.BYE, "the peer hung up", request=transaction.request)

    def lost(self, response: Response | None, now: float, reason: str | None = None) -> None:
        """The peer does not know the dialog any more (481), or does not answer in it (12.2.1.2)."""
        call = self._call
        if call.dialog is None or not call.established:
            return
        if response is not None:
            reason = f"the peer answered {response.status} {response.reason} within the call"
        else:
            self.say(call.dialog, now, tell=False)
        call.end(now, Side.REMOTE, EndCause.DIALOG_GONE, reason or "", response=response)

    def give_up(self, cause: EndCause, reason: str, now: float, headers: HeaderPairs = ()) -> None:
        """BYE, and the call is over whatever it is answered: our 2xx was never acknowledged (13.3.1.4)."""
        call = self._call
        if call.dialog is not None and not call.over:
            self.say(call.dialog, now, headers, tell=False)
            call.end(now, Side.LOCAL, cause, reason)


class _Farewell:
    """Waits for what our BYE is answered."""

    def __init__(self, call: Call | None) -> None:
        self._call = call

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """No news."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """No news."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """Whatever the answer, the call is over (RFC 3261 15.1.1)."""
        if self._call is not None:
            self._call.end(now, Side.LOCAL, EndCause.BYE, "we hung up", response=response)

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """So it is without one."""
        if self._call is not None:
            timed_out = cause is FailureCause.TIMED_OUT
            end = EndCause.BYE_UNANSWERED if timed_out else EndCause.TRANSPORT
            self._call.end(now, Side.LOCAL, end, reason)
