"""Agents, and the tokens with which they enrol."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, patch, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.agents.model import Agent
from callwright.control.agents.service import DEFAULT_POOL
from callwright.control.agents.telling import agents_changed
from callwright.control.api import fields as take
from callwright.control.api.answers import Data
from callwright.control.api.auth import identity_of
from callwright.control.api.body import read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid
from callwright.control.api.request import MaybeWord, broker_of, services_of, settings_of
from callwright.control.api.testing import schemas, translate
from callwright.control.api.testing.asking import answer_ask
from callwright.control.api.testing.enrolment import enrol

_Request = Request[Any, Any, Any]
_AGENTS, _SAFETY = ["agents"], ["safety"]
_READ, _ADMINISTER = {"right": Right.READ}, {"right": Right.ADMINISTER}
_HOURS = 24.0


@get("/agents", opt=_READ, tags=_AGENTS, summary="List agents")
async def list_agents(request: _Request, pool: MaybeWord = None) -> Data[list[schemas.Agent]]:
    services = services_of(request)
    agents = await services.agents.agents_seen(identity_of(request))
    wall = services.clock.wall()
    return Data(data=[translate.agent(agent, wall) for agent in agents if pool is None or agent.pool == pool])


@get("/agents/{agent_id:str}", opt=_READ, tags=_AGENTS, summary="One agent")
async def get_agent(request: _Request, agent_id: FromPath[str]) -> Data[schemas.Agent]:
    services = services_of(request)
    return _agent(request, await services.agents.agent_seen(identity_of(request), agent_id))


@patch(
    "/agents/{agent_id:str}",
    opt=_ADMINISTER
    | {"body": body_of({"state": text("", enum=["active", "draining"])}, required=("state",))},
    tags=_AGENTS,
    summary="Drain an agent, or let it work again",
)
async def change_agent(request: _Request, agent_id: FromPath[str]) -> Data[schemas.Agent]:
    fields = await read_fields(request)
    take.only(fields, ("state",))
    state = take.text(fields, "state")
    if state not in ("active", "draining"):
        raise invalid("state", f"{state!r} is not a state.", value=state, permitted=("active", "draining"))
    agents, identity = services_of(request).agents, identity_of(request)
    change = agents.drain if state == "draining" else agents.resume
    agent = await change(identity, agent_id)
    await agents_changed(broker_of(request), agent)
    return _agent(request, agent)


@delete(
    "/agents/{agent_id:str}",
    opt=_ADMINISTER,
    tags=_AGENTS,
    summary="Revoke an agent: it is cut off until it enrols again",
    status_code=200,
)
async def revoke_agent(request: _Request, agent_id: FromPath[str]) -> Data[schemas.Agent]:
    services = services_of(request)
    agent = await services.agents.revoke(identity_of(request), agent_id)
    await agents_changed(broker_of(request), agent, revoked=True)
    return _agent(request, agent)


@get("/agents/tokens", opt=_ADMINISTER, tags=_AGENTS, summary="List enrolment tokens")
async def list_tokens(request: _Request) -> Data[list[schemas.EnrolmentToken]]:
    tokens = await services_of(request).agents.enrolments(identity_of(request))
    return Data(data=[translate.enrolment(token) for token in tokens])


@post(
    "/agents/tokens",
    opt=_ADMINISTER
    | {
        "body": body_of(
            {
                "pool": text("The pool that the agent joins; default if absent."),
                "hours": {"type": "number", "description": "How long the token can be used; 24 if absent."},
            },
            optional=True,
        )
    },
    tags=_AGENTS,
    summary="Make a single-use token with which an agent enrols",
    status_code=201,
)
async def create_token(request: _Request) -> Data[schemas.EnrolmentToken]:
    fields = await read_fields(request)
    take.only(fields, ("pool", "hours"))
    pool = take.text(fields, "pool", optional=True, longest=64) or DEFAULT_POOL
    hours = take.number(fields, "hours", default=_HOURS) or _HOURS
    services, identity = services_of(request), identity_of(request)
    token, record = await services.agents.create_enrolment(identity, pool, min(hours, 24.0 * 365) * 3600.0)
    return Data(data=translate.enrolment(record, token), status=201)


@post(
    "/agents/enrol",
    opt={
        "open": True,
        "body": body_of(
            {
                "token": text("The enrolment token."),
                "name": text("Name of the agent."),
                "version": text("Of Callwright."),
                "capacity": {"type": "integer", "description": "Calls at once."},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "codecs": {"type": "array", "items": {"type": "string"}},
                "protocol": {"type": "integer", "description": "Of the messages that the agent speaks."},
            },
            required=("token",),
        ),
    },
    tags=_AGENTS,
    summary="Become an agent: a single-use token for what an agent connects with",
    status_code=200,
)
async def enrol_agent(request: _Request) -> Data[schemas.Enrolled]:
    fields = await read_fields(request)
    address = request.client.host if request.client else ""
    enrolled = await enrol(services_of(request), broker_of(request), settings_of(request), fields, address)
    return Data(data=enrolled)


@post(
    "/agents/ask",
    opt={
        "open": True,
        "body": body_of(
            {
                "agent_id": text("The agent that asks."),
                "token": text("The token that the platform gave this agent with its heartbeat."),
                "runs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "run_id": {"type": "integer"},
                            "attempt": {"type": "integer"},
                            "phase": {"type": "string"},
                        },
                        "required": ["run_id", "attempt"],
                    },
                    "description": "Runs that it carries out now; of all others it has no calls.",
                },
            },
            required=("agent_id", "token"),
        ),
    },
    tags=_AGENTS,
    summary="Ask what an agent may do: the second way of the kill switch, beside the broker",
    status_code=200,
)
async def agent_asks(request: _Request) -> Data[schemas.Answered]:
    fields = await read_fields(request)
    return Data(data=await answer_ask(services_of(request), settings_of(request), fields))


def _agent(request: _Request, agent: Agent) -> Data[schemas.Agent]:
    return Data(data=translate.agent(agent, services_of(request).clock.wall()))


ROUTES: list[Any] = [
    list_agents,
    get_agent,
    change_agent,
    revoke_agent,
    list_tokens,
    create_token,
    enrol_agent,
    agent_asks,
]
