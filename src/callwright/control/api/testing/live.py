"""A run as it happens: the database says how it stands, the broker what it is doing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from litestar.response.sse import ServerSentEventMessage

from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import Identity, Right
from callwright.control.api.testing.translate import run_status
from callwright.control.errors import NotFound
from callwright.control.runs.model import Run
from callwright.control.services import Services
from callwright.dispatch.broker import Broker, Message
from callwright.dispatch.hearing import Hearing
from callwright.dispatch.messages.live import Progress
from callwright.dispatch.messages.wire import decode
from callwright.dispatch.subject import live
from callwright.evidence.shown import shown_json

_LOOK_AGAIN = 2.0  # seconds: what the broker may lose, the database has
_STILL_HERE = 10.0  # seconds of silence after which a comment keeps proxies from hanging up
_MOST_WAITING = 1_000


async def follow(
    services: Services, broker: Broker | None, identity: Identity, run: Run
) -> AsyncIterator[ServerSentEventMessage]:
    """Events `run`, `progress` and at last `end`; that too when the identity may see the run no longer."""
    waiting: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)

    async def arrived(message: Message) -> None:
        with contextlib.suppress(asyncio.QueueFull):  # who reads too slowly misses some of it
            waiting.put_nowait(message.data)

    hearing = Hearing(broker, live(run.session_id), arrived)
    try:
        if not run.finished:
            await hearing.begin()
        # Looked at again after subscribing: between the two it may have ended.
        run = await services.runs.get(identity, run.session_id)
        yield _run_event(run)
        silence, asked = 0.0, services.clock.now()
        while not run.finished:
            data = await _next(waiting)
            await hearing.begin()
            if services.clock.now() - asked >= _LOOK_AGAIN:
                identity, asked = await _still(services, identity, run), services.clock.now()
            silence = 0.0 if data else silence + _LOOK_AGAIN
            if data is not None:
                yield ServerSentEventMessage(
                    event="progress", data=shown_json(data.decode("utf-8", "replace"))
                )
                if not _changes_phase(data):
                    continue
            elif silence >= _STILL_HERE:
                silence = 0.0
                yield ServerSentEventMessage(comment="still here")
            now = await services.runs.get(identity, run.session_id)
            if now != run:
                run = now
                yield _run_event(run)
        yield ServerSentEventMessage(event="end", data=run.session_id)
    except NotFound:
        yield ServerSentEventMessage(event="end", data=run.session_id)
    finally:
        await hearing.close()


async def _still(services: Services, identity: Identity, run: Run) -> Identity:
    """Raises NotFound when key, session or membership ended meanwhile."""
    again = await services.accounts.again(identity)
    if again is None or not may(again, Right.READ, run.project_id):
        raise NotFound("run", run.session_id)
    return again


async def _next(waiting: asyncio.Queue[bytes]) -> bytes | None:
    try:
        return await asyncio.wait_for(waiting.get(), _LOOK_AGAIN)
    except TimeoutError:
        return None


def _changes_phase(data: bytes) -> bool:
    try:
        return decode(Progress, data).kind == "phase"
    except ValueError:
        return False


def _run_event(run: Run) -> ServerSentEventMessage:
    return ServerSentEventMessage(event="run", data=shown_json(msgspec.json.encode(run_status(run)).decode()))
