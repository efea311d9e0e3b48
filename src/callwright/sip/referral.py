"""A REFER of ours within a call, and the subscription that it implies (RFC 3515): the transferor's side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callwright.sip.client_request import ClientRequest
from callwright.sip.dialog import Dialog
from callwright.sip.events import (
    FailureCause,
    ReferralAccepted,
    ReferralEnded,
    ReferralProgressed,
    ReferralRefused,
)
from callwright.sip.glance import cseq_of
from callwright.sip.message import Request, Response
from callwright.sip.notice import EventName, SubscriptionState
from callwright.sip.refer import ReferTo, fragment_of, wants_news
from callwright.sip.timers import Alarm

if TYPE_CHECKING:
    from callwright.sip.call import Call
    from callwright.sip.transaction.server import ServerTransaction

__all__ = ["Referral"]

_LONGEST = 3_600  # seconds that a peer may take for one reference


class Referral:
    """Made by `call.refer`. Ends in ReferralRefused or ReferralEnded, also after the call's own end.

    `status`, `reason`: what the peer told last of its INVITE, None before; 200 or more: nothing else follows.
    `user_data` is the user's own.
    """

    def __init__(
        self, call: Call, dialog: Dialog, to: ReferTo, headers: list[tuple[str, str]], now: float
    ) -> None:
        self.call = call
        self.to = to
        self.status: int | None = None
        self.reason = ""
        self.over = False
        self.user_data: Any = None
        self._agent = call.agent
        self._dialog = dialog
        self._key = (call.call_id, call.local_tag)
        self._alarm: Alarm | None = None
        fields = [("Refer-To", str(to)), ("Contact", call.contact), *headers]
        self.handle, branch = call.prepare(dialog, "REFER", self, headers=fields)
        self._agent.referrals.setdefault(self._key, []).append(self)
        self.handle.start(branch, now)

    def told_by(self, event: EventName) -> bool:
        """Whether a NOTIFY with that Event is about this one (RFC 3515 section 2.4.6)."""
        if event.package != "refer":
            return False
        return event.id is None or event.id == str(cseq_of(self.handle.request.headers)[0])

    # -- of the REFER

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """No news."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """The handle has the new CSeq."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """The REFER was taken, or not."""
        if self.over:
            return
        if response.status >= 300:
            self._forget()
            self._agent.emit(
                ReferralRefused(now, self.call, self, response.status, response.reason, response)
            )
            return
        self._agent.emit(ReferralAccepted(now, self.call, self, response))
        if not wants_news(response.headers):  # RFC 4488: it made no subscription
            self._end("no news was promised", now)
        elif self._alarm is None:
            self._expect(self._agent.config.timers.transaction_timeout, now)  # Timer N of RFC 6665

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """No answer, though a NOTIFY may have told that it came."""
        if not self.over and self.status is None:
            self._forget()
            self._agent.emit(ReferralRefused(now, self.call, self, None, reason, None))

    # -- of its subscription

    def notified(self, transaction: ServerTransaction, now: float) -> None:
        """A NOTIFY about it."""
        request, agent = transaction.request, self._agent
        number = cseq_of(request.headers)[0]
        if self._dialog.remote_cseq is not None and number < self._dialog.remote_cseq:
            agent.reply(transaction, 500, now, reason="CSeq Out of Order", headers=[("Retry-After", "1")])
            return
        self._dialog.remote_cseq = number
        state = SubscriptionState.of(request.headers)
        if state is None:
            agent.reply(transaction, 400, now, reason="Bad Request (Subscription-State)")
            return
        agent.reply(transaction, 200, now)
        self._hear(request, now)
        if state.terminated:
            self._end(state.reason or "the peer ended it", now)
        else:
            self._expect(_LONGEST if state.expires is None else min(state.expires, _LONGEST), now)

    def _hear(self, request: Request, now: float) -> None:
        told = fragment_of(request.body)
        if told is None or (self.status is not None and self.status >= 200):
            return
        self.status, self.reason = told
        self._agent.emit(ReferralProgressed(now, self.call, self, told.status, told.reason, request))

    def _expect(self, seconds: float, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._agent.agenda.at(now + seconds, lambda at: self._end("no news came in time", at))

    def _end(self, why: str, now: float) -> None:
        if not self.over:
            self._forget()
            self._agent.emit(ReferralEnded(now, self.call, self, self.status, why))

    def _forget(self) -> None:
        self.over = True
        if self._alarm is not None:
            self._alarm.cancel()
        others = [one for one in self._agent.referrals.get(self._key, ()) if one is not self]
        if others:
            self._agent.referrals[self._key] = others
        else:
            self._agent.referrals.pop(self._key, None)
