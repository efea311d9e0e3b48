"""A call that a program asks for: a user's own phones ring first, or a number, and whoever answers is
connected to the other number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from callwright.pbx.booth import Booth, BoothHost
from callwright.pbx.bridge import Attempt, Invitation, Place
from callwright.pbx.menu import Quiet
from callwright.pbx.path import NoMediaPath
from callwright.pbx.record import CallPlaced, CallRecord
from callwright.pbx.stage import Stage
from callwright.pbx.verdicts import Final, best_of, final_of
from callwright.sip import events
from callwright.sip.call import Call
from callwright.sip.timers import Alarm
from callwright.sip.transport import Hop
from callwright.sip.uri import NameAddr

__all__ = ["ClickHost", "Clicked"]

_CANCELED, _SILENT = 487, 408


class ClickHost(BoothHost, Protocol):
    """What such calls stand on."""

    def joined(self, session: Clicked | Booth) -> None:
        """A call lives from now on, or goes on in this session."""
        ...

    def moved_on(self, session: Clicked | Booth) -> None:
        """The call goes on in another session."""
        ...

    def concluded(self, session: Clicked | Booth, now: float) -> None:
        """The call is over."""
        ...


class Clicked:
    """Rings those of `attempts`, one after the other, then dials `number` for who answers. `user`: the
    account whose own phones these are, None: others; `identity`: as whom the number sees them; `seconds`:
    when to give up."""

    def __init__(
        self,
        host: ClickHost,
        user: str | None,
        number: str,
        record: CallRecord,
        seconds: float,
        identity: NameAddr,
    ) -> None:
        self.user, self.record = user, record
        self.over = False
        self.talks = self.rang = False  # nobody is called yet
        self._host, self._number, self._seconds, self._identity = host, number, seconds, identity
        self._legs: dict[Call, Stage] = {}
        self._left: list[Attempt] = []
        self._finals: list[Final] = []
        self._giving_up: Alarm | None = None

    @property
    def users(self) -> set[str]:
        """Who is in it."""
        return {self.user} if self.user is not None else set()

    def leg_of(self, user: str) -> Call | None:
        """The leg of an account."""
        return next(iter(self._legs), None) if user == self.user else None

    def start(self, attempts: Sequence[Attempt], now: float) -> None:
        """Ring them. The call may be over already when this returns."""
        host = self._host
        self._left = list(attempts)
        host.joined(self)
        host.tell(CallPlaced(now, self.record))
        self._giving_up = host.agenda.at(now + self._seconds, self._no_answer)
        self._next(now)

    def _next(self, now: float) -> None:
        """Those that come next; the end when there are no more."""
        while self._left and not self._legs:
            attempt = self._left.pop(0)
            for place in attempt.places:
                self._ring(place, attempt.invitation, now)
        if not self._legs:
            self._conclude(now, "pbx" if not self.record.call_id else "caller", best_of(self._finals))

    def _ring(self, place: Place, invitation: Invitation, now: float) -> None:
        host = self._host
        try:
            stage = host.stages.open(place.hop, lambda heard, at: None)
            offer = stage.offer()
        except NoMediaPath as error:
            self._finals.append(Final(503, f"Service Unavailable ({error.reason})"))
            return
        call = host.endpoint.invite(
            place.uri,
            local=invitation.local,
            remote=place.remote,
            hop=place.hop,
            now=now,
            body=offer,
            headers=list(invitation.headers),
            credentials=place.credentials,
            route=place.routes,
        )
        if place.fixed:
            call.use_hop(place.hop)
        call.user_data = self
        host.origins.told(call, offer, stage)
        self._legs[call] = stage
        if not self.record.call_id:
            self.record.call_id = call.call_id
            self.record.caller_agent = place.agent

    # -- what happens

    def on_event(self, event: events.Event, call: Call) -> None:
        """Something happened on the leg of a phone."""
        match event:
            case events.CallAnswered() if self.over:
                call.hangup(now=event.at)
            case events.CallAnswered():
                self._answered(call, event.at)
            case events.CallFailed() | events.CallRedirected() | events.CallCanceled():
                self._failed(call, final_of(event), event.at)
            case events.CallEnded():
                self._failed(call, Final(480, event.reason), event.at)
            case events.RequestReceived():
                self._host.endpoint.respond(event.transaction, 200, now=event.at)
            case _:
                pass

    def _answered(self, call: Call, now: float) -> None:
        call.acknowledge(now=now)
        for other, stage in self._legs.items():
            stage.close()
            if other is not call:
                other.hangup(now=now)
        self._end()
        booth = Booth(
            self._host,
            call,
            self.record,
            _Dialling(self._number),
            self.user,
            identity=self._identity,
        )
        self._host.moved_on(self)
        self._host.joined(booth)
        self.record.status = _CANCELED  # until the number answers
        booth.receive(now)

    def _failed(self, call: Call, final: Final, now: float) -> None:
        stage = self._legs.pop(call, None)
        if stage is None or self.over:
            return
        stage.close()
        self._finals.append(final)
        reached = final.status != _SILENT and not 500 <= final.status < 600
        if final.status >= 600 or (reached and self._left and self._left[0].spare):
            self._left.clear()
        if not self._legs:
            self._next(now)

    def _no_answer(self, now: float) -> None:
        self.give_up(_CANCELED, "the user's own phone was not answered", now)

    def flow_lost(self, hop: Hop, now: float) -> None:
        """A stream closed: its INVITE ends by its own timers."""

    def give_up(self, status: int, reason: str, now: float) -> None:
        """End it from outside."""
        if not self.over:
            for call, stage in self._legs.items():
                call.hangup(now=now)
                stage.close()
            self._conclude(now, "pbx", Final(status, reason))

    def _end(self) -> None:
        self.over = True
        if self._giving_up is not None:
            self._giving_up.cancel()

    def _conclude(self, now: float, by: str, final: Final) -> None:
        if self.over:
            return
        self._end()
        record = self.record
        record.ended_at, record.ended_by, record.status, record.reason = now, by, final.status, final.reason
        self._host.concluded(self, now)


class _Dialling(Quiet):
    """The user hears ringing until the number answers. The call counts as answered from then on."""

    answers = False

    def __init__(self, number: str) -> None:
        self._number = number

    def begin(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.send_on(self._number, now)

    def reached(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.answered(now)

    def unreached(self, booth: Booth, now: float) -> None:
        """See Act."""
        booth.record.status = booth.failed_with
        booth.hang_up(now)
