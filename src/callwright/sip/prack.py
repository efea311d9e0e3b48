"""The caller's half of reliable provisionals (RFC 3262 section 4): which are taken, and their PRACK."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from callwright.sip.client_request import ClientRequest
from callwright.sip.dialog import Dialog
from callwright.sip.events import FailureCause, ProvisionalUnconfirmed
from callwright.sip.fields import CSeq, RAck
from callwright.sip.message import Response

if TYPE_CHECKING:
    from callwright.sip.call import HeaderPairs
    from callwright.sip.outbound_call import OutboundCall


class Pracks:
    """Of one outbound call, in each of its early dialogs."""

    __slots__ = ("_call", "_deferred", "_last", "_owed", "_pending")

    def __init__(self, call: OutboundCall) -> None:
        self._call = call
        self._last: dict[str, int] = {}  # remote tag -> the RSeq that was taken last
        self._owed: dict[str, RAck] = {}  # remote tag -> what the user is to acknowledge, with their answer
        self._pending = 0  # sent, and not answered
        self._deferred: Callable[[float], object] | None = None

    def is_news(self, dialog: Dialog, number: int) -> bool:
        """Whether a response with that RSeq is the next one; repeated and out of turn it is dropped."""
        last = self._last.get(dialog.remote_tag)
        if last is not None and number != last + 1:
            if number <= last:
                self._call.timeline.retransmissions_received += 1
            return False
        self._last[dialog.remote_tag] = number
        return True

    def take(self, dialog: Dialog, response: Response, number: int, now: float) -> bool:
        """Acknowledge it; True: the user is to do so, since it has an offer."""
        call = self._call
        rack = RAck(number, CSeq(call.request.headers.cseq.number, "INVITE"))
        offers = bool(response.body) and not call.request.body and not dialog.agreed
        if response.body and call.request.body:
            dialog.agreed = True
        if offers:
            self._owed[dialog.remote_tag] = rack
            return True
        self._send(dialog, rack, b"", "", (), now)
        return False

    def acknowledge(
        self, dialog: Dialog, body: bytes, content_type: str, headers: HeaderPairs, now: float
    ) -> bool:
        """Send the PRACK that the user owes; see Call.prack."""
        rack = self._owed.pop(dialog.remote_tag, None)
        if rack is None:
            return False
        self._send(dialog, rack, body, content_type, headers, now)
        return True

    def defer(self, act: Callable[[float], object]) -> bool:
        """True: `act` follows once every PRACK is answered. One waits at a time.

        A request that overtakes a lost PRACK has the higher CSeq, and then the repeated PRACK is refused
        (RFC 3261 12.2.2).
        """
        if self._pending and self._deferred is None:
            self._deferred = act
            return True
        return False

    @property
    def pending(self) -> bool:
        """A PRACK is on its way, and has no final response."""
        return self._pending > 0

    def answered(self, now: float) -> None:
        """One has its final response, or will get none."""
        self._pending -= 1
        if not self._pending and self._deferred is not None:
            act, self._deferred = self._deferred, None
            act(now)

    def restart(self) -> None:
        """The INVITE is sent anew: its responses are counted from the beginning."""
        self._last.clear()
        self._owed.clear()

    def _send(
        self, dialog: Dialog, rack: RAck, body: bytes, content_type: str, headers: HeaderPairs, now: float
    ) -> None:
        call = self._call
        fields = (("RAck", str(rack)), *headers)
        if body and dialog.agreed:
            call.modification.offer_by("PRACK", dialog, body, content_type, fields, now)
            return
        if body:
            dialog.agreed = True
        handle, branch = call.prepare(dialog, "PRACK", _Sent(call, self), body, content_type, fields)
        self._pending += 1
        handle.start(branch, now)


class _Sent:
    """Waits for what a PRACK is answered."""

    def __init__(self, call: OutboundCall, pracks: Pracks) -> None:
        self._call, self._pracks = call, pracks

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """No news."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """No news."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """A 2xx is what is expected; a call that is answered or over meanwhile needs none."""
        if response.status >= 300 and self._call.waits_for_final:
            self._call.agent.emit(ProvisionalUnconfirmed(now, self._call, response.status, response.reason))
        self._pracks.answered(now)

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """None came."""
        if self._call.waits_for_final:
            self._call.agent.emit(ProvisionalUnconfirmed(now, self._call, None, reason))
        self._pracks.answered(now)
