"""What is set up once and looked after: agents, targets and the kill switch, SIP accounts, keys. Members and
the audit log are in web/members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control import killing
from callwright.control.accounts.model import Right, among
from callwright.control.agents.telling import agents_changed
from callwright.control.errors import Conflict, DomainError, Invalid, NotFound, TooManyGuesses
from callwright.control.web import aims, members
from callwright.control.web.account import confirm_password
from callwright.control.web.members import kept
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

#: After how many idle seconds a token dies, as the page offers it.
_EXPIRIES = (
    ("0", "never"),
    ("86400", "after a day without use"),
    ("604800", "after a week without use"),
    ("2592000", "after 30 days without use"),
)
_CREDENTIAL_FIELDS = ("user", "password", "auth_user", "domain", "display_name", "proxy", "transport")


async def _projects(pages: Pages, visitor: Visitor, right: Right) -> list[str]:
    """Names of those where the visitor has the right."""
    found = await pages.services.projects.list(visitor.identity)
    return [project.name for project in found if visitor.can_in(right, project.id)]


def routes(pages: Pages) -> list[Any]:
    return [*_agents(pages), *_targets(pages), *_credentials(pages), *_keys(pages), *members.routes(pages)]


# -- agents --------------------------------------------------------------------------------------------------


def _agents(pages: Pages) -> list[Any]:
    agents = pages.services.agents

    async def shown(request: WebRequest, visitor: Visitor, **more: Any) -> Response[bytes]:
        pools = await agents.pools_seen(visitor.identity)
        projects = await pages.services.projects.list(visitor.identity)
        context = {
            "agents": await agents.agents_seen(visitor.identity),
            "pools": [pool.name for pool in pools] or ["default"],
            "given": [(pool.name, pool.project_id or 0) for pool in pools],
            "projects": [(0, "all projects"), *((one.id, one.name) for one in projects)],
            "platform_url": pages.base_url(request),
            "enrolment": None,
            "pool": "default",
            "refusal": None,
            **more,
        }
        status = 422 if context["refusal"] else 200
        return await pages.page(request, visitor, "agents.html", "Agents", status=status, **context)

    @get("/agents")
    async def listed(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/agents/enrol", status_code=200)
    async def enrol(request: WebRequest) -> Response[bytes]:
        """The token is on the page that answers, and never again."""
        visitor = await pages.visitor(request)
        pool = (await pages.form(request, visitor)).get("pool", "").strip() or "default"
        try:
            token, _ = await agents.create_enrolment(visitor.identity, pool)
        except Invalid as error:
            return await shown(request, visitor, refusal=error)
        return await shown(request, visitor, enrolment=token, pool=pool)

    @post("/agents/pools", status_code=303)
    async def give(request: WebRequest) -> Response[Any]:
        """A pool to a project, or with 0 to all."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        projects = await pages.services.projects.list(visitor.identity)
        wanted = fields.get("project", "0")
        project = next((one for one in projects if str(one.id) == wanted), None)
        if project is None and wanted != "0":
            raise NotFound("project", wanted)
        await agents.give_pool(visitor.identity, fields.get("pool", ""), project)
        return go("/agents", "changed")

    @post("/agents/{agent_id:str}/{change:str}", status_code=303)
    async def change(request: WebRequest, agent_id: FromPath[str], change: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        acts = {"drain": agents.drain, "resume": agents.resume, "revoke": agents.revoke}
        if change not in acts:
            raise Invalid(f"{change[:40]!r} is nothing that can be done to an agent.")
        agent = await acts[change](visitor.identity, agent_id)
        broker = pages.services.broker
        await agents_changed(broker, agent, revoked=change == "revoke")
        return go("/agents", {"drain": "draining", "revoke": "revoked"}.get(change, "changed"))

    return [listed, enrol, give, change]


# -- targets and the kill switch -----------------------------------------------------------------------------


def _targets(pages: Pages) -> list[Any]:
    runs = pages.services.runs

    async def shown(
        request: WebRequest, visitor: Visitor, fields: dict[str, str] | None = None, refusal: Any = None
    ) -> Response[bytes]:
        standing = await killing.standing(pages.services)
        rows = await pages.services.targets.list()
        tests = await pages.services.tests.list(visitor.identity, limit=2_000)
        return await pages.page(
            request,
            visitor,
            "targets.html",
            "Targets",
            status=422 if refusal else 200,
            targets=rows,
            used=aims.used_by(tests, rows, embedded=runs.settings.embedded),
            switch=standing.switch,
            standing=standing,
            embedded=runs.settings.embedded,
            fields=kept(fields),
            refusal=refusal,
        )

    @get("/targets")
    async def targets(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/targets", status_code=303)
    async def add(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            await pages.services.targets.add(
                visitor.identity,
                host=fields.get("host", "").strip() or None,
                network=fields.get("network", "").strip() or None,
                number=fields.get("number", "").strip() or None,
                country=fields.get("country", "").strip() or None,
                rate=_number(fields, "rate"),
                concurrency=_whole(fields, "concurrency"),
                minutes=_number(fields, "minutes"),
                note=fields.get("note", "").strip()[:500],
            )
        except Invalid as error:
            return await shown(request, visitor, fields, error)
        return go("/targets", "added")

    @post("/targets/{target_id:int}/remove", status_code=303)
    async def remove(request: WebRequest, target_id: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await pages.services.targets.remove(visitor.identity, target_id)
        return go("/targets", "removed")

    @post("/kill", status_code=303)
    async def kill(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        await killing.engage(pages.services, visitor.identity, fields.get("reason", "").strip()[:500])
        return go("/targets", "killed")

    @post("/kill/release", status_code=303)
    async def release(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await runs.release_kill_switch(visitor.identity)
        return go("/targets", "released")

    return [targets, add, remove, kill, release]


def _number(fields: dict[str, str], name: str) -> float | None:
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise Invalid(f"{text[:40]!r} is no {name}: write a number above 0.", field=name)
    return value


def _whole(fields: dict[str, str], name: str) -> int | None:
    value = _number(fields, name)
    if value is not None and value != int(value):
        raise Invalid(f"{value:g} is no {name}: write a whole number.", field=name)
    return None if value is None else int(value)


# -- SIP accounts --------------------------------------------------------------------------------------------


def _credentials(pages: Pages) -> list[Any]:

    async def shown(
        request: WebRequest, visitor: Visitor, fields: dict[str, str] | None = None, refusal: Any = None
    ) -> Response[bytes]:
        visitor.need(Right.CREDENTIALS)
        return await pages.page(
            request,
            visitor,
            "credentials.html",
            "SIP accounts",
            status=422 if refusal else 200,
            credentials=await pages.services.credentials.list(visitor.identity),
            projects=await _projects(pages, visitor, Right.CREDENTIALS),
            for_all=visitor.identity.project_ids is None,
            may_change=lambda row: may_change(visitor, row.project_id),
            fields=kept(fields),
            refusal=refusal,
        )

    def may_change(visitor: Visitor, project_id: int | None) -> bool:
        if project_id is None:
            return visitor.identity.project_ids is None
        return visitor.can_in(Right.CREDENTIALS, project_id)

    async def chosen(visitor: Visitor, fields: Mapping[str, str]) -> int | None:
        name = fields.get("project", "").strip()
        if name:
            return (await pages.services.projects.get(visitor.identity, name)).id
        return pages.services.credentials.own_project(visitor.identity)

    @get("/credentials")
    async def credentials(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/credentials", status_code=303)
    async def put(request: WebRequest) -> Response[Any]:
        """A new account, or with ``replace`` a changed one, whose password stays when none is given."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        replace = fields.get("replace") == "1"
        given = {name: fields.get(name, "").strip() for name in _CREDENTIAL_FIELDS if fields.get(name)}
        try:
            await pages.services.credentials.put(
                visitor.identity,
                fields.get("name", "").strip(),
                given,
                replace=replace,
                project_id=await chosen(visitor, fields),
            )
        except DomainError as error:
            return await shown(request, visitor, fields, error)
        return go("/credentials", "changed" if replace else "added")

    @post("/credentials/delete", status_code=303)
    async def delete(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        await pages.services.credentials.delete(
            visitor.identity, fields.get("name", ""), await chosen(visitor, fields)
        )
        return go("/credentials", "removed")

    return [credentials, put, delete]


# -- API keys ------------------------------------------------------------------------------------------------


def _keys(pages: Pages) -> list[Any]:
    accounts = pages.services.accounts

    async def shown(request: WebRequest, visitor: Visitor, **more: Any) -> Response[bytes]:
        everybody = visitor.can(Right.ADMINISTER)
        context = {
            "keys": await pages.services.keys.list(visitor.identity, of_everybody=everybody),
            "everybody": everybody,
            "tokens": await pages.services.keys.tokens(visitor.identity),
            "expiries": _EXPIRIES,
            "made": None,
            "shown_token": None,
            "offered": None,
            "refusal": None,
            "project_choices": [(name, name) for name in await _projects(pages, visitor, Right.READ)],
            "platform_url": pages.base_url(request),
            **more,
        }
        status = 422 if context["refusal"] else 200
        return await pages.page(request, visitor, "keys.html", "API keys", status=status, **context)

    @get("/keys")
    async def keys(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/keys", status_code=200)
    async def create(request: WebRequest) -> Response[bytes]:
        """The secret is on the page that answers, and never again."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        user = await accounts.user(visitor.identity.user_id)
        name = fields.get("project", "").strip()
        try:
            project = await pages.services.projects.get(visitor.identity, name) if name else None
            made = await pages.services.keys.create(
                fields.get("name", ""), user, identity=visitor.identity, project=project
            )
        except (Invalid, NotFound) as error:
            return await shown(request, visitor, refusal=error)
        return await shown(request, visitor, made=made)

    @post("/keys/{key_id:int}/revoke", status_code=303)
    async def revoke(request: WebRequest, key_id: FromPath[int]) -> Response[Any]:
        """Where the key made others, the page that answers offers to revoke them too."""
        visitor = await pages.visitor(request)
        with_made = (await pages.form(request, visitor)).get("made") == "1"
        also = await pages.services.keys.revoke(visitor.identity, key_id, with_made=with_made)
        for one in also:
            if one.kind == "agent":
                agent = await pages.services.agents.get(one.id)
                await agents_changed(pages.services.broker, agent, revoked=True)
        left = await pages.services.keys.made_by(visitor.identity, key_id)
        if left:
            return await shown(request, visitor, offered=(key_id, left))
        return go("/keys", "revoked")

    @post("/keys/tokens", status_code=200)
    async def add_token(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        expiry = fields.get("expiry", "0")
        try:
            among(expiry, [seconds for seconds, _ in _EXPIRIES], "expiry")
            secret, row = await pages.services.keys.create_token(
                visitor.identity, fields.get("name", ""), float(expiry)
            )
        except DomainError as error:
            return await shown(request, visitor, refusal=error)
        return await shown(request, visitor, shown_token=(row.name, secret))

    @post("/keys/tokens/{token_id:int}/reveal", status_code=200)
    async def reveal(request: WebRequest, token_id: FromPath[int]) -> Response[bytes]:
        """The token is on the page that answers, once its owner's password is right."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            await confirm_password(pages, request, visitor, fields.get("password", ""))
            secret = await pages.services.keys.reveal_token(visitor.identity, token_id)
        except (Conflict, Invalid, TooManyGuesses) as error:
            return await shown(request, visitor, refusal=error)
        name = next(
            one.name for one in await pages.services.keys.tokens(visitor.identity) if one.id == token_id
        )
        return await shown(request, visitor, shown_token=(name, secret))

    @post("/keys/tokens/{token_id:int}/delete", status_code=303)
    async def delete_token(request: WebRequest, token_id: FromPath[int]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await pages.services.keys.revoke_token(visitor.identity, token_id)
        return go("/keys", "removed")

    return [keys, create, revoke, add_token, reveal, delete_token]
