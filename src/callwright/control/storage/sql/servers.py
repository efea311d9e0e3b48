"""Servers, what is counted of them, and the settings of their pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Column, Double, Index, Table, Text, UniqueConstraint, delete, select, update

from callwright.control.servers.model import ServerRecord
from callwright.control.storage.sql.agents import pools
from callwright.control.storage.sql.columns import Id, Number, metadata, text_column, time_column
from callwright.control.storage.sql.database import Database, DialectName, Statement, param
from callwright.control.storage.sql.settings import SqlSettings
from callwright.control.storage.sql.writing import as_is, columns, inserting
from callwright.fleet.pool import SETTINGS, Pool, dormant, with_settings
from callwright.fleet.record import ENROLLED
from callwright.fleet.server import State

__all__ = ["SqlServers"]

servers = Table(
    "servers",
    metadata,
    Column("number", Id, primary_key=True, autoincrement=True),
    text_column("name"),
    text_column("label"),
    text_column("provider"),
    text_column("pool"),
    text_column("state"),
    time_column("created"),
    time_column("updated"),
    time_column("since"),
    Column("revision", Number, nullable=False),
    text_column("machine"),
    text_column("image"),
    text_column("region"),
    text_column("size"),
    text_column("platform"),
    text_column("address"),
    Column("capacity", Number, nullable=False),
    text_column("error"),
    Column("attempts", Number, nullable=False),
    time_column("started", nullable=True),
    time_column("stopped", nullable=True),
    text_column("agent_id", nullable=True),
    text_column("version"),
    text_column("ip_address", nullable=True),
    text_column("description", nullable=True),
    time_column("last_login_at", nullable=True),
    text_column("last_login_ip"),
    time_column("deleted_at", nullable=True),
    text_column("place"),
    text_column("country"),
    text_column("network"),
    text_column("labels", default="{}"),
    Column("forgotten", Number, nullable=False),
    UniqueConstraint("name"),
)
Index("ix_servers_state", servers.c.state)
Index("ix_servers_pool", servers.c.pool, servers.c.created)
Index("ix_servers_agent_id", servers.c.agent_id)

server_counts = Table(
    "server_counts",
    metadata,
    Column("name", Text(), primary_key=True),
    Column("value", Double(), nullable=False),
)

_PAUSED = "fleet/paused"
_INSTALLATION = "fleet/installation"
_FIELDS = ServerRecord.__struct_fields__
_SERVER = columns(servers, ServerRecord)
_ALL = select(*_SERVER).order_by(servers.c.created, servers.c.number)
_SERVERS = Statement(_ALL)
_BY_NAME = Statement(select(*_SERVER).where(servers.c.name == param("name")))
_BY_NUMBER = Statement(select(*_SERVER).where(servers.c.number == param("number")))
_BY_AGENT = Statement(
    select(*_SERVER).where(servers.c.agent_id == param("agent_id")).order_by(servers.c.number.desc()).limit(1)
)
_ADD = Statement(inserting(servers, [name for name in _FIELDS if name != "number"]).returning(*_SERVER))
_CREATED_SINCE = Statement(
    select(servers.c.created)
    .where(
        servers.c.pool == param("pool"),
        servers.c.created > param("time"),
        *(servers.c.provider != provider for provider in sorted(ENROLLED)),
    )
    .order_by(servers.c.created)
)
_REMOVE = Statement(
    delete(servers).where(servers.c.name == param("name"), servers.c.revision == param("seen"))
)
_COUNTS = Statement(select(server_counts.c.name, server_counts.c.value))

_POOL = (pools.c.name, pools.c.fleet)
_POOLS = Statement(select(*_POOL).order_by(pools.c.name))
_POOL_BY_NAME = Statement(select(*_POOL).where(pools.c.name == param("name")))
#: In PostgreSQL its row is locked; in SQLite the transaction has the only writer anyway.
_POOL_LOCKED = Statement(select(*_POOL).where(pools.c.name == param("name")).with_for_update())
_SET_POOL = Statement(update(pools).where(pools.c.name == param("name")).values(fleet=param("fleet")))


@lru_cache(maxsize=16)
def _in_states(count: int) -> Statement:
    return Statement(_ALL.where(servers.c.state.in_([param(f"state_{n}") for n in range(count)])))


@lru_cache(maxsize=256)
def _learn(names: frozenset[str]) -> Statement:
    changed = {name: param(name, servers.c[name].type) for name in sorted(names)}
    return Statement(
        update(servers).where(servers.c.name == param("key")).values(changed).returning(*_SERVER)
    )


@lru_cache(maxsize=256)
def _move(names: frozenset[str]) -> Statement:
    changed = {name: param(name, servers.c[name].type) for name in sorted(names)}
    seen = (
        servers.c.name == param("key"),
        servers.c.state == param("seen_state"),
        servers.c.revision == param("seen_revision"),
    )
    return Statement(update(servers).where(*seen).values(changed).returning(*_SERVER))


def _counting(dialect: DialectName) -> Any:
    if dialect is DialectName.SQLITE:
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    statement = insert(server_counts).values(name=param("name"), value=param("value"))
    more = server_counts.c.value + statement.excluded.value
    return statement.on_conflict_do_update(index_elements=["name"], set_={"value": more})


_COUNT = Statement(_counting)


def _server(*values: Any) -> ServerRecord:
    row: dict[str, Any] = dict(zip(_FIELDS, values, strict=True))
    row["state"] = State(row["state"])
    row["labels"] = msgspec.json.decode(row["labels"])
    row["forgotten"] = bool(row["forgotten"])
    return ServerRecord(**row)


def _plain(name: str, value: object) -> object:
    """A field as its column keeps it."""
    match name:
        case "labels":
            return msgspec.json.encode(value).decode()
        case "state":
            return str(value)
        case "forgotten":
            return int(bool(value))
    return value


def _pool(name: str, fleet: str | None) -> Pool:
    if fleet is None:
        return dormant(name)
    kept = msgspec.json.decode(fleet)
    removed = bool(kept.pop("removed", False))
    pool = with_settings(Pool(name), {key: value for key, value in kept.items() if key in SETTINGS})
    return replace(pool, removed=removed)


class SqlServers:
    """ServerStore on any Database."""

    def __init__(self, database: Database) -> None:
        self._db, self._settings = database, SqlSettings(database)

    def transaction(self) -> AbstractAsyncContextManager[object]:
        return self._db.transaction()

    async def servers(self, states: Sequence[State] = ()) -> list[ServerRecord]:
        if not states:
            return await self._db.all(_server, _SERVERS)
        values = {f"state_{n}": str(state) for n, state in enumerate(states)}
        return await self._db.all(_server, _in_states(len(states)), values)

    async def server(self, name: str) -> ServerRecord | None:
        return await self._db.one(_server, _BY_NAME, {"name": name})

    async def server_numbered(self, number: int) -> ServerRecord | None:
        return await self._db.one(_server, _BY_NUMBER, {"number": number})

    async def server_of_agent(self, agent_id: str) -> ServerRecord | None:
        return await self._db.one(_server, _BY_AGENT, {"agent_id": agent_id})

    async def add_server(self, server: ServerRecord) -> ServerRecord:
        values = {name: _plain(name, getattr(server, name)) for name in _FIELDS if name != "number"}
        (added,) = await self._db.changed(_server, _ADD, values)
        return added

    async def write_move(self, seen: ServerRecord, after: ServerRecord) -> ServerRecord | None:
        changed = {name for name in _FIELDS if getattr(seen, name) != getattr(after, name)}
        values = {name: _plain(name, getattr(after, name)) for name in changed}
        values |= {"key": seen.name, "seen_state": str(seen.state), "seen_revision": seen.revision}
        rows = await self._db.changed(_server, _move(frozenset(changed)), values)
        return rows[0] if rows else None

    async def learn(self, name: str, facts: Mapping[str, object], now: float) -> ServerRecord | None:
        values = {key: _plain(key, value) for key, value in facts.items()} | {"updated": now}
        rows = await self._db.changed(_server, _learn(frozenset(values)), values | {"key": name})
        return rows[0] if rows else None

    async def remove_server(self, seen: ServerRecord) -> bool:
        return await self._db.run(_REMOVE, {"name": seen.name, "seen": seen.revision}) > 0

    async def created_since(self, pool: str, time: float) -> list[float]:
        return [
            created for (created,) in await self._db.all(as_is, _CREATED_SINCE, {"pool": pool, "time": time})
        ]

    async def count(self, more: Mapping[str, float]) -> None:
        for name, value in sorted(more.items()):
            await self._db.run(_COUNT, {"name": name, "value": float(value)})

    async def counts(self) -> dict[str, float]:
        return dict(await self._db.all(as_is, _COUNTS))

    async def fleet_pools(self) -> list[Pool]:
        return await self._db.all(_pool, _POOLS)

    async def fleet_pool(self, name: str, *, lock: bool = False) -> Pool | None:
        return await self._db.one(_pool, _POOL_LOCKED if lock else _POOL_BY_NAME, {"name": name})

    async def put_fleet_pool(self, pool: Pool) -> None:
        kept = {name: getattr(pool, name) for name in SETTINGS} | {"removed": pool.removed}
        await self._db.run(_SET_POOL, {"name": pool.name, "fleet": msgspec.json.encode(kept).decode()})

    async def installation(self) -> str | None:
        return await self._settings.setting(_INSTALLATION)

    async def set_installation(self, word: str) -> None:
        await self._settings.set_setting(_INSTALLATION, word)

    async def paused(self) -> bool:
        return await self._settings.setting(_PAUSED) is not None

    async def set_paused(self, paused: bool) -> None:
        await self._settings.set_setting(_PAUSED, "1" if paused else None)
