"""A subscription, or a published state, while it lasts."""

from __future__ import annotations

import dataclasses

from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import Failure
from callwright.scenario import actions, command, event
from callwright.scenario.progress import REQUEST_LIMIT_S, Progress, Run


class _Lasting(Progress):
    """Kept for the time that the document gives; then it is ended, and judged."""

    method = ""
    action: actions.Subscribe | actions.Publish

    def __init__(self, action: actions.Subscribe | actions.Publish, run: Run, *, last_step: bool) -> None:
        super().__init__(action, run, last_step=last_step)
        self.action = action
        self._id = f"{action.address}/1"

    def order(self) -> command.Subscribe | command.Publish:
        """What begins it."""
        raise NotImplementedError

    def begin(self, now: float) -> None:
        action = self.action
        self.requests[self._id] = None
        self.run.own(self._id, self)
        self.run.emit(self.order())
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
            detail = f"a {self.method} never reported its result"
            outcome = RequestOutcome(method=self.method, failure=Failure.PLATFORM, failure_detail=detail)
            self.receive(event.RequestDone(self._id, outcome), now)

    def receive(self, what: event.Event, now: float) -> None:
        if isinstance(what, event.RequestDone) and not self.ready:
            self.requests[self._id] = dataclasses.replace(
                what.outcome, address=self.action.address, party=self.action.party
            )


class SubscribeProgress(_Lasting):
    """Its NOTIFYs are judged."""

    method = "SUBSCRIBE"
    action: actions.Subscribe

    def order(self) -> command.Subscribe:
        action, account = self.action, self.account
        uri = self.run.scenario.uri(action.destination, account)
        return command.Subscribe(
            self._id,
            action.address,
            account,
            uri,
            action.event,
            action.expires,
            action.accept,
            action.headers,
        )


class PublishProgress(_Lasting):
    method = "PUBLISH"
    action: actions.Publish

    def order(self) -> command.Publish:
        action, account = self.action, self.account
        uri = self.run.scenario.uri(action.destination or action.party, account)
        return command.Publish(
            self._id,
            action.address,
            account,
            uri,
            action.event,
            action.document(uri),
            action.type,
            action.expires,
            action.headers,
        )
