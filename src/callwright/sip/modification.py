"""A new offer within a call, with its glare, from either side: re-INVITE (RFC 3261 section 14), UPDATE, also
before the answer (RFC 3311), and PRACK (RFC 3262 section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from callwright.sip.client_request import ClientRequest
from callwright.sip.events import (
    EndCause,
    FailureCause,
    OfferAnswered,
    OfferConfirmed,
    OfferFailed,
    OfferReceived,
)
from callwright.sip.glance import from_tag, to_tag
from callwright.sip.message import Request, Response
from callwright.sip.success import Success
from callwright.sip.timers import Alarm
from callwright.sip.transaction.server import ServerTransaction
from callwright.sip.transport import Hop, PermittedHop

if TYPE_CHECKING:
    from callwright.sip.call import Call
    from callwright.sip.dialog import Dialog

HeaderPairs = Iterable[tuple[str, str]]


_LONGEST_WAIT = 60.0  # seconds that a Retry-After is obeyed for


class Modification:
    """The further offers of one call. At most one is under way at a time, in either direction."""

    __slots__ = ("_ack", "_ack_cseq", "_ack_due", "_call", "_ours", "_overdue", "_success", "_theirs")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._ours: ClientRequest | None = None  # sent, no final response yet
        self._ack_due: ClientRequest | None = None  # answered; the user owes the ACK with the answer
        self._ack: tuple[bytes, Hop] | None = None  # the last ACK sent, for repeated 2xx
        self._ack_cseq = -1
        self._theirs: ServerTransaction | None = None  # received, no final response yet
        self._success: Success | None = None  # our 2xx to theirs
        self._overdue: Alarm | None = None  # the user's answer, or ACK

    # -- ours

    def offer(self, body: bytes, content_type: str, headers: HeaderPairs, now: float) -> bool:
        """Send a re-INVITE; see Call.reinvite."""
        call = self._call
        dialog = call.dialog
        if dialog is None or not call.confirmed or self._busy or self.awaits_ack:
            return False
        return self.offer_by("INVITE", dialog, body, content_type, headers, now)

    def update(
        self, dialog: Dialog, body: bytes, content_type: str, headers: HeaderPairs, now: float
    ) -> bool:
        """Send an UPDATE with an offer; see Call.update."""
        call = self._call
        if not dialog.agreed or self._busy or not (call.waits_for_final or call.established):
            return False
        return self.offer_by("UPDATE", dialog, body, content_type, headers, now)

    def offer_by(
        self,
        method: str,
        dialog: Dialog,
        body: bytes,
        content_type: str,
        headers: HeaderPairs,
        now: float,
    ) -> bool:
        """Send an offer in a request of that method. Ends in OfferAnswered or OfferFailed."""
        handle, branch = self._call.prepare(dialog, method, self, body, content_type, headers)
        if body:
            self._call.described = body
        self._ours = handle
        handle.start(branch, now)
        return True

    def acknowledge(self, body: bytes, content_type: str, hop: PermittedHop | None, now: float) -> bool:
        """Send the ACK that the user owes."""
        handle = self._ack_due
        if handle is None:
            return False
        self._ack_due = None
        self._stop_overdue()
        self._send_ack(handle, body, content_type, hop)
        return True

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """A re-INVITE rarely rings; nobody waits for it."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """Challenged: the same offer again."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """A final response to ours, or a 2xx repeated."""
        call = self._call
        status = response.status
        if handle is not self._ours:
            if (
                status < 300
                and self._ack is not None
                and handle.request.headers.cseq.number == self._ack_cseq
            ):
                call.timeline.retransmissions_sent += 1
                call.agent.layer.transmit(*self._ack)
            return
        self._ours = None
        if status < 300:
            if handle.method != "PRACK":
                call.session_answered(response, now)
                call.refresh_target(response, to_tag(response.headers) or "")
            if handle.method == "INVITE" and handle.request.body:
                self._send_ack(handle, b"", "", None)
            elif handle.method == "INVITE":
                self._ack_due = handle
                self._wait(lambda at: self.acknowledge(b"", "", None, at), now)
            call.agent.emit(OfferAnswered(now, call, response))
            return
        cause = FailureCause.UNAUTHORIZED if status in (401, 407) else FailureCause.REJECTED
        retry_after = self._retry_after(handle.method, response)
        if handle.method != "PRACK" and call.session.failed(response, now):
            retry_after = 0.0
        call.agent.emit(OfferFailed(now, call, status, response.reason, cause, retry_after, response))
        if status == 481 or (status == 408 and handle.method != "PRACK"):
            call.closing.lost(response, now)

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """No response: the dialog is as good as gone (RFC 3261 14.1, 12.2.1.2)."""
        if handle is not self._ours:
            return
        self._ours = None
        self._call.agent.emit(OfferFailed(now, self._call, None, reason, cause, None, None))
        self._call.closing.lost(None, now, reason)

    # -- theirs

    def receive(self, transaction: ServerTransaction, now: float) -> None:
        """A re-INVITE; or an UPDATE or PRACK with an offer, which have their place before the answer too,
        once the first offer has its own answer (RFC 3311 5.2)."""
        call = self._call
        agent = call.agent
        invites = transaction.method == "INVITE"
        if self._theirs is not None or (invites and call.waits_for_user):
            self._later(transaction, now)  # 14.2: a second INVITE before the final response to the first
            return
        early = call.waits_for_final
        if self._busy or not (early or call.takes_offers):
            agent.reply(transaction, 491, now)
            return
        if early:
            dialog = call.dialog_with(from_tag(transaction.request.headers))
            if dialog is None or not dialog.agreed:
                if call.offer_is_open:
                    agent.reply(transaction, 491, now)
                else:
                    self._later(transaction, now)
                return
        if self._success is not None:
            self._success.stop()  # who offers anew has seen our 2xx
        if invites:
            agent.reply(transaction, 100, now)
        self._theirs = transaction
        transaction.user = self
        self._wait(lambda at: self.refuse(500, at), now)
        agent.emit(OfferReceived(now, call, transaction.request))

    def accept(self, body: bytes, content_type: str, headers: HeaderPairs, now: float) -> bool:
        """Answer 200 to theirs."""
        transaction, call = self._theirs, self._call
        if transaction is None:
            return False
        self._theirs = None
        self._stop_overdue()
        prack = transaction.method == "PRACK"
        if not prack and call.established:
            headers = (*call.session_answer(transaction.request, now), *headers)
        if body:
            call.described = body
        if not prack:
            call.refresh_target(transaction.request, from_tag(transaction.request.headers))
        call.agent.reply(
            transaction,
            200,
            now,
            contact=None if prack else call.contact,
            headers=headers,
            body=body,
            content_type=content_type,
        )
        if transaction.method == "INVITE":  # nothing acknowledges the others
            self._success = Success(transaction, self._ack_missing, now)
        return True

    def refuse(
        self,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: HeaderPairs = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> bool:
        """Refuse theirs."""
        transaction = self._theirs
        if transaction is None:
            return False
        self._theirs = None
        self._stop_overdue()
        return self._call.agent.reply(
            transaction, status, now, reason=reason, headers=headers, body=body, content_type=content_type
        )

    def receive_ack(self, ack: Request, now: float) -> bool:
        """The ACK to our 2xx, once or repeated."""
        success = self._success
        if success is None or success.cseq != ack.headers.cseq.number:
            return False
        if success.waits:
            success.stop()
            self._call.agent.emit(OfferConfirmed(now, self._call, ack))
        else:
            self._call.timeline.retransmissions_received += 1
        return True

    def transaction_acknowledged(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        """The ACK of an RFC 2543 peer."""
        self.receive_ack(ack, now)

    def transaction_canceled(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        """They changed their mind; the call goes on."""
        if transaction is self._theirs:
            self.refuse(487, now)
            reason = "the peer canceled its offer"
            self._call.agent.emit(
                OfferFailed(now, self._call, 487, reason, FailureCause.CANCELED, None, None)
            )

    # -- both

    def give_up(self, now: float) -> None:
        """The call ends: what is under way ends with it (15.1.2)."""
        self.refuse(487, now)
        if self._success is not None:
            self._success.stop()
        if self._ack_due is not None:
            self.acknowledge(b"", "", None, now)
        self._ours = None
        self._stop_overdue()

    @property
    def awaits_ack(self) -> bool:
        """True while our 2xx is not acknowledged."""
        return self._success is not None and self._success.waits

    @property
    def _busy(self) -> bool:
        return self._ours is not None or self._ack_due is not None or self._theirs is not None

    def _later(self, transaction: ServerTransaction, now: float) -> None:
        """They are to wait 0 to 10 s: an offer of theirs has no answer yet."""
        agent = self._call.agent
        delay = agent.entropy(1)[0] % 11
        agent.reply(transaction, 500, now, headers=[("Retry-After", str(delay))])

    def _retry_after(self, method: str, response: Response) -> float | None:
        if response.status == 491:
            return self._glare_delay()
        if response.status == 500 and method != "PRACK":
            seconds = response.headers.number("retry-after", 2**32 - 1)
            return None if seconds is None else min(float(seconds), _LONGEST_WAIT)
        return None

    def _glare_delay(self) -> float:
        # 14.1: the owner of the Call-ID waits 2.1 to 4 s, the other up to 2 s, in steps of 10 ms
        number = int.from_bytes(self._call.agent.entropy(2), "big")
        if self._call.owns_call_id:
            return 2.1 + (number % 191) / 100
        return (number % 201) / 100

    def _send_ack(
        self, handle: ClientRequest, body: bytes, content_type: str, hop: PermittedHop | None
    ) -> None:
        call = self._call
        dialog = call.dialog
        if dialog is None:
            return
        if body:
            call.described = body
        self._ack_cseq = handle.request.headers.cseq.number
        self._ack = call.send_ack(dialog, handle.request, body, content_type, hop)

    def _ack_missing(self, now: float) -> None:
        reason = "our 200 to the re-INVITE was never acknowledged"
        cause = FailureCause.TIMED_OUT
        self._call.agent.emit(OfferFailed(now, self._call, None, reason, cause, None, None))
        self._call.closing.give_up(EndCause.ACK_MISSING, reason, now)

    def _wait(self, action: Callable[[float], object], now: float) -> None:
        self._stop_overdue()
        agent = self._call.agent
        self._overdue = agent.agenda.at(now + agent.config.timers.transaction_timeout, action)

    def _stop_overdue(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
