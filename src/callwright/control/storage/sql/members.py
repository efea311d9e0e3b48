"""Who is in which project."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, select
from sqlalchemy import delete as delete_from

from callwright.control.projects.model import Membership
from callwright.control.storage.sql.columns import Id, metadata, text_column, time_column
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.projects import SqlProjects, projects
from callwright.control.storage.sql.users import ALIVE, users
from callwright.control.storage.sql.writing import upsert

members = Table(
    "members",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    text_column("role"),
    time_column("since"),
)
Index("ix_members_project_id", members.c.project_id)


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


class SqlMembers:
    """Members on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

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


class SqlProjectStore(SqlProjects, SqlMembers):
    """ProjectStore on any Database."""
