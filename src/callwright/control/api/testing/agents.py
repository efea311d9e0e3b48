"""Agents and pools; targets, the kill switch and the audit log."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get, patch, post
from litestar.params import FromPath

from callwright.control import killing
from callwright.control.accounts.model import Right
from callwright.control.agents.model import Agent
from callwright.control.api.auth import identity_of
from callwright.control.api.body import Fields, read_fields
from callwright.control.api.openapi import body_of, text
from callwright.control.api.problems import invalid
from callwright.control.api.request import (
    Id,
    Limit,
    MaybeId,
    MaybeWord,
    broker_of,
    next_page,
    services_of,
    settings_of,
)
from callwright.control.api.testing import schemas, translate, wishes
from callwright.control.api.testing.asking import answer_ask
from callwright.control.api.testing.enrolment import agents_changed, enrol
from callwright.control.projects.model import Project
from callwright.control.runs.model import KillStanding

_Request = Request[Any, Any, Any]
_AGENTS, _SAFETY = ["agents"], ["safety"]
_READ, _ADMINISTER = {"right": Right.READ}, {"right": Right.ADMINISTER}
_HOURS = 24.0


# -- agents


@get("/agentpools", opt=_READ, tags=_AGENTS, summary="List pools with what they can do")
async def list_pools(request: _Request) -> schemas.Data[list[schemas.Pool]]:
    """Those of projects that you see, and those of all."""
    services, identity = services_of(request), identity_of(request)
    agents, wall = await services.agents.agents_seen(identity), services.clock.wall()
    pools, projects = await services.agents.pools_seen(identity), await services.projects.list(identity)
    return schemas.Data(data=[translate.pool(pool, agents, wall, projects) for pool in pools])


@post(
    "/agentpools",
    opt=_ADMINISTER
    | {
        "body": body_of(
            {"name": text("Its name."), "project": text("Only runs of this project may use it.")},
            required=("name",),
        )
    },
    tags=_AGENTS,
    summary="Make a pool",
    status_code=201,
)
async def create_pool(request: _Request) -> schemas.Data[schemas.Pool]:
    fields = await read_fields(request)
    wishes.only(fields, ("name", "project"))
    name = wishes.text(fields, "name", longest=64)
    services, identity = services_of(request), identity_of(request)
    project = await _project(request, fields)
    pool = await services.agents.create_pool(identity, name, project)
    return schemas.Data(
        data=translate.pool(pool, [], 0.0, await services.projects.list(identity)), status=201
    )


@patch(
    "/agentpools/{name:str}",
    opt=_ADMINISTER
    | {
        "body": body_of(
            {"project": text("Only runs of this project may use it; empty or null: all runs.")},
            required=("project",),
        )
    },
    tags=_AGENTS,
    summary="Give a pool to a project, or to all",
)
async def change_pool(request: _Request, name: FromPath[str]) -> schemas.Data[schemas.Pool]:
    fields = await read_fields(request)
    wishes.only(fields, ("project",))
    if "project" not in fields:
        raise invalid("project", "project is missing.")
    services, identity = services_of(request), identity_of(request)
    pool = await services.agents.give_pool(identity, name, await _project(request, fields))
    agents, wall = await services.agents.list(), services.clock.wall()
    return schemas.Data(data=translate.pool(pool, agents, wall, await services.projects.list(identity)))


async def _project(request: _Request, fields: Fields) -> Project | None:
    name = wishes.text(fields, "project", optional=True, longest=255)
    return await services_of(request).projects.get(identity_of(request), name) if name else None


@get("/agents", opt=_READ, tags=_AGENTS, summary="List agents")
async def list_agents(request: _Request, pool: MaybeWord = None) -> schemas.Data[list[schemas.Agent]]:
    services = services_of(request)
    agents = await services.agents.agents_seen(identity_of(request))
    wall = services.clock.wall()
    return schemas.Data(
        data=[translate.agent(agent, wall) for agent in agents if pool is None or agent.pool == pool]
    )


@get("/agents/{agent_id:str}", opt=_READ, tags=_AGENTS, summary="One agent")
async def get_agent(request: _Request, agent_id: FromPath[str]) -> schemas.Data[schemas.Agent]:
    services = services_of(request)
    return _agent(request, await services.agents.agent_seen(identity_of(request), agent_id))


@patch(
    "/agents/{agent_id:str}",
    opt=_ADMINISTER
    | {"body": body_of({"state": text("", enum=["active", "draining"])}, required=("state",))},
    tags=_AGENTS,
    summary="Drain an agent, or let it work again",
)
async def change_agent(request: _Request, agent_id: FromPath[str]) -> schemas.Data[schemas.Agent]:
    fields = await read_fields(request)
    wishes.only(fields, ("state",))
    state = wishes.text(fields, "state")
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
async def revoke_agent(request: _Request, agent_id: FromPath[str]) -> schemas.Data[schemas.Agent]:
    services = services_of(request)
    agent = await services.agents.revoke(identity_of(request), agent_id)
    await agents_changed(broker_of(request), agent, revoked=True)
    return _agent(request, agent)


@get("/agents/tokens", opt=_ADMINISTER, tags=_AGENTS, summary="List enrolment tokens")
async def list_tokens(request: _Request) -> schemas.Data[list[schemas.EnrolmentToken]]:
    tokens = await services_of(request).agents.enrolments(identity_of(request))
    return schemas.Data(data=[translate.enrolment(token) for token in tokens])


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
async def create_token(request: _Request) -> schemas.Data[schemas.EnrolmentToken]:
    fields = await read_fields(request)
    wishes.only(fields, ("pool", "hours"))
    pool = wishes.text(fields, "pool", optional=True, longest=64) or wishes.DEFAULT_POOL
    hours = wishes.number(fields, "hours", default=_HOURS) or _HOURS
    services, identity = services_of(request), identity_of(request)
    token, record = await services.agents.create_enrolment(identity, pool, min(hours, 24.0 * 365) * 3600.0)
    return schemas.Data(data=translate.enrolment(record, token), status=201)


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
            },
            required=("token",),
        ),
    },
    tags=_AGENTS,
    summary="Become an agent: a single-use token for what an agent connects with",
    status_code=200,
)
async def enrol_agent(request: _Request) -> schemas.Data[schemas.Enrolled]:
    fields = await read_fields(request)
    enrolled = await enrol(services_of(request), broker_of(request), settings_of(request), fields)
    return schemas.Data(data=enrolled)


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
async def agent_asks(request: _Request) -> schemas.Data[schemas.Answered]:
    fields = await read_fields(request)
    return schemas.Data(data=await answer_ask(services_of(request), settings_of(request), fields))


def _agent(request: _Request, agent: Agent) -> schemas.Data[schemas.Agent]:
    return schemas.Data(data=translate.agent(agent, services_of(request).clock.wall()))


# -- safety


@get("/targets", opt=_READ, tags=_SAFETY, summary="List the destinations that are permitted")
async def list_targets(request: _Request) -> schemas.Data[list[schemas.Target]]:
    rows = await services_of(request).targets.list()
    return schemas.Data(data=[translate.target(row) for row in rows])


_TARGET = {
    "host": text("A name, or *.name for all below it."),
    "network": text("An address or a network such as 192.0.2.0/24."),
    "number": text("Only this number; * and ? are wildcards."),
    "country": text(
        "Where its numbers are dialled, such as AT (ISO 3166-1): emergency and premium numbers that only "
        "this country has are refused too."
    ),
    "rate": {"type": "number", "description": "Calls a second, at most."},
    "concurrency": {"type": "integer", "description": "Calls at once, at most."},
    "minutes": {"type": "number", "description": "Minutes of calls in a day, at most."},
    "note": text("Why it is permitted."),
}


@post(
    "/targets",
    opt=_ADMINISTER | {"body": body_of(_TARGET, example={"host": "pbx.example.com", "concurrency": 10})},
    tags=_SAFETY,
    summary="Permit a destination",
    status_code=201,
)
async def create_target(request: _Request) -> schemas.Data[schemas.Target]:
    fields = await read_fields(request)
    wishes.only(fields, tuple(_TARGET))
    row = await services_of(request).targets.add(
        identity_of(request),
        host=wishes.text(fields, "host", optional=True, longest=255) or None,
        network=wishes.text(fields, "network", optional=True, longest=64) or None,
        number=wishes.text(fields, "number", optional=True, longest=64) or None,
        country=wishes.text(fields, "country", optional=True, longest=64) or None,
        rate=wishes.number(fields, "rate"),
        concurrency=wishes.whole(fields, "concurrency"),
        minutes=wishes.number(fields, "minutes"),
        note=wishes.text(fields, "note", optional=True),
    )
    return schemas.Data(data=translate.target(row), status=201)


@delete(
    "/targets/{target_id:int}",
    opt=_ADMINISTER,
    tags=_SAFETY,
    summary="Withdraw the permission of a destination",
    status_code=200,
)
async def delete_target(request: _Request, target_id: Id) -> schemas.Data[schemas.Deleted]:
    await services_of(request).targets.remove(identity_of(request), target_id)
    return schemas.Data(data=schemas.Deleted(deleted=str(target_id)))


@get("/audit", opt=_ADMINISTER, tags=_SAFETY, summary="List the audit log, newest first")
async def list_audit(
    request: _Request, search: MaybeWord = None, after: MaybeId = None, limit: Limit = 100
) -> schemas.Page[schemas.Audit]:
    entries = await services_of(request).audit.log(
        identity_of(request), after=after, limit=limit, search=search
    )
    return schemas.Page(
        data=[translate.audit(entry) for entry in entries],
        next=next_page(request, after=entries[-1].id) if len(entries) == limit else None,
    )


@get("/kill", opt=_READ, tags=_SAFETY, summary="Whether the kill switch is engaged")
async def get_kill(request: _Request) -> schemas.Data[schemas.KillSwitch]:
    return schemas.Data(data=_switch(await killing.standing(services_of(request))))


@post(
    "/kill",
    opt=_ADMINISTER | {"body": body_of({"reason": text("Why.")}, optional=True)},
    tags=_SAFETY,
    summary="Stop every run now, and start none until it is released",
    status_code=200,
)
async def engage_kill(request: _Request) -> schemas.Data[schemas.KillSwitch]:
    fields = await read_fields(request)
    wishes.only(fields, ("reason",))
    reason = wishes.text(fields, "reason", optional=True)
    return schemas.Data(
        data=_switch(await killing.engage(services_of(request), identity_of(request), reason))
    )


@delete("/kill", opt=_ADMINISTER, tags=_SAFETY, summary="Release the kill switch", status_code=200)
async def release_kill(request: _Request) -> schemas.Data[schemas.KillSwitch]:
    await services_of(request).runs.release_kill_switch(identity_of(request))
    return schemas.Data(data=_switch(await killing.standing(services_of(request))))


def _switch(standing: KillStanding) -> schemas.KillSwitch:
    switch = standing.switch
    return schemas.KillSwitch(
        engaged=switch is not None,
        by=switch.by if switch else None,
        reason=switch.reason if switch else None,
        engaged_at=translate.utc(switch.engaged_at) if switch else None,
        stopped=standing.stopped,
        waiting=standing.waiting,
        silent=list(standing.silent),
    )


ROUTES: list[Any] = [
    list_pools,
    create_pool,
    change_pool,
    list_agents,
    list_tokens,
    create_token,
    enrol_agent,
    agent_asks,
    get_agent,
    change_agent,
    revoke_agent,
    list_targets,
    create_target,
    delete_target,
    list_audit,
    get_kill,
    engage_kill,
    release_kill,
]
