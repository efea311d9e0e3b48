"""A load while it runs: the engine places or answers its calls, and tells the end of all."""

from __future__ import annotations

from callwright.outcome.load import LoadOutcome
from callwright.outcome.terms import Failure
from callwright.scenario import actions, command, event
from callwright.scenario.load_condition import LoadCondition
from callwright.scenario.progress import (
    LISTEN_LIMIT_S,
    AcceptProgress,
    CallProgress,
    Progress,
    RegisterProgress,
    RequestProgress,
    Run,
    WaitProgress,
)
from callwright.scenario.subscribing import PublishProgress, SubscribeProgress
from callwright.scenario.transferring import TransferProgress


def conditions_on(action: actions.Action, run: Run) -> tuple[LoadCondition, ...]:
    """Its own, and those at the end of the document that look at it."""
    written = [*action.expect, *run.scenario.conditions]
    return tuple(c for c in written if isinstance(c, LoadCondition) and c.concerns(action))


class LoadProgress(Progress):
    """What placing and answering share."""

    def receive(self, what: event.Event, now: float) -> None:
        if isinstance(what, event.LoadFinished) and self.load_id is not None:
            self.load_id, self.load = None, what.outcome

    def give_up(self, failure: Failure, detail: str, now: float) -> None:
        super().give_up(failure, detail, now)
        if self.load_id is not None:
            reason = f"The load ended without a result: {detail.rstrip('.')}."
            verdict = "canceled" if failure is Failure.STOPPED else "error"
            blame = None if failure is Failure.STOPPED else "platform"
            address, party = self.base.address, self.base.party
            self.load = LoadOutcome(verdict, blame, reason, self.load_id, address, party)
            self.load_id = None


class PlacingLoad(LoadProgress):
    def __init__(self, action: actions.Call, run: Run, *, last_step: bool) -> None:
        super().__init__(action, run, last_step=last_step)
        self.action = action

    def begin(self, now: float) -> None:
        self.load_id = f"{self.action.address}/load"
        self.run.own(self.load_id, self)
        account = self.account
        uri = self.run.scenario.uri(self.action.dial_destination, account)
        conditions = conditions_on(self.action, self.run)
        order = command.PlaceLoad(self.load_id, self.action.address, self.action, account, uri, conditions)
        self.run.emit(order)

    @property
    def ready(self) -> bool:
        return self.load is not None


class AnsweringLoad(LoadProgress):
    def __init__(self, action: actions.Accept, run: Run, *, last_step: bool) -> None:
        super().__init__(action, run, last_step=last_step)
        self.action = action
        self.listening = False

    def begin(self, now: float) -> None:
        self.load_id = id_ = f"{self.action.address}/load"
        self.run.own(id_, self)
        conditions = conditions_on(self.action, self.run)
        self.run.emit(command.AnswerLoad(id_, self.action.address, self.action, self.account, conditions))
        self.run.at(now + LISTEN_LIMIT_S, self._overdue)
        if self.last_step:
            self.run.at(now + self.action.timeout, lambda _: self._waited_enough(id_))

    def _overdue(self, now: float) -> None:
        if not self.listening:
            self.run.fail(self.action.address, "it never listened for calls", now)

    def _waited_enough(self, id_: str) -> None:
        if self.load_id is not None:
            self.run.emit(command.StopLoad(id_, gently=True))

    def receive(self, what: event.Event, now: float) -> None:
        if isinstance(what, event.Listening):
            self.listening = True
        super().receive(what, now)

    @property
    def ready(self) -> bool:
        return self.load is not None or (self.listening and not self.last_step)


def progress_of(action: actions.Action, run: Run, *, last_step: bool) -> Progress:
    if isinstance(action, actions.Call) and action.is_load:
        return PlacingLoad(action, run, last_step=last_step)
    if isinstance(action, actions.Accept) and action.is_load:
        return AnsweringLoad(action, run, last_step=last_step)
    if isinstance(action, actions.Register):
        return RegisterProgress(action, run, last_step=last_step)
    if isinstance(action, actions.Accept):
        return AcceptProgress(action, run, last_step=last_step)
    if isinstance(action, actions.Call):
        return CallProgress(action, run, last_step=last_step)
    if isinstance(action, actions.Publish):
        return PublishProgress(action, run, last_step=last_step)
    if isinstance(action, actions.Subscribe):
        return SubscribeProgress(action, run, last_step=last_step)
    if isinstance(action, actions.Transfer):
        return TransferProgress(action, run, last_step=last_step)
    if isinstance(action, actions.Wait):
        return WaitProgress(action, run, last_step=last_step)
    if isinstance(action, actions.Options | actions.Message | actions.Raw):
        return RequestProgress(action, run, last_step=last_step)
    raise TypeError(f"no progress for {type(action).__name__}")
