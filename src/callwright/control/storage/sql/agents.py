"""Agents, pools and enrolments in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table, Text, UniqueConstraint, delete, select, update

from callwright.control.agents.model import Agent, AgentState, Enrolment, Pool
from callwright.control.storage.sql.columns import (
    Id,
    Number,
    id_column,
    metadata,
    reference,
    text_column,
    time_column,
    unique_where,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, filling, inserting, upsert, values_of
from callwright.dispatch.messages.agents import SpoolState

__all__ = ["SqlAgentStore"]

pools = Table(
    "pools",
    metadata,
    id_column(),
    text_column("name"),
    time_column("created_at"),
    reference("project_id", "projects.id", nullable=True),
    text_column("fleet", nullable=True),  # settings of its servers, an object; NULL: nobody set it up
    UniqueConstraint("name"),
)

agents = Table(
    "agents",
    metadata,
    Column("id", Text(), primary_key=True),
    text_column("name"),
    text_column("pool"),
    text_column("labels", default="{}"),
    text_column("version"),
    Column("capacity", Number, nullable=False),
    Column("busy", Number, nullable=False),
    text_column("codecs", default="[]"),
    text_column("nkey"),
    text_column("state"),
    time_column("enrolled_at"),
    time_column("last_seen_at", nullable=True),
    text_column("secret_hash"),
    text_column("spool", default="{}"),
    Column("protocol", Number, nullable=True),
    text_column("server", nullable=True),
    text_column("address"),
)
unique_where("uq_agents_name", "state <> 'revoked'", agents.c.name)

enrolments = Table(
    "enrolments",
    metadata,
    id_column(),
    text_column("pool"),
    text_column("token_hash"),
    time_column("created_at"),
    time_column("expires_at"),
    time_column("used_at", nullable=True),
    text_column("agent_id", nullable=True),
    Column("made_by_key", Id, nullable=True),
    text_column("server", nullable=True),
    UniqueConstraint("token_hash"),
)

_POOL = columns(pools, Pool)
_POOLS = Statement(select(*_POOL).order_by(pools.c.name))
_POOL_BY_NAME = Statement(select(*_POOL).where(pools.c.name == param("name")))
_ADD_POOL = upsert(pools, ("name",), ("name", "created_at", "project_id"), keep=True)
_GIVE_POOL = Statement(
    update(pools)
    .where(pools.c.name == param("name"))
    .values(project_id=param("project_id", pools.c.project_id.type))
    .returning(*_POOL)
)
_DELETE_POOL = Statement(delete(pools).where(pools.c.name == param("name")))

_AGENT = columns(agents, Agent)
_agent = filling(Agent, labels=dict[str, str], codecs=tuple[str, ...], spool=SpoolState)
_KNOWN = agents.c.state != AgentState.REVOKED.value
_AGENTS = Statement(select(*_AGENT).where(_KNOWN).order_by(agents.c.name))
_ALL_AGENTS = Statement(select(*_AGENT).order_by(agents.c.name))
_AGENT_BY_ID = Statement(select(*_AGENT).where(agents.c.id == param("id")))
_AGENT_BY_SECRET = Statement(
    select(*_AGENT).where(agents.c.id == param("id"), agents.c.secret_hash == param("secret_hash"), _KNOWN)
)
_PUT_AGENT = upsert(agents, ("id",), [*Agent.__struct_fields__, "secret_hash"])
_HEARTBEAT = Statement(
    update(agents)
    .where(agents.c.id == param("id"), _KNOWN)
    .values(
        {
            name: param(name)
            for name in (
                "labels",
                "version",
                "capacity",
                "busy",
                "codecs",
                "spool",
                "protocol",
                "last_seen_at",
            )
        }
    )
    .returning(*_AGENT)
)
_SET_STATE = Statement(
    update(agents).where(agents.c.id == param("id"), _KNOWN).values(state=param("state")).returning(*_AGENT)
)
_RESTORE = Statement(
    update(agents).where(agents.c.id == param("id")).values(state=AgentState.ACTIVE.value).returning(*_AGENT)
)
_NOTE_ADDRESS = Statement(
    update(agents)
    .where(agents.c.id == param("id"), agents.c.address != param("address"))
    .values(address=param("address"))
)

_ENROLMENT = columns(enrolments, Enrolment)
_ADD_ENROLMENT = Statement(
    inserting(
        enrolments, ["pool", "token_hash", "created_at", "expires_at", "made_by_key", "server"]
    ).returning(*_ENROLMENT)
)
_ENROLMENTS = Statement(select(*_ENROLMENT).order_by(enrolments.c.id.desc()))
_OPEN = (
    enrolments.c.token_hash == param("token_hash"),
    enrolments.c.used_at.is_(None),
    enrolments.c.expires_at > param("now"),
)
_OPEN_ENROLMENT = Statement(select(*_ENROLMENT).where(*_OPEN))
_USE_ENROLMENT = Statement(
    update(enrolments).where(*_OPEN).values(used_at=param("now"), agent_id=param("agent_id"))
)


class SqlAgentStore:
    """AgentStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def pools(self) -> list[Pool]:
        return await self._db.all(Pool, _POOLS)

    async def add_pool(self, name: str, now: float, project_id: int | None = None) -> Pool:
        async with self._db.transaction() as transaction:
            await transaction.run(_ADD_POOL, {"name": name, "created_at": now, "project_id": project_id})
            pool = await transaction.one(Pool, _POOL_BY_NAME, {"name": name})
        assert pool is not None
        return pool

    async def give_pool(self, name: str, project_id: int | None) -> Pool | None:
        found = await self._db.changed(Pool, _GIVE_POOL, {"name": name, "project_id": project_id})
        return found[0] if found else None

    async def delete_pool(self, name: str) -> bool:
        return await self._db.run(_DELETE_POOL, {"name": name}) > 0

    async def agents(self, *, revoked: bool = False) -> list[Agent]:
        return await self._db.all(_agent, _ALL_AGENTS if revoked else _AGENTS)

    async def agent(self, agent_id: str) -> Agent | None:
        return await self._db.one(_agent, _AGENT_BY_ID, {"id": agent_id})

    async def agent_by_secret(self, agent_id: str, secret_hash: str) -> Agent | None:
        return await self._db.one(_agent, _AGENT_BY_SECRET, {"id": agent_id, "secret_hash": secret_hash})

    async def put_agent(self, agent: Agent, secret_hash: str) -> Agent:
        await self._db.run(_PUT_AGENT, values_of(agent) | {"secret_hash": secret_hash})
        return agent

    async def heartbeat(self, agent: Agent) -> Agent | None:
        return await self._one(_HEARTBEAT, values_of(agent))

    async def set_state(self, agent_id: str, state: str) -> Agent | None:
        return await self._one(_SET_STATE, {"id": agent_id, "state": state})

    async def restore(self, agent_id: str) -> Agent | None:
        return await self._one(_RESTORE, {"id": agent_id})

    async def note_address(self, agent_id: str, address: str) -> None:
        await self._db.run(_NOTE_ADDRESS, {"id": agent_id, "address": address})

    async def _one(self, statement: Statement, values: dict[str, object]) -> Agent | None:
        rows = await self._db.changed(_agent, statement, values)
        return rows[0] if rows else None

    async def add_enrolment(
        self,
        pool: str,
        token_hash: str,
        now: float,
        expires_at: float,
        *,
        made_by_key: int | None = None,
        server: str | None = None,
    ) -> Enrolment:
        values: dict[str, Any] = {"pool": pool, "token_hash": token_hash, "created_at": now}
        values |= {"expires_at": expires_at, "made_by_key": made_by_key, "server": server}
        (added,) = await self._db.changed(Enrolment, _ADD_ENROLMENT, values)
        return added

    async def enrolments(self) -> list[Enrolment]:
        return await self._db.all(Enrolment, _ENROLMENTS)

    async def open_enrolment(self, token_hash: str, now: float) -> Enrolment | None:
        return await self._db.one(Enrolment, _OPEN_ENROLMENT, {"token_hash": token_hash, "now": now})

    async def enrol(self, token_hash: str, agent: Agent, secret_hash: str, now: float) -> bool:
        values = {"token_hash": token_hash, "agent_id": agent.id, "now": now}
        async with self._db.transaction() as transaction:
            if not await transaction.run(_USE_ENROLMENT, values):
                return False
            await transaction.run(_PUT_AGENT, values_of(agent) | {"secret_hash": secret_hash})
        return True
