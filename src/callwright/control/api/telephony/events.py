"""Calls as they happen, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from litestar import Request, get
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from callwright.control import switchboard
from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import TELEPHONY_IDS, Identity, Right
from callwright.control.api.auth import identity_of
from callwright.control.api.request import services_of
from callwright.control.cdrs.live import users_of
from callwright.control.cdrs.telling import events_of
from callwright.control.collections.model import MOST_ROWS, Query
from callwright.control.errors import PbxAway
from callwright.control.services import Services
from callwright.dispatch import subject
from callwright.dispatch.broker import BrokerError, Message
from callwright.dispatch.messages.calls import CallNews
from callwright.dispatch.messages.wire import BadMessage, decode

_Request = Request[Any, Any, Any]
_LOOK_AGAIN = 2.0  # seconds between two looks whether who reads may read on
_STILL_HERE = 10.0
_MOST_WAITING = 1_000


@get("/events", opt={"right": Right.READ}, media_type="text/event-stream")
async def follow_calls(request: _Request) -> ServerSentEvent:
    """First `calls`, those that are up; then `call.initial`, `call.ringing`, `call.connected`,
    `call.on_hold`, `call.hangup`, `call.missed` and `dtmf`, each with the call. One's own; administrators
    hear of all. What the broker loses is made up for by the next event of the call, but for keys;
    `/webhooks` lose nothing."""
    services, identity = services_of(request), identity_of(request)
    if services.broker is None:
        raise PbxAway("This platform runs no PBX.")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return ServerSentEvent(follow(services, identity), headers=headers)


async def follow(services: Services, identity: Identity) -> AsyncGenerator[ServerSentEventMessage, None]:
    """As `follow_calls` has it, until the identity may see no calls any more."""
    waiting: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)

    async def arrived(message: Message) -> None:
        with contextlib.suppress(asyncio.QueueFull):  # who reads too slowly misses some of it
            waiting.put_nowait(message.data)

    assert services.broker is not None
    try:
        subscription = await services.broker.subscribe(subject.PBX_CALLS, arrived)
    except BrokerError:
        return
    try:
        yield ServerSentEventMessage(comment="following")
        with contextlib.suppress(PbxAway):
            up = await switchboard.calls(services, identity, Query(limit=MOST_ROWS))
            yield _message("calls", up.rows)
        asked, silence = services.clock.now(), 0.0
        while True:
            data = await _next(waiting)
            if services.clock.now() - asked >= _LOOK_AGAIN:
                again = await services.accounts.again(identity)
                if again is None or not may(again, Right.READ):
                    return
                identity, asked = again, services.clock.now()
            silence = 0.0 if data is not None else silence + _LOOK_AGAIN
            if data is not None:
                for event, row in await _told(services, identity, data):
                    yield _message(event, row)
            elif silence >= _STILL_HERE:
                silence = 0.0
                yield ServerSentEventMessage(comment="still here")
    finally:
        await subscription.close()


async def _told(services: Services, identity: Identity, data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """What the identity may hear of it."""
    try:
        news = decode(CallNews, data)
    except BadMessage:
        return []
    parties = await switchboard.parties(services)
    own = TELEPHONY_IDS + identity.person
    inside = any(user in parties and parties[user].user_id == own for user in users_of(news))
    if not inside and not may(identity, Right.ADMINISTER):
        return []
    return [(event, row) for event, row, _ in events_of(news, parties)]


async def _next(waiting: asyncio.Queue[bytes]) -> bytes | None:
    try:
        return await asyncio.wait_for(waiting.get(), _LOOK_AGAIN)
    except TimeoutError:
        return None


def _message(event: str, data: Any) -> ServerSentEventMessage:
    return ServerSentEventMessage(event=event, data=msgspec.json.encode(data).decode())


ROUTES: list[Any] = [follow_calls]
