"""The callee's side of a call (RFC 3261 13.3, 9.2): ringing, the answer and its ACK, refusals, CANCEL."""

from __future__ import annotations

from callwright.sip.call import SDP, Call, CallState, Direction, HeaderPairs
from callwright.sip.dialog import Dialog
from callwright.sip.events import CallCanceled, CallConfirmed, CallFailed, EndCause, FailureCause, Side
from callwright.sip.glance import cseq_of
from callwright.sip.message import Request, Response
from callwright.sip.provisional import Provisionals
from callwright.sip.success import Success
from callwright.sip.transaction.server import ServerTransaction
from callwright.sip.uri import NameAddr
from callwright.sip.user_agent import UserAgent, refuse_line_ends
from callwright.sip.will import Will

_UNANSWERED = (CallState.PROCEEDING, CallState.EARLY)


class InboundCall(Call):
    """A call that came in. Named by CallReceived. `transaction` is that of its INVITE."""

    direction = Direction.INBOUND

    def __init__(
        self, agent: UserAgent, transaction: ServerTransaction, now: float, *, trying: bool = True
    ) -> None:
        local_tag = transaction.local_tag = agent.token()
        request = transaction.request
        super().__init__(agent, request, transaction.flow, local_tag, None, now)
        self.transaction = transaction
        transaction.user = self
        transaction.count = self.timeline
        self.dialog = Dialog.of_request(request, local_tag, transaction.flow)
        self.state = CallState.PROCEEDING
        self.timeline.trying_at = now
        self._provisionals: Provisionals | None = None  # reliable ones
        self._success: Success | None = None
        self._hangup_headers: HeaderPairs | None = None
        self._contact = ""
        if trying:
            agent.reply(transaction, 100, now)
        self.guard(agent.config.answer_limit, self._unattended, now)
        agent.changes(self)

    def will(self) -> Will | None:
        """See Call.will."""
        if self.over:
            return None
        dialog = None if self.state in _UNANSWERED else self.dialog
        return self._will(dialog, self.transaction.flow, outbound=False)

    @property
    def local(self) -> NameAddr:
        """Our address, as the caller wrote it in To, with our tag."""
        return self.request.headers.to.with_tag(self.local_tag)

    @property
    def remote(self) -> NameAddr:
        """The caller's address."""
        return self.request.headers.from_

    @property
    def contact(self) -> str:
        """Our Contact value: the user part by which we were called."""
        if not self._contact:
            target = self.request.target
            user = target.user if target.is_sip else None
            self._contact = self.agent.contact(user, self.transaction.flow, target.is_secure)
        return self._contact

    @property
    def takes_offers(self) -> bool:
        """Also before the ACK, which may be late or lost; not when it is to bring the answer to our offer."""
        if self.state is CallState.ANSWERED:
            return bool(self.request.body)
        return self.state is CallState.CONFIRMED

    @property
    def offer_is_open(self) -> bool:
        """Our offer stands in a reliable provisional that no PRACK has answered."""
        return self._provisionals is not None and self._provisionals.offered

    @property
    def waits_for_user(self) -> bool:
        """True until our final response."""
        return self.state in _UNANSWERED

    # -- verbs

    def ring(
        self,
        status: int = 180,
        *,
        now: float,
        body: bytes = b"",
        content_type: str = SDP,
        reason: str | None = None,
        headers: HeaderPairs = (),
        reliable: bool | None = None,
    ) -> bool:
        """Send a provisional response; see Call.ring."""
        if not 101 <= status <= 199:
            raise ValueError(f"{status} is no provisional response that rings")
        if self.state not in _UNANSWERED:
            return False
        if self.request.headers.has_option("require", "100rel") if reliable is None else reliable:
            if self._provisionals is None:
                self._provisionals = Provisionals(self)
            given = tuple(headers)
            refuse_line_ends(given)

            if body:
                self.described = body

            def build(fields: tuple[tuple[str, str], ...]) -> Response:
                return self._response(status, reason, (*fields, *given), body, content_type)

            self._provisionals.send(build, now)
        else:
            self._reply(status, now, reason, headers, body, content_type)
        self.state = CallState.EARLY
        timeline = self.timeline
        if timeline.ringing_at is None:
            timeline.ringing_at = now
        if len(timeline.provisionals) < self.agent.config.limits.provisionals:
            timeline.provisionals.append((now, status))
        return True

    def answer(
        self, body: bytes = b"", *, now: float, content_type: str = SDP, headers: HeaderPairs = ()
    ) -> bool:
        """Send 200; see Call.answer."""
        provisionals = self._provisionals
        if self.state not in _UNANSWERED or (provisionals is not None and provisionals.waits):
            return False
        if provisionals is None:
            self._answer(body, content_type, headers, now)
            return True
        given = tuple(headers)

        def send(at: float) -> None:
            self._answer(body, content_type, given, at)

        if not provisionals.defer(send):
            send(now)
        return True

    def _answer(self, body: bytes, content_type: str, headers: HeaderPairs, now: float) -> None:
        self._repeat_no_more()
        if body:
            self.described = body
        headers = (*self.session_answer(self.request, now), *headers)
        self._reply(200, now, None, headers, body, content_type)
        self.agree(True)
        self.state = CallState.ANSWERED
        self.unguard()  # from here the ACK has its own deadline
        self.agent.changes(self)
        self.timeline.answered_at = now
        self.timeline.final_status = 200
        self._success = Success(self.transaction, self._ack_overdue, now)

    def reject(
        self,
        status: int = 486,
        *,
        now: float,
        reason: str | None = None,
        headers: HeaderPairs = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> bool:
        """Refuse; see Call.reject."""
        if not 300 <= status <= 699:
            raise ValueError(f"{status} does not reject a call")
        if self.state not in _UNANSWERED:
            return False
        self.timeline.final_status = status
        self.agent.reply(
            self.transaction,
            status,
            now,
            reason=reason,
            headers=headers,
            body=body,
            content_type=content_type,
        )
        self._forget(now)
        return True

    def hangup(self, *, now: float, reason: str | None = None, headers: HeaderPairs = ()) -> bool:
        """480 or BYE; see Call.hangup."""
        if reason is not None:
            headers = [*headers, ("Reason", reason)]
        if self.state in _UNANSWERED:
            return self.reject(480, now=now, headers=headers)
        if self.state is CallState.ANSWERED and self._hangup_headers is None:
            headers = tuple(headers)
            refuse_line_ends(headers)
            self._hangup_headers = headers  # 15: not before the ACK
            return True
        if self.state is CallState.CONFIRMED and self.dialog is not None:
            self.closing.say(self.dialog, now, headers)
            return True
        return False

    # -- from the endpoint

    def receive_bye(self, transaction: ServerTransaction, now: float) -> None:
        """The caller may end an early dialog by BYE, too (15)."""
        if self.state in _UNANSWERED:
            self.agent.reply(transaction, 200, now)
            self._withdrawn(transaction.request, now)
            return
        if self._success is not None:
            self._success.stop()
        super().receive_bye(transaction, now)

    def receive_prack(self, transaction: ServerTransaction, now: float) -> None:
        """To a reliable provisional of ours."""
        if self._provisionals is None:
            super().receive_prack(transaction, now)
        else:
            self._provisionals.receive(transaction, now)

    def receive_ack(self, ack: Request, now: float) -> bool:
        """The ACK to our 200, once or repeated, or to that of a re-INVITE."""
        success = self._success
        if success is None or success.cseq != cseq_of(ack.headers)[0]:
            return super().receive_ack(ack, now)
        if not success.waits:
            self.timeline.retransmissions_received += 1
            return True
        success.stop()
        self.state = CallState.CONFIRMED
        self.timeline.confirmed_at = now
        self.agent.emit(CallConfirmed(now, self, ack))
        if self._hangup_headers is not None and self.dialog is not None:
            self.closing.say(self.dialog, now, self._hangup_headers)
        return True

    def transaction_acknowledged(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        """The ACK of an RFC 2543 peer."""
        self.receive_ack(ack, now)

    def transaction_canceled(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        """The caller gives up; CANCEL has been answered."""
        self._withdrawn(cancel, now)

    @property
    def awaits_ack(self) -> bool:
        """True while our 200 is not acknowledged."""
        return (self._success is not None and self._success.waits) or super().awaits_ack

    # -- for its parts

    def agree(self, agreed: bool) -> None:
        """The first offer has its answer."""
        if self.dialog is not None and agreed:
            self.dialog.agreed = True

    def never_acknowledged(self, status: int, now: float) -> None:
        """No PRACK within 64*T1: the INVITE is refused (RFC 3262 section 3)."""
        if self.state in _UNANSWERED:
            self.timeline.final_status = 504
            self.agent.reply(self.transaction, 504, now)
            seconds = f"{self.agent.config.timers.transaction_timeout:g}"
            reason = f"no PRACK to our {status} within {seconds} s"
            self.finish(CallFailed(now, self, 504, reason, FailureCause.TIMED_OUT, None))

    # -- inside

    def _repeat_no_more(self) -> None:
        if self._provisionals is not None:
            self._provisionals.stop()

    def _response(
        self, status: int, reason: str | None, headers: HeaderPairs, body: bytes, content_type: str
    ) -> Response:
        return self.agent.build_response(
            self.transaction.request,
            status,
            local_tag=self.local_tag,
            reason=reason,
            contact=self.contact,
            headers=headers,
            body=body,
            content_type=content_type,
        )

    def _reply(
        self,
        status: int,
        now: float,
        reason: str | None,
        headers: HeaderPairs,
        body: bytes,
        content_type: str,
    ) -> None:
        self.agent.reply(
            self.transaction,
            status,
            now,
            reason=reason,
            contact=self.contact,
            headers=headers,
            body=body,
            content_type=content_type,
        )

    def _withdrawn(self, request: Request, now: float) -> None:
        if self.state in _UNANSWERED:
            self.timeline.final_status = 487
            self._repeat_no_more()
            self.agent.reply(self.transaction, 487, now)
            self.finish(CallCanceled(now, self, Side.REMOTE, request, None))

    def _ack_overdue(self, now: float) -> None:
        seconds = f"{self.agent.config.timers.transaction_timeout:g}"
        reason = f"no ACK to our 200 within {seconds} s"
        self.closing.give_up(EndCause.ACK_MISSING, reason, now)

    def _unattended(self, now: float) -> None:
        if self.state in _UNANSWERED:
            self.timeline.final_status = 480
            self._repeat_no_more()
            self.agent.reply(self.transaction, 480, now)
            reason = "nobody answered within the limit"
            self.finish(CallFailed(now, self, 480, reason, FailureCause.TIMED_OUT, None))

    def challenged(self, now: float) -> None:
        """It was answered 401 or 407; the next INVITE is a new call."""
        self._forget(now)

    def _forget(self, now: float) -> None:
        self.state = CallState.ENDED
        self.timeline.ended_at = now
        self.unguard()
        self._repeat_no_more()
        if self._session is not None:
            self._session.stop()
        self.agent.changes(self)
        self.agent.calls.pop((self.call_id, self.local_tag), None)
