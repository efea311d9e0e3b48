"""The caller's side of a call (RFC 3261 13.2, 9.1): INVITE, forks, CANCEL and its races, ACK."""

from __future__ import annotations

from callwright.sip.call import SDP, Call, CallState, Direction, HeaderPairs
from callwright.sip.client_request import ClientRequest
from callwright.sip.dialog import Dialog
from callwright.sip.digest import Credentials
from callwright.sip.events import (
    CallAnswered,
    CallCanceled,
    CallFailed,
    CallForked,
    CallProgressed,
    CallRedirected,
    EndCause,
    FailureCause,
    OfferFailed,
    Side,
)
from callwright.sip.glance import to_tag
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.headers import Headers
from callwright.sip.message import Request, Response
from callwright.sip.prack import Pracks
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import NameAddr
from callwright.sip.user_agent import UserAgent, refuse_line_ends
from callwright.sip.will import Will


class OutboundCall(Call):
    """A call that we place. Made by `Endpoint.invite`."""

    direction = Direction.OUTBOUND

    def __init__(
        self,
        agent: UserAgent,
        request: Request,
        hop: Hop,
        local_tag: str,
        credentials: Credentials | None,
        now: float,
    ) -> None:
        super().__init__(agent, request, hop, local_tag, credentials, now)
        self._contact = request.headers.first("contact") or ""
        self._ack: tuple[bytes, Hop] | None = None
        self._fork_acks: dict[str, tuple[bytes, Hop]] = {}  # of 2xx from other branches
        self._provisionals = 0
        self._sent_to = hop
        self.described = request.body
        self._cancel_sent = False
        self._cancel_headers: HeaderPairs = ()
        self._pracks: Pracks | None = None
        self._invite = ClientRequest(agent, request, hop, self, digest=self.digest, count=self.timeline)

    def start(self, branch: str, now: float) -> None:
        """Send the INVITE."""
        self.guard(self.agent.config.ring_limit, lambda at: self.cancel(now=at), now)
        self._invite.start(branch, now)
        self.agent.changes(self)

    def take_over(self, branch: str, now: float) -> None:
        """Be the INVITE that another process sent, and give it up: CANCEL leaves at once, for whether a
        provisional came is not known. One that the INVITE comes after is answered 481, and said again."""
        self._invite.take_over(branch, now)
        self.state = CallState.PROCEEDING
        self.cancel(now=now)

    def will(self) -> Will | None:
        """See Call.will."""
        if self.over:
            return None
        return self._will(self.dialog, self._sent_to, outbound=True)

    @property
    def contact(self) -> str:
        """Our Contact value."""
        return self._contact

    # -- verbs

    def cancel(self, *, now: float, headers: HeaderPairs = ()) -> bool:
        """Give up while unanswered; see Call.cancel."""
        if not self.waits_for_final:
            return False
        heard = self.state is not CallState.CALLING
        self._cancel_headers = tuple(headers)
        refuse_line_ends(self._cancel_headers)
        self.state = CallState.CANCELING
        self._invite.retry_no_more()
        self.unguard()  # until a provisional comes, Timer B is the deadline
        if heard:
            self._send_cancel(now)
        return True

    def prack(
        self,
        body: bytes = b"",
        *,
        to_tag: str,
        now: float,
        content_type: str = SDP,
        headers: HeaderPairs = (),
    ) -> bool:
        """Acknowledge a reliable provisional; see Call.prack."""
        dialog = self.early_dialogs.get(to_tag)
        if dialog is None or not self.waits_for_final:
            return False
        if body:
            self.described = body
        return self._pracks is not None and self._pracks.acknowledge(dialog, body, content_type, headers, now)

    def update(
        self, body: bytes = b"", *, now: float, content_type: str = SDP, headers: HeaderPairs = ()
    ) -> bool:
        """UPDATE; see Call.update. It waits for the response to a PRACK."""
        given = tuple(headers)
        refuse_line_ends(given)

        def later(at: float) -> None:
            if not Call.update(self, body, now=at, content_type=content_type, headers=given) and body:
                reason = "the call had no place for our UPDATE any more"
                self.agent.emit(OfferFailed(at, self, None, reason, FailureCause.CANCELED, None, None))

        if self._pracks is not None and self._pracks.pending:
            return self._pracks.defer(later)
        return super().update(body, now=now, content_type=content_type, headers=given)

    def acknowledge(
        self, body: bytes = b"", *, now: float, hop: PermittedHop | None = None, content_type: str = SDP
    ) -> bool:
        """Send the ACK to the 2xx; see Call.acknowledge."""
        if self.dialog is None or self._ack is not None:
            return self.modification.acknowledge(body, content_type, hop, now)
        if body:
            self.described = body
        self._ack = self.send_ack(self.dialog, self.request, body, content_type, hop)
        self.timeline.confirmed_at = now
        if self.state is CallState.ANSWERED:
            self.state = CallState.CONFIRMED
            self.unguard()
        return True

    def hangup(self, *, now: float, reason: str | None = None, headers: HeaderPairs = ()) -> bool:
        """CANCEL or BYE; see Call.hangup."""
        if reason is not None:
            headers = [*headers, ("Reason", reason)]
        if self.dialog is None:
            return self.cancel(now=now, headers=headers)
        if self.state not in (CallState.ANSWERED, CallState.CONFIRMED):
            return False
        if self._ack is None:
            self.acknowledge(now=now)
        self.closing.say(self.dialog, now, headers)
        return True

    # -- from the INVITE

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """A provisional response."""
        status = response.status
        timeline = self.timeline
        tag = ""
        number = response.headers.rseq if status > 100 else None
        if number is not None and not self._takes(response, number):
            return
        if status == 100:
            if timeline.trying_at is None:
                timeline.trying_at = now
            if self.state is CallState.CALLING:
                self.state = CallState.PROCEEDING
        else:
            if timeline.ringing_at is None:
                timeline.ringing_at = now
            tag = self._early_dialog(response)
            if self.waits_for_final:
                self.state = CallState.EARLY
        if self.state is CallState.CANCELING and not self._cancel_sent:
            self._send_cancel(now)
        limits = self.agent.config.limits
        self._provisionals += 1
        reliable = owed = False
        dialog = self.early_dialogs.get(tag)
        if self._pracks is not None and number is not None and dialog is not None and self.waits_for_final:
            reliable, owed = True, self._pracks.take(dialog, response, number, now)
        if self._provisionals <= limits.provisionals or owed:
            timeline.provisionals.append((now, status))
            self.agent.emit(CallProgressed(now, self, status, response.reason, response, tag, reliable, owed))

    def _takes(self, response: Response, number: int) -> bool:
        """Whether a reliable provisional comes in its turn, in a dialog that we keep."""
        self._early_dialog(response)
        dialog = self.early_dialogs.get(to_tag(response.headers) or "")
        if self._pracks is None:
            self._pracks = Pracks(self)
        return dialog is not None and self._pracks.is_news(dialog, number)

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """Challenged, and about to be sent with credentials."""
        self.request = handle.request
        self.agent.changes(self)
        self.state = CallState.CALLING
        self.timeline.authorized_at = now
        self._start_anew()

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """A final response, or a 2xx more; a 422 is asked again for as much as it wants (RFC 4028 7.4)."""
        if response.status == 422 and self.waits_for_final and self.session.raised(response):
            self._start_anew()
            self.state = CallState.CALLING
            handle.repeat(self.session.asked(), now)
            self.request = handle.request
            return
        if self.timeline.final_status is None:
            self.timeline.final_status = response.status
        if response.status < 300:
            self._answered(response, now)
        elif not self.over:
            self._refused(response, now)

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """No final response."""
        if self.state is CallState.CANCELING:
            self.finish(CallCanceled(now, self, Side.LOCAL, None, None))
        elif self.dialog is None:
            self.finish(CallFailed(now, self, None, reason, cause, None))

    # -- inside

    def _start_anew(self) -> None:
        """The INVITE is sent once more."""
        self.early_dialogs.clear()
        if self._pracks is not None:
            self._pracks.restart()

    def _answered(self, response: Response, now: float) -> None:
        tag = to_tag(response.headers) or ""
        if self.dialog is not None:
            if tag == self.dialog.remote_tag:
                self._repeat_ack(self._ack)
            else:
                self._fork(tag, response, now)
            return
        if self.over:  # given up before; nobody is to be left with half a call
            self._fork(tag, response, now, tell=False)
            return
        self.timeline.answered_at = now
        dialog = self.early_dialogs.get(tag)
        if dialog is None:
            dialog = Dialog.of_response(self.request, response, self.local_tag, self.hop)
        else:
            dialog.refresh_target(response)
            dialog.refresh_routes(response)
        self.early_dialogs.clear()
        self.dialog = dialog
        dialog.agreed = True
        self.agent.changes(self)
        if self.state is CallState.CANCELING:  # the 200 crossed our CANCEL (9.1)
            self.unguard()
            self.acknowledge(now=now)
            self.closing.say(dialog, now, tell=False)
            reason = "answered while it was being canceled"
            self.end(now, Side.LOCAL, EndCause.ABANDONED, reason, response=response)
            return
        self.state = CallState.ANSWERED
        self.session_answered(response, now)
        limit = self.agent.config.timers.transaction_timeout
        self.guard(limit, self._never_acknowledged, now)
        self.agent.emit(CallAnswered(now, self, response))

    def _never_acknowledged(self, now: float) -> None:
        self.acknowledge(now=now)
        self.closing.give_up(EndCause.ACK_MISSING, "the answer was never acknowledged by us", now)

    def _fork(self, tag: str, response: Response, now: float, tell: bool = True) -> None:
        known = self._fork_acks.get(tag)
        if known is not None:
            self._repeat_ack(known)
            return
        if len(self._fork_acks) >= self.agent.config.limits.early_dialogs:
            return
        dialog = Dialog.of_response(self.request, response, self.local_tag, self.hop)
        self._fork_acks[tag] = self.send_ack(dialog, self.request, b"", SDP, None)
        before = self.timeline.bye_at
        self.closing.say(dialog, now, tell=False)
        self.timeline.bye_at = before
        if tell:
            self.agent.emit(CallForked(now, self, response))

    def _repeat_ack(self, ack: tuple[bytes, Hop] | None) -> None:
        if ack is not None:
            self.timeline.retransmissions_sent += 1
            self.agent.layer.transmit(*ack)

    def _refused(self, response: Response, now: float) -> None:
        status = response.status
        if self.state is CallState.CANCELING:
            self.finish(CallCanceled(now, self, Side.LOCAL, None, response))
        elif status < 400:
            contacts = _contacts(response.headers, self.agent.config.limits.contacts)
            self.finish(CallRedirected(now, self, status, contacts, response))
        else:
            cause = FailureCause.UNAUTHORIZED if status in (401, 407) else FailureCause.REJECTED
            self.finish(CallFailed(now, self, status, response.reason, cause, response))

    def _early_dialog(self, response: Response) -> str:
        tag = to_tag(response.headers) or ""
        if tag and self.dialog is None:
            dialog = self.early_dialogs.get(tag)
            if dialog is not None:
                dialog.refresh_target(response)
            elif len(self.early_dialogs) < self.agent.config.limits.early_dialogs:
                self.early_dialogs[tag] = Dialog.of_response(self.request, response, self.local_tag, self.hop)
        return tag

    def _send_cancel(self, now: float) -> None:
        self._cancel_sent = True
        invite = self.request.headers
        headers = Headers()
        headers.add("Via", invite.get_all("via")[0])  # the branch of the INVITE, so that it is found (9.1)
        headers.add("Max-Forwards", str(self.agent.config.max_forwards))
        headers.add("From", invite.get("from") or "")
        headers.add("To", invite.get("to") or "")
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{invite.cseq.number} CANCEL")
        headers.extend([("Route", route) for route in invite.get_all("route")])
        headers.add("User-Agent", self.agent.config.user_agent)
        headers.extend(self._cancel_headers)
        request = Request("CANCEL", self.request.uri, headers)
        handle = ClientRequest(self.agent, request, self.hop, _CancelSent(self), count=self.timeline)
        handle.start(invite.top_via.branch or "", now)
        self.guard(self.agent.config.timers.transaction_timeout, self._cancel_unheard, now)

    def cancel_was_early(self) -> None:
        """The next provisional calls for another."""
        self._cancel_sent = False

    def _cancel_unheard(self, now: float) -> None:
        """64*T1 after CANCEL: no final response will come (9.1)."""
        self._invite.abandon(now)
        self.finish(CallCanceled(now, self, Side.LOCAL, None, None))


