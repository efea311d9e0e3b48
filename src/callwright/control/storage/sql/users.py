"""Users and what each may do in which project."""

from __future__ import annotations

from sqlalchemy import Table, func, literal, or_, select, update

from callwright.control.accounts.model import Role, User, UserSecret
from callwright.control.storage.sql.columns import (
    id_column,
    metadata,
    text_column,
    time_column,
    unique_where,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import columns, inserting, values_of

users = Table(
    "users",
    metadata,
    id_column(),
    text_column("username"),
    text_column("name"),
    text_column("email"),
    text_column("role"),
    text_column("category"),
    text_column("time_zone"),
    text_column("password_hash"),
    time_column("created_at"),
    time_column("last_login_at", nullable=True),
    time_column("deleted_at", nullable=True),
)
unique_where("uq_users_username", "deleted_at IS NULL", users.c.username)
unique_where("uq_users_email", "deleted_at IS NULL AND email <> ''", users.c.email)

ALIVE = users.c.deleted_at.is_(None)
_USER = columns(users, User)
_USERS = Statement(select(*_USER).where(ALIVE).order_by(users.c.id))
_ALL_USERS = Statement(select(*_USER).order_by(users.c.id))
_USER_BY_ID = Statement(select(*_USER).where(ALIVE, users.c.id == param("id")))
_USER_BY_NAME = Statement(select(*_USER).where(ALIVE, users.c.username == param("username")))
_USER_SECRET = Statement(
    select(*columns(users, UserSecret))
    .where(
        ALIVE,
        or_(
            func.lower(users.c.username) == param("name", users.c.username.type),
            func.lower(users.c.email) == param("name", users.c.username.type),
        ),
    )
    .order_by(users.c.id)
    .limit(literal(1))
)
_USER_FIELDS = [name for name in User.__struct_fields__ if name != "id"]
_ADD_USER = Statement(inserting(users, [*_USER_FIELDS, "password_hash"]).returning(*_USER))
_REPLACE_USER = Statement(
    update(users)
    .where(ALIVE, users.c.id == param("id"))
    .values({name: param(name) for name in _USER_FIELDS})
    .returning(*_USER)
)
_RESTORE_USER = Statement(
    update(users).where(users.c.id == param("id")).values(deleted_at=None).returning(*_USER)
)
_SET_PASSWORD = Statement(
    update(users).where(ALIVE, users.c.id == param("id")).values(password_hash=param("password_hash"))
)
_NOTE_LOGIN = Statement(update(users).where(users.c.id == param("id")).values(last_login_at=param("now")))
#: Locked in one order. Sessions and keys may be made meanwhile, so their references are not held up.
_RESERVE_ADMINS = Statement(
    select(users.c.id)
    .where(ALIVE, users.c.role == Role.ADMIN.value)
    .order_by(users.c.id)
    .with_for_update(key_share=True)
)


class SqlUsers:
    """Users on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def users(self, *, deleted: bool = False) -> list[User]:
        return await self._db.all(User, _ALL_USERS if deleted else _USERS)

    async def user(self, user_id: int) -> User | None:
        return await self._db.one(User, _USER_BY_ID, {"id": user_id})

    async def user_by_name(self, username: str) -> User | None:
        return await self._db.one(User, _USER_BY_NAME, {"username": username})

    async def user_secret(self, name: str) -> UserSecret | None:
        return await self._db.one(UserSecret, _USER_SECRET, {"name": name.lower()})

    async def add_user(self, user: User, password_hash: str) -> User:
        (added,) = await self._db.changed(User, _ADD_USER, values_of(user) | {"password_hash": password_hash})
        return added

    async def replace_user(self, user: User) -> User | None:
        rows = await self._db.changed(User, _REPLACE_USER, values_of(user))
        return rows[0] if rows else None

    async def restore_user(self, user_id: int) -> User | None:
        rows = await self._db.changed(User, _RESTORE_USER, {"id": user_id})
        return rows[0] if rows else None

    async def set_password(self, user_id: int, password_hash: str) -> bool:
        return await self._db.run(_SET_PASSWORD, {"id": user_id, "password_hash": password_hash}) > 0

    async def note_login(self, user_id: int, now: float) -> None:
        await self._db.run(_NOTE_LOGIN, {"id": user_id, "now": now})

    async def reserve_admins(self) -> list[int]:
        return await self._db.all(int, _RESERVE_ADMINS)
