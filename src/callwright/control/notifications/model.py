"""Channels, and the messages that wait in their outbox. Times are unix seconds (float)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

__all__ = ["CALL_EVENTS", "EVENTS", "OPEN", "TEST", "Channel", "Kind", "Message", "State"]

#: What channels of a project can be told.
EVENTS: Mapping[str, str] = {
    "incident.opened": "The first alert of an incident fired.",
    "incident.reminded": "An incident goes on, and its alert asks for reminders.",
    "incident.recovered": "The last alert of an incident is over.",
    "incident.closed": "An incident ended because its alert or endpoint was cancelled.",
    "alert.fired": "An alert fired at an endpoint, whatever incident it belongs to.",
    "alert.recovered": "An alert is over at an endpoint.",
    "run.failed": "A run failed.",
    "run.failing": "Several runs of a test failed in a row, as many as the channel says; told once.",
    "run.recovered": "A run passed, and the one before it had failed.",
    "run.error": "A run ended without a judgement of its target: error or invalid.",
}
#: What webhooks of users are told of calls through the PBX.
CALL_EVENTS: Mapping[str, str] = {
    "call.initial": "A call begins.",
    "call.ringing": "A phone rings.",
    "call.connected": "The call was answered, or taken back from hold.",
    "call.on_hold": "One side has put the other on hold.",
    "call.hangup": "The call is over.",
    "call.missed": "Somebody who was called did not answer.",
    "dtmf": "A key was pressed during the call.",
}
TEST = "test"  # what somebody sends to see whether a channel works


class Kind(StrEnum):
    WEBHOOK = "webhook"  # a signed POST, by the Standard Webhooks specification
    APPRISE = "apprise"  # mail, Slack, Teams, PagerDuty and the rest, by the URL that Apprise has for each


class State(StrEnum):
    WAITING = "waiting"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    GIVEN_UP = "given up"


OPEN = (State.WAITING, State.RETRYING)


class Channel(msgspec.Struct, frozen=True):
    """Of a project, or with ``user_id`` a webhook for calls of that user. ``url``: of a webhook, else empty;
    ``service``: what Apprise calls it, else empty. ``sealed``: the secret of a webhook, or the URL that
    Apprise takes, bound to ``handle``. ``tests``: of these tests alone, empty: of all. ``after``: runs in a
    row, for run.failing. ``active`` 0: nothing is written for it and nothing delivered."""

    id: int
    project_id: int | None
    user_id: int | None
    handle: str
    name: str
    kind: str
    url: str
    service: str
    sealed: str
    events: tuple[str, ...]
    tests: tuple[str, ...]
    after: int
    active: int
    created_at: float
    updated_at: float

    @property
    def context(self) -> str:
        """What its sealed text is bound to."""
        return f"channel/{self.handle}"


class Message(msgspec.Struct, frozen=True):
    """``uid`` is the same at each attempt, so that a receiver can tell that it has it already. ``body``: JSON
    of ``{"type", "timestamp", "data"}``. ``status``: of the receiver's last HTTP answer; ``reason``: of the
    last attempt, empty where it was delivered."""

    id: int
    channel_id: int
    uid: str
    event: str
    at: float
    body: str
    state: str
    attempts: int
    next_at: float
    tried_at: float | None
    status: int | None
    reason: str
