"""The run page while the run goes on: its first state, and what changes, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar.response.sse import ServerSentEventMessage

from callwright.control.accounts.model import Identity
from callwright.control.awaiting import awaited
from callwright.control.errors import NotFound
from callwright.control.runs.model import Run
from callwright.control.services import Services
from callwright.control.web import editor, rendering
from callwright.control.web.visitor import Pages
from callwright.control.web.watching import Watching
from callwright.dispatch.broker import BrokerError, Message
from callwright.dispatch.hearing import Hearing
from callwright.dispatch.messages.live import Progress, SoFarAnswer, SoFarRequest
from callwright.dispatch.messages.wire import BadMessage, decode, encode
from callwright.dispatch.subject import SO_FAR, live
from callwright.evidence.page import lane_positions, placed_rows
from callwright.evidence.redaction import Redactor
from callwright.evidence.shown import shown_json

_LOOK_AGAIN = 1.0  # seconds: what the broker may lose, the database has
_STILL_HERE = 10.0
_RETRY = 1_000  # milliseconds until a browser comes again; left alone it takes three to five seconds
_MOST_WAITING = 1_000


async def context(pages: Pages, run: Run, base: str, *, kiosk: bool = False) -> dict[str, Any]:
    """What the page shows before anything was heard."""
    detail = await pages.services.runs.detail(run)
    overrides = detail.overrides
    scenario = (await editor.read_beside(detail.document, overrides)).scenario
    watching = Watching(scenario, run.phase, run.pool)
    watching.waiting = await pages.services.runs.waiting(run)
    watching.awaited = await awaited(pages.services, run)
    conditions = []
    if scenario is not None:
        conditions = [(condition, "at the end") for condition in scenario.conditions]
        conditions += [(c, action.address) for action in scenario.actions() for c in action.expect]
    redactor = Redactor()
    shown = [
        (redactor.document({"text": condition.text, "expected": condition.expected}), where)
        for condition, where in conditions
    ]
    return {
        "record": run,
        "base": base,
        "kiosk": kiosk,
        "title": run.testcase_name or run.test_name,
        "watching": watching,
        "conditions": shown,
        "test_version": detail.test_version,
        "began": run.started_at or run.created_at,
        "can_share": not kiosk,
    }


async def follow(
    services: Services, run: Run, token: str | None, identity: Identity | None
) -> AsyncIterator[ServerSentEventMessage]:
    """`part`: pieces of the page, as JSON; at last `end`. With `token` it ends when the link is revoked or
    over, with `identity` when that may see the run no longer."""
    waiting: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)

    async def arrived(message: Message) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            waiting.put_nowait(message.data)

    hearing = Hearing(services.broker, live(run.session_id), arrived)
    try:
        if not run.finished:
            await hearing.begin()
        detail = await services.runs.detail(run)
        overrides = detail.overrides
        reading = await editor.read_beside(detail.document, overrides)
        watching = Watching(reading.scenario, run.phase, run.pool)
        watching.waiting = await services.runs.waiting(run)
        watching.awaited = await awaited(services, run)
        for event in await _until_now(services, run):
            watching.take(event)
        parts = _Parts(watching)
        first = parts.changed(scope=True)
        yield _part(first, retry=_RETRY)
        silence, asked = 0.0, services.clock.now()
        while not run.finished:
            events = await _heard(waiting)
            for event in events:
                watching.take(event)
            late = services.clock.now() - asked >= _LOOK_AGAIN
            await hearing.begin()
            if late or not events or any(event.kind == "phase" for event in events):
                run, asked = await _again(services, run, token, identity), services.clock.now()
                watching.phase = run.phase
                watching.waiting = await services.runs.waiting(run)
                watching.awaited = await awaited(services, run)
            changed = parts.changed(
                scope=any(event.kind in ("metrics", "state", "states", "load") for event in events)
            )
            silence = 0.0 if changed else silence + _LOOK_AGAIN
            if changed:
                yield _part(changed)
            elif silence >= _STILL_HERE:
                silence = 0.0
                yield ServerSentEventMessage(comment="still here")
        yield ServerSentEventMessage(event="end", data=run.phase)
    except NotFound:
        yield ServerSentEventMessage(event="end", data="gone")
    finally:
        await hearing.close()


def _part(changed: dict[str, Any], retry: int | None = None) -> ServerSentEventMessage:
    """Pieces of the page; what a peer wrote into them cannot act."""
    data = shown_json(msgspec.json.encode(changed).decode())
    return ServerSentEventMessage(event="part", data=data, retry=retry)


async def _until_now(services: Services, run: Run) -> tuple[Progress, ...]:
    """What was told before this reader came; nothing where nobody knows."""
    if services.broker is None or run.finished:
        return ()
    try:
        asked = encode(SoFarRequest(run.session_id))
        answer = await services.broker.request(SO_FAR, asked, _LOOK_AGAIN)
        return decode(SoFarAnswer, answer).events
    except (BrokerError, BadMessage):
        return ()


async def _again(services: Services, run: Run, token: str | None, identity: Identity | None) -> Run:
    """Raises NotFound, when it may not be seen any more too."""
    if token is not None:
        return await services.runs.by_kiosk(token, run.session_id)
    now = await services.accounts.again(identity) if identity is not None else None
    if now is None:
        raise NotFound("run", run.session_id)
    return await services.runs.get(now, run.session_id)


async def _heard(waiting: asyncio.Queue[bytes]) -> list[Progress]:
    """What has come, at once when there is something; nothing after a while."""
    try:
        first = await asyncio.wait_for(waiting.get(), _LOOK_AGAIN)
    except TimeoutError:
        return []
    found = []
    for data in [first, *(waiting.get_nowait() for _ in range(waiting.qsize()))]:
        with contextlib.suppress(BadMessage):
            found.append(decode(Progress, data))
    return found


class _Parts:
    """What was sent to one reader, so that only the new is."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._sent: dict[str, Any] = {}
        self._lanes: tuple[str, ...] = ()
        self._rows = 0

    def changed(self, *, scope: bool) -> dict[str, Any]:
        watching = self._watching
        found = {
            "word": watching.word,
            "sentence": watching.sentence,
            "sofar": rendering.render("live_sofar.html", {"so_far": watching.so_far}),
        }
        if scope:
            drawn = watching.scope()
            if watching.loads:
                found["scope"] = rendering.render("live_load.html", {"loads": watching.loads})
            elif drawn is not None:
                found["scope"] = rendering.render("live_scope.html", {"scope": drawn, "moments": []})
        new = {name: value for name, value in found.items() if self._sent.get(name) != value}
        self._sent |= new
        return {**new, **self._ladder()}

    def _ladder(self) -> dict[str, Any]:
        ladder = self._watching.ladder
        lanes = tuple(party.name for party in ladder.parties)
        rows = ladder.rows
        if len(rows) <= self._rows and lanes == self._lanes:
            return {}
        whole = lanes != self._lanes
        fresh = rows if whole else rows[self._rows :]
        self._rows, self._lanes = len(rows), lanes
        drawn = {
            "rows": placed_rows(fresh, len(lanes)),
            "ladder": ladder,
            "lane_x": lane_positions(len(lanes)),
            "message_count": len(rows),
        }
        count = len(rows) + self._watching.more_messages
        answer: dict[str, Any] = {
            "rows": rendering.render("sections/rows.html", drawn),
            "count": f"{count} {'message' if count == 1 else 'messages'} so far.",
        }
        if whole:
            answer["heads"] = rendering.render("live_heads.html", {"ladder": ladder})
            answer["lanes"] = len(lanes)
        return answer
