"""Projects, their limits, and who is in which."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import Identity, Right, Role, User, among
from callwright.control.audit.service import Audit
from callwright.control.errors import Conflict, Forbidden, Invalid, NotFound
from callwright.control.projects.model import Membership, Project, checked_name
from callwright.control.projects.store import ProjectStore
from callwright.net.clock import Clock
from callwright.scenario.source import nearest_names

__all__ = ["Projects"]

_MOST_RUNS = 1_000_000
_MOST_DAYS = 36_500


class Projects:
    def __init__(self, store: ProjectStore, *, audit: Audit, clock: Clock) -> None:
        self._store, self._audit, self._clock = store, audit, clock

    async def list(self, identity: Identity) -> Sequence[Project]:
        """Those the identity sees."""
        return [project for project in await self._store.projects() if may(identity, Right.READ, project.id)]

    async def get(self, identity: Identity, name: str) -> Project:
        """Raises NotFound, for one that is not to be seen too."""
        found = await self._store.project(name)
        if found is None or not may(identity, Right.READ, found.id):
            names = [project.name for project in await self.list(identity)]
            raise NotFound("project", name, near=nearest_names(name, names))
        return found

    async def named(self, name: str) -> Project | None:
        """Whoever may see it."""
        return await self._store.project(name)

    async def own(self, identity: Identity, name: str | None) -> Project:
        """Where something new goes: the project of that name, or the first where the identity may edit.
        Raises NotFound, Forbidden."""
        if name:
            return await self.get(identity, name)
        projects = [one for one in await self.list(identity) if may(identity, Right.EDIT, one.id)]
        if projects:
            return projects[0]
        if identity.project_ids is not None:
            raise Forbidden(
                f"{identity.username} may edit in no project.",
                "Ask an administrator to be made a member of one.",
            )
        return await self.add(identity, "default", "")

    async def create(self, identity: Identity, name: str, description: str = "") -> Project:
        """By an administrator, who says who belongs to it. Raises Conflict when there is one of this name."""
        authorize(identity, Right.ADMINISTER)
        try:
            return await self.add(identity, checked_name(name, "project"), description)
        except Conflict:
            raise Conflict(f"There is a project {name.strip()!r} already.", "Choose another name.") from None

    async def add(self, identity: Identity, name: str, description: str) -> Project:
        """Asks for no right: where a first test makes its project."""
        async with self._audit.change():
            added = await self._store.add_project(name, description, self._clock.wall())
            await self._audit.note(identity, "project.created", f"project {added.name}")
        return added

    async def limit(
        self,
        identity: Identity,
        name: str,
        *,
        max_running: int | None,
        max_queued: int | None,
        keep_runs_days: int | None = None,
    ) -> Project:
        """All at once: how many runs of the project agents carry out together, how many wait, and how long
        runs stay. None: only the platform's own limits hold. Raises NotFound, Invalid, Forbidden."""
        authorize(identity, Right.ADMINISTER)
        limits = (
            ("max_running", max_running, _MOST_RUNS),
            ("max_queued", max_queued, _MOST_RUNS),
            ("keep_runs_days", keep_runs_days, _MOST_DAYS),
        )
        for field, limit, most in limits:
            if limit is not None and not 1 <= limit <= most:
                raise Invalid(
                    f"{field} is a number from 1 to {most:,}, not {limit}.",
                    "Leave it out for no limit.",
                    field=field,
                )
        project = await self.get(identity, name)
        shown = ", ".join(f"{field} {'none' if limit is None else limit}" for field, limit, _ in limits)
        async with self._audit.change():
            changed = await self._store.limit_project(project.id, max_running, max_queued, keep_runs_days)
            if changed is None:
                raise NotFound("project", name)
            await self._audit.note(identity, "project.changed", f"project {name}", shown)
        return changed

    # -- members

    async def members(
        self, identity: Identity, *, user_id: int | None = None, project: Project | None = None
    ) -> Sequence[Membership]:
        """Of a project to whoever sees it; of a user to administrators and to the user; all to the former."""
        own = user_id == identity.user_id and project is None
        if not own and (project is None or not may(identity, Right.READ, project.id)):
            authorize(identity, Right.ADMINISTER)
        found = await self._store.memberships(
            user_id=user_id, project_id=None if project is None else project.id
        )
        return [row for row in found if may(identity, Right.READ, row.project_id)]

    async def put_member(self, identity: Identity, user: User, project: Project, role: str) -> None:
        """Makes the user a member, or gives a member another role there. Raises Invalid, Forbidden."""
        authorize(identity, Right.ADMINISTER)
        among(role, [one for one in Role if one is not Role.ADMIN], "role in a project")
        if user.role == Role.ADMIN:
            raise Invalid(f"{user.username} is an administrator and sees every project.", field="username")
        async with self._audit.change():
            await self._store.put_member(user.id, project.id, role, self._clock.wall())
            what = f"{role} of {project.name}"
            await self._audit.note(identity, "member.put", f"user {user.username}", what)

    async def remove_member(self, identity: Identity, user: User, project: Project) -> None:
        """Raises NotFound when the user is no member."""
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            if not await self._store.remove_member(user.id, project.id):
                raise NotFound(f"member of {project.name}", user.username)
            what = f"of {project.name}"
            await self._audit.note(identity, "member.removed", f"user {user.username}", what)
