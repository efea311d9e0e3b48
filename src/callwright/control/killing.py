"""The kill switch as API and pages engage it: told on every way, and answered with what is confirmed."""

from __future__ import annotations

import asyncio
import contextlib

from callwright.control.accounts.model import Identity
from callwright.control.agents.model import Agent
from callwright.control.runs.model import KillStanding, KillSwitch, Run
from callwright.control.services import Services
from callwright.dispatch import subject
from callwright.dispatch.broker import BrokerError
from callwright.dispatch.messages.agents import Kill
from callwright.dispatch.messages.wire import encode

__all__ = ["PATIENCE", "engage", "standing"]

PATIENCE = 3.0
"""Seconds in which agents may confirm before the answer is given."""
_LOOK_EVERY = 0.05
_RECENTLY = 600.0  # seconds: who was heard within them before the switch may still have calls


async def engage(
    services: Services, identity: Identity, reason: str = "", *, patience: float = PATIENCE
) -> KillStanding:
    """Engages the switch, tells the agents by the broker too (the keeper may be away), and waits a moment for
    their word. Raises Forbidden."""
    await services.runs.kill(identity, reason)
    switch = await services.runs.kill_switch()
    if switch is None:  # released meanwhile
        return KillStanding()
    if services.broker is not None:
        with contextlib.suppress(BrokerError, TimeoutError):
            async with asyncio.timeout(1.0):
                await services.broker.publish(subject.KILL, encode(Kill(switch.to_agents)))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while await services.runs.unended(switch) and loop.time() < deadline:
        await asyncio.sleep(_LOOK_EVERY)
    return await standing(services)


async def standing(services: Services) -> KillStanding:
    switch = await services.runs.kill_switch()
    if switch is None:
        return KillStanding()
    stopped, waiting = await services.runs.kill_counts(switch)
    agents = await services.agents.list()
    return KillStanding(switch, stopped, len(waiting), _silent(switch, waiting, agents))


def _silent(switch: KillSwitch, waiting: list[Run], agents: list[Agent]) -> tuple[str, ...]:
    """Those not heard since, where they hold what was to end, or were there a while ago: of the calls of an
    agent that the platform had lost already it knows nothing."""
    holders = {run.agent_id for run in waiting}
    since = switch.engaged_at
    return tuple(
        sorted(
            agent.name
            for agent in agents
            if (agent.last_seen_at or 0.0) < since
            and (agent.id in holders or (agent.last_seen_at or 0.0) > since - _RECENTLY)
        )
    )
