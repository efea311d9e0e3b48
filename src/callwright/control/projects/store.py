"""What projects need of a database."""

from __future__ import annotations

from typing import Protocol

from callwright.control.projects.model import Membership, Project

__all__ = ["ProjectStore"]


class ProjectStore(Protocol):
    async def projects(self) -> list[Project]: ...
    async def project(self, name: str) -> Project | None: ...
    async def add_project(self, name: str, description: str, now: float) -> Project: ...
    async def limit_project(
        self,
        project_id: int,
        max_running: int | None,
        max_queued: int | None,
        keep_runs_days: int | None,
    ) -> Project | None: ...

    async def memberships(
        self, *, user_id: int | None = None, project_id: int | None = None
    ) -> list[Membership]:
        """Of living users: of one, in one project, or all; by project, then by name."""
        ...

    async def put_member(self, user_id: int, project_id: int, role: str, now: float) -> None: ...
    async def remove_member(self, user_id: int, project_id: int) -> bool: ...
