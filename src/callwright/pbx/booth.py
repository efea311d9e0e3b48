"""A call that the PBX answers itself: a menu, a mailbox, a conference, an echo; and its party, who may be
sent on to somebody else at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from callwright.pbx.joining import OFFERS, Joining
from callwright.pbx.keys import key_of
from callwright.pbx.origins import Origins
from callwright.pbx.path import NoMediaPath
from callwright.pbx.plan import RingGroup
from callwright.pbx.record import CallConnected, CallEvent, CallRecord
from callwright.pbx.stage import Digit, Heard, Stage, Stages
from callwright.sip import events
from callwright.sip.call import Call
from callwright.sip.endpoint import Endpoint
from callwright.sip.message import Response
from callwright.sip.multipart import described
from callwright.sip.timers import Agenda, Alarm
from callwright.sip.transport import Hop
from callwright.sip.uri import NameAddr

__all__ = ["Act", "Booth", "BoothHost"]

_MOST_SENT_ON = 20


class BoothHost(Protocol):
    """What a booth stands on."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def agenda(self) -> Agenda: ...
    @property
    def stages(self) -> Stages: ...
    @property
    def origins(self) -> Origins: ...
    @property
    def duration_limit(self) -> float: ...

    def tell(self, event: CallEvent) -> None:
        """Something became of the call."""
        ...

    def taken_back(self, booth: Booth) -> None:
        """Its party was with nobody else in the end."""
        ...

    def concluded(self, session: Booth, now: float) -> None:
        """The call is over."""
        ...

    def send_on(self, booth: Booth, to: str | RingGroup, now: float) -> None:
        """Connect the party to that number or group. `Booth.hear_of_failure` when nobody answers."""
        ...


class Act(Protocol):
    """What happens in a booth. `begin` comes once, when the party can hear and be heard. `answers`: the call
    counts as answered when its party is here, rather than when the act says so."""

    answers: bool

    def begin(self, booth: Booth, now: float) -> None: ...

    def digit(self, booth: Booth, digit: str, now: float) -> None:
        """A key was pressed."""
        ...

    def played(self, booth: Booth, now: float) -> None:
        """What `play` began is over."""
        ...

    def unreached(self, booth: Booth, now: float) -> None:
        """Nobody at the number of `send_on` answered; the party is back."""
        ...

    def reached(self, booth: Booth, now: float) -> None:
        """The party hears whom it was sent on to; `left` follows."""
        ...

    def left(self, booth: Booth, now: float) -> None:
        """The party hung up, or is with somebody else."""
        ...


