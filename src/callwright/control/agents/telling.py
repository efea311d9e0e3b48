"""Tells the keeper that an agent was changed; what it does not hear now it finds in the database."""

from __future__ import annotations

import contextlib

from callwright.control.agents.model import Agent
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError
from callwright.dispatch.messages.agents import AccountRequest
from callwright.dispatch.messages.wire import encode

__all__ = ["ACCOUNT_SECONDS", "agents_changed"]

ACCOUNT_SECONDS = 10.0


async def agents_changed(broker: Broker | None, agent: Agent, *, revoked: bool = False) -> None:
    """Tells the keeper; what it does not hear now it finds in the database."""
    if broker is None:
        return
    with contextlib.suppress(BrokerError):
        if revoked:
            order = AccountRequest(agent.id, agent.pool, revoke=True)
            await broker.request(subject.ACCOUNT, encode(order), ACCOUNT_SECONDS)
        await broker.publish(subject.AGENTS_CHANGED, b"{}")
