"""Users and what each may do in which project."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, func, literal, or_, select, update
from sqlalchemy import delete as delete_from

from callwright.control.accounts.model import Membership, Role, User, UserSecret
from callwright.control.storage.sql.columns import (
    Id,
    id_column,
    metadata,
    text_column,
    time_column,
    unique_where,
)
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.projects import projects
from callwright.control.storage.sql.writing import columns, inserting, upsert, values_of

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

members = Table(
    "members",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    text_column("role"),
    time_column("since"),
)
Index("ix_members_project_id", members.c.project_id)


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
_SET_PASSWORD = Statement(
    update(users).where(ALIVE, users.c.id == param("id")).values(password_hash=param("password_hash"))
)
_NOTE_LOGIN = Statement(update(users).where(users.c.id == param("id")).values(last_login_at=param("now")))
_COUNT_ADMINS = Statement(
    select(func.count()).select_from(users).where(ALIVE, users.c.role == Role.ADMIN.value)
)
_MEMBERSHIPS = (
    select(
        members.c.user_id,
        users.c.username,
        members.c.project_id,
        projects.c.name,
        members.c.role,
        members.c.since,
    )
    .join(users, users.c.id == members.c.user_id)
    .join(projects, projects.c.id == members.c.project_id)
    .where(ALIVE)
    .order_by(members.c.project_id, users.c.username)
)
_MEMBERSHIPS_BY = {
    (False, False): Statement(_MEMBERSHIPS),
    (True, False): Statement(
        _MEMBERSHIPS.where(members.c.user_id == param("user_id")), brief=True, shared=True
    ),
    (False, True): Statement(_MEMBERSHIPS.where(members.c.project_id == param("project_id"))),
    (True, True): Statement(
        _MEMBERSHIPS.where(members.c.user_id == param("user_id"), members.c.project_id == param("project_id"))
    ),
}
_PUT_MEMBER = upsert(
    members, ("user_id", "project_id"), ["user_id", "project_id", "role", "since"], unchanged=("since",)
)
_REMOVE_MEMBER = Statement(
    delete_from(members).where(
        members.c.user_id == param("user_id"), members.c.project_id == param("project_id")
    )
)


class SqlUsers:
    """Users and members on any Database."""

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

    async def set_password(self, user_id: int, password_hash: str) -> bool:
        return await self._db.run(_SET_PASSWORD, {"id": user_id, "password_hash": password_hash}) > 0

    async def note_login(self, user_id: int, now: float) -> None:
        await self._db.run(_NOTE_LOGIN, {"id": user_id, "now": now})

    async def count_admins(self) -> int:
        return int(await self._db.value(_COUNT_ADMINS))

    async def memberships(
        self, *, user_id: int | None = None, project_id: int | None = None
    ) -> list[Membership]:
        statement = _MEMBERSHIPS_BY[user_id is not None, project_id is not None]
        return await self._db.all(Membership, statement, {"user_id": user_id, "project_id": project_id})

    async def put_member(self, user_id: int, project_id: int, role: str, now: float) -> None:
        await self._db.run(
            _PUT_MEMBER, {"user_id": user_id, "project_id": project_id, "role": role, "since": now}
        )

    async def remove_member(self, user_id: int, project_id: int) -> bool:
        return await self._db.run(_REMOVE_MEMBER, {"user_id": user_id, "project_id": project_id}) > 0
