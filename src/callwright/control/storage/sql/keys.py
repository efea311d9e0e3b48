"""API keys, and what was made with each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table, UniqueConstraint, literal, null, select, update

from callwright.control.accounts.model import ApiKey, KeySecret, Made
from callwright.control.storage.sql.agents import agents, enrolments
from callwright.control.storage.sql.columns import (
    Id,
    id_column,
    metadata,
    reference,
    text_column,
    time_column,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.projects import projects
from callwright.control.storage.sql.tokens import SqlTokens, tokens
from callwright.control.storage.sql.users import ALIVE, users
from callwright.control.storage.sql.writing import inserting

api_keys = Table(
    "api_keys",
    metadata,
    id_column(),
    text_column("public_key"),
    text_column("secret_hash"),
    text_column("name"),
    reference("user_id", "users.id"),
    time_column("created_at"),
    time_column("last_used_at", nullable=True),
    time_column("revoked_at", nullable=True),
    reference("project_id", "projects.id", nullable=True),
    text_column("created_by"),
    Column("made_by_key", Id, nullable=True),
    UniqueConstraint("public_key"),
)


_OTHERS: dict[str, Any] = {"username": users.c.username, "project_name": projects.c.name}
_KEY = [_OTHERS[name] if name in _OTHERS else api_keys.c[name] for name in ApiKey.__struct_fields__]
_KEYS = (
    select(*_KEY)
    .join(users, users.c.id == api_keys.c.user_id)
    .outerjoin(projects, projects.c.id == api_keys.c.project_id)
    .order_by(api_keys.c.id)
)
_ALL_KEYS = Statement(_KEYS)
_KEYS_OF = Statement(_KEYS.where(api_keys.c.user_id == param("user_id")))
_KEY_BY_ID = Statement(_KEYS.where(api_keys.c.id == param("id")))
_KEY_BY_PUBLIC = Statement(_KEYS.where(api_keys.c.public_key == param("public_key")))
_KEY_SECRET = Statement(
    select(
        api_keys.c.id,
        api_keys.c.secret_hash,
        users.c.id,
        users.c.username,
        users.c.role,
        api_keys.c.last_used_at,
        api_keys.c.project_id,
    )
    .join(users, users.c.id == api_keys.c.user_id)
    .where(api_keys.c.public_key == param("public_key"), api_keys.c.revoked_at.is_(None), ALIVE),
    brief=True,
    shared=True,
)
_ADD_KEY = Statement(
    inserting(
        api_keys,
        [
            "public_key",
            "secret_hash",
            "name",
            "user_id",
            "created_at",
            "project_id",
            "created_by",
            "made_by_key",
        ],
    ).returning(api_keys.c.id)
)
_REVOKE_KEY = Statement(
    update(api_keys)
    .where(api_keys.c.id == param("id"), api_keys.c.revoked_at.is_(None))
    .values(revoked_at=param("now"))
)
_KEYS_MADE_BY = Statement(
    select(api_keys.c.id).where(api_keys.c.made_by_key == param("key_id")).order_by(api_keys.c.id)
)
_MADE = (
    Statement(
        select(literal("key"), api_keys.c.id, api_keys.c.name, api_keys.c.user_id, api_keys.c.project_id)
        .where(api_keys.c.made_by_key == param("key_id"), api_keys.c.revoked_at.is_(None))
        .order_by(api_keys.c.id)
    ),
    Statement(
        select(literal("token"), tokens.c.id, tokens.c.name, tokens.c.user_id)
        .where(tokens.c.made_by_key == param("key_id"), tokens.c.revoked_at.is_(None))
        .order_by(tokens.c.id)
    ),
    Statement(
        select(literal("enrolment"), enrolments.c.id, enrolments.c.pool, null())
        .where(
            enrolments.c.made_by_key == param("key_id"),
            enrolments.c.used_at.is_(None),
            enrolments.c.expires_at > param("now"),
        )
        .order_by(enrolments.c.id)
    ),
    Statement(
        select(literal("agent"), agents.c.id, agents.c.name, null())
        .join(enrolments, enrolments.c.agent_id == agents.c.id)
        .where(enrolments.c.made_by_key == param("key_id"), agents.c.state != literal("revoked"))
        .order_by(agents.c.name)
    ),
)
_REVOKE_MADE = {
    "enrolment": Statement(
        update(enrolments)
        .where(enrolments.c.id == param("id"), enrolments.c.used_at.is_(None))
        .values(expires_at=param("now"))
    ),
    "agent": Statement(
        update(agents)
        .where(agents.c.id == param("id"), agents.c.state != literal("revoked"))
        .values(state=literal("revoked"))
    ),
}
_NOTE_KEY = Statement(update(api_keys).where(api_keys.c.id == param("id")).values(last_used_at=param("now")))


def _made(kind: str, id_: object, name: str, user_id: int | None, project_id: int | None = None) -> Made:
    return Made(kind, str(id_), name, user_id, project_id)


class SqlKeys(SqlTokens):
    """API keys on any Database, and the tokens that were made with them."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def key_secret(self, public_key: str) -> KeySecret | None:
        return await self._db.one(KeySecret, _KEY_SECRET, {"public_key": public_key})

    async def keys(self, user_id: int | None) -> list[ApiKey]:
        if user_id is None:
            return await self._db.all(ApiKey, _ALL_KEYS)
        return await self._db.all(ApiKey, _KEYS_OF, {"user_id": user_id})

    async def key(self, key_id: int) -> ApiKey | None:
        return await self._db.one(ApiKey, _KEY_BY_ID, {"id": key_id})

    async def key_by_public(self, public_key: str) -> ApiKey | None:
        return await self._db.one(ApiKey, _KEY_BY_PUBLIC, {"public_key": public_key})

    async def add_key(
        self,
        *,
        public_key: str,
        secret_hash: str,
        name: str,
        user_id: int,
        now: float,
        project_id: int | None = None,
        created_by: str = "",
        made_by_key: int | None = None,
    ) -> ApiKey:
        values: dict[str, Any] = {"public_key": public_key, "secret_hash": secret_hash, "name": name}
        values |= {"user_id": user_id, "project_id": project_id}
        values |= {"created_by": created_by, "made_by_key": made_by_key}
        async with self._db.transaction() as transaction:
            key_id = await transaction.value(_ADD_KEY, values | {"created_at": now})
            added = await transaction.one(ApiKey, _KEY_BY_ID, {"id": key_id})
        assert added is not None
        return added

    async def revoke_key(self, key_id: int, now: float) -> bool:
        return await self._db.run(_REVOKE_KEY, {"id": key_id, "now": now}) > 0

    async def made_by_key(self, key_id: int, now: float) -> list[Made]:
        found: list[Made] = []
        for statement in _MADE:
            found += await self._db.all(_made, statement, {"key_id": key_id, "now": now})
        return found

    async def key_ids_made_by(self, key_id: int) -> list[int]:
        return await self._db.all(int, _KEYS_MADE_BY, {"key_id": key_id})

    async def revoke_made(self, made: Made, now: float) -> bool:
        match made.kind:
            case "key":
                return await self.revoke_key(int(made.id), now)
            case "token":
                return await self.revoke_token(int(made.id), now)
            case "agent":
                return await self._db.run(_REVOKE_MADE["agent"], {"id": made.id}) > 0
            case _:
                return await self._db.run(_REVOKE_MADE[made.kind], {"id": int(made.id), "now": now}) > 0

    async def note_key_use(self, key_id: int, now: float) -> None:
        await self._db.run(_NOTE_KEY, {"id": key_id, "now": now})
