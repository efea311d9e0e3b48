"""A transfer while it runs: it waits for a call of its party, consults where it is to, refers, hangs up."""

from __future__ import annotations

import dataclasses

from callwright.outcome.call import CallOutcome
from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import CallState, Direction, Failure
from callwright.scenario import actions, command, event
from callwright.scenario.progress import CALL_MARGIN_S, Leg, Progress, Run


class TransferProgress(Progress):
    """Blind, or attended with a call of its own to the destination."""

    def __init__(self, action: actions.Transfer, run: Run, *, last_step: bool) -> None:
        super().__init__(action, run, last_step=last_step)
        self.action = action
        self._id = f"{action.address}/refer"
        self._call: Leg | None = None  # that is transferred
        self._consulted: Leg | None = None
        self._asked = False

    def begin(self, now: float) -> None:
        self.requests[self._id] = None
        self.run.own(self._id, self)
        self.run.at(now + self.action.timeout, self._nobody_called)
        self.stirred(now)

    @property
    def ready(self) -> bool:
        return self._done and not self.legs_up()

    @property
    def _done(self) -> bool:
        return self.requests.get(self._id) is not None

    @property
    def _uri(self) -> str:
        return self.run.scenario.uri(self.action.destination, self.account)

    def stirred(self, now: float) -> None:
        """Look whether its party has a call that was answered."""
        if self._call is not None or self._id not in self.requests or self._done:
            return
        leg = self.run.call_of(self.action.party)
        if leg is not None and leg.answered_at is not None:
            self._call = leg
            self.run.at(max(now, leg.answered_at + self.action.after), self._go)

    def _nobody_called(self, now: float) -> None:
        if self._call is None:
            detail = f"{self.action.party} had no call that was answered within {self.action.timeout:g} s"
            self._fail(Failure.NEVER_CAME, detail, now)

    def _go(self, now: float) -> None:
        if self.run.stopping() or self._call is None:
            return
        if not self._call.up:
            self._fail(Failure.NEVER_CAME, "the call that was to be transferred had ended", now)
        elif isinstance(self.action, actions.AttendedTransfer):
            self.run.emit(command.Hold(self._call.id))
            self._consult(self.action, now)
        else:
            self._refer(now)

    def _consult(self, action: actions.AttendedTransfer, now: float) -> None:
        account, uri = self.account, self._uri
        id_ = f"{action.address}/1"
        leg = self._consulted = self.legs[id_] = Leg(id_, Direction.OUTGOING, now, destination=uri)
        self.run.own(id_, self)
        self.run.emit(
            command.PlaceCall(
                id_,
                action.address,
                account,
                uri,
                action.destination,
                action.codecs,
                action.play,
                "",
                "",
                account.transport,
                follow=False,
                media=action.media,
                record=action.record,
            )
        )
        self.run.at(now + action.ring_timeout, lambda _: self._give_up_ringing(leg))
        limit = action.ring_timeout + action.consult + action.timeout + CALL_MARGIN_S
        self.run.at(now + limit, lambda then: self._overdue(leg, then))

    def _give_up_ringing(self, leg: Leg) -> None:
        if leg.up and leg.answered_at is None:
            leg.gave_up = True
            self.run.emit(command.Cancel(leg.id))

    def _overdue(self, leg: Leg, now: float) -> None:
        if leg.up:
            self.finish_leg(leg.id, leg.left_open(Failure.PLATFORM, "a call never reported its end"), now)

    def _refer(self, now: float) -> None:
        if self._asked or self._done or self._call is None or self.run.stopping():
            return
        self._asked = True
        consulted = self._consulted.id if self._consulted is not None else ""
        self.run.emit(
            command.Transfer(
                self._id,
                self.action.address,
                self.account,
                self._call.id,
                self._uri,
                consulted,
                self.action.headers,
            )
        )
        self.run.at(now + self.action.timeout, self._no_outcome)

    def _no_outcome(self, now: float) -> None:
        if not self._done:
            detail = f"nothing final was told within {self.action.timeout:g} s"
            self._fail(Failure.TIMEOUT, detail, now)

    def receive(self, what: event.Event, now: float) -> None:
        if isinstance(what, event.RequestDone) and not self._done:
            self._conclude(what.outcome)
        elif isinstance(what, event.CallStateChanged):
            leg = self.legs[what.id]
            leg.reach(what, now)
            if what.state is CallState.ANSWERED and leg.answered_at is None:
                leg.answered_at = now
                if isinstance(self.action, actions.AttendedTransfer) and leg is self._consulted:
                    self.run.at(now + self.action.consult, self._refer)
        elif isinstance(what, event.CallFinished):
            self.finish_leg(what.id, what.outcome, now)

    def finish_leg(self, id_: str, outcome: CallOutcome, now: float) -> None:
        super().finish_leg(id_, outcome, now)
        if self._consulted is not None and id_ == self._consulted.id and not self._asked and not self._done:
            code = f"{outcome.sip_code} {outcome.sip_reason or ''}".rstrip()
            said = code if outcome.sip_code else outcome.failure_detail or "it did not answer"
            ended = outcome.answered
            failure = Failure.NEVER_CAME if ended else Failure.NO_ANSWER
            self._fail(failure, "the call to the destination had ended" if ended else said, now)

    def _fail(self, failure: Failure, detail: str, now: float) -> None:
        uri = self._uri
        self._conclude(
            RequestOutcome(method="REFER", failure=failure, failure_detail=detail, refer_to=uri, target=uri)
        )

    def _conclude(self, outcome: RequestOutcome) -> None:
        self.requests[self._id] = dataclasses.replace(
            outcome, address=self.action.address, party=self.action.party
        )
        done = outcome.transfer_code is not None and 200 <= outcome.transfer_code < 300
        consulted = self._consulted
        if consulted is not None and consulted.up and (self.action.hangup or not done):
            self.run.emit(command.Hangup(consulted.id))
        if self._call is None or not self._call.up:
            return
        if done and self.action.hangup:
            self.run.emit(command.Hangup(self._call.id))
        elif consulted is not None and not done:
            self.run.emit(command.Resume(self._call.id))
