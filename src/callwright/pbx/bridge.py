"""One call through the PBX: the caller's leg, a leg for each contact of the callee, and what joins them.

The first contact that answers has the call, the others are canceled with a Reason ("Call completed
elsewhere", RFC 3326). From then on what happens on one leg is done on the other: offers, requests, the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from callwright.pbx.errand import Errand
from callwright.pbx.holding import Holding, holds
from callwright.pbx.joining import OFFERS, Joining, leads_alike
from callwright.pbx.keys import key_of
from callwright.pbx.origins import Origins
from callwright.pbx.passage import (
    NOTHING,
    Carried,
    carried,
    codec_of,
    content_type_of,
    hops_left,
    onward,
    passing,
    reasons_of,
)
from callwright.pbx.path import LegSide, MediaPath, NoMediaPath
from callwright.pbx.record import BranchRecord, CallConnected, CallEvent, CallRecord, CallRinging
from callwright.pbx.renegotiation import Renegotiation
from callwright.pbx.stage import Stages
from callwright.pbx.tape import Tape
from callwright.pbx.verdicts import Final, best_of, final_of
from callwright.sdp.lines import SdpError
from callwright.sip import events
from callwright.sip.call import SDP, Call, HeaderPairs
from callwright.sip.client_request import ClientRequest
from callwright.sip.digest import Credentials
from callwright.sip.endpoint import Endpoint
from callwright.sip.glance import to_tag
from callwright.sip.headers import Headers
from callwright.sip.message import Request, Response
from callwright.sip.multipart import described
from callwright.sip.session_timer import NO_WISH, SessionWish, session_expires
from callwright.sip.timers import Agenda, Alarm
from callwright.sip.transport import Hop, PermittedHop
from callwright.sip.uri import NameAddr, Uri

__all__ = ["Attempt", "Bridge", "BridgeHost", "Invitation", "Place", "Standing"]

RELIABLE = "100rel"
ELSEWHERE = ("Reason", 'SIP;cause=200;text="Call completed elsewhere"')

_TALK = "talk"  # an event package that no RFC defines


@dataclass(frozen=True, slots=True)
class Invitation:
    """What every leg towards the callee says: From and headers."""

    local: NameAddr
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where to ring. `user`: the account, or the number where it is none of ours; `agent`: its User-Agent;
    `fixed`: its Contact leads nowhere from here, so that all requests go over `hop`; `routes`: by which
    proxies (RFC 3327); `direct`: audio does not pass the PBX where it can be so."""

    uri: Uri
    remote: NameAddr
    hop: PermittedHop
    user: str
    fixed: bool = False
    agent: str = ""
    credentials: Credentials | None = None
    routes: tuple[str, ...] = ()
    direct: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """Places to ring at once. `seconds`: when to give up; None: as long as the caller waits. `spare`: only
    where the attempt before could not be made: nobody was reached, or the answer was 5xx."""

    invitation: Invitation
    places: tuple[Place, ...]
    seconds: float | None = None
    spare: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A caller that is up already, in the PBX's own hands.

    `description`: the last of the caller. One of these once: `joined(now)` when it is with somebody,
    `gone(now)` when it hung up, `failed(final, now)` when nobody answered, and it is to be taken back.
    """

    description: bytes
    joined: Callable[[float], None]
    gone: Callable[[float], None]
    failed: Callable[[Final, float], None]


class BridgeHost(Protocol):
    """What a bridge stands on. Limits in seconds."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def origins(self) -> Origins: ...
    @property
    def stages(self) -> Stages: ...

    @property
    def music(self) -> tuple[str, ...]:
        """What is played on hold; empty: phones arrange that among themselves."""
        ...

    def referred(self, bridge: Bridge, event: events.RequestReceived, call: Call) -> None:
        """A phone wants its peer transferred."""
        ...

    @property
    def agenda(self) -> Agenda: ...
    @property
    def idle_limit(self) -> float: ...
    @property
    def duration_limit(self) -> float: ...

    def media_host(self, hop: Hop) -> str:
        """Our address for media towards the other end of `hop`."""
        ...

    def stir(self) -> None:
        """Another phone rings, or rings no more."""
        ...

    def expect(self, handle: ClientRequest, errand: Errand) -> None:
        """Have `errand` told what becomes of `handle`."""
        ...

    def tell(self, event: CallEvent) -> None:
        """Something became of the call."""
        ...

    def moved_on(self, bridge: Bridge) -> None:
        """It has given its caller back; the call goes on elsewhere."""
        ...

    def up(self, bridge: Bridge, now: float) -> None:
        """Somebody has answered."""
        ...

    def concluded(self, bridge: Bridge, now: float) -> None:
        """The call is over, though legs may still say goodbye."""
        ...