class _CancelSent:
    """Nobody waits for the answer to a CANCEL: the INVITE's own answer decides. Only where the peer knew no
    such INVITE, and then rings, it has to be said again."""

    def __init__(self, call: OutboundCall) -> None:
        self._call = call

    def request_progressed(self, handle: ClientRequest, response: Response, now: float) -> None:
        """No news."""

    def request_repeated(self, handle: ClientRequest, now: float) -> None:
        """A CANCEL cannot be challenged (22.1)."""

    def request_answered(self, handle: ClientRequest, response: Response, now: float) -> None:
        """No news, but for 481."""
        if response.status == 481:
            self._call.cancel_was_early()

    def request_failed(self, handle: ClientRequest, cause: FailureCause, reason: str, now: float) -> None:
        """The deadline of the call is running."""


def _contacts(headers: Headers, limit: int) -> tuple[NameAddr, ...]:
    """The Contacts by falling q; those that cannot be read are left out."""
    found: list[tuple[float, NameAddr]] = []
    for text in headers.get_all("contact")[:limit]:
        try:
            contact = NameAddr.parse(text)
            q = float(contact.parameter("q") or 1.0)
        except (SipSyntaxError, ValueError):
            continue
        found.append((-q if 0.0 <= q <= 1.0 else 0.0, contact))
    return tuple(contact for _, contact in sorted(found, key=lambda pair: pair[0]))
