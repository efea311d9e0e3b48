"""A subscription while it runs."""

from __future__ import annotations

import dataclasses

from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import Failure
from callwright.scenario import actions, command, event
from callwright.scenario.progress import REQUEST_LIMIT_S, Progress, Run


class SubscribeProgress(Progress):
    """Subscribed for the time that the document gives; then its NOTIFYs are judged."""

    def __init__(self, action: actions.Subscribe, run: Run, *, last_step: bool) -> None:
        super().__init__(action, run, last_step=last_step)
        self.action = action
        self._id = f"{action.address}/1"

    def begin(self, now: float) -> None:
        action, account = self.action, self.account
        self.requests[self._id] = None
        self.run.own(self._id, self)
        uri = self.run.scenario.uri(action.destination, account)
        self.run.emit(
            command.Subscribe(
                self._id,
                action.address,
                account,
                uri,
                action.event,
                action.expires,
                action.accept,
                action.headers,
            )
        )
        self.run.at(now + action.lasting, self._enough)
        self.run.at(now + action.lasting + REQUEST_LIMIT_S, self._overdue)

    @property
    def ready(self) -> bool:
        return self.requests.get(self._id) is not None

    def _enough(self, now: float) -> None:
        if not self.ready:
            self.run.emit(command.Unsubscribe(self._id))

    def _overdue(self, now: float) -> None:
        if not self.ready:
            detail = "a subscription never reported its result"
            outcome = RequestOutcome(method="SUBSCRIBE", failure=Failure.PLATFORM, failure_detail=detail)
            self.receive(event.RequestDone(self._id, outcome), now)

    def receive(self, what: event.Event, now: float) -> None:
        if isinstance(what, event.RequestDone) and not self.ready:
            self.requests[self._id] = dataclasses.replace(
                what.outcome, address=self.action.address, party=self.action.party
            )
