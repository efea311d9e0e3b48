"""From a single-use token to an agent: a record in the database, an account at the broker."""

from __future__ import annotations

from typing import Any

import msgspec

from callwright.control.agents.model import Agent, AgentInfo
from callwright.control.agents.telling import ACCOUNT_SECONDS
from callwright.control.api import fields as take
from callwright.control.api.body import Fields
from callwright.control.api.problems import ApiProblem, invalid
from callwright.control.api.testing import schemas
from callwright.control.services import Services, Settings
from callwright.dispatch import subject
from callwright.dispatch.broker import Broker, BrokerError
from callwright.dispatch.messages.agents import AccountAnswer, AccountRequest
from callwright.dispatch.messages.protocol import PROTOCOL, mismatch
from callwright.dispatch.messages.wire import decode, encode

_FIELDS = ("token", "name", "version", "capacity", "labels", "codecs", "protocol")
_MOST_CALLS = 100_000


async def enrol(
    services: Services, broker: Broker | None, settings: Settings, fields: Fields, address: str = ""
) -> schemas.Enrolled:
    """Raises 403 for a token that is unknown, used or too old; 503 where no account can be made for it at the
    broker, and 409 for an agent that speaks another protocol: the token is good for another try then."""
    take.only(fields, _FIELDS)
    token = take.text(fields, "token")
    name = take.text(fields, "name", optional=True, longest=64) or "agent"
    capacity = take.whole(fields, "capacity", default=50) or 1
    if capacity > _MOST_CALLS:
        raise invalid("capacity", f"At most {_MOST_CALLS:,} calls at once are permitted.", value=capacity)
    protocol = take.whole(fields, "protocol")
    wrong = "" if protocol is None else mismatch(protocol, PROTOCOL)
    if wrong:
        raise ApiProblem(409, f"{wrong} The token is good.")
    info = AgentInfo(
        version=take.text(fields, "version", optional=True, longest=64),
        capacity=capacity,
        codecs=_typed(fields, "codecs", tuple[str, ...], ()),
        labels=_typed(fields, "labels", dict[str, str], {}),
        protocol=protocol,
    )
    account = AccountAnswer()

    async def prepare(agent: Agent) -> None:
        nonlocal account
        account = await _account(broker, agent)

    agent, secret = await services.agents.enrol(token, name, info, prepare, address=address)
    return schemas.Enrolled(
        agent_id=str(agent.id),
        name=agent.name,
        pool=agent.pool,
        nats_url=account.nats_url,
        websocket_url=account.websocket_url,
        user=account.user,
        password=account.password or secret,
        callout=account.callout,
        ca=account.ca,
        websocket_ca=account.websocket_ca,
        lease_seconds=settings.lease,
        capacity=agent.capacity,
        labels=info.labels,
    )


async def _account(broker: Broker | None, agent: Agent) -> AccountAnswer:
    """Made before there is a record of the agent; without one the account is good for nothing, and goes when
    it is used first."""
    if broker is None:
        raise ApiProblem(503, "There is no broker that an agent could connect to.")
    try:
        order = encode(AccountRequest(str(agent.id), agent.pool))
        account = decode(AccountAnswer, await broker.request(subject.ACCOUNT, order, ACCOUNT_SECONDS))
    except (BrokerError, ValueError) as error:
        raise ApiProblem(503, f"The agent has no account at the broker: {error}") from None
    if account.reason:
        raise ApiProblem(503, account.reason)
    return account


def _typed(fields: Fields, name: str, kind: Any, default: Any) -> Any:
    value = fields.get(name)
    if value in (None, ""):
        return default
    try:
        return (
            msgspec.json.decode(value, type=kind) if isinstance(value, str) else msgspec.convert(value, kind)
        )
    except msgspec.MsgspecError:
        raise invalid(name, f"{name} is not what is wanted here.", value=value) from None