class Booth:
    """One party and one act. `user`: the account by whose rights it is sent on. `identity`: how it is shown
    where that is not as the account; `parker`: who put it here, empty: it came by itself."""

    def __init__(
        self,
        host: BoothHost,
        call: Call,
        record: CallRecord,
        act: Act,
        user: str | None,
        *,
        identity: NameAddr | None = None,
        parker: str = "",
    ) -> None:
        self.identity, self.parker = identity, parker
        self.failed_with = 480  # the status of the last send_on that reached nobody
        self._joining: Joining | None = None
        self.call, self.record, self.user = call, record, user
        self.act = act
        self.stage: Stage | None = None
        self.over = False
        self.away = False  # the party is being connected to somebody else
        self._host = host
        self._began = False
        self._sent_on = 0
        self._late = False  # the answer comes in the ACK
        self._alarms: list[Alarm] = []

    # -- begin

    def answer(self, now: float) -> None:
        """Answer the call, and begin the act once that is acknowledged; a refusal where it cannot be."""
        call, host = self.call, self._host
        call.user_data = self
        offered = described(call.request.headers, call.request.body)
        try:
            self.stage = stage = host.stages.open(call.hop, self._heard)
            body = stage.answer(offered) if offered else stage.offer()
        except NoMediaPath as error:
            self._refuse(503, f"Service Unavailable ({error.reason})", now)
            return
        except ValueError as error:
            self._refuse(488, f"Not Acceptable Here ({error})", now)
            return
        self._late = not offered
        if not call.answer(host.origins.told(call, body, self), now=now):
            self._conclude(now, "caller", 487, "canceled by the caller")
            return
        self.answered(now)
        self._watch(now)

    def receive(self, now: float) -> None:
        """Take over a party that is up: it is asked to listen to us."""
        self.call.user_data = self
        if self.act.answers:
            self.answered(now)
        self._watch(now)
        try:
            self.stage = stage = self._host.stages.open(self.call.hop, self._heard)
        except NoMediaPath as error:
            self.give_up(503, error.reason, now)
            return

        def answered(response: Response, at: float) -> None:
            self._joining = None
            self._answered(described(response.headers, response.body), at)
            self._begin(at)

        def failed(reason: str, at: float) -> None:
            self._joining = None
            self.give_up(488, reason, at)

        description = self._host.origins.told(self.call, stage.offer(), self)
        self._joining = Joining(self._host.agenda, self.call, description, answered, failed)
        self._joining.start(now)

    def answered(self, now: float) -> None:
        """The call counts as answered from now on."""
        record = self.record
        record.answered_at, record.status, record.reason = now, 200, "OK"
        self._host.tell(CallConnected(now, record))

    # -- for acts

    def play(self, *clips: str, repeat: bool = False) -> None:
        """See Stage.play."""
        if self.stage is not None:
            self.stage.play(*clips, repeat=repeat)

    def after(self, seconds: float, act: Callable[[float], None], now: float) -> Alarm:
        """Do something later, unless the party has left by then."""
        alarm = self._host.agenda.at(now + seconds, act)
        self._alarms = [one for one in self._alarms if one.action is not None]
        self._alarms.append(alarm)
        return alarm

    def send_on(self, to: str | RingGroup, now: float, *, meanwhile: tuple[str, ...] = ("ringing",)) -> None:
        """Connect the party to that number or group, and let it hear `meanwhile`. The act hears `unreached`
        when nobody answers."""
        self._sent_on += 1
        if self._sent_on > _MOST_SENT_ON:
            self.hang_up(now)  # services that lead to each other in a circle
        elif not self.over and not self.away:
            self.away = True
            self.play(*meanwhile, repeat=True)
            self._host.send_on(self, to, now)

    def become(self, act: Act, now: float) -> None:
        """Another act for the same party."""
        self.act.left(self, now)
        self.call.user_data = self
        self.act, self.away = act, False
        act.begin(self, now)

    def hang_up(self, now: float) -> None:
        """Nothing is left to do."""
        if not self.over:
            self.call.hangup(now=now)
            self._conclude(now, "pbx", self.record.status, "the service is over")

    def hear_of_failure(self, status: int, now: float) -> None:
        """Nobody answered where the party was sent on."""
        self.away, self.failed_with = False, status
        if not self.over:
            self.call.user_data = self
            self._host.taken_back(self)
            self.act.unreached(self, now)

    def hand_over(self, reason: str, now: float) -> None:
        """Somebody else has taken the party; this call of it ends here, but for its leg."""
        self._conclude(now, "pbx", self.record.status, reason)

    def leave(self, now: float) -> None:
        """The party is with somebody else from now on; the call goes on there."""
        self._leave(now)

    # -- events

    def on_event(self, event: events.Event, call: Call) -> None:
        """Something happened on the leg."""
        now = event.at
        if self._joining is not None and isinstance(event, OFFERS):
            self._joining.on_event(event)
            return
        match event:
            case events.CallConfirmed():
                self._confirmed(event)
            case events.CallEnded():
                reason = "the caller hung up" if event.cause is events.EndCause.BYE else event.reason
                self._conclude(now, "caller", self.record.status, reason)
            case events.CallCanceled() | events.CallFailed():
                self._conclude(now, "caller", 487, "canceled by the caller")
            case events.OfferReceived():
                self._offered(event)
            case events.OfferConfirmed():
                self._answered(described(event.request.headers, event.request.body), now)
            case events.RequestReceived():
                self._request(event)
            case _:
                pass

    def flow_lost(self, hop: Hop, now: float) -> None:
        """A stream closed: nobody asks after the party, since silence ends no service by itself."""

    def give_up(self, status: int, reason: str, now: float) -> None:
        """End it from outside."""
        if not self.over:
            self.call.hangup(now=now)
            self._conclude(now, "pbx", self.record.status or status, reason)

    def _confirmed(self, event: events.CallConfirmed) -> None:
        if self._late:
            self._answered(described(event.request.headers, event.request.body), event.at)
        self._begin(event.at)

    def _answered(self, body: bytes, now: float) -> None:
        """The party's answer to an offer of ours."""
        if not body or self.stage is None:
            return
        try:
            self.stage.conclude(body)
        except ValueError as error:
            self.give_up(488, str(error), now)

    def _offered(self, event: events.OfferReceived) -> None:
        call, stage, now = event.call, self.stage, event.at
        offered = described(event.request.headers, event.request.body)
        if stage is None:
            call.refuse_offer(491, now=now)
            return
        try:
            body = stage.answer(offered) if offered else stage.offer()
        except ValueError as error:
            call.refuse_offer(488, now=now, reason=f"Not Acceptable Here ({error})")
            return
        call.accept_offer(self._host.origins.told(call, body, self), now=now)

    def _request(self, event: events.RequestReceived) -> None:
        """Keys as INFO; nothing else is for us."""
        request, now = event.request, event.at
        digit = key_of(request)
        if digit is not None:
            self._host.endpoint.respond(event.transaction, 200, now=now)
            self._heard(Digit(digit), now, by="info")
        else:
            self._host.endpoint.respond(
                event.transaction, 200 if request.method == "OPTIONS" else 501, now=now
            )

    def _heard(self, what: Heard, now: float, *, by: str = "rtp") -> None:
        if self.over or self.away or not self._began:
            return
        if isinstance(what, Digit):
            self._host.tell(self.record.heard(what.digit, now, caller=True, by=by))
            self.act.digit(self, what.digit, now)
        else:
            self.act.played(self, now)

    def _begin(self, now: float) -> None:
        if not self._began and not self.over:
            self._began = True
            self.act.begin(self, now)

    def _watch(self, now: float) -> None:
        limit = self._host.duration_limit
        self.after(limit, lambda at: self.give_up(408, f"the call lasted {limit:g} s", at), now)

    # -- the end

    def _refuse(self, status: int, reason: str, now: float) -> None:
        self.call.reject(status, now=now, reason=reason)
        self._conclude(now, "pbx", status, reason)

    def _leave(self, now: float) -> None:
        if self.over:
            return
        self.over = True
        for alarm in self._alarms:
            alarm.cancel()
        if self._joining is not None:
            self._joining.cancel()
        self.act.left(self, now)
        if self.stage is not None:
            self.stage.close()

    def _conclude(self, now: float, by: str, status: int | None, reason: str) -> None:
        if self.over:
            return
        self._leave(now)
        record = self.record
        record.ended_at, record.ended_by, record.status, record.reason = now, by, status, reason
        self._host.concluded(self, now)