@dataclass(slots=True, eq=False)
class Leg:
    """One contact that was called. `final` None: it may still answer."""

    call: Call
    record: BranchRecord
    user: str
    final: Final | None = None
    canceled: bool = False
    described: Response | None = None  # its last provisional with a body
    answerable: bool = False  # it rings, and said that it answers when it is told to (Event: talk)


class Bridge:
    """Joins one inbound call with what answers it.

    `onward(final, now)` is asked when all attempts came to nothing: whether it has extended, refused or taken
    over the call; else the caller gets that final response. `standing`: the caller is up already.
    """

    def __init__(
        self,
        host: BridgeHost,
        caller: Call,
        attempts: Iterable[Attempt],
        path: MediaPath,
        record: CallRecord,
        onward: Callable[[Final, float], bool] = lambda final, now: False,
        standing: Standing | None = None,
    ) -> None:
        self.caller = caller
        self.record = record
        self.over = False
        self._host = host
        self._attempts = list(attempts)
        self._giving_up: Alarm | None = None  # of the present attempt
        self._onward = onward
        self._standing = standing
        self._joining: Joining | None = None
        self._guests: dict[Call, str] = {}  # legs that were up before, and whose they are
        self._holding: Holding | None = None
        self._said: dict[Call, bytes] = {}  # the last description of each leg
        self.rang = False  # somebody, since the last attempts were added
        self._path = path
        self._legs: list[Leg] = []
        self._finals: list[Final] = []
        self._callee: Call | None = None
        self._early_tag: str | None = None  # of the branch whose early description the caller has
        self._owing: tuple[Leg, str] | None = None  # waits for the caller's PRACK with the answer
        self._updatable: set[Call] = set()  # legs whose Allow has UPDATE
        self._offers = Renegotiation(path, self._other, self._carry, self._takes_update, self.give_up)
        self._alarms: list[Alarm] = []
        caller.user_data = self
        path.listen(lambda side, key, now: self._key(key, now, caller=side is LegSide.CALLER, by="rtp"))

    # -- placing

    def start(self, now: float) -> None:
        """Ring the contacts of the first attempt."""
        self._ring_next(now)

    def admit(self, callees: Sequence[Hop]) -> None:
        """Others may be called too."""
        self._path.admit(callees)

    def put_on(self, tape: Tape | None) -> bool:
        """Record what both sides say, None: no longer; False: their audio does not pass here."""
        return self._path.record(tape)

    def extend(self, attempts: Iterable[Attempt], now: float) -> None:
        """Ring further contacts; what became of those before is no longer told to the caller."""
        self._finals.clear()
        self.rang = False
        self._host.stir()
        self._attempts += attempts
        self._ring_next(now)

    def _ring_next(self, now: float) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
        while self._attempts and not self._ringing and not self.over:
            attempt = self._attempts.pop(0)
            if attempt.spare and self._finals and not self._finals[-1].unreached:
                continue
            for place in attempt.places:
                self._place(attempt.invitation, place, now)
            if attempt.seconds is not None and self._ringing:
                self._giving_up = self._host.agenda.at(now + attempt.seconds, self._no_answer)
        if not self._ringing and not self.over:
            self._fail(best_of(self._finals), now)

    def _no_answer(self, now: float) -> None:
        if self.over or self._callee is not None or not self._ringing:
            return
        self._cancel_ringing([], now)
        self._finals.append(Final(408, "Request Timeout (nobody answered)"))
        self._ring_next(now)

    def _fail(self, final: Final, now: float) -> None:
        """Nobody has answered, and nobody is left."""
        self._attempts.clear()
        self._cancel_ringing([], now)
        if not self._onward(final, now):
            self.refuse(final, now)

    def _place(self, invitation: Invitation, place: Place, now: float) -> None:
        if self.over:
            return
        hop = place.hop
        try:
            offer = self._offer_over(hop)
        except SdpError as error:
            self.refuse(Final(488, f"Not Acceptable Here ({error})"), now)
            return
        except NoMediaPath as error:
            self._finals.append(Final(503, f"Service Unavailable ({error.reason})"))
            return
        headers = self.caller.request.headers
        required = headers.has_option("require", RELIABLE)
        supported = required or headers.has_option("supported", RELIABLE)
        asked = session_expires(headers)
        call = self._host.endpoint.invite(
            place.uri,
            local=invitation.local,
            remote=place.remote,
            hop=hop,
            now=now,
            body=offer.body,
            content_type=offer.content_type,
            route=place.routes,
            headers=(*([("Require", RELIABLE)] if required else ()), *invitation.headers),
            credentials=place.credentials,
            supported=(RELIABLE, "timer") if supported else ("timer",),
            session=NO_WISH if asked is None else SessionWish(asked[0]),
        )
        if place.fixed:
            call.use_hop(hop)  # its Contact leads nowhere from here
        call.user_data = self
        record = BranchRecord(str(place.uri), call.call_id, user=place.user, agent=place.agent)
        self.record.branches.append(record)
        self._legs.append(Leg(call, record, place.user))
        self._host.origins.told(call, offer.description, self.caller)
        self._offers.told(call, offer.description)

    def _offer_over(self, hop: Hop) -> Carried:
        """What a callee over that hop is offered. Raises SdpError, NoMediaPath."""
        if self._standing is None:
            self._heard(self.caller.request, self.caller)
            return self._moved(self.caller.request, LegSide.CALLER, self.caller.hop, hop)
        self._said[self.caller] = self._standing.description
        description = self._carried(self._standing.description, LegSide.CALLER, self.caller.hop, hop)
        return Carried(description, SDP, description)

    def _moved(self, message: Request | Response, speaker: LegSide, from_hop: Hop, to_hop: Hop) -> Carried:
        return carried(message, lambda description: self._carried(description, speaker, from_hop, to_hop))

    def _carried(self, description: bytes, speaker: LegSide, from_hop: Hop, to_hop: Hop) -> bytes:
        return self._path.carry(
            description,
            speaker,
            speaker_host=from_hop.remote.host,
            listener_local=self._host.media_host(to_hop),
        )

    def _carry(self, message: Request | Response, speaker: Call) -> Carried:
        """The body that `speaker` sent, as the other leg is to get it. Raises SdpError, NoMediaPath."""
        self._heard(message, speaker)
        if speaker is self.caller:
            callee = self._other(speaker)
            if callee is None:
                return self._moved(message, LegSide.CALLER, self.caller.hop, self.caller.hop)
            return self._told(
                speaker,
                callee,
                message,
                lambda each: self._carried(each, LegSide.CALLER, speaker.hop, callee.hop),
            )
        return self._told(
            speaker,
            self.caller,
            message,
            lambda each: self._carried(each, LegSide.CALLEE, speaker.hop, self.caller.hop),
        )

    def _heard(self, message: Request | Response, speaker: Call) -> bytes:
        found = described(message.headers, message.body)
        if found:
            self._said[speaker] = found
        return found

    def _told(
        self, speaker: Call, listener: Call, message: Request | Response, move: Callable[[bytes], bytes]
    ) -> Carried:
        origins = self._host.origins
        return carried(message, lambda description: origins.told(listener, move(description), speaker))

    @property
    def _has_offer(self) -> bool:
        """The caller's INVITE brought one; else it comes in the callee's 2xx."""
        return self._standing is not None or bool(
            described(self.caller.request.headers, self.caller.request.body)
        )

    # -- events

    def on_event(self, event: events.Event, call: Call) -> None:
        """Something happened on a leg."""
        if isinstance(event, OFFERS) and self._takes(event):
            return
        match event:
            case (
                events.OfferReceived()
                | events.OfferAnswered()
                | events.OfferConfirmed()
                | events.OfferFailed()
            ):
                self._offers.on_event(event)
            case events.RequestReceived():
                self._request(event, call)
            case events.CallEnded() if call is self.caller or call is self._callee:
                self._leg_ended(event)
            case _ if call is self.caller:
                self._on_caller(event)
            case _:
                for leg in self._legs:
                    if leg.call is call:
                        self._on_leg(event, leg)

    @property
    def on_hold(self) -> bool:
        """One of the phones has put the other on hold."""
        return self._holding is not None or any(
            b"\na=sendonly" in said or b"\na=inactive" in said for said in self._said.values()
        )

    def _takes(self, event: events.Event) -> bool:
        """Whether an offer is for the PBX itself: legs that are being joined, a hold with music."""
        if self._joining is not None:
            self._joining.on_event(event)
            return True
        if self._holding is not None:
            if self._holding.on_event(event):
                return True
            self._holding.close()
            self._holding = None
            return False
        if not isinstance(event, events.OfferReceived) or not self._host.music or self._offers.busy:
            return False
        holder, offer = event.call, described(event.request.headers, event.request.body)
        held = self._other(holder)
        if held is None or not (held.confirmed and holder.confirmed) or not holds(offer):
            return False
        host = self._host
        told = self._offers.last_told(holder)
        holding = Holding(host.stages, host.origins, host.agenda, holder, held, told)
        if not holding.start(offer, host.music, event.at):
            return False
        self._holding = holding
        self._path.pause(event.at)
        return True

    def _on_caller(self, event: events.Event) -> None:
        now = event.at
        match event:
            case events.CallCanceled():
                reasons = reasons_of(event.request.headers if event.request else None)
                self._drop_legs(now, reasons)
                self._conclude(now, "caller", 487, "canceled by the caller")
            case events.CallFailed():
                self._drop_legs(now, [_reason(480, event.reason)])
                self._conclude(now, "pbx", event.status, event.reason)
            case events.ProvisionalConfirmed():
                self._acknowledged(event)
            case events.CallConfirmed() if self._callee is not None and not self._has_offer:
                self._late_answer(event, self._callee)
            case _:
                pass

    def _on_leg(self, event: events.Event, leg: Leg) -> None:
        match event:
            case events.CallProgressed():
                self._progressed(event, leg)
            case events.CallAnswered():
                self._answered(event, leg)
            case events.CallFailed() | events.CallRedirected() | events.CallCanceled():
                self._leg_failed(leg, final_of(event), event.at)
            case events.CallEnded():  # it answered while it was being canceled
                leg.record.status, leg.record.reason = 200, event.reason
            case _:
                pass

    # -- until the answer

    def rings(self, user: str) -> bool:
        """A phone of that account rings now."""
        return self._callee is None and any(leg.user == user for leg in self._ringing)

    def tell_to_answer(self, user: str | None, now: float) -> bool:
        """Ask a phone that rings, of that account or of any, to answer: a NOTIFY of the event package talk in
        the early dialog, as the phones of Polycom, Yealink, Snom and Grandstream take it. False: none of them
        has said in a provisional response that it takes it (Allow-Events), or nothing rings."""
        for leg in self._ringing if self._callee is None else []:
            if leg.answerable and user in (None, leg.user):
                about = [("Event", _TALK), ("Subscription-State", "terminated")]
                if leg.call.send("NOTIFY", now=now, headers=about) is not None:
                    return True
        return False

    @property
    def users(self) -> set[str]:
        """The accounts whose phones take part, or ring."""
        here = {leg.user for leg in self._legs if leg.call is self._callee or leg.final is None}
        here |= set(self._guests.values())
        return here | ({self.record.caller} if self.record.caller is not None else set())

    @property
    def talks(self) -> bool:
        """Somebody has answered."""
        return self._callee is not None

    @property
    def _ringing(self) -> list[Leg]:
        return [leg for leg in self._legs if leg.final is None and not leg.canceled]

    def _progressed(self, event: events.CallProgressed, leg: Leg) -> None:
        if event.status == 100 or leg.canceled or self._callee is not None or self.over:
            return
        now, response = event.at, event.response
        if not self.rang:
            self.rang = True
            self._host.stir()
        if response.headers.has_option("allow", "update"):
            self._updatable.add(leg.call)
        if response.body:
            leg.described = response
        if event.to_tag and response.headers.has_option("allow-events", _TALK):
            leg.answerable = True
        if self.record.ringing_at is None:
            self.record.ringing_at = now
            self._host.tell(CallRinging(now, self.record))
        if self._standing is not None:
            return  # it hears us
        body = NOTHING
        # One dialog towards the caller takes one answer (RFC 3261 13.2.1), so early media passes only where
        # no other branch can answer differently.
        alone = len(self._ringing) == 1 and self._early_tag in (None, event.to_tag)
        reliable = event.reliable or self.caller.request.headers.has_option("require", RELIABLE)
        if reliable and self._attempts:
            alone = False  # what is told reliably holds, and somebody else may answer
        if event.owed and not alone:
            self._leg_failed(leg, Final(500, "Server Internal Error (several phones offer at once)"), now)
            leg.call.cancel(now=now)
            return
        if response.body and alone:
            try:
                if reliable:
                    body = self._carry(response, leg.call)
                else:
                    body = self._moved(response, LegSide.CALLEE, leg.call.hop, self.caller.hop)
            except (SdpError, NoMediaPath):
                body = NOTHING  # what matters is the answer
            else:
                self._early_tag = event.to_tag
                self._path.settle(now)
        if event.owed:
            self._owing = (leg, event.to_tag)
        self.caller.ring(
            event.status,
            now=now,
            body=body.body,
            content_type=body.content_type,
            reason=event.reason or None,
            headers=passing(response.headers),
            reliable=reliable,
        )

    def _acknowledged(self, event: events.ProvisionalConfirmed) -> None:
        """The caller's PRACK. Ours left by itself, but where it is to bring the answer."""
        if self._owing is None:
            return
        (leg, tag), self._owing = self._owing, None
        try:
            body = self._carry(event.request, self.caller)
        except (SdpError, NoMediaPath) as error:
            self._leg_failed(leg, Final(488, f"Not Acceptable Here ({error})"), event.at)
            leg.call.cancel(now=event.at)
            return
        leg.call.prack(body.body, to_tag=tag, now=event.at, content_type=body.content_type)
        self._offers.told(leg.call, body.description)
        self._path.settle(event.at)

    def _answered(self, event: events.CallAnswered, leg: Leg) -> None:
        now, response = event.at, event.response
        leg.record.status, leg.record.reason = response.status, response.reason
        if self.over or self._callee is not None:
            leg.call.hangup(now=now, headers=[ELSEWHERE])
            return
        try:
            body = self._description(response, leg)
        except (SdpError, NoMediaPath) as error:
            leg.call.hangup(now=now, headers=[_reason(488, "the session description cannot be used")])
            self._leg_failed(leg, Final(502, f"Bad Gateway ({error})"), now)
            return
        leg.final = Final(response.status, response.reason)
        self._callee = leg.call
        if self._giving_up is not None:
            self._giving_up.cancel()
        self._attempts.clear()
        self._cancel_ringing([ELSEWHERE], now)
        leg.record.answered = True
        if self._has_offer:
            leg.call.acknowledge(now=now)
        self._join(leg.call, body, response.headers, now)

    def pick_up(self, callee: Call, now: float, *, user: str) -> bool:
        """Join a call that is up with the caller, in place of whoever rings; False: it is too late."""
        agreed = self.caller.agreed and self._standing is None
        if self.over or self._callee is not None or not self._has_offer or agreed:
            return False
        self._attempts.clear()
        if self._giving_up is not None:
            self._giving_up.cancel()
        self._cancel_ringing([ELSEWHERE], now)
        self._callee = callee
        self._guests[callee] = user
        callee.user_data = self
        self.record.branches.append(BranchRecord(user, callee.call_id, 200, "OK", user, answered=True))
        try:
            offer = self._offer_over(callee.hop)
        except (SdpError, NoMediaPath) as error:
            self.give_up(488, str(error), now)
            return True
        description = self._host.origins.told(callee, offer.description, self.caller)

        def answered(response: Response, at: float) -> None:
            self._joining = None
            try:
                body = self._carry(response, callee)
            except (SdpError, NoMediaPath) as error:
                self.give_up(488, str(error), at)
                return
            self._offers.told(callee, description)
            self._join(callee, body, response.headers, at)

        self._joining = Joining(self._host.agenda, callee, description, answered, self._not_joined)
        self._joining.start(now)
        return True

    def _not_joined(self, reason: str, now: float) -> None:
        self._joining = None
        self.give_up(480, reason, now)

    def _join(self, callee: Call, body: Carried, headers: Headers, now: float) -> None:
        """The callee has answered: so does the caller, or is told by a re-INVITE where it is up already."""
        record = self.record
        if self._standing is not None:
            self._rejoin(callee, body.description, now)
            return
        if not self.caller.answer(
            body.body, now=now, content_type=body.content_type, headers=passing(headers)
        ):
            callee.hangup(now=now)
            return
        record.answered_at, record.status, record.reason = now, 200, "OK"
        record.codec = codec_of(body.description) if self._has_offer else ""
        self._host.tell(CallConnected(now, record))
        if body.description:
            self._offers.told(self.caller, body.description)
        if self._has_offer:
            self._path.settle(now)
        # Without an offer in the INVITE the answer comes in the caller's ACK, and goes on in ours.
        self._watch(now)

    def _rejoin(self, callee: Call, description: bytes, now: float) -> None:
        """The caller, who is up, is told where the callee is; and the callee what the caller says to that."""
        told = description

        def answered(response: Response, at: float) -> None:
            self._joining = None
            standing, self._standing = self._standing, None
            said = self._heard(response, self.caller)
            try:
                moved = self._carried(said, LegSide.CALLER, self.caller.hop, callee.hop)
            except (SdpError, NoMediaPath) as error:
                self.give_up(488, str(error), at)
                return
            self._offers.told(self.caller, told)
            self._path.settle(at)
            if standing is not None:
                standing.joined(at)
            if not leads_alike(moved, self._offers.last_told(callee)):
                again = self._host.origins.told(callee, moved, self.caller)
                self._offers.told(callee, again)
                self._joining = Joining(self._host.agenda, callee, again, self._settled, self._not_joined)
                self._joining.start(at)

        self._joining = Joining(self._host.agenda, self.caller, told, answered, self._not_joined)
        self._joining.start(now)
        self._watch(now)

    def _settled(self, response: Response, now: float) -> None:
        self._joining = None
        self._path.settle(now)

    def _description(self, response: Response, leg: Leg) -> Carried:
        """What the 2xx of a leg says of its media to the caller: nothing, where a reliable provisional of it
        has. Raises SdpError, also where the caller has agreed with another phone, and NoMediaPath."""
        if response.headers.has_option("allow", "update"):
            self._updatable.add(leg.call)
        if self._standing is not None or not self.caller.agreed:
            return self._carry(response if response.body else leg.described or response, leg.call)
        if self._early_tag == to_tag(response.headers):
            return NOTHING
        raise SdpError("the caller has agreed with another phone")

    def _late_answer(self, event: events.CallConfirmed, callee: Call) -> None:
        try:
            body = self._carry(event.request, self.caller)
        except (SdpError, NoMediaPath) as error:
            callee.acknowledge(now=event.at)
            self.give_up(488, str(error), event.at)
            return
        callee.acknowledge(body.body, now=event.at, content_type=body.content_type)
        if not body.body:
            return  # the answer came in a PRACK
        self._offers.told(callee, body.description)
        self.record.codec = codec_of(body.description)
        self._path.settle(event.at)

    def _leg_failed(self, leg: Leg, final: Final, now: float) -> None:
        leg.record.status, leg.record.reason = final.status, final.reason
        if leg.final is not None:
            return
        leg.final = final
        if leg.canceled or self.over or self._callee is not None:
            return
        self._finals.append(final)
        if final.status >= 600:  # RFC 3261 16.7 item 5: nobody else is to be asked
            self._fail(final, now)
        elif not self._ringing:
            self._ring_next(now)

    def leaver(self, user: str | None) -> Call | None:
        """The leg of that account, else the callee's: who goes when a program transfers. None: nobody has
        answered."""
        if self._callee is None:
            return None
        return self.caller if user is not None and self.user_of(self.caller) == user else self._callee

    def leg_of(self, user: str) -> Call | None:
        """The leg of an account: the one that talks, else the first that rings."""
        if self.record.caller == user:
            return self.caller
        if self._callee is not None:
            return self._callee if self.user_of(self._callee) == user else None
        return next((leg.call for leg in self._ringing if leg.user == user), None)

    def user_of(self, call: Call) -> str | None:
        """The account of a leg."""
        if call is self.caller:
            return self.record.caller
        return next((leg.user for leg in self._legs if leg.call is call), self._guests.get(call))

    def split(self, leaver: Call, reason: str, now: float) -> tuple[Call, bytes, str | None]:
        """End the call without hanging up: the peer of `leaver`, what it said last, and its account."""
        peer = self._other(leaver)
        assert peer is not None
        held = self._holding.heard if self._holding is not None and self._holding.held is peer else b""
        found = peer, held or self._said.get(peer, b""), self.user_of(peer)
        self._conclude(now, "caller" if leaver is self.caller else "callee", self.record.status, reason)
        return found

    def give_back(self, now: float) -> None:
        """Nobody was reached, and somebody else takes the caller."""
        self._end()
        self._path.close(now)
        self._host.stir()
        self._host.moved_on(self)

    def refuse(self, final: Final, now: float) -> None:
        """Tell the caller that nobody answers."""
        if self.over:
            return
        self._attempts.clear()
        self._cancel_ringing([], now)
        if self._standing is not None:
            self.give_back(now)
            self._standing.failed(final, now)
            return
        self.caller.reject(
            final.status,
            now=now,
            reason=final.reason,
            headers=final.headers,
            body=final.body,
            content_type=final.content_type,
        )
        self._conclude(now, "callee" if self._finals else "pbx", final.status, final.reason)

    def _cancel_ringing(self, headers: HeaderPairs, now: float) -> None:
        for leg in self._ringing:
            leg.canceled = True
            leg.call.cancel(now=now, headers=headers)

    def _drop_legs(self, now: float, reasons: HeaderPairs) -> None:
        self._attempts.clear()
        self._cancel_ringing(reasons, now)
        if self._callee is not None:
            self._callee.hangup(now=now, headers=reasons)

    # -- while it is up

    def _other(self, call: Call) -> Call | None:
        if call is not self.caller:
            return self.caller
        if self._callee is None and len(self._ringing) == 1:
            return self._ringing[0].call  # an early dialog
        return self._callee

    def _takes_update(self, call: Call) -> bool:
        if call is self.caller:
            return call.request.headers.has_option("allow", "update")
        return call in self._updatable

    def _request(self, event: events.RequestReceived, call: Call) -> None:
        """INFO, MESSAGE, OPTIONS within the call."""
        now, request = event.at, event.request
        if (key := key_of(request)) is not None:
            self._key(key, now, caller=call is self.caller, by="info")
        if request.method == "REFER":
            self._host.referred(self, event, call)
            return
        left = hops_left(request)
        if left < 0:
            self._host.endpoint.respond(event.transaction, 483, now=now)
            return
        other = self._other(call)
        handle = None
        if other is not None:
            handle = other.send(
                request.method,
                request.body,
                now=now,
                content_type=content_type_of(request.headers),
                headers=onward(request.headers, left),
            )
        if handle is None:
            self._host.endpoint.respond(event.transaction, 480, now=now)
            return
        errand = Errand(self._host.endpoint, event.transaction, on_failure=self._unreachable())
        self._host.expect(handle, errand)

    def _key(self, key: str, now: float, *, caller: bool, by: str) -> None:
        if not self.over:
            self._host.tell(self.record.heard(key, now, caller=caller, by=by))

    def flow_lost(self, hop: Hop, now: float) -> None:
        """A stream closed: who has a leg over it is asked whether its Contact can still be reached."""
        for call in (self.caller, self._callee):
            if call is None or call.over or call.hop != hop:
                continue
            if call.confirmed:
                handle = call.send("OPTIONS", now=now)
                if handle is not None:
                    self._host.expect(
                        handle, Errand(self._host.endpoint, None, on_failure=self._unreachable())
                    )
            elif call is self.caller and self._callee is None:
                self._drop_legs(now, [_reason(480, "the caller's connection was lost")])
                call.reject(480, now=now)
                self._conclude(now, "caller", 480, "the caller's connection was lost")

    def _unreachable(self) -> Callable[[str, float], None]:
        def gone(reason: str, at: float) -> None:
            self.give_up(408, f"a phone of the call cannot be reached: {reason}", at)

        return gone

    def _watch(self, now: float) -> None:
        agenda = self._host.agenda
        self._path.answered(now)
        self._host.up(self, now)
        self._alarms.append(agenda.at(now + self._host.duration_limit, self._too_long))
        self._alarms.append(agenda.at(now + self._host.idle_limit, self._check_silence))

    def _too_long(self, now: float) -> None:
        self.give_up(408, f"the call lasted {self._host.duration_limit:g} s", now)

    def _check_silence(self, now: float) -> None:
        since, limit = self._path.silent_since(), self._host.idle_limit
        if since is not None and since + limit <= now:
            self.give_up(408, f"no media from either side for {limit:g} s", now)
        elif not self.over:
            self._alarms.append(
                self._host.agenda.at(max(since or now, now - limit) + limit, self._check_silence)
            )

    # -- the end

    def give_up(self, status: int, reason: str, now: float) -> None:
        """End it from here, with a Reason of that SIP status for both sides."""
        if self.over:
            return
        header = _reason(status, reason)
        self._drop_legs(now, [header])
        self.caller.hangup(now=now, headers=[header])
        self._conclude(now, "pbx", self.record.status or 480, reason)

    def _leg_ended(self, event: events.CallEnded) -> None:
        """BYE, or a dialog that died: the other leg follows."""
        if self.over:
            return
        now = event.at
        if event.cause is events.EndCause.BYE:
            reasons = reasons_of(event.request.headers if event.request is not None else None)
        else:
            reasons = [_reason(_CAUSES.get(event.cause, 500), event.reason)]
        side = "caller" if event.call is self.caller else "callee"
        if event.call is self.caller:
            self._drop_legs(now, reasons)
        else:
            self.caller.hangup(now=now, headers=reasons)
        reason = f"the {side} hung up" if event.cause is events.EndCause.BYE else event.reason
        self._conclude(now, side, self.record.status, reason)

    def _end(self) -> None:
        self.over = True
        if self._joining is not None:
            self._joining.cancel()
        if self._holding is not None:
            self._holding.close()
        for alarm in (*self._alarms, self._giving_up):
            if alarm is not None:
                alarm.cancel()

    def _conclude(self, now: float, by: str, status: int | None, reason: str) -> None:
        if self.over:
            return
        self._end()
        if self._standing is not None:
            self._standing.gone(now)
        record = self.record
        record.ended_at, record.ended_by, record.status, record.reason = now, by, status, reason
        record.relayed = self._path.close(now, {"caller": LegSide.CALLER, "callee": LegSide.CALLEE}.get(by))
        self._host.concluded(self, now)


_CAUSES = {
    events.EndCause.ACK_MISSING: 408,
    events.EndCause.DIALOG_GONE: 481,
    events.EndCause.BYE_UNANSWERED: 408,
    events.EndCause.SESSION_EXPIRED: 408,
    events.EndCause.TRANSPORT: 503,
}


def _reason(status: int, text: str) -> tuple[str, str]:
    """A Reason header (RFC 3326) of protocol SIP."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else " " for c in text)[:200]
    return ("Reason", f'SIP;cause={status};text="{plain}"')
