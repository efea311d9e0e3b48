"""`/healthz`: 200 once a run that is posted now would be carried out, else 503 with what is missing."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get

from callwright.control.api.metrics import is_local
from callwright.control.api.request import broker_of, services_of, settings_of
from callwright.control.errors import DomainError
from callwright.control.services import Services, Settings
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError
from callwright.dispatch.messages.platform import Health
from callwright.dispatch.messages.wire import BadMessage, decode

_KEEPER_SECONDS = 1.5
#: Octets: with less SQLite, NATS and the agent begin to refuse what they are given.
LEAST_ROOM = 16 * 2**20


async def missing(services: Services, broker: Broker | None, settings: Settings) -> list[str]:
    """What keeps a run from being accepted and done, in words; nothing when all is well."""
    found = []
    try:
        if await services.runs.kill_switch() is not None:
            found.append("the kill switch is engaged")
        agents = await services.agents.list()
        wall = services.clock.wall()
        if settings.agent_expected and not any(agent.alive(wall) for agent in agents):
            found.append("no agent is alive")
    except (DomainError, OSError) as error:
        found.append(f"the storage does not answer: {error}")
    room = settings.room()
    if room is not None and room < LEAST_ROOM:
        found.append(f"the disk of the data folder is full: {room // 2**20} MiB left")
    if broker is not None and not broker.connected:
        found.append("there is no connection to NATS")
    elif broker is not None:
        found += await _by_the_keeper(broker)
    return found


async def _by_the_keeper(broker: Broker) -> list[str]:
    """It has a small ticket go round, all the time."""
    try:
        answer = await broker.request(subject.HEALTH, b"{}", _KEEPER_SECONDS)
        return list(decode(Health, answer).missing)
    except (BrokerError, BadMessage):
        return ["the keeper does not answer: queued runs reach no agent"]


async def cannot_open(services: Services, *, names: bool) -> list[str]:
    """What secret.key does not open, a sentence a kind. ``names``: say which, not only how many."""
    try:
        lost = [name for name, _ in await services.credentials.unopened()]
    except (DomainError, OSError):
        return []
    if not lost:
        return []
    which = ", ".join(lost) if names else str(len(lost))
    return [f"secret.key does not open the passwords of these SIP accounts, set them again: {which}"]


@get("/healthz", include_in_schema=False)
async def healthz(request: Request[Any, Any, Any]) -> Response[bytes]:
    """`OK`, or a reason a line; for who accepts JSON and no plain text, an object."""
    services, settings = services_of(request), settings_of(request)
    problems = await missing(services, broker_of(request), settings)
    status, headers = 503 if problems else 200, {"Vary": "Accept", "Cache-Control": "no-store"}
    if request.accept.best_match([MediaType.TEXT, MediaType.JSON], MediaType.TEXT) != MediaType.JSON:
        text = "\n".join(problems) or "OK"
        return Response(text.encode(), status_code=status, media_type=MediaType.TEXT, headers=headers)
    body: dict[str, Any] = {"status": "unavailable", "missing": problems} if problems else {"status": "ok"}
    peer = request.client.host if request.client else ""
    closed = await cannot_open(services, names=is_local(peer, request.headers, settings))
    if closed:
        body["cannot_open"] = closed
    return Response(msgspec.json.encode(body), status_code=status, media_type=MediaType.JSON, headers=headers)


ROUTES: list[Any] = [healthz]
