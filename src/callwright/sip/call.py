"""A call: the INVITE usage of a dialog (RFC 3261 sections 12 to 15), as its user sees it.

`Call` is what `Endpoint.invite` returns and what call events name. Its two kinds live in outbound_call.py and
inbound_call.py. Every verb takes `now` (monotonic seconds, keyword) and returns True when something was done,
False when the call was already beyond it: a race with the peer is not an error. What arises from a verb comes
out of the endpoint's `transmissions()` and `events()`. A verb of the wrong direction raises WrongDirection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from callwright.sip.client_request import ClientRequest, ClientRequestUser
from callwright.sip.closing import Closing
from callwright.sip.dialog import Dialog, compose
from callwright.sip.digest import Credentials, DigestClient
from callwright.sip.events import CallEnded, EndCause, Event, RequestAnswered, RequestReceived, Side
from callwright.sip.glance import cseq_of, from_tag
from callwright.sip.inquiry import Inquiry
from callwright.sip.message import Request, Response, serialize
from callwright.sip.modification import Modification
from callwright.sip.refer import ReferTo, Replaces
from callwright.sip.referral import Referral
from callwright.sip.session_timer import SessionTimer
from callwright.sip.timeline import CallTimeline
from callwright.sip.timers import Alarm
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import NameAddr, Uri
from callwright.sip.will import Will, essence, hop_values, state_of

if TYPE_CHECKING:
    from callwright.sip.transaction.server import ServerTransaction
    from callwright.sip.user_agent import UserAgent

__all__ = ["SDP", "Call", "CallState", "CallTimeline", "Direction", "HeaderPairs", "WrongDirection"]

SDP = "application/sdp"
HeaderPairs = Iterable[tuple[str, str]]
_TARGET_REFRESH = ("INVITE", "UPDATE")
_CREDENTIALS = ("Authorization", "Proxy-Authorization")


class Direction(StrEnum):
    """Who sent the INVITE."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class CallState(StrEnum):
    """Where a call stands."""

    CALLING = "calling"  # INVITE sent, nothing heard
    PROCEEDING = "proceeding"  # a 100 heard; or an INVITE received and not yet rung
    EARLY = "early"  # 101 to 199 received or sent
    CANCELING = "canceling"  # we gave up; the final response is still to come
    ANSWERED = "answered"  # 2xx received or sent, not yet acknowledged
    CONFIRMED = "confirmed"  # acknowledged
    ENDING = "ending"  # our BYE is on its way
    ENDED = "ended"


class WrongDirection(TypeError):
    """A verb of inbound calls was used on an outbound one, or the other way round."""


