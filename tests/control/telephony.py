"""The chapter of telephony without sockets: a client with an administrator's token, and people with lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from callwright.control.accounts.model import Identity
from callwright.control.app import create_app
from callwright.control.services import PbxPlace, Services, Settings
from callwright.dispatch.broker import Broker

__all__ = ["a_token", "a_user", "telephony", "where"]


@asynccontextmanager
async def telephony(
    services: Services, identity: Identity, broker: Broker | None = None, **more: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """``more``: of Settings."""
    live = dataclasses.replace(services, broker=broker)
    settings = Settings(rate_limit=0, pbx=PbxPlace("127.0.0.1", 5060, 5060), **more)
    transport = httpx.ASGITransport(app=create_app(live, settings), client=("192.0.2.7", 1))
    token = await a_token(services, identity)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://here/v1.2/voipstudio", headers=token
    ) as client:
        yield client


async def a_token(services: Services, identity: Identity) -> dict[str, str]:
    token, _ = await services.keys.create_token(identity, f"t{services.entropy(4).hex()}")
    return {"X-Auth-Token": token}


async def a_user(services: Services, admin: Identity, ext: str, **more: Any) -> tuple[int, Identity]:
    """Their id of the chapter, and who they are."""
    fields = {"first_name": f"User {ext}", "email": f"u{ext}@example.com", "ext": ext}
    row = await services.lines.create(admin, fields | more)
    user = await services.accounts.user(int(str(row["id"])) - 100_000)
    return int(str(row["id"])), await services.accounts.identity(user.id, user.username, user.role)


def where(name: str, operator: str, value: Any) -> dict[str, str]:
    """The parameter of a list."""
    return {"filter": json.dumps([{"property": name, "operator": operator, "value": value}])}
