"""A call that comes to the phone: rung, answered or rejected as its plan says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from callwright.net.resolver import ResolutionFailed
from callwright.outcome.terms import CallState, Direction, EndedBy, Failure
from callwright.phone.audio import Studio
from callwright.phone.call import PhoneCall, not_acceptable, not_permitted
from callwright.phone.identity import checked
from callwright.phone.line import PhoneLine
from callwright.phone.permission import NotPermitted
from callwright.phone.plan import AnswerPlan
from callwright.sdp.lines import SdpError
from callwright.sdp.negotiation import Negotiated, NotAcceptable
from callwright.sip import events
from callwright.sip.alerting import asked_to_answer
from callwright.sip.call import Call
from callwright.sip.dialog import contact_of
from callwright.sip.digest import Credentials
from callwright.sip.message import Request
from callwright.sip.multipart import described
from callwright.sip.session_timer import NO_WISH


class IncomingCall(PhoneCall):
    """Made by the phone when an INVITE comes. `credentials`: with which requests of ours inside it go."""

    direction = Direction.INCOMING

    def __init__(
        self,
        line: PhoneLine,
        studio: Studio,
        plan: AnswerPlan,
        sip: Call,
        request: Request,
        now: float,
        *,
        credentials: Credentials | None,
        **told: Any,
    ) -> None:
        asked = asked_to_answer(request.headers)
        obeys = asked is not None and plan.auto_answer and plan.reject is None
        if asked is not None and obeys:
            plan = replace(plan, answer_after=asked)
        super().__init__(line, studio, plan, **told)
        self.plan: AnswerPlan = plan
        self.sip = sip
        self.facts.started = now
        self.facts.auto_answered = None if asked is None else obeys
        sip.user_data = self
        if plan.session is not NO_WISH:
            sip.session.wish = plan.session
        self._request = request
        self._agreed: Negotiated | None = None
        self._reliably = False  # provisionals, with PRACK
        self._answer_waits = False
        self._offer_sent = False  # ours, in a reliable provisional: the INVITE had none
        self._offer_open = False  # its answer is due in the PRACK, and our 200 waits for it
        self._answer_wanted = False  # the plan's time to answer has come while it was open
        if credentials is not None:
            sip.authenticate(credentials)
        if contact_of(request) is None:
            self.facts.remark("The INVITE must have a usable Contact (RFC 3261 section 8.1.1.8).")
        self.facts.hear(request)
        self.facts.identify(request.headers)

    def begin(self) -> None:
        """Carry out the plan; apart from the constructor so that whoever listens can be attached before."""
        now = self.line.now()
        self.facts.reach(CallState.INCOMING, now)
        if not self._agree_on_prack() or not self._believes():
            return
        if self.plan.reject is not None and self.plan.answer_after <= 0 and self.plan.ring_after < 0:
            self._reject()
            return
        if self.audio.asks_servers:
            self._spawn(self._gather())
        elif self._open():
            self._begin_with_audio(now)

    def _open(self) -> bool:
        assert self.sip is not None
        return self.open_audio(self.sip.hop.local.host, self.sip.hop.remote.host)

    async def _gather(self) -> None:
        """Learn our addresses from the servers of ICE, for the answer."""
        try:
            await self.audio.prepare()
        except (ResolutionFailed, NotPermitted) as error:
            failure = Failure.POLICY if isinstance(error, NotPermitted) else Failure.UNRESOLVED
            if not self._concluding:
                self._refuse(480, None, failure, f"a server of ICE: {error}")
            return
        if self._concluding or not self._open():
            return
        await self.audio.gather()
        if not self._concluding and not self._hanging_up:
            self._begin_with_audio(self.line.now())

    def _begin_with_audio(self, now: float) -> None:
        if not self._agree(now):
            return
        if self._agreed is None:
            self._proceed()
        else:
            self._admit(self._agreed, self._proceed)

    def _admit(self, agreed: Negotiated, go_on: Callable[[], None]) -> None:
        """Go on where media may go to what was agreed; else refuse, before the call is answered."""
        sends = self.plan.reject is None or self.plan.early_media
        if agreed.disabled or not sends or not self.media.enabled:
            self._agreed = agreed
            go_on()
        elif self.audio.is_numeric(agreed):
            self._admit_numeric(agreed, go_on)
        else:
            self._spawn(self._admit_named(agreed, go_on))

    async def _admit_named(self, agreed: Negotiated, go_on: Callable[[], None]) -> None:
        try:
            agreed = await self.audio.located(agreed)
        except ResolutionFailed as error:
            if not self._concluding:
                detail = f"the SDP names a host that does not resolve: {error.reason}"
                self._refuse(488, None, Failure.NEGOTIATION, detail)
            return
        if not self._concluding and not self._hanging_up:
            self._admit_numeric(agreed, go_on)

    def _admit_numeric(self, agreed: Negotiated, go_on: Callable[[], None]) -> None:
        refusal = self.audio.refusal(agreed)
        if refusal is not None:
            self._refuse(488, None, Failure.POLICY, refusal, (not_permitted(self.audio.host),))
            return
        self._agreed = agreed
        go_on()

    def _proceed(self) -> None:
        """Ring and answer as planned."""
        if self.plan.early_media:
            self._later(self.plan.ring_after, self._ring, 183)
        elif self.plan.ring_after > 0:
            self._later(self.plan.ring_after, self._ring, 180)
        elif self.plan.ring_after == 0:
            self._ring(180)
        finish = self._answer if self.plan.reject is None else self._reject
        if self.plan.answer_after > 0:
            self._later(self.plan.answer_after, finish)
        else:
            finish()

    def turned_away(self, status: int, why: str) -> None:
        """The endpoint has refused it already, for its form."""
        now = self.line.now()
        self.facts.reach(CallState.INCOMING, now)
        self.facts.sip_code, self.facts.sip_reason = status, None
        self.facts.fail(Failure.REFUSED, why or None)
        self.facts.reach(CallState.FAILED, now, status)
        self._conclude(EndedBy.LOCAL)

    def _believes(self) -> bool:
        """Whether the caller's Identity (RFC 8224) holds, where that is demanded; else refuse the call."""
        check = self.plan.identity
        if check is None:
            return True
        found = self.facts.identity = checked(self._request, check, self.line.clock.wall())
        if found.code is None or not check.require:
            return True
        self._refuse(found.code, found.phrase, Failure.IDENTITY, found.reason)
        return False

    def _agree_on_prack(self) -> bool:
        """Whether provisionals may be as the plan and the caller want them; False: the call was refused."""
        headers = self._request.headers
        required = headers.has_option("require", "100rel")
        self._reliably = required or headers.has_option("supported", "100rel")
        if self.plan.prack == "no" and required:
            self._refuse(420, None, None, None, (("Unsupported", "100rel"),))
            return False
        if self.plan.prack == "required" and not self._reliably:
            why = "it does not support 100rel, which was required of it"
            self._refuse(421, None, Failure.REFUSED, why, (("Require", "100rel"),))
            return False
        # Without an offer the answer comes in the PRACK or in the ACK. In the PRACK we know where media is
        # wanted, and may refuse, before our 200.
        supported = self._reliably and self.plan.prack != "no"
        offers = self.plan.reject is None and not described(headers, self._request.body)
        self._reliably = required or (supported and (self.plan.prack == "required" or offers))
        return True

    def _agree(self, now: float) -> bool:
        """Prepare the answer to the offer, or our own offer when there is none; False: it was refused."""
        assert self.sip is not None
        offered = described(self._request.headers, self._request.body)
        if not offered:
            self.audio.offer()
            return True
        try:
            self._agreed = self.audio.answer(offered, their_ptime=True)
        except SdpError as error:
            self._refuse(400, "Malformed SDP", Failure.MALFORMED, str(error))
            return False
        except NotAcceptable as error:
            headers = (not_acceptable(self.audio.host, error),)
            self._refuse(488, None, Failure.NEGOTIATION, error.reason, headers)
            return False
        return True

    def _refuse(
        self,
        status: int,
        reason: str | None,
        failure: Failure | None,
        detail: str | None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        assert self.sip is not None
        now = self.line.now()
        self.facts.sip_code, self.facts.sip_reason = status, reason
        if failure is not None:
            self.facts.fail(failure, detail)
        self.facts.reach(CallState.FAILED, now, status)
        self.sip.reject(status, now=now, reason=reason, headers=headers)
        self.line.drain()
        self._conclude(EndedBy.LOCAL)

    def _reject(self) -> None:
        """Refuse as planned: that is what was asked for, so it is no failure of this side."""
        if self._concluding or self._hanging_up or self.plan.reject is None:
            return
        self._refuse(self.plan.reject, self.plan.reject_reason, None, None, self.plan.headers)

    def _ring(self, status: int) -> None:
        if self._concluding or self.sip is None or self.answered:
            return
        now = self.line.now()
        first = self._reliably and self._agreed is None and not self._offer_sent
        # The offer belongs in the first reliable provisional, whatever its status (RFC 3262 section 5).
        described_here = self.audio.ours is not None and (status == 183 or first)
        body = self.audio.ours.serialize() if described_here and self.audio.ours is not None else b""
        if first and body:
            self._offer_sent = self._offer_open = True
        self.sip.ring(status, now=now, body=body, headers=self.plan.headers, reliable=self._reliably)
        self.facts.ring(now)
        self.facts.provisionals.append(status)
        early = bool(body) and self.plan.early_media
        self.facts.reach(CallState.EARLY_MEDIA if early else CallState.RINGING, now, status)
        if body and self._agreed is not None and self.start_media(self._agreed, sending=True):
            self.facts.early_media_at = now
        self.line.drain()

    def _answer(self) -> None:
        if self._concluding or self._hanging_up or self.sip is None:
            return
        assert self.audio.ours is not None
        if self._reliably and self._agreed is None and not self._offer_sent:
            self._ring(183)
        if self._offer_open:
            self._answer_wanted = True
            return
        now = self.line.now()
        body = b"" if self.sip.agreed else self.audio.ours.serialize()
        if not self.sip.answer(body, now=now, headers=self.plan.headers):
            return
        self._answer_waits = not self.sip.established  # for the PRACK to our early description
        if not self._answer_waits:
            self._has_answered(now)

    def _has_answered(self, now: float) -> None:
        """The 200 is on its way."""
        self.facts.answered_at = now
        self.facts.sip_code, self.facts.sip_reason = 200, "OK"
        self.facts.reach(CallState.ANSWERED, now, 200)
        agreed = self.audio.negotiated or self._agreed  # an UPDATE may have changed it since
        if agreed is not None:
            if not self.start_media(agreed, sending=True):
                return
            self._note_hold_by_peer(agreed, now)
        self.line.drain()

    def _acknowledged(self, event: events.ProvisionalConfirmed) -> None:
        """A PRACK came: with the answer, where we had offered; and a 200 of ours may have waited for it."""
        self.facts.hear_within(event.request)
        self.facts.reliable.append(event.status)
        if self._offer_open:
            self._offer_answered_early(described(event.request.headers, event.request.body))
            if self._concluding:
                return
        if event.status == 183 and self.plan.early_update is not None:
            self._later(self.plan.early_update, self._update_early)
        if self._answer_waits and self.sip is not None and self.sip.established:
            self._answer_waits = False
            self._has_answered(event.at)

    def _offer_answered_early(self, body: bytes) -> None:
        """The PRACK to our offer came: what it answers is weighed before the 200, which waits for it."""
        if not body:
            self.facts.remark("The PRACK had no answer to our offer (RFC 3262 section 5).")
            self._settled()
            return
        agreed = self.understood(self.audio.conclude, body)
        if agreed is None:
            self._refuse(488, None, None, None)
        else:
            self._admit(agreed, self._settled)

    def _settled(self) -> None:
        """No offer is open any more: early media flows, and a 200 that waited goes."""
        self._offer_open = False
        if self._agreed is not None and self.plan.early_media:
            if not self.start_media(self._agreed, sending=True):
                return
            self.facts.early_media_at = self.line.now()
        if self._answer_wanted:
            self._answer()

    def on_event(self, event: events.Event) -> None:
        match event:
            case events.ProvisionalConfirmed():
                self._acknowledged(event)
            case events.CallConfirmed(request=request):
                self.facts.hear_within(request)
                self._confirmed(described(request.headers, request.body), event.at)
            case _:
                super().on_event(event)

    def _confirmed(self, body: bytes, now: float) -> None:
        self.facts.reach(CallState.CONFIRMED, now)
        if self._agreed is None and self.audio.negotiated is None:
            # Late offer: the ACK brings the answer to ours.
            if not body:
                self.facts.fail(Failure.NEGOTIATION, "the ACK had no SDP, so our offer was never answered")
            if not body or not self.take_answer(body, sending=True):
                if not self._concluding:
                    self.hangup()
                return
        self.talk(self.plan.talk_for, self.plan.hold_at, self.plan.hold_for)

    def _failed(self, event: events.CallFailed, now: float) -> None:
        if event.status == 504:  # no PRACK came
            self.facts.sip_code, self.facts.sip_reason = 504, None
        self.facts.reach(CallState.FAILED, now, event.status)
        self.facts.fail(Failure.UNREACHABLE, event.reason)
        self._conclude(EndedBy.NETWORK)
