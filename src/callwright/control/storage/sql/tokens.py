"""Tokens of sessions and of programs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Double, Index, Table, UniqueConstraint, func, select, update

from callwright.control.accounts.model import TOKENS, Token, TokenKind, TokenOwner
from callwright.control.collections.model import Query, Rows
from callwright.control.storage.sql.collections import Binding, rows_of
from callwright.control.storage.sql.columns import (
    Id,
    id_column,
    metadata,
    reference,
    text_column,
    time_column,
    unique_where,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.users import ALIVE, users
from callwright.control.storage.sql.writing import columns, inserting

tokens = Table(
    "tokens",
    metadata,
    id_column(),
    text_column("kind"),
    text_column("name"),
    text_column("token_hash"),
    reference("user_id", "users.id"),
    Column("idle_seconds", Double(), nullable=False),
    time_column("created_at"),
    time_column("last_used_at"),
    time_column("revoked_at", nullable=True),
    Column("made_by_key", Id, nullable=True),
    text_column("sealed_token"),
    UniqueConstraint("token_hash"),
)
Index("ix_tokens_user_id", tokens.c.user_id)
unique_where("uq_tokens_name", "kind = 'api' AND revoked_at IS NULL", tokens.c.user_id, tokens.c.name)


_TOKEN = columns(tokens, Token)
_OWNER = (
    select(
        tokens.c.id,
        users.c.id,
        users.c.username,
        users.c.role,
        tokens.c.idle_seconds,
        tokens.c.last_used_at,
    )
    .join(users, users.c.id == tokens.c.user_id)
    .where(tokens.c.token_hash == param("token_hash"), tokens.c.revoked_at.is_(None), ALIVE)
)
_TOKEN_OWNER = Statement(_OWNER.where(tokens.c.kind != TokenKind.CODE.value), brief=True, shared=True)
_NONCE_OWNER = Statement(_OWNER.where(tokens.c.kind == TokenKind.CODE.value))
_TOKENS = Statement(
    select(*_TOKEN)
    .where(tokens.c.user_id == param("user_id"), tokens.c.revoked_at.is_(None), tokens.c.kind == "api")
    .order_by(tokens.c.id)
)
_HANDLE = 40  # hex digits of the hash, which say nothing of 160 random bits
_LISTED = Binding(
    TOKENS,
    tokens,
    {
        "id": tokens.c.id,
        "name": tokens.c.name,
        "token": func.substr(tokens.c.token_hash, 1, _HANDLE, type_=tokens.c.token_hash.type),
        "expiry": tokens.c.idle_seconds,
        "created_at": tokens.c.created_at,
        "last_used_at": tokens.c.last_used_at,
    },
    scope=(
        tokens.c.user_id == param("user_id"),
        tokens.c.revoked_at.is_(None),
        tokens.c.kind == TokenKind.API.value,
    ),
    decode={"expiry": int},
)
_ADD_TOKEN = Statement(
    inserting(
        tokens,
        [
            "kind",
            "name",
            "token_hash",
            "user_id",
            "idle_seconds",
            "created_at",
            "last_used_at",
            "made_by_key",
        ],
    ).returning(*_TOKEN)
)
_SEAL_TOKEN = Statement(
    update(tokens).where(tokens.c.id == param("id")).values(sealed_token=param("sealed_token"))
)
_SEALED_TOKEN = Statement(
    select(tokens.c.sealed_token).where(
        tokens.c.id == param("id"),
        tokens.c.user_id == param("user_id"),
        tokens.c.revoked_at.is_(None),
        tokens.c.kind == TokenKind.API.value,
    )
)
_TOKEN_LIVES = Statement(select(tokens.c.id).where(tokens.c.id == param("id"), tokens.c.revoked_at.is_(None)))
_REVOKE_TOKEN = Statement(
    update(tokens)
    .where(tokens.c.id == param("id"), tokens.c.revoked_at.is_(None))
    .values(revoked_at=param("now"))
)
_REVOKE_TOKENS_OF = Statement(
    update(tokens)
    .where(
        tokens.c.user_id == param("user_id"),
        tokens.c.kind == param("kind"),
        tokens.c.revoked_at.is_(None),
    )
    .values(revoked_at=param("now"))
)
_NOTE_TOKEN = Statement(update(tokens).where(tokens.c.id == param("id")).values(last_used_at=param("now")))


class SqlTokens:
    """Tokens on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def token_owner(self, token_hash: str) -> TokenOwner | None:
        return await self._db.one(TokenOwner, _TOKEN_OWNER, {"token_hash": token_hash})

    async def nonce_owner(self, token_hash: str) -> TokenOwner | None:
        return await self._db.one(TokenOwner, _NONCE_OWNER, {"token_hash": token_hash})

    async def tokens(self, user_id: int) -> list[Token]:
        return await self._db.all(Token, _TOKENS, {"user_id": user_id})

    async def token_rows(self, user_id: int, query: Query) -> Rows:
        return await rows_of(self._db, _LISTED, query, {"user_id": user_id})

    async def add_token(
        self,
        *,
        kind: str,
        name: str,
        token_hash: str,
        user_id: int,
        idle_seconds: float,
        now: float,
        made_by_key: int | None = None,
    ) -> Token:
        values: dict[str, Any] = {"kind": kind, "name": name, "token_hash": token_hash, "user_id": user_id}
        values |= {"made_by_key": made_by_key}
        values |= {"idle_seconds": idle_seconds, "created_at": now, "last_used_at": now}
        (added,) = await self._db.changed(Token, _ADD_TOKEN, values)
        return added

    async def seal_token(self, token_id: int, sealed_token: str) -> None:
        await self._db.run(_SEAL_TOKEN, {"id": token_id, "sealed_token": sealed_token})

    async def sealed_token(self, user_id: int, token_id: int) -> str | None:
        found = await self._db.value(_SEALED_TOKEN, {"id": token_id, "user_id": user_id})
        return None if found is None else str(found)

    async def token_lives(self, token_id: int) -> bool:
        return await self._db.value(_TOKEN_LIVES, {"id": token_id}) is not None

    async def revoke_token(self, token_id: int, now: float) -> bool:
        return await self._db.run(_REVOKE_TOKEN, {"id": token_id, "now": now}) > 0

    async def revoke_tokens_of(self, user_id: int, kind: str, now: float) -> None:
        await self._db.run(_REVOKE_TOKENS_OF, {"user_id": user_id, "kind": kind, "now": now})

    async def note_token_use(self, token_id: int, now: float) -> None:
        await self._db.run(_NOTE_TOKEN, {"id": token_id, "now": now})
