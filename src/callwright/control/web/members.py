"""Who may: members, projects and who is in them, and the log of who did what."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right, Role
from callwright.control.errors import DomainError, Invalid
from callwright.control.web import audit_words
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

_AUDIT_PAGE = 100
#: What somebody may be in a project.
ROLES = [(role.value, role.value.capitalize()) for role in Role if role is not Role.ADMIN]


def kept(fields: Mapping[str, str] | None) -> Mapping[str, str]:
    """What was typed into a form that was refused, to stand there again; never a password."""
    return defaultdict(str, {name: text for name, text in (fields or {}).items() if name != "password"})


def routes(pages: Pages) -> list[Any]:
    return [*_members(pages), *_projects(pages), *_audit(pages)]


def _members(pages: Pages) -> list[Any]:
    services, accounts = pages.services, pages.services.accounts

    async def shown(
        request: WebRequest, visitor: Visitor, fields: dict[str, str] | None = None, refusal: Any = None
    ) -> Response[bytes]:
        visitor.need(Right.ADMINISTER)
        names = [project.name for project in await services.projects.list(visitor.identity)]
        belongs = defaultdict(list)
        for one in await pages.services.projects.members(visitor.identity):
            belongs[one.user_id].append(one)
        return await pages.page(
            request,
            visitor,
            "members.html",
            "Members",
            status=422 if refusal else 200,
            members=[user for user in await accounts.users() if user.deleted_at is None],
            belongs=belongs,
            project_choices=[("", "none yet"), *((name, name) for name in names)],
            projects=names,
            roles=[(role.value, role.value.capitalize()) for role in Role],
            roles_there=ROLES,
            by_code=await services.second_factors.users_with_one(visitor.identity),
            fields=kept(fields),
            refusal=refusal,
        )

    @get("/members")
    async def members(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/members", status_code=303)
    async def create(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        email, role = fields.get("email", "").strip(), fields.get("role", Role.MEMBER)
        try:
            wanted = fields.get("project", "").strip()
            project = await services.projects.get(visitor.identity, wanted) if wanted else None
            user = await accounts.create_user(
                visitor.identity,
                username=fields.get("username", "").strip() or email,
                email=email,
                name=fields.get("name", "").strip(),
                password=fields.get("password", ""),
                role=role,
            )
            if project is not None and role != Role.ADMIN:
                await pages.services.projects.put_member(visitor.identity, user, project, role)
        except DomainError as error:
            return await shown(request, visitor, fields, error)
        return go("/members", "added")

    @post("/members/{user_id:int}/{change:str}", status_code=303)
    async def change(request: WebRequest, user_id: FromPath[int], change: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            match change:
                case "role":
                    await accounts.change_user(visitor.identity, user_id, role=fields.get("role", ""))
                case "password":
                    await accounts.set_password(visitor.identity, user_id, fields.get("password", ""))
                case "no-2fa":
                    user = await accounts.user(user_id)
                    await services.second_factors.remove(visitor.identity, user)
                case "delete":
                    await accounts.delete_user(visitor.identity, user_id)
                case _:
                    raise Invalid(f"{change[:40]!r} is nothing that can be done to a member.")
        except DomainError as error:
            return await shown(request, visitor, None, error)
        return go("/members", "removed" if change == "delete" else "changed")

    return [members, create, change]


def _projects(pages: Pages) -> list[Any]:
    services, accounts = pages.services, pages.services.accounts

    async def shown(
        request: WebRequest, visitor: Visitor, fields: dict[str, str] | None = None, refusal: Any = None
    ) -> Response[bytes]:
        identity = visitor.identity
        projects = await services.projects.list(identity)
        inside = {one.id: await pages.services.projects.members(identity, project=one) for one in projects}
        everybody = await accounts.users() if visitor.can(Right.ADMINISTER) else []
        outside = {
            one.id: [
                user.username
                for user in everybody
                if user.role != Role.ADMIN and user.id not in {m.user_id for m in inside[one.id]}
            ]
            for one in projects
        }
        tests = await services.tests.list(identity, limit=5_000)
        return await pages.page(
            request,
            visitor,
            "projects.html",
            "Projects",
            status=422 if refusal else 200,
            projects=projects,
            inside=inside,
            test_counts=Counter(test.project_id for test in tests),
            run_counts=await services.runs.counts(identity, pages.now - 7 * 86_400),
            outside=outside,
            roles=ROLES,
            mine=dict(identity.projects or ()),
            most_queued=f"{services.runs.settings.project_queue_length:,}",
            fields=kept(fields),
            refusal=refusal,
        )

    @get("/projects")
    async def projects(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/projects", status_code=303)
    async def create(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            await services.projects.create(
                visitor.identity, fields.get("name", ""), fields.get("description", "").strip()[:10_000]
            )
        except DomainError as error:
            return await shown(request, visitor, fields, error)
        return go("/projects", "added")

    @post("/projects/limits", status_code=303)
    async def limit(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            await services.projects.limit(
                visitor.identity,
                fields.get("project", ""),
                max_running=_whole(fields, "max_running"),
                max_queued=_whole(fields, "max_queued"),
                keep_runs_days=_whole(fields, "keep_runs_days"),
            )
        except DomainError as error:
            return await shown(request, visitor, None, error)
        return go("/projects", "changed")

    @post("/projects/members", status_code=303)
    async def put(request: WebRequest) -> Response[Any]:
        """Makes somebody a member, gives a member another role, or with the role `none` takes one out."""
        visitor = await pages.visitor(request)
        visitor.need(Right.ADMINISTER)
        fields = await pages.form(request, visitor)
        role = fields.get("role", "")
        try:
            project = await services.projects.get(visitor.identity, fields.get("project", ""))
            user = await accounts.user_by_name(fields.get("username", ""))
            if role == "none":
                await pages.services.projects.remove_member(visitor.identity, user, project)
            else:
                await pages.services.projects.put_member(visitor.identity, user, project, role)
        except DomainError as error:
            return await shown(request, visitor, None, error)
        return go("/projects", "left" if role == "none" else "joined")

    return [projects, create, limit, put]


def _whole(fields: Mapping[str, str], name: str) -> int | None:
    """Of a form; empty is no limit. Raises Invalid."""
    text = fields.get(name, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Invalid(f"{text[:40]!r} is not a limit: write a whole number above 0, or nothing.", field=name)
    return int(text)


def _audit(pages: Pages) -> list[Any]:

    @get("/audit")
    async def audit(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        visitor.need(Right.ADMINISTER)
        q, after = request.query_params.get("q", "").strip()[:200], request.query_params.get("after", "")
        before = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else None
        found = await pages.services.audit.log(
            visitor.identity, after=before, limit=_AUDIT_PAGE + 1, search=q or None
        )
        rows = found[:_AUDIT_PAGE]
        used = {"q": q} if q else {}
        more = urlencode({**used, "after": rows[-1].id}) if len(found) > _AUDIT_PAGE else ""
        return await pages.page(
            request,
            visitor,
            "audit.html",
            "Audit log",
            q=q,
            entries=[audit_words.shown(row) for row in rows],
            newer=f"/audit?{urlencode(used)}" if before is not None else None,
            older=f"/audit?{more}" if more else None,
        )

    return [audit]
