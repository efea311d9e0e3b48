"""Looks again and again whether an alert is to be raised, or is over; has servers measure again what is to be
confirmed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from callwright.control.alerts.evaluation import Evaluation, Order
from callwright.control.errors import DomainError
from callwright.control.servers.service import Servers
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker
from callwright.dispatch.messages.agents import Control
from callwright.dispatch.messages.monitors import Slot
from callwright.dispatch.messages.wire import encode

__all__ = ["watch_alerts"]

_log = logging.getLogger(__name__)
_EVERY = 5.0  # seconds


async def watch_alerts(evaluation: Evaluation, broker: Broker, servers: Servers | None) -> None:
    """Until it is canceled. ``servers`` None: nobody can be asked for a re-test."""
    while True:
        try:
            told, orders = await evaluation.once()
            for incident, event in told:
                _log.warning("incident %d: %s", incident.id, event.kind)
            if orders and servers is not None:
                await _order(orders, broker, servers)
        except DomainError as error:
            _log.warning("alerts were not evaluated: %s", error)
        except Exception:
            _log.exception("an exception with the alerts")
        await asyncio.sleep(_EVERY)


async def _order(orders: Sequence[Order], broker: Broker, servers: Servers) -> None:
    agents = {one.number: one.agent_id for one in await servers.all()}
    slots: dict[str, list[Slot]] = {}
    for order in orders:
        agent_id = agents.get(order.server_id)
        if agent_id:
            slots.setdefault(agent_id, []).append(Slot(order.voip_test_id, order.slot))
    for agent_id, asked in slots.items():
        await broker.publish(subject.control(agent_id), encode(Control(probe=tuple(asked))))
