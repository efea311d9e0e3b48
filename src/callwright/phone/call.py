"""One call of a phone, either direction: what SIP, SDP and RTP have to do with one another.

Everything here runs on the event loop, called by the phone with the endpoint's events; nothing blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from callwright.ice.events import IceFailed
from callwright.media.leg import OutOfPorts
from callwright.media.path import PathEvent
from callwright.net.resolver import ResolutionFailed
from callwright.outcome.call import CallOutcome, Second, StateReached
from callwright.outcome.terms import CallState, Direction, EndedBy, Failure
from callwright.phone.audio import CallAudio, Studio
from callwright.phone.facts import CallFacts
from callwright.phone.line import PhoneLine
from callwright.phone.measure import call_outcome
from callwright.phone.plan import AnswerPlan, CallPlan
from callwright.phone.series import last_second
from callwright.phone.transfer import PhoneTransfer
from callwright.phone.way import unfinished_path
from callwright.rtp.telephone_event import COMMA_MS
from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import SdpError
from callwright.sdp.negotiation import Negotiated, NotAcceptable
from callwright.sip import events
from callwright.sip.call import Call
from callwright.sip.multipart import described
from callwright.sip.refer import ReferTo
from callwright.sip.transport import Transport
from callwright.sip.uri import Uri
from callwright.srtp.dtls import DtlsFailed

_BYE_PATIENCE = 4.0  # seconds that the answer to our BYE or CANCEL is waited for once nobody else waits
_NEWS_PATIENCE = 4.0  # after the end of the call, for what became of a transfer
_MUTE_PATIENCE = 1.0  # the same for a peer that has not said a word
_REOFFER_TRIES = 4
_INFO_EVERY = 0.2  # seconds from digit to digit
_NOT_THERE = "media is not sent to that address"  # our rules are not told
_REASONS = {Failure.POLICY: f'SIP;cause=488;text="{_NOT_THERE}"'}
"""What a peer is told of an end that it cannot guess (RFC 3326)."""


class PhoneCall:
    """What is common to both directions. `finished` holds the unjudged CallOutcome when all is over.

    `number` counts the phone's calls. `on_over` is called just before `finished`; `on_refer` answers a REFER
    of the peer; `on_warning` gets sentences about what the call survived.
    """

    direction: Direction

    def __init__(
        self,
        line: PhoneLine,
        studio: Studio,
        plan: CallPlan | AnswerPlan,
        *,
        number: int,
        on_over: Callable[[PhoneCall], None],
        on_refer: Callable[[PhoneCall, events.RequestReceived], None],
        on_warning: Callable[[str], None],
    ) -> None:
        self.line = line
        self.plan = plan
        self.id = f"call-{number}"
        self.identifier = plan.identifier
        self.party = plan.party
        self.media = plan.media
        outgoing = self.direction is Direction.OUTGOING
        self.audio = CallAudio(
            studio, plan.media, name=self.id, on_path=self._path_event, controlling=outgoing
        )
        self.facts = CallFacts(self.id, self.direction, line.now(), line.clock.wall(), self._state_reached)
        self.finished: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
        self.listeners: list[Callable[[PhoneCall, StateReached], None]] = []
        self.sip: Call | None = None
        self._on_over, self._on_refer, self._on_warning = on_over, on_refer, on_warning
        self._transfers: list[PhoneTransfer] = []
        self.referred = 0  # REFERs of the peer that were followed
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._held_by_peer = False
        self._reoffers_left = 0
        self._offered_by = "INVITE"  # the method of our last further offer
        self._offer_in = ""  # the method of the peer's last further offer
        self._hanging_up = False
        self._concluding = False

    # -- for whoever plays with the call

    @property
    def answered(self) -> bool:
        return self.facts.answered_at is not None

    @property
    def over(self) -> bool:
        return self._concluding

    async def last_second(self) -> Second | None:
        """How the audio of the last whole second was; None when there is none to tell of."""
        report, agreed = await self.audio.report(), self.audio.negotiated
        if report is None or agreed is None or agreed.disabled:
            return None
        return last_second(report, agreed.format.name, float(agreed.ptime), self.facts.started)

    def hangup(self, failure: Failure | None = None, detail: str | None = None) -> None:
        """End the call from our side, whatever its state; `finished` follows."""
        if self._hanging_up or self._concluding:
            return
        self._hanging_up = True
        now = self.line.now()
        if failure is not None:
            self.facts.fail(failure, detail)
        if self.sip is None or self.sip.over:
            self._conclude(EndedBy.LOCAL)
            return
        self.audio.stop()
        if not self.answered:
            self.facts.reach(CallState.CANCELED, now)
        self.facts.end(EndedBy.LOCAL, now)
        self.sip.hangup(now=now, reason=_REASONS.get(failure) if failure is not None else None)
        self.line.drain()
        if not self._concluding:
            self._later(self._patience(), self._give_up_waiting)

    def _patience(self) -> float:
        """How long the peer's word on our BYE or CANCEL is waited for; CANCEL needs a provisional first."""
        if self.answered:
            return _BYE_PATIENCE
        return self.line.patience if self.facts.provisionals else _MUTE_PATIENCE

    def send_digits(self, digits: str) -> None:
        """Send DTMF as the plan says: telephone-events (RFC 4733), INFO (RFC 6086), or tones."""
        if not digits or self._concluding or self._hanging_up or self.sip is None:
            return
        by = self.media.dtmf_by
        if by in ("dtmf-relay", "dtmf"):
            at = 0.0
            for digit in digits.upper():
                if digit == ",":
                    at += COMMA_MS / 1000
                else:
                    self._later(at, self._send_info, digit, by)
                    at += _INFO_EVERY
        elif by == "inband":
            if not self.audio.send_tones(digits.upper()):
                self.facts.remark("The digits were not sent: no audio flows.")
                return
        elif not self.audio.send_digits(digits):
            self.facts.remarks.append("the digits were not sent: the peer did not agree to telephone-event")
            return
        self.facts.dtmf_sent += digits

    def hold(self) -> None:
        """Put the peer on hold: a re-INVITE with sendonly (RFC 3264 section 8.4)."""
        self.audio.held = True
        self._reoffers_left = _REOFFER_TRIES
        self._reoffer()

    def resume(self) -> None:
        """Take the peer back from hold."""
        self.audio.held = False
        self._reoffers_left = _REOFFER_TRIES
        self._reoffer()

    def rekey(self) -> None:
        """Offer new keys for SRTP in a re-INVITE (RFC 4568 section 7.1.4); nothing where RTP is plain."""
        agreed = self.audio.negotiated
        if agreed is not None and agreed.srtp is not None:
            self.audio.rekey()
            self._reoffers_left = _REOFFER_TRIES
            self._reoffer()

    def transfer(
        self, to: str, *, replaces: PhoneCall | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> PhoneTransfer:
        """Ask the peer to call `to` (REFER, RFC 3515), where the policy has permitted that; with `replaces`
        it takes that call of ours over, at the very phone that it is with (RFC 5589 section 7.1)."""
        uri, dialog = to, None
        if replaces is not None and replaces.sip is not None and not replaces.over:
            dialog = replaces.sip.as_replaced
            uri = str(replaces.sip.remote_target) if dialog is not None else to
        wanted = ReferTo(Uri.parse(uri).without_headers(), dialog)
        made = PhoneTransfer(self.line, wanted, identifier=self.identifier, party=self.party)
        self._transfers.append(made)
        made.finished.add_done_callback(lambda done: self.facts.transfers.append(done.result()))
        if replaces is not None and dialog is None:
            made.fail(Failure.NEVER_CAME, "the call that was to be taken over is not up")
        elif self.sip is None or self._concluding or self._hanging_up:
            made.fail(Failure.NEVER_CAME, "the call that was to be transferred is not up")
        else:
            made.start(self.sip, headers)
        return made

    # -- events, from the phone

    def on_event(self, event: events.Event) -> None:
        """An event of the endpoint that names this call."""
        now = event.at
        match event:
            case events.CallEnded():
                self.facts.hear_within(event.request)
                self._ended(event, now)
            case events.CallFailed():
                self._failed(event, now)
            case events.CallCanceled(by=by):
                self.facts.hear_within(event.request)
                self.facts.reach(CallState.CANCELED, now)
                if event.response is not None and self.facts.sip_code is None:
                    self.facts.sip_code = event.response.status
                    self.facts.sip_reason = event.response.reason
                elif by is events.Side.REMOTE:
                    # What the endpoint answered the INVITE with (RFC 3261 section 9.2).
                    self.facts.sip_code, self.facts.sip_reason = 487, "Request Terminated"
                self._conclude(EndedBy.REMOTE if by is events.Side.REMOTE else EndedBy.LOCAL)
            case events.OfferReceived(request=request):
                self._offer_in = request.method
                if request.method != "PRACK":  # that one has been heard
                    self.facts.hear_within(request)
                self._offered(described(request.headers, request.body), now)
            case events.OfferConfirmed(request=request):
                self.facts.hear_within(request)
                self._offer_confirmed(described(request.headers, request.body), now)
            case events.OfferAnswered(response=response):
                self.facts.updates += response.headers.cseq.method == "UPDATE"
                self._offer_answered(described(response.headers, response.body), now)
            case events.RequestAnswered(request=request):
                self.facts.updates += request.method == "UPDATE"
                self.facts.hear_within(request)
            case events.ResponseDiscarded(handle=handle, status=status, fault=fault):
                method = "INVITE" if handle is None else handle.method
                if method == "INVITE" and not self.answered:
                    self.facts.discard(status, method, fault)
                else:
                    self.facts.remark(f"A {status} to our {method} came and could not be used: {fault}.")
            case events.OfferFailed(retry_after=retry_after):
                self._reoffers_left -= 1
                if retry_after is None and self._offered_by == "UPDATE":
                    said = event.reason if event.status is None else f"{event.status} {event.reason}"
                    self.facts.remark(f"Our UPDATE came to nothing: {said.rstrip()}.")
                if retry_after is not None and self._reoffers_left > 0:
                    self._later(retry_after, self._reoffer)
            case events.RequestReceived(transaction=transaction, request=request):
                self.facts.hear_within(request)
                if request.method == "REFER":
                    self._on_refer(self, event)
                    return
                if request.method == "INFO":
                    self._info(request.body)
                status = 489 if request.method == "SUBSCRIBE" else 200
                self.line.endpoint.respond(transaction, status, now=now)
            case events.ReferralProgressed(request=request):
                self.facts.hear_within(request)
                self._news_of_transfer(event)
            case events.ReferralAccepted() | events.ReferralRefused() | events.ReferralEnded():
                self._news_of_transfer(event)
            case _:
                pass

    def _news_of_transfer(
        self,
        event: events.ReferralProgressed
        | events.ReferralAccepted
        | events.ReferralRefused
        | events.ReferralEnded,
    ) -> None:
        for transfer in self._transfers:
            if transfer.referral is event.referral:
                transfer.on_event(event)
        told = event.referral.status
        under_way = told is None or told < 200
        if isinstance(event, events.ReferralAccepted) and under_way and self.audio.leg is not None:
            self.audio.leg.expect_nothing()
        failed = told is not None and told >= 300
        if failed or (isinstance(event, events.ReferralEnded) and under_way):
            agreed = self.audio.negotiated
            if agreed is not None and not self._concluding and not self._hanging_up:
                self.audio.start(agreed, sending=True, answered=True)  # the peer is with us again

    # -- media

    def open_audio(self, local_host: str, peer_host: str) -> bool:
        """Have RTP ports on `local_host`; False when there are none, and then the call is over."""
        try:
            self.audio.open(local_host, peer_host)
        except OutOfPorts as error:
            self.facts.fail(Failure.PLATFORM, str(error))
            self._conclude(EndedBy.PLATFORM)
            return False
        return True

    def start_media(self, negotiated: Negotiated, *, sending: bool) -> bool:
        """Begin or adjust the stream to what was agreed; False when it must not or cannot flow."""
        self.audio.negotiated = negotiated
        for remark in negotiated.remarks:
            self.facts.remark(remark)
        if negotiated.srtp is not None and self.sip is not None:
            transport = self.sip.hop.transport
            if transport in (Transport.UDP, Transport.TCP):
                self.facts.remark(f"The keys of SRTP crossed the network in clear, in SDP over {transport}.")
        if not self.media.enabled or self.audio.leg is None:
            return True
        if not self.audio.is_numeric(negotiated):
            self._spawn(self._start_named_media(negotiated, sending))
            return True
        refusal = self.audio.refusal(negotiated) if sending and negotiated.sends else None
        if refusal is not None:
            self.hangup(Failure.POLICY, refusal)
            return False
        self.audio.start(negotiated, sending=sending, answered=self.answered)
        return True

    def _path_event(self, event: PathEvent) -> None:
        """A way that media does not find, and keys that do not come, end the call."""
        match event:
            case IceFailed(reason=reason):
                self.hangup(Failure.ICE, reason)
            case DtlsFailed(reason=reason):
                self.hangup(Failure.DTLS, reason)
            case _:
                pass

    async def _start_named_media(self, negotiated: Negotiated, sending: bool) -> None:
        try:
            known = await self.audio.located(negotiated)
        except ResolutionFailed as error:
            self.hangup(Failure.NEGOTIATION, f"the SDP names a host that does not resolve: {error.reason}")
            return
        if not self._concluding:
            self.start_media(known, sending=sending)

    def take_answer(self, body: bytes, *, sending: bool) -> bool:
        """Use the peer's answer to our offer; False (with the failure noted) when it cannot be used."""
        agreed = self.understood(self.audio.conclude, body)
        return agreed is not None and self.start_media(agreed, sending=sending)

    def understood(self, read: Callable[[bytes], Negotiated], body: bytes) -> Negotiated | None:
        """What a description of the peer comes to; None, with the failure noted, when it cannot be used."""
        try:
            return read(body)
        except SdpError as error:
            self.facts.fail(Failure.MALFORMED, str(error))
        except NotAcceptable as error:
            self.facts.fail(Failure.NEGOTIATION, error.reason)
        return None

    @property
    def peer(self) -> str:
        return str(self.sip.hop.remote) if self.sip is not None else "the peer"

    # -- after the answer

    def talk(self, talk_for: float | None, hold_at: float | None, hold_for: float) -> None:
        """Set the clocks of an answered call going."""
        if self.media.dtmf:
            self._later(self.media.dtmf_after, self.send_digits, self.media.dtmf)
        if hold_at is not None:
            self._later(hold_at, self.hold)
            self._later(hold_at + hold_for, self.resume)
        if self.media.srtp.rekey_after is not None:
            self._later(self.media.srtp.rekey_after, self.rekey)
        if talk_for is not None:
            self._later(talk_for, self.hangup)

    def _reoffer(self) -> None:
        if self.sip is None or self.audio.ours is None or self._concluding or self._hanging_up:
            return
        description = self.audio.next_offer()
        by_update = not self.answered or self.plan.offer_by == "update"
        self._offered_by = "UPDATE" if by_update else "INVITE"
        send = self.sip.update if by_update else self.sip.reinvite
        if send(description.serialize(), now=self.line.now()):
            self.audio.ours = description
            self.line.drain()
        elif self._reoffers_left > 0:
            self._reoffers_left -= 1
            self._later(0.5, self._reoffer)

    def _update_early(self) -> None:
        """Offer the same once more before the answer (RFC 3311 section 5.1)."""
        if not self.answered:
            self._reoffers_left = _REOFFER_TRIES
            self._reoffer()

    @property
    def _may_send(self) -> bool:
        """A caller sends no audio before the answer."""
        return self.answered or self.direction is Direction.INCOMING

    def _offer_answered(self, body: bytes, now: float) -> None:
        if self.take_answer(body, sending=self._may_send):
            if self.audio.held:
                self.facts.reach(CallState.HELD, now)
            elif any(reached.state is CallState.HELD for reached in self.facts.states):
                self.facts.reach(CallState.RESUMED, now)
        elif not self._concluding:
            self.hangup()

    def _offered(self, body: bytes, now: float) -> None:
        assert self.sip is not None
        if not self.open_audio(self.sip.hop.local.host, self.sip.hop.remote.host):
            return
        if not body:
            self.audio.ours = self.audio.next_offer()
            self.sip.accept_offer(self.audio.ours.serialize(), now=now)
            return
        try:
            ours, negotiated = self.audio.reanswer(body)
        except SdpError:
            self.sip.refuse_offer(400, now=now, reason="Malformed SDP")
        except NotAcceptable as error:
            self.sip.refuse_offer(488, now=now, headers=(not_acceptable(self.audio.host, error),))
        else:
            if self.audio.is_numeric(negotiated):
                self._agree_to(ours, negotiated, now)
            else:
                self._spawn(self._agree_to_named(ours, negotiated))

    async def _agree_to_named(self, ours: SessionDescription, negotiated: Negotiated) -> None:
        try:
            negotiated = await self.audio.located(negotiated)
        except ResolutionFailed as error:
            self.facts.remarks.append(f"a new offer names a host that does not resolve: {error.reason}")
            if self.sip is not None and not self._concluding:
                self.sip.refuse_offer(488, now=self.line.now())
        else:
            if not self._concluding:
                self._agree_to(ours, negotiated, self.line.now())
        self.line.drain()

    def _agree_to(self, ours: SessionDescription, negotiated: Negotiated, now: float) -> None:
        """Answer a new offer; where its media may not go it is refused, and the call stays as it is."""
        assert self.sip is not None
        refusal = self.audio.refusal(negotiated)
        if refusal is not None:
            self.facts.remarks.append(refusal)
            self.sip.refuse_offer(488, now=now, headers=(not_permitted(self.audio.host),))
            return
        self.audio.ours = ours
        if self.sip.accept_offer(ours.serialize(), now=now) and self._offer_in == "UPDATE":
            self.facts.updates += 1
        self.start_media(negotiated, sending=self._may_send)
        self._note_hold_by_peer(negotiated, now)

    def _note_hold_by_peer(self, negotiated: Negotiated, now: float) -> None:
        if negotiated.remote_held != self._held_by_peer:
            self._held_by_peer = negotiated.remote_held
            state = CallState.HELD_BY_PEER if negotiated.remote_held else CallState.RESUMED_BY_PEER
            self.facts.reach(state, now)

    def _offer_confirmed(self, body: bytes, now: float) -> None:
        """The ACK brought the answer to the offer that we made because the re-INVITE had none."""
        if not body:
            return
        if self.take_answer(body, sending=True):
            if self.audio.negotiated is not None:
                self._note_hold_by_peer(self.audio.negotiated, now)
        elif not self._concluding:
            self.hangup()

    def _send_info(self, digit: str, kind: str) -> None:
        if self.sip is not None and not self._concluding:
            body = f"Signal={digit}\r\nDuration=100\r\n" if kind == "dtmf-relay" else digit
            now = self.line.now()
            self.sip.send("INFO", body.encode(), now=now, content_type=f"application/{kind}")
            self.line.drain()

    def _info(self, body: bytes) -> None:
        """Digits by INFO: `Signal=5` (application/dtmf-relay) or the bare digit (application/dtmf)."""
        text = body[:200].decode("ascii", "replace")
        for line in text.splitlines():
            name, _, value = line.partition("=")
            digit = value.strip() if name.strip().lower() == "signal" else line.strip()
            if len(digit) == 1 and digit.upper() in "0123456789*#ABCD":
                self.facts.info_digits += digit.upper()
                return

    # -- the end

    def _ended(self, event: events.CallEnded, now: float) -> None:
        by, cause, reason, response = event.by, event.cause, event.reason, event.response
        self.facts.reach(CallState.ENDED, now)
        if cause is events.EndCause.BYE and response is not None and response.status in (401, 407):
            named = f"{response.status} {response.reason}".rstrip()
            self.facts.remark(
                f"Our BYE was answered {named}, which our credentials do not satisfy: the call may still be "
                f"up at {self.peer}."
            )
        who = EndedBy.REMOTE if by is events.Side.REMOTE else EndedBy.LOCAL
        if cause is events.EndCause.ACK_MISSING:
            self.facts.fail(Failure.NOT_ACKNOWLEDGED, self.peer)
            who = EndedBy.NETWORK
        elif cause is events.EndCause.SESSION_EXPIRED:
            self.facts.fail(Failure.SESSION_EXPIRED, reason)
        elif cause is events.EndCause.DIALOG_GONE or cause in (
            events.EndCause.TRANSPORT,
            events.EndCause.BYE_UNANSWERED,
        ):
            self.facts.remarks.append(reason)
        self.facts.end(who, now)
        self._conclude(who)

    def _failed(self, event: events.CallFailed, now: float) -> None:
        raise NotImplementedError

    def _give_up_waiting(self) -> None:
        """The peer does not answer our BYE or CANCEL: that is its own affair, the call has its facts."""
        self.facts.remarks.append(f"{self.peer} did not answer the end of the call")
        self._conclude(EndedBy.LOCAL)

    def _conclude(self, by: EndedBy) -> None:
        """All is said: close the media, then fill `finished`."""
        if self._concluding:
            return
        self._concluding = True
        self.facts.end(by, self.line.now())
        for timer in self._timers:
            timer.cancel()
        self._spawn(self._finish())

    async def _finish(self) -> None:
        report, recorder = None, None
        try:
            report, recorder = await self.audio.close()
        except Exception as error:
            self.facts.fail(Failure.PLATFORM, f"the media engine broke: {error}")
        if waiting := [transfer.finished for transfer in self._transfers if not transfer.finished.done()]:
            await asyncio.wait(waiting, timeout=_NEWS_PATIENCE)
            for transfer in self._transfers:
                transfer.abandon()
            await asyncio.sleep(0)  # what is done then is in the facts
        if recorder is not None and recorder.error is not None:
            self._on_warning(recorder.error)
        path = self.audio.path_report
        if self.answered and self.facts.failure is None:
            unfinished = unfinished_path(path, self.audio.negotiated)
            if unfinished is not None:
                self.facts.fail(*unfinished)
        tls = self.line.tls(self.sip.hop) if self.sip is not None else None
        outcome = call_outcome(
            self.facts, self.plan, self.sip, self.audio.negotiated, report, recorder, path, tls
        )
        self._on_over(self)
        if not self.finished.done():
            self.finished.set_result(outcome)

    # -- small things

    def _later(self, seconds: float, action: Callable[..., None], *arguments: object) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(max(0.0, seconds), action, *arguments))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _state_reached(self, reached: StateReached) -> None:
        for listener in self.listeners:
            listener(self, reached)


def not_permitted(host: str) -> tuple[str, str]:
    """The Warning of a refusal of an offer whose media may not go where it says; our rules are not told."""
    return "Warning", f'399 {host} "{_NOT_THERE}"'


def not_acceptable(host: str, error: NotAcceptable) -> tuple[str, str]:
    """A Warning header (RFC 3261 section 20.43) that says why an offer is refused."""
    text = error.reason.replace("\\", "").replace('"', "'")
    return "Warning", f'{error.warning_code} {host} "{text}"'
