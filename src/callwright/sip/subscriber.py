"""A subscription of ours (RFC 6665 section 4.1): SUBSCRIBE, its refreshes, the NOTIFYs, and the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callwright.sip.client_request import ClientRequest
from callwright.sip.dialog import Dialog, compose, contact_of
from callwright.sip.digest import DigestClient
from callwright.sip.events import FailureCause, Notified, SubscribeAccepted, SubscribeEnded, SubscribeFailed
from callwright.sip.glance import cseq_of, from_tag, tag_of
from callwright.sip.message import Request, Response
from callwright.sip.notice import EventName, SubscriptionState
from callwright.sip.timers import Alarm
from callwright.sip.transport import Hop

if TYPE_CHECKING:
    from callwright.sip.transaction.server import ServerTransaction
    from callwright.sip.user_agent import UserAgent

__all__ = ["Subscriber"]

_SHORTEST = 1.0  # seconds between two refreshes


class Subscriber:
    """Made by `Endpoint.subscribe`. Ends in SubscribeFailed, or in SubscribeEnded. `event`: its package."""

    def __init__(
        self,
        agent: UserAgent,
        request: Request,
        hop: Hop,
        event: EventName,
        expires: int,
        digest: DigestClient | None,
    ) -> None:
        self.event = event
        self.over = False
        self.notifies = 0
        self.user_data: Any = None
        self._agent, self._hop, self._digest = agent, hop, digest
        self._first = request
        self._expires = expires
        self._tag = from_tag(request.headers)
        self._key = (request.headers.call_id, self._tag)
        self._cseq = 1
        self._dialog: Dialog | None = None
        self._accepted = self._ending = self._lengthened = False
        self._until = 0.0
        self._alarm: Alarm | None = None
        self._patience: Alarm | None = None
        agent.subscribers[self._key] = self
        self.handle = ClientRequest(agent, request, hop, self, digest=digest, next_cseq=self._next_cseq)

    def start(self, branch: str, now: float) -> None:
        """Send the SUBSCRIBE."""
        self.handle.start(branch, now)

    def unsubscribe(self, now: float) -> None:
        """End it: the peer owes a last NOTIFY (RFC 6665 section 4.1.2.3)."""
        if self.over or self._ending:
            return
        if self._dialog is None:
            self._end("it was given up before it was accepted", now)
            return
        self._ending = True
        self._subscribe(0, now)

    # -- of its SUBSCRIBEs

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """No news."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """The handle tells it."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """A SUBSCRIBE was accepted, or refused."""
        if self.over:
            return
        status = response.status
        if status < 300:
            self._taken(handle, response, now)
        elif status == 423 and not self._lengthened and self._lengthen(handle, response, now):
            return
        elif not self._accepted and not self.notifies:
            self._forget()
            self._agent.emit(SubscribeFailed(now, self, status, response.reason, response))
        elif self._ending or status == 481 or now >= self._until:
            self._end(f"a SUBSCRIBE was answered {status} {response.reason}".rstrip(), now)
        else:
            self._set(self._until, self._expired)

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """No answer."""
        if self.over:
            return
        if self._accepted or self.notifies:
            self._end(reason, now)
        else:
            self._forget()
            self._agent.emit(SubscribeFailed(now, self, None, reason, None))

    def _taken(self, handle: ClientRequest, response: Response, now: float) -> None:
        granted = response.headers.expires
        granted = self._expires if granted is None else min(granted, self._expires)
        if self._dialog is None and tag_of(response.headers.get("to") or "") is not None:
            self._dialog = Dialog.of_response(handle.request, response, self._tag, self._hop)
        elif self._dialog is not None:
            self._dialog.refresh_target(response)
        patience = self._agent.config.timers.transaction_timeout  # Timer N
        if self._ending:
            self._set(now + patience, lambda at: self._end("no last NOTIFY came", at))
            return
        if not self._accepted:
            self._accepted = True
            self._agent.emit(SubscribeAccepted(now, self, granted, response))
            if not self.notifies:
                self._patience = self._agent.agenda.at(now + patience, self._silent)
        self._keep(granted, now)

    def _keep(self, seconds: float, now: float) -> None:
        self._until = now + seconds
        self._set(now + max(_SHORTEST, seconds / 2), self._refresh)

    def _lengthen(self, handle: ClientRequest, response: Response, now: float) -> bool:
        """423: longer, as the peer wants it (RFC 6665 section 4.1.2.1)."""
        text = (response.headers.get("min-expires") or "").strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            return False
        self._lengthened, self._expires = True, int(text)
        handle.repeat([("Expires", text)], now)
        return True

    # -- of its NOTIFYs

    def notified(self, transaction: ServerTransaction, now: float) -> None:
        """A NOTIFY with our tag."""
        request, agent = transaction.request, self._agent
        event, state = EventName.of(request.headers), SubscriptionState.of(request.headers)
        transaction.local_tag = self._tag
        if event != self.event or (self._dialog and self._dialog.remote_tag != from_tag(request.headers)):
            agent.reply(transaction, 481, now, reason="Subscription Does Not Exist")
            return
        if state is None:
            agent.reply(transaction, 400, now, reason="Bad Request (Subscription-State)")
            return
        if self._dialog is None:
            self._dialog = self._dialog_of(request, transaction.flow)
        number, dialog = cseq_of(request.headers)[0], self._dialog
        if dialog.remote_cseq is not None and number <= dialog.remote_cseq:
            agent.reply(transaction, 500, now, reason="CSeq Out of Order")
            return
        dialog.remote_cseq = number
        dialog.refresh_target(request)
        agent.reply(transaction, 200, now)
        self.notifies += 1
        if self._patience is not None:
            self._patience.cancel()
        agent.emit(Notified(now, self, state, request))
        if state.terminated:
            self._end(state.reason or "the peer ended it", now)
        elif state.expires is not None and not self._ending and now + state.expires < self._until:
            self._keep(state.expires, now)

    def _dialog_of(self, request: Request, flow: Hop) -> Dialog:
        """A NOTIFY that is here before the 2xx makes the dialog (RFC 6665 section 4.4.1)."""
        headers = request.headers
        return Dialog(
            call_id=headers.call_id,
            local=headers.get("to") or "",
            local_tag=self._tag,
            remote=headers.get("from") or "",
            remote_tag=from_tag(headers),
            local_cseq=self._cseq,
            remote_cseq=None,
            remote_target=contact_of(request) or self._first.uri,
            route_set=tuple(headers.get_all("record-route")),
            hop=flow,
        )

    # -- inside

    def _next_cseq(self) -> int:
        if self._dialog is not None:
            return self._dialog.next_cseq()
        self._cseq += 1
        return self._cseq

    def _refresh(self, now: float) -> None:
        self._subscribe(self._expires, now)

    def _subscribe(self, expires: int, now: float) -> None:
        assert self._dialog is not None
        branch = self._agent.branch()
        kept = [field for field in self._first.headers if field[0].lower() in ("event", "accept")]
        request, hop = compose(
            self._agent,
            self._dialog,
            "SUBSCRIBE",
            cseq=self._dialog.next_cseq(),
            branch=branch,
            contact=self._first.headers.get("contact"),
            headers=[*kept, ("Expires", str(expires))],
        )
        self.handle = ClientRequest(
            self._agent, request, hop, self, digest=self._digest, next_cseq=self._next_cseq
        )
        self.handle.start(branch, now)

    def _silent(self, now: float) -> None:
        self._end("no NOTIFY came (Timer N)", now)

    def _expired(self, now: float) -> None:
        self._end("its time is over", now)

    def _set(self, when: float, action: Any) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._agent.agenda.at(when, action)

    def _end(self, why: str, now: float) -> None:
        if not self.over:
            self._forget()
            self._agent.emit(SubscribeEnded(now, self, why))

    def _forget(self) -> None:
        self.over = True
        for alarm in (self._alarm, self._patience):
            if alarm is not None:
                alarm.cancel()
        self._agent.subscribers.pop(self._key, None)
