"""Subscriptions of peers to what we know (RFC 6665 section 4.2): the notifier's side of the dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callwright.sip.client_request import ClientRequest
from callwright.sip.dialog import Dialog, compose
from callwright.sip.events import FailureCause, SubscriptionEnded, SubscriptionRefreshed
from callwright.sip.glance import cseq_of
from callwright.sip.message import Response
from callwright.sip.timers import Alarm

if TYPE_CHECKING:
    from callwright.sip.transaction.server import ServerTransaction
    from callwright.sip.user_agent import UserAgent

__all__ = ["Subscription", "expires_of"]

DEFAULT_EXPIRES = 3_600


class Subscription:
    """One SUBSCRIBE that was accepted, until it ends: by the peer, its time, a NOTIFY that fails, or by us.

    `event` is the package with its id, as it stands in the Event header; `user_data` is the user's own. The
    user owes a `notify` with the whole state at once, and after each SubscriptionRefreshed. The one that a
    REFER makes (RFC 3515 section 2.4.4) stands in the `dialog` of its call, and outlives that.
    """

    def __init__(
        self,
        agent: UserAgent,
        transaction: ServerTransaction,
        event: str,
        longest: int,
        now: float,
        dialog: Dialog | None = None,
    ) -> None:
        request = transaction.request
        tag = transaction.local_tag = agent.token() if dialog is None else dialog.local_tag
        self.event = event
        self.call_id = request.headers.call_id
        self.local_tag = tag
        self.user_data: Any = None
        self.over = False
        self._agent = agent
        self._longest = longest
        self._own_dialog = dialog is None
        self._dialog = dialog or Dialog.of_request(request, tag, transaction.flow)
        self._contact = agent.contact(request.target.user, transaction.flow, request.target.is_secure)
        self._until = now
        self._alarm: Alarm | None = None
        self._key: tuple[str, ...] = (self.call_id, tag)
        if dialog is not None:
            self._key = (*self._key, str(cseq_of(request.headers)[0]))
        agent.subscriptions[self._key] = self
        self._accept(transaction, now)

    def notify(self, body: bytes, content_type: str | None, *, now: float, ended: str | None = None) -> None:
        """Tell the state. `ended`: the reason that the subscription ends with this (noresource, timeout)."""
        if self.over:
            return
        left = max(0, round(self._until - now))
        state = (
            f"active;expires={left}" if ended is None and left else f"terminated;reason={ended or 'timeout'}"
        )
        branch = self._agent.branch()
        request, hop = compose(
            self._agent,
            self._dialog,
            "NOTIFY",
            cseq=self._dialog.next_cseq(),
            branch=branch,
            contact=self._contact,
            body=body,
            content_type=content_type,
            headers=[("Event", self.event), ("Subscription-State", state)],
        )
        if state.startswith("terminated"):
            self._forget()
        ClientRequest(self._agent, request, hop, self).start(branch, now)

    # -- from the endpoint

    def receive_request(self, transaction: ServerTransaction, now: float) -> None:
        """A request in its dialog: SUBSCRIBE refreshes it, or ends it with Expires: 0."""
        request = transaction.request
        transaction.local_tag = self.local_tag
        number = cseq_of(request.headers)[0]
        last = self._dialog.remote_cseq
        if last is not None and (number <= last if self._own_dialog else number < last):
            self._agent.reply(transaction, 500, now, reason="CSeq Out of Order")
        elif request.method != "SUBSCRIBE":
            self._agent.reply(transaction, 405, now, headers=[("Allow", "SUBSCRIBE")])
        else:
            self._dialog.remote_cseq = number
            self._dialog.refresh_target(request)
            self._accept(transaction, now)
            self._agent.emit(SubscriptionRefreshed(now, self))

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """No news."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """No news."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """A subscriber that refuses a NOTIFY is none any more (4.2.2)."""
        if response.status >= 300:
            self._end(f"NOTIFY was answered {response.status}", now)

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """Nor is one that cannot be reached."""
        self._end(reason, now)

    # -- inside

    def _accept(self, transaction: ServerTransaction, now: float) -> None:
        refers = transaction.method == "REFER"
        seconds = self._longest if refers else min(expires_of(transaction), self._longest)
        self._until = now + seconds
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if seconds:
            self._alarm = self._agent.agenda.at(self._until, self._expired)
        headers = [] if refers else [("Expires", str(seconds)), ("Event", self.event)]
        status = 202 if refers else 200
        self._agent.reply(transaction, status, now, contact=self._contact, headers=headers)

    def _expired(self, now: float) -> None:
        self.notify(b"", None, now=now, ended="timeout")
        self._agent.emit(SubscriptionEnded(now, self, "its time is over"))

    def _end(self, reason: str, now: float) -> None:
        if not self.over:
            self._forget()
            self._agent.emit(SubscriptionEnded(now, self, reason))

    def _forget(self) -> None:
        self.over = True
        if self._alarm is not None:
            self._alarm.cancel()
        self._agent.subscriptions.pop(self._key, None)


def expires_of(transaction: ServerTransaction) -> int:
    """How long the peer wants it, in seconds."""
    said = transaction.request.headers.expires
    return DEFAULT_EXPIRES if said is None else said