class Call:
    """One call, either direction. Compare by identity. `user_data` is the user's own.

    Attributes (read only for users):
      id            serial number within the endpoint
      direction     Direction
      state         CallState
      call_id       the Call-ID
      local, remote NameAddr, with tags as far as known
      remote_target Uri of the peer's Contact once a dialog exists, else the Request-URI of our INVITE
      hop           where requests of this call go by default; `use_hop()` changes it
      request       the INVITE, as last sent (with credentials) or as received
      early_dialogs to_tag -> Dialog, outbound: one for each forked branch that rang
      dialog        the confirmed Dialog, or None
      timeline      Timeline
      session       its timer (RFC 4028); `session.wish` may be set until the call is answered
      described     the last session description that we sent
      credentials   for 401/407 to any request of this call
      replaces      inbound: the call whose place it is to take (RFC 3891); its user ends that one
    """

    direction: Direction

    def __init__(
        self,
        agent: UserAgent,
        request: Request,
        hop: Hop,
        local_tag: str,
        credentials: Credentials | None,
        now: float,
    ) -> None:
        agent.serial += 1
        self.agent = agent
        self.id = agent.serial
        self.request = request
        self.hop = hop
        self.local_tag = local_tag
        self.call_id = request.headers.call_id
        self.state = CallState.CALLING
        self.early_dialogs: dict[str, Dialog] = {}
        self.dialog: Dialog | None = None
        self.timeline = CallTimeline(now)
        self.user_data: Any = None
        self.credentials = credentials
        self.digest = DigestClient(credentials, agent.entropy) if credentials is not None else None
        self.modification = Modification(self)
        self.closing = Closing(self)
        self._session: SessionTimer | None = None  # made when it is needed: most calls have none
        self.described = b""
        self._hop_override: PermittedHop | None = None
        self._hop_override_of: Dialog | None = None
        self.replaces: Call | None = None
        self._guard: Alarm | None = None  # the deadline of the present state
        agent.calls[(self.call_id, local_tag)] = self

    @property
    def session(self) -> SessionTimer:
        """Its timer (RFC 4028)."""
        if self._session is None:
            self._session = SessionTimer(self, self.agent.session_wish)
        return self._session

    def session_answer(self, request: Request, now: float) -> HeaderPairs:
        """What a 2xx of ours says of the session timer; it begins anew."""
        if self._session is None and "session-expires" not in request.headers.by_key:
            return ()
        return self.session.answer(request, now)

    def session_answered(self, response: Response, now: float) -> None:
        """A 2xx of theirs to INVITE or UPDATE."""
        if self._session is not None or "session-expires" in response.headers.by_key:
            self.session.answered(response, now)

    def __repr__(self) -> str:
        return f"<{self.direction} call {self.id} {self.state}>"

    @property
    def over(self) -> bool:
        """True when its final event has been told."""
        return self.state is CallState.ENDED

    @property
    def local(self) -> NameAddr:
        """Our address, with our tag."""
        dialog = self._any_dialog()
        if dialog is not None:
            return NameAddr.parse(dialog.local)
        return self.request.headers.from_

    @property
    def remote(self) -> NameAddr:
        """The peer's address, with its tag once it has one."""
        dialog = self._any_dialog()
        if dialog is not None:
            return NameAddr.parse(dialog.remote)
        return self.request.headers.to

    @property
    def remote_target(self) -> Uri:
        """Where the peer wants requests of the dialog sent; before there is one, our Request-URI."""
        dialog = self._any_dialog()
        return Uri.parse(dialog.remote_target if dialog is not None else self.request.uri)

    @property
    def next_hop(self) -> Uri:
        """Where the next request of the dialog has to go first: the first route, or the remote target. When
        its host is a name, a driver may resolve it and say `use_hop`; else the way the dialog came is
        taken."""
        dialog = self._any_dialog()
        return Uri.parse(dialog.way().next_hop if dialog is not None else self.request.uri)

    @property
    def contact(self) -> str:
        """Our Contact value."""
        raise NotImplementedError

    # -- verbs of inbound calls

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
        """Send a provisional response, 101 to 199, as often as wished; with `body` it is early media.

        `reliable` (RFC 3262): repeated until its PRACK comes, for 64*T1 at most, then the call is refused
        with 504 (CallFailed); by default where the caller requires it. Others wait until the one before is
        acknowledged, and so does a 2xx after one with a body.
        """
        raise WrongDirection("ring is for inbound calls")

    def answer(
        self, body: bytes = b"", *, now: float, content_type: str = SDP, headers: HeaderPairs = ()
    ) -> bool:
        """Send 200. It is repeated until the ACK comes, for 64*T1 at most (then CallEnded, ACK_MISSING)."""
        raise WrongDirection("answer is for inbound calls")

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
        """Send a final response of 300 to 699 to an unanswered inbound call. No event follows."""
        raise WrongDirection("reject is for inbound calls")

    # -- verbs of outbound calls

    def prack(
        self,
        body: bytes = b"",
        *,
        to_tag: str,
        now: float,
        content_type: str = SDP,
        headers: HeaderPairs = (),
    ) -> bool:
        """Acknowledge the reliable provisional of CallProgressed where that is `owed`: with the answer to the
        offer in it, or, once there is agreement, with a new offer (then OfferAnswered or OfferFailed
        follows). False when none is owed."""
        raise WrongDirection("prack is for outbound calls")

    def cancel(self, *, now: float, headers: HeaderPairs = ()) -> bool:
        """Give up an unanswered outbound call: CANCEL at once after a provisional, else as soon as one comes.

        Ends in CallCanceled (its response is the 487, or whatever final crossed), or in CallEnded(ABANDONED)
        when a 2xx crossed.
        """
        raise WrongDirection("cancel is for outbound calls")

    def acknowledge(
        self, body: bytes = b"", *, now: float, hop: PermittedHop | None = None, content_type: str = SDP
    ) -> bool:
        """Send the ACK to the 2xx of the INVITE, or of a re-INVITE that had no offer. Repeats are sent by the
        endpoint. `hop` overrides where it goes."""
        return self.modification.acknowledge(body, content_type, hop, now)

    # -- verbs of both

    def hangup(self, *, now: float, reason: str | None = None, headers: HeaderPairs = ()) -> bool:
        """End the call whatever its state: CANCEL, 480 (inbound, unanswered) or BYE.

        `reason` is the value of a Reason header (RFC 3326). A BYE ends in CallEnded. An unacknowledged
        inbound call is hung up as soon as its ACK came or is overdue (RFC 3261 15); an unacknowledged
        outbound one is acknowledged first.
        """
        raise NotImplementedError

    def reinvite(
        self, body: bytes, *, now: float, content_type: str = SDP, headers: HeaderPairs = ()
    ) -> bool:
        """Offer anew in a confirmed call; with an empty body ask the peer for an offer.

        False when the call is not confirmed or an offer is pending, theirs or ours (RFC 3261 14.1). Ends in
        OfferAnswered or OfferFailed.
        """
        return self.modification.offer(body, content_type, headers, now)

    def update(
        self, body: bytes = b"", *, now: float, content_type: str = SDP, headers: HeaderPairs = ()
    ) -> bool:
        """UPDATE (RFC 3311). False where it has no place.

        With a body: offer anew, also before the answer, once a reliable provisional has answered the first
        offer; ends in OfferAnswered or OfferFailed. Without: refresh the target; ends as `send` does.
        """
        if not body:
            return self.send("UPDATE", now=now, headers=headers) is not None
        dialog = self.dialog or next((one for one in self.early_dialogs.values() if one.agreed), None)
        if dialog is None:
            return False
        return self.modification.update(dialog, body, content_type, headers, now)

    def accept_offer(
        self, body: bytes, *, now: float, content_type: str = SDP, headers: HeaderPairs = ()
    ) -> bool:
        """Answer 200 to the request of OfferReceived. False when none is pending."""
        return self.modification.accept(body, content_type, headers, now)

    def refuse_offer(
        self,
        status: int = 488,
        *,
        now: float,
        reason: str | None = None,
        headers: HeaderPairs = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> bool:
        """Refuse the offer of OfferReceived; the call goes on as it was. False when none is pending."""
        return self.modification.refuse(
            status, now, reason=reason, headers=headers, body=body, content_type=content_type
        )

    def send(
        self,
        method: str,
        body: bytes = b"",
        *,
        now: float,
        content_type: str | None = None,
        headers: HeaderPairs = (),
    ) -> ClientRequest | None:
        """A request within the dialog (INFO, MESSAGE, OPTIONS, …), also an early one. None when there is no
        dialog. Ends in ResponseReceived, RequestTimedOut or RequestFailed."""
        dialog = self._any_dialog()
        if dialog is None or self.state in (CallState.ENDING, CallState.ENDED):
            return None
        user = Inquiry(self.agent, self)
        handle, branch = self.prepare(dialog, method, user, body, content_type, headers)
        handle.start(branch, now)
        return handle

    def refer(
        self, to: ReferTo, *, now: float, referred_by: NameAddr | None = None, headers: HeaderPairs = ()
    ) -> Referral | None:
        """Ask the peer to call somebody else (REFER, RFC 3515). None when the call is not answered.

        `referred_by`: who asks (RFC 3892), by default our own address. Ends in ReferralRefused or
        ReferralEnded.
        """
        if self.dialog is None or not self.established:
            return None
        by = NameAddr("", (referred_by or self.local).uri)
        return Referral(self, self.dialog, to, [("Referred-By", str(by)), *headers], now)

    @property
    def as_replaced(self) -> Replaces | None:
        """How its peer is told of this dialog (RFC 3891); None before there is one."""
        dialog = self.dialog
        return None if dialog is None else Replaces(dialog.call_id, dialog.remote_tag, dialog.local_tag)

    @property
    def peer_tag(self) -> str:
        """The peer's tag in its dialog, else in the first of its early ones; empty before there is any."""
        dialog = self._any_dialog()
        return "" if dialog is None else dialog.remote_tag

    def authenticate(self, credentials: Credentials) -> None:
        """Answer challenges of requests within this call with those credentials, where it has none yet."""
        if self.digest is None:
            self.digest = DigestClient(credentials, self.agent.entropy)

    def use_hop(self, hop: PermittedHop) -> None:
        """From now on send the requests of this call there, whatever the route set says: of its dialog, or of
        every dialog when it has none yet."""
        self.hop = hop
        self._hop_override, self._hop_override_of = hop, self.dialog
        self.agent.changes(self)

    def will(self) -> Will | None:
        """What another process needs to end this call; None when there is nothing to end."""
        return None

    def _will(self, dialog: Dialog | None, hop: Hop, *, outbound: bool) -> Will:
        known = self.credentials
        return Will(
            outbound,
            hop_values(hop),
            essence(self.request),
            self.local_tag,
            state_of(dialog, self._hop_override) if dialog is not None else None,
            known.username if known is not None else "",
            known.password if known is not None else "",
        )

    # -- from the endpoint

    def receive_request(self, transaction: ServerTransaction, now: float) -> None:
        """A request with our tag, other than ACK and CANCEL."""
        request = transaction.request
        dialog = self.dialog_with(from_tag(request.headers))
        transaction.count = self.timeline
        transaction.local_tag = self.local_tag
        if dialog is None or self.over:
            self.agent.reply(transaction, 481, now)
            return
        number = cseq_of(request.headers)[0]
        if dialog.remote_cseq is not None and number < dialog.remote_cseq:
            self.agent.reply(
                transaction, 500, now, reason="CSeq Out of Order", headers=[("Retry-After", "1")]
            )
            return
        dialog.remote_cseq = number
        method = request.method
        timed = method in _TARGET_REFRESH and "session-expires" in request.headers.by_key
        brief = self.session.too_brief(request) if timed else None
        if brief is not None:
            self.agent.reply(transaction, 422, now, headers=brief)
        elif method == "BYE":
            self.receive_bye(transaction, now)
        elif method == "PRACK":
            self.receive_prack(transaction, now)
        elif method == "INVITE" or (method == "UPDATE" and request.body):
            self.modification.receive(transaction, now)
        elif method == "UPDATE":
            self.refresh_target(request, dialog.remote_tag)
            fields = self.session_answer(request, now) if self.established else ()
            self.agent.reply(transaction, 200, now, contact=self.contact, headers=fields)
            self.agent.emit(RequestAnswered(now, request, self))
        elif method == "NOTIFY":  # those that we subscribed to do not come here (RFC 6665 section 4.1.3)
            self.agent.reply(transaction, 481, now, reason="Subscription Does Not Exist")
        elif method == "OPTIONS" and self.agent.config.answer_options:
            self.agent.answer_options(transaction, now)
            self.agent.emit(RequestAnswered(now, request, self))
        else:
            self.agent.emit(RequestReceived(now, transaction, request, self))

    def receive_bye(self, transaction: ServerTransaction, now: float) -> None:
        """The peer hangs up."""
        self.closing.receive(transaction, now)

    def receive_prack(self, transaction: ServerTransaction, now: float) -> None:
        """Kinds of calls that send reliable provisionals know better."""
        self.agent.reply(transaction, 481, now)

    def receive_ack(self, ack: Request, now: float) -> bool:
        """An ACK to a 2xx of ours. False when it fits none."""
        return self.modification.receive_ack(ack, now)

    def dialog_with(self, remote_tag: str) -> Dialog | None:
        """The dialog, early or confirmed, with that tag of the peer."""
        dialog = self.dialog
        if dialog is not None and dialog.remote_tag == remote_tag:
            return dialog
        return self.early_dialogs.get(remote_tag)

    # -- for the parts of a call

    @property
    def confirmed(self) -> bool:
        """True between ACK and BYE."""
        return self.state is CallState.CONFIRMED

    @property
    def agreed(self) -> bool:
        """True once the first offer has its answer in messages that cannot be lost: no further description
        belongs to the INVITE (RFC 6337 2.2)."""
        return self.dialog is not None and self.dialog.agreed

    @property
    def waits_for_final(self) -> bool:
        """True while the INVITE that made the call has no final response, and is not given up."""
        return self.state in (CallState.CALLING, CallState.PROCEEDING, CallState.EARLY)

    @property
    def established(self) -> bool:
        """True between the 2xx and BYE."""
        return self.state in (CallState.ANSWERED, CallState.CONFIRMED)

    @property
    def takes_offers(self) -> bool:
        """True when a re-INVITE of the peer has its place."""
        return self.state is CallState.CONFIRMED

    @property
    def waits_for_user(self) -> bool:
        """True while an INVITE of the peer that made the call has no final response."""
        return False

    @property
    def offer_is_open(self) -> bool:
        """True while the first offer is ours, and has no answer."""
        return self.direction is Direction.OUTBOUND and bool(self.request.body)

    def refresh_target(self, message: Request | Response, remote_tag: str) -> None:
        """The peer's Contact in a re-INVITE or UPDATE, or in the 2xx to one, is its address from now on."""
        dialog = self.dialog_with(remote_tag) or self.dialog
        if dialog is not None:
            dialog.refresh_target(message)
            self.agent.changes(self)

    @property
    def awaits_ack(self) -> bool:
        """True while a 2xx of ours is not acknowledged."""
        return self.modification.awaits_ack

    @property
    def owns_call_id(self) -> bool:
        """True when the Call-ID is of our making, which decides who waits longer after a glare (14.1)."""
        return self.direction is Direction.OUTBOUND

    def send_ack(
        self, dialog: Dialog, invite: Request, body: bytes, content_type: str, hop: PermittedHop | None
    ) -> tuple[bytes, Hop]:
        """Send the ACK to a 2xx: a new branch, the credentials of the INVITE (13.2.2.4, 22.1). Returns what
        was sent, to be sent again for every repeated 2xx."""
        credentials = [field for field in invite.headers if field[0] in _CREDENTIALS]
        branch = self.agent.branch()
        cseq = cseq_of(invite.headers)[0]
        request, to = self._compose(dialog, "ACK", cseq, branch, body, content_type, credentials, hop)
        data = serialize(request)
        self.agent.layer.transmit(data, to)
        return data, to

    def prepare(
        self,
        dialog: Dialog,
        method: str,
        user: ClientRequestUser,
        body: bytes = b"",
        content_type: str | None = None,
        headers: HeaderPairs = (),
    ) -> tuple[ClientRequest, str]:
        """A request in a dialog, with the branch to start it with."""
        branch = self.agent.branch()
        if self._session is not None and method in _TARGET_REFRESH and self.established:
            headers = (*self.session.asked(method), *headers)
        request, hop = self._compose(dialog, method, dialog.next_cseq(), branch, body, content_type, headers)
        handle = ClientRequest(
            self.agent,
            request,
            hop,
            user,
            digest=self.digest,
            next_cseq=dialog.next_cseq,
            count=self.timeline,
        )
        return handle, branch

    def _compose(
        self,
        dialog: Dialog,
        method: str,
        cseq: int,
        branch: str,
        body: bytes = b"",
        content_type: str | None = None,
        headers: HeaderPairs = (),
        given: PermittedHop | None = None,
    ) -> tuple[Request, Hop]:
        # What was said of one dialog is no way to the other branches of a fork.
        overridden = self._hop_override if self._hop_override_of in (None, dialog) else None
        return compose(
            self.agent,
            dialog,
            method,
            cseq=cseq,
            branch=branch,
            contact=self.contact if method in _TARGET_REFRESH else None,
            body=body,
            content_type=content_type,
            headers=headers,
            hop=given or overridden,
        )

    def guard(self, seconds: float, action: Callable[[float], object], now: float) -> None:
        """Set the deadline of the present state, in place of the one before."""
        self.unguard()
        self._guard = self.agent.agenda.at(now + seconds, action)

    def unguard(self) -> None:
        """The present state has no deadline of its own."""
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None

    def ending(self, now: float) -> None:
        """Our BYE leaves: nothing else is waited for."""
        self.state = CallState.ENDING
        self.unguard()
        if self._session is not None:
            self._session.stop()
        self.modification.give_up(now)

    def end(
        self,
        now: float,
        by: Side,
        cause: EndCause,
        reason: str,
        request: Request | None = None,
        response: Response | None = None,
    ) -> None:
        """The answered call is over."""
        self.finish(CallEnded(now, self, by, cause, reason, request, response))

    def finish(self, event: Event) -> None:
        """Tell the final event, once, and be forgotten."""
        if self.state is CallState.ENDED:
            return
        self.state = CallState.ENDED
        self.timeline.ended_at = event.at
        self.unguard()
        if self._session is not None:
            self._session.stop()
        self.modification.give_up(event.at)
        self.agent.calls.pop((self.call_id, self.local_tag), None)
        self.agent.changes(self)
        self.agent.emit(event)

    # -- inside

    def _any_dialog(self) -> Dialog | None:
        if self.dialog is not None:
            return self.dialog
        return next(iter(self.early_dialogs.values()), None)
