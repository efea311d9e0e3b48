"""What one process of the platform tells the others. What is lost they find by themselves."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from callwright.dispatch import subject
from callwright.dispatch.broker import BrokerError
from callwright.dispatch.messages.fleet import ServerNews, What
from callwright.dispatch.messages.platform import RunsChanged
from callwright.dispatch.messages.wire import encode
from callwright.fleet.server import Event, State

if TYPE_CHECKING:
    from callwright.control.runs.model import Run
    from callwright.dispatch.broker import Broker
    from callwright.fleet.record import ServerRecord

__all__ = ["Announcer", "news"]

_log = logging.getLogger(__name__)

_WHAT = {
    Event.MADE: What.CREATED,
    Event.HEARD: What.RUNNING,
    Event.FAIL: What.ERRORED,
    Event.LOST: What.ERRORED,
    Event.REFUSE: What.ERRORED,
    Event.GONE: What.DESTROYED,
}


class Announcer:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, run: Run) -> None:
        """To the keeper: it was queued or stopped here."""
        self._tell(subject.RUNS_CHANGED, RunsChanged(run.id))

    def server(self, seen: ServerRecord, event: Event, after: ServerRecord) -> None:
        told = news(event, after)
        self._tell(subject.servers(told.what), told)

    def _tell(self, to: str, message: msgspec.Struct) -> None:
        task = asyncio.ensure_future(self._publish(to, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, to: str, message: msgspec.Struct) -> None:
        try:
            await self._broker.publish(to, encode(message))
        except BrokerError as error:
            _log.warning("%s was not told of: %s", message, error)


def news(event: Event, after: ServerRecord) -> ServerNews:
    """What others hear of a move."""
    ordered = event is Event.ALLOCATE and after.state is State.PENDING
    what = What.ORDERED if ordered else _WHAT.get(event, What.CHANGED)
    return ServerNews(
        what,
        after.name,
        after.pool,
        after.provider,
        str(after.state),
        after.updated,
        after.error,
        after.private,
    )
