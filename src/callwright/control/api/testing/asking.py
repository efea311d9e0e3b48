"""An agent asks over HTTP what it may do: the way beside the broker, for when that or the keeper is away."""

from __future__ import annotations

import contextlib

import msgspec

from callwright.control.agents.model import AgentState
from callwright.control.api import fields as take
from callwright.control.api.body import Fields
from callwright.control.api.problems import invalid, unauthorized
from callwright.control.api.testing import schemas
from callwright.control.errors import NotFound, StorageUnavailable
from callwright.control.keeping.intake import why_stopped
from callwright.control.services import Services, Settings
from callwright.dispatch.messages.agents import HeldRun

_FIELDS = ("agent_id", "token", "runs")
_STRANGER = "This is not the token of that agent."
_MOST_RUNS = 100_000


async def answer_ask(services: Services, settings: Settings, fields: Fields) -> schemas.Answered:
    """Its leases are renewed as by a heartbeat. Raises 401 for a token that is not this agent's."""
    take.only(fields, _FIELDS)
    agent_id, token = take.text(fields, "agent_id", longest=64), take.text(fields, "token", longest=200)
    runs = _runs(fields)
    if not services.runs.held.knows(agent_id, token):
        raise unauthorized(_STRANGER)
    try:
        agent = await services.agents.get(agent_id)
    except NotFound:
        raise unauthorized(_STRANGER) from None
    lease, revoked = settings.lease, agent.state == AgentState.REVOKED
    running = [(run.run_id, run.attempt) for run in runs]
    orders = []
    if not revoked:
        with contextlib.suppress(StorageUnavailable):  # what cannot be written can be told all the same
            await services.agents.seen(agent_id)
            await services.runs.held.renew(running, agent_id, lease)
            await services.runs.held.confirm_ended(agent_id, running)
        orders = [
            schemas.StopOrder(run_id=run.id, attempt=run.attempt, reason=why_stopped(run))
            for run in await services.runs.held.orders(agent_id, running)
        ]
    switch = await services.runs.kill_switch()
    return schemas.Answered(
        lease_seconds=lease,
        stop=orders,
        draining=agent.state != AgentState.ACTIVE,
        revoked=revoked,
        killed=switch.to_agents if switch is not None else "",
    )


def _runs(fields: Fields) -> list[HeldRun]:
    given = fields.get("runs") or []
    try:
        found = (
            msgspec.json.decode(given, type=list[HeldRun])
            if isinstance(given, str)
            else msgspec.convert(given, list[HeldRun])
        )
    except msgspec.MsgspecError:
        raise invalid("runs", "runs is a list of objects with run_id and attempt.") from None
    if len(found) > _MOST_RUNS or any(not 0 <= n < 2**63 for run in found for n in (run.run_id, run.attempt)):
        raise invalid("runs", "runs has an entry without run_id or attempt.")
    return found
