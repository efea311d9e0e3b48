"""Projects and their limits."""

from __future__ import annotations

from sqlalchemy import Column, Table, UniqueConstraint, select, update

from callwright.control.projects.model import Project
from callwright.control.storage.sql.columns import Number, id_column, metadata, text_column, time_column
from callwright.control.storage.sql.database import Database, Statement, param
from callwright.control.storage.sql.writing import as_is, columns, inserting

projects = Table(
    "projects",
    metadata,
    id_column(),
    text_column("name"),
    text_column("description"),
    time_column("created_at"),
    Column("max_running", Number, nullable=True),
    Column("max_queued", Number, nullable=True),
    Column("keep_runs_days", Number, nullable=True),
    UniqueConstraint("name"),
)


_PROJECT = columns(projects, Project)
_PROJECTS = Statement(select(*_PROJECT).order_by(projects.c.id))
_PROJECT_BY_NAME = Statement(select(*_PROJECT).where(projects.c.name == param("name")))
_ADD_PROJECT = Statement(inserting(projects, ["name", "description", "created_at"]).returning(*_PROJECT))
_LIMIT_PROJECT = Statement(
    update(projects)
    .where(projects.c.id == param("id"))
    .values({name: param(name) for name in ("max_running", "max_queued", "keep_runs_days")})
    .returning(*_PROJECT)
)
_RUNNING_LIMITS = Statement(
    select(projects.c.id, projects.c.max_running).where(projects.c.max_running.is_not(None))
)
_RESERVE_QUEUE = Statement(
    select(projects.c.max_queued)
    .where(projects.c.id == param("id"), projects.c.max_queued.is_not(None))
    .with_for_update()
)
_RESERVE_RUNNING = Statement(
    select(projects.c.max_running)
    .where(projects.c.id == param("id"), projects.c.max_running.is_not(None))
    .with_for_update()
)


class SqlProjects:
    """Projects on any Database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def projects(self) -> list[Project]:
        return await self._db.all(Project, _PROJECTS)

    async def project(self, name: str) -> Project | None:
        return await self._db.one(Project, _PROJECT_BY_NAME, {"name": name})

    async def add_project(self, name: str, description: str, now: float) -> Project:
        values = {"name": name, "description": description, "created_at": now}
        (added,) = await self._db.changed(Project, _ADD_PROJECT, values)
        return added

    async def limit_project(
        self,
        project_id: int,
        max_running: int | None,
        max_queued: int | None,
        keep_runs_days: int | None,
    ) -> Project | None:
        values = {"id": project_id, "max_running": max_running, "max_queued": max_queued}
        values["keep_runs_days"] = keep_runs_days
        found = await self._db.changed(Project, _LIMIT_PROJECT, values)
        return found[0] if found else None

    async def running_limits(self) -> dict[int, int]:
        return dict(await self._db.all(as_is, _RUNNING_LIMITS))

    async def reserve_queue(self, project_id: int) -> int | None:
        found = await self._db.value(_RESERVE_QUEUE, {"id": project_id})
        return None if found is None else int(found)

    async def reserve_running(self, project_id: int) -> int | None:
        found = await self._db.value(_RESERVE_RUNNING, {"id": project_id})
        return None if found is None else int(found)
