"""A call that the phone places: where to, over which hop, by which answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from callwright.net.driver import BindFailed
from callwright.net.resolver import ResolutionFailed
from callwright.net.tls import TlsConfigurationError
from callwright.outcome.terms import CallState, Direction, EndedBy, Failure
from callwright.phone.addressing import as_name_addr
from callwright.phone.audio import Studio
from callwright.phone.body import with_extra
from callwright.phone.call import PhoneCall
from callwright.phone.failures import failure_of, failure_to_locate
from callwright.phone.identity import ANONYMOUS, headers_of
from callwright.phone.intent import Capped, Intent, OnIntent, Withheld
from callwright.phone.line import PhoneLine
from callwright.phone.permission import NotPermitted
from callwright.phone.plan import CallPlan
from callwright.phone.router import Router
from callwright.phone.turns import Turns
from callwright.policy.destination import Target
from callwright.sip import events
from callwright.sip.dialog import contact_of
from callwright.sip.glance import to_tag
from callwright.sip.message import Response
from callwright.sip.multipart import demanded, described
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import NameAddr, Uri

_MAX_REDIRECTS = 5


class OutgoingCall(PhoneCall):
    """Placed by `Phone.call()`. Raises SipSyntaxError for a bad URI."""

    direction = Direction.OUTGOING

    def __init__(
        self,
        line: PhoneLine,
        studio: Studio,
        plan: CallPlan,
        *,
        router: Router,
        turns: Turns,
        on_intent: OnIntent | None = None,
        **told: Any,
    ) -> None:
        super().__init__(line, studio, plan, **told)
        self.plan: CallPlan = plan
        self.target = Uri.parse(plan.destination).escaped()
        self._router, self._turns, self._on_intent = router, turns, on_intent
        self._hops: list[PermittedHop] = []
        self._invited: PermittedHop | None = None  # where the last INVITE went
        self._routes: tuple[str, ...] = ()
        self._redirects = 0
        self._entered: set[Target] = set()
        self._targets: tuple[Target, ...] = ()  # whose caps the next INVITE counts for
        self._at_gate: asyncio.Task[None] | None = None
        self._sent = False  # an INVITE along this way
        self._settled: str | None = None  # the To tag of who answered our offer in a reliable provisional
        self._spawn(self._place())

    def hangup(self, failure: Failure | None = None, detail: str | None = None) -> None:
        super().hangup(failure, detail)
        if self._at_gate is not None:
            self._at_gate.cancel()  # who gives up waiting leaves its turn to the next

    async def _place(self) -> None:
        """Find the way, then send the INVITE to the first hop of it."""
        try:
            account = self.plan.account
            way, self._routes = await self._router.preloaded(
                self.target, self.plan.proxy, account.user if account else None, self.plan.transport
            )
            await self._router.permit_hosts(self.plan.headers, self.target, self.plan.body.octets)
        except ValueError as error:
            self.facts.fail(Failure.POLICY, str(error))
        except ResolutionFailed as error:
            self.facts.fail(*failure_to_locate(error))
        except NotPermitted as refused:
            self.facts.fail(Failure.POLICY, str(refused))
        except (BindFailed, TlsConfigurationError) as error:
            self.facts.fail(Failure.PLATFORM, str(error))
        else:
            self._hops, self._targets, self._sent = list(way.hops), way.targets, False
            await self._pass_gate()
        if self._concluding or self._hanging_up:
            return
        if self.facts.failure is not None:
            self._conclude(EndedBy.LOCAL)
            return
        await self._invite_next()

    async def _pass_gate(self) -> None:
        """In a task of its own, so that hanging up ends the waiting and nothing else."""
        if self._turns.free or not self._targets or self._concluding or self._hanging_up:
            return
        passing = self._at_gate = asyncio.create_task(self._enter())
        try:
            await asyncio.wait([passing])
        finally:
            passing.cancel()
            self._at_gate = None
        if not passing.cancelled():
            passing.result()

    async def _enter(self) -> None:
        """As a call once for each target, be it called at several addresses; each INVITE in its turn."""
        try:
            for target in self._targets:
                if target in self._entered:
                    await self._turns.send([target])
                else:
                    leave = await self._turns.enter(target)
                    self._entered.add(target)
                    self.finished.add_done_callback(partial(_leave, leave))
        except Capped as reason:
            self.facts.fail(Failure.POLICY, str(reason))

    async def _invite_next(self) -> None:
        """The INVITE leaves once who asked for it knows that it does."""
        if self._sent:
            await self._pass_gate()
            if self._concluding or self._hanging_up:
                return
            if self.facts.failure is not None:
                self._conclude(EndedBy.LOCAL)
                return
        hop = self._hops.pop(0)
        self._sent = True
        if self.audio.asks_servers and not await self._gather(hop):
            return
        if self._on_intent is not None:
            try:
                await self._on_intent(Intent(self.identifier, self.party, str(self.target)))
            except Withheld as reason:
                self.facts.fail(Failure.PLATFORM, str(reason))
                self._conclude(EndedBy.PLATFORM)
                return
            if self._concluding or self._hanging_up:
                return
        self._invite(hop)

    async def _gather(self, hop: PermittedHop) -> bool:
        """Learn our addresses from the servers of ICE, for the offer; False: the call is over."""
        try:
            await self.audio.prepare()
        except (ResolutionFailed, NotPermitted) as error:
            failure = Failure.POLICY if isinstance(error, NotPermitted) else Failure.UNRESOLVED
            self.facts.fail(failure, f"a server of ICE: {error}")
            self._conclude(EndedBy.LOCAL)
            return False
        if not self.open_audio(hop.local.host, hop.remote.host):
            return False
        await self.audio.gather()
        return not self._concluding and not self._hanging_up

    def _invite(self, hop: PermittedHop) -> None:
        now, self._invited = self.line.now(), hop
        if not self.open_audio(hop.local.host, hop.remote.host):
            return
        offer = b"" if self.plan.late_offer else self.audio.offer()
        body, kind = with_extra(offer, self.plan.body, self.line.entropy)
        self.facts.codecs_offered = tuple(each.name for each in self.audio.local().formats)
        if not self.facts.states:
            # What is measured starts with the INVITE; name resolution has its own place.
            self.facts.started, self.facts.wall = now, self.line.clock.wall()
        account = self.plan.account
        self.sip = self.line.endpoint.invite(
            self.target,
            local=self._caller(hop),
            hop=hop,
            now=now,
            body=body,
            content_type=kind,
            headers=(*_required(self.plan.prack), *self._identified(hop), *self.plan.headers),
            route=self._routes,
            credentials=account.credentials if account else None,
            supported=self._supported(),
            session=self.plan.session,
        )
        self.sip.user_data = self
        self.facts.reach(CallState.CALLING, now)
        if self.plan.cancel_after is not None:
            self._later(self.plan.cancel_after, self._cancel_unanswered, False)
        self._later(self.plan.ring_for, self._cancel_unanswered, True)
        self.line.drain()

    def _supported(self) -> tuple[str, ...] | None:
        """The option tags of this call; None: those of the phone."""
        if self.plan.prack != "no":
            return None
        return tuple(tag for tag in self.line.endpoint.config.supported if tag != "100rel")

    def _identified(self, hop: Hop) -> list[tuple[str, str]]:
        """Who we are, beside From; signed anew for each INVITE."""
        plan = self.plan.identity
        if plan is None:
            return []
        wall = self.line.clock.wall()
        return headers_of(plan, self._own(hop), self.target, wall, self.line.entropy)

    def _caller(self, hop: Hop) -> NameAddr:
        """Who is shown."""
        hides = self.plan.identity is not None and self.plan.identity.hides
        return ANONYMOUS if hides else self._own(hop)

    def _own(self, hop: Hop) -> NameAddr:
        if self.plan.caller:
            return NameAddr.parse(as_name_addr(self.plan.caller))
        account = self.plan.account
        if account:
            uri = Uri("sip", user=account.user, host=self.target.host)
            return NameAddr(account.display_name, uri)
        return NameAddr("", self.line.own_uri(hop.local.host))

    def _cancel_unanswered(self, gave_up: bool) -> None:
        if self.answered or self._concluding or self.sip is None:
            return
        if gave_up:
            self.hangup(Failure.NO_ANSWER, f"{self.plan.ring_for:g} s")
        else:
            self.hangup()

    def on_event(self, event: events.Event) -> None:
        match event:
            case events.CallProgressed():
                self._progressed(event)
            case events.ProvisionalUnconfirmed(status=status, reason=reason):
                said = f"refused with {status} {reason}" if status is not None else f"not answered: {reason}"
                self.facts.remark(f"Our PRACK was {said}".rstrip() + ".")
            case events.CallAnswered():
                self._spawn(self._answered(event))
            case events.CallRedirected():
                self._redirected(event)
            case _:
                super().on_event(event)

    def _progressed(self, event: events.CallProgressed) -> None:
        now, status = event.at, event.status
        self.facts.hear(event.response)
        self.facts.provisionals.append(status)
        if status == 100:
            self.facts.reach(CallState.TRYING, now, status)
            return
        self.facts.ring(now)
        sdp = described(event.response.headers, event.response.body)
        if event.reliable:
            self.facts.reliable.append(status)
        if event.owed:
            self._answer_early(event, sdp)
            return
        if not sdp or self.plan.late_offer:
            self.facts.reach(CallState.RINGING, now, status)
            return
        self.facts.reach(CallState.EARLY_MEDIA, now, status)
        if self.facts.early_media_at is None and self.take_answer(sdp, sending=False):
            self.facts.early_media_at = now
            if event.reliable:
                self._settle_early(event.to_tag)

    def _settle_early(self, tag: str) -> None:
        """Offer and answer are through before the 200 (RFC 3262): what that still describes is not read."""
        self._settled = tag
        if self.plan.early_update is not None:
            self._later(self.plan.early_update, self._update_early)

    def _answer_early(self, event: events.CallProgressed, sdp: bytes) -> None:
        """The offer came in a reliable provisional; its answer goes in the PRACK (RFC 3262 section 5)."""
        assert self.sip is not None
        self.facts.reach(CallState.EARLY_MEDIA if sdp else CallState.RINGING, event.at, event.status)
        if sdp:
            usable, body = self._answer_offer(sdp, sending=False)
            if not usable:
                self.hangup()
                return
            self.facts.early_media_at = event.at
            self._settle_early(event.to_tag)
        else:
            body = b""
        self.sip.prack(body, to_tag=event.to_tag, now=self.line.now())
        self.line.drain()

    async def _answered(self, event: events.CallAnswered) -> None:
        now = event.at
        self.facts.hear(event.response)
        self.facts.ring(now)
        self.facts.answered_at = now
        self.facts.sip_code, self.facts.sip_reason = event.response.status, event.response.reason
        self.facts.reach(CallState.ANSWERED, now, event.response.status)
        assert self.sip is not None
        self._look_at_answer(event.response)
        refused = await self._router.follow(self.sip)
        if refused is not None:
            self.facts.remarks.append(refused)
            self._on_warning(refused)
        body = b""
        usable = True
        sdp = described(event.response.headers, event.response.body)
        settled = self._settled is not None and self._settled == to_tag(event.response.headers)
        if settled and self.audio.negotiated is not None:
            usable = self.start_media(self.audio.negotiated, sending=True)
        elif self.plan.late_offer:
            usable, body = self._answer_offer(sdp)
        elif sdp:
            usable = self.take_answer(sdp, sending=True)
        elif self.audio.negotiated is not None:
            usable = self.start_media(self.audio.negotiated, sending=True)
        else:
            self.facts.fail(Failure.NEGOTIATION, "the 200 had no SDP, so there is no agreement on audio")
            usable = False
        self.sip.acknowledge(body, now=self.line.now())
        self.line.drain()
        self.facts.reach(CallState.CONFIRMED, self.line.now())
        if not usable:
            self.hangup()
        elif not self._concluding:
            if self.audio.negotiated is not None:
                self._note_hold_by_peer(self.audio.negotiated, self.line.now())
            self.talk(self.plan.talk_for, self.plan.hold_at, self.plan.hold_for)

    def _look_at_answer(self, response: Response) -> None:
        """What the 200 ought to have, or not, and the call does without."""
        if contact_of(response) is None:
            what = f"{response.status} {response.reason}".rstrip()
            had = "an unusable one" if response.headers.get("contact") else "none"
            self.facts.remark(
                f"The {what} must have a usable Contact (RFC 3261 section 12.1.1) and had {had}: "
                "ACK and BYE went where the INVITE had gone."
            )
        unknown = demanded(response.headers, response.body)
        if unknown:
            self.facts.remark(
                f"The answer demands that we understand {', '.join(unknown)} (handling=required); we do not."
            )

    def _answer_offer(self, body: bytes, *, sending: bool = True) -> tuple[bool, bytes]:
        """Our answer for the ACK to the offer in a 2xx (RFC 3264, late offer), or for a PRACK."""
        agreed = self.understood(self.audio.answer, body)
        if agreed is None or self.audio.ours is None:
            return False, b""
        return self.start_media(agreed, sending=sending), self.audio.ours.serialize()

    def _redirected(self, event: events.CallRedirected) -> None:
        self.facts.hear(event.response)
        self.facts.sip_code, self.facts.sip_reason = event.status, event.response.reason
        self.facts.redirected_to = tuple(str(contact.uri) for contact in event.contacts)
        self.facts.reach(CallState.REDIRECTED, event.at, event.status)
        usable = [contact.uri for contact in event.contacts if contact.uri.is_sip]
        self._redirects += 1
        if self.plan.follow and usable and self._redirects <= _MAX_REDIRECTS and not self._hanging_up:
            self.target = usable[0]
            self.sip = None
            self._spawn(self._place())
            return
        self.facts.fail(Failure.REFUSED)
        self._conclude(EndedBy.REMOTE)

    def _failed(self, event: events.CallFailed, now: float) -> None:
        cause = event.cause
        if event.status == 488 and self._without_srtp(event):
            return
        if event.response is not None:
            self.facts.hear(event.response)
            self.facts.sip_code, self.facts.sip_reason = event.response.status, event.response.reason
        elif self._hops and not self._hanging_up and self.facts.ringing_at is None:
            # RFC 3263 section 4.3: the next address of the same target.
            self.facts.remarks.append(event.reason)
            self._spawn(self._invite_next())
            return
        failure, detail = failure_of(cause, event.status, event.reason, self._hop, bool(self.plan.account))
        self.facts.reach(CallState.FAILED, now, event.status)
        self.facts.fail(failure, detail)
        self._conclude(EndedBy.REMOTE if event.response is not None else EndedBy.NETWORK)

    def _without_srtp(self, event: events.CallFailed) -> bool:
        """Try again with plain RTP, at the same place, where that is what the plan falls back to."""
        if self._invited is None or self._hanging_up or not self.audio.fall_back():
            return False
        if event.response is not None:
            self.facts.hear(event.response)
        self.facts.remark("SRTP was refused with 488; the call was placed again with plain RTP.")
        self._hops.insert(0, self._invited)
        self.sip = None
        self._spawn(self._invite_next())
        return True

    @property
    def _hop(self) -> Hop | None:
        return self.sip.hop if self.sip is not None else None


def _required(prack: str) -> tuple[tuple[str, str], ...]:
    return (("Require", "100rel"),) if prack == "required" else ()


def _leave(leave: Callable[[], None], _: object) -> None:
    leave()
