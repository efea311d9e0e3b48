"""What is set up once and looked after: agents, targets and the kill switch, SIP accounts, keys, members, the
audit log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from litestar import Response, get, post

from callwright.control.accounts.model import Right, Role
from callwright.control.api.tests.enrolment import agents_changed
from callwright.control.errors import DomainError, Invalid
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go

_AUDIT_PAGE = 100
_CREDENTIAL_FIELDS = ("user", "password", "auth_user", "domain", "display_name", "proxy", "transport")


def _kept(fields: Mapping[str, str] | None) -> Mapping[str, str]:
    """What was typed into a form that was refused, to stand there again; never a password."""
    return defaultdict(str, {name: text for name, text in (fields or {}).items() if name != "password"})


def routes(pages: Pages) -> list[Any]:
    return [*_agents(pages), *_targets(pages), *_credentials(pages), *_keys(pages), *_members(pages)]


# -- agents --------------------------------------------------------------------------------------------------


def _agents(pages: Pages) -> list[Any]:
    servers = pages.services.servers

    async def shown(request: WebRequest, visitor: Visitor, **more: Any) -> Response[bytes]:
        context = {
            "agents": await servers.list(),
            "pools": [pool.name for pool in await servers.pools()] or ["default"],
            "platform_url": pages.base_url(request),
            "enrolment": None,
            "pool": "default",
            "refusal": None,
            **more,
        }
        status = 422 if context["refusal"] else 200
        return await pages.page(request, visitor, "agents.html", "Agents", status=status, **context)

    @get("/agents")
    async def agents(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/agents/enrol", status_code=200)
    async def enrol(request: WebRequest) -> Response[bytes]:
        """The token is on the page that answers, and never again."""
        visitor = await pages.visitor(request)
        pool = (await pages.form(request, visitor)).get("pool", "").strip() or "default"
        try:
            token, _ = await servers.create_enrolment(visitor.identity, pool)
        except Invalid as error:
            return await shown(request, visitor, refusal=error)
        await pages.services.accounts.audit(visitor.identity, "agent.enrolment", f"pool {pool}")
        return await shown(request, visitor, enrolment=token, pool=pool)

    @post("/agents/{agent_id:str}/{change:str}", status_code=303)
    async def change(request: WebRequest, agent_id: str, change: str) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        acts = {"drain": servers.drain, "resume": servers.resume, "revoke": servers.revoke}
        if change not in acts:
            raise Invalid(f"{change[:40]!r} is nothing that can be done to an agent.")
        agent = await acts[change](visitor.identity, agent_id)
        broker = pages.services.broker
        await agents_changed(broker, agent, revoked=change == "revoke")
        await pages.services.accounts.audit(visitor.identity, f"agent.{change}", f"agent {agent.name}")
        return go("/agents", {"drain": "draining", "revoke": "revoked"}.get(change, "changed"))

    return [agents, enrol, change]


# -- targets and the kill switch -----------------------------------------------------------------------------


def _targets(pages: Pages) -> list[Any]:
    runs = pages.services.runs

    async def shown(
        request: WebRequest, visitor: Visitor, fields: dict[str, str] | None = None, refusal: Any = None
    ) -> Response[bytes]:
        return await pages.page(
            request,
            visitor,
            "targets.html",
            "Targets",
            status=422 if refusal else 200,
            targets=await runs.targets(),
            switch=await runs.kill_switch(),
            embedded=runs.settings.embedded,
            fields=_kept(fields),
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
            await runs.add_target(
                visitor.identity,
                host=fields.get("host", "").strip() or None,
                network=fields.get("network", "").strip() or None,
                number=fields.get("number", "").strip() or None,
                rate=_number(fields, "rate"),
                concurrency=_whole(fields, "concurrency"),
                minutes=_number(fields, "minutes"),
                note=fields.get("note", "").strip()[:500],
            )
        except Invalid as error:
            return await shown(request, visitor, fields, error)
        return go("/targets", "added")

    @post("/targets/{target_id:int}/remove", status_code=303)
    async def remove(request: WebRequest, target_id: int) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await runs.remove_target(visitor.identity, target_id)
        return go("/targets", "removed")

    @post("/kill", status_code=303)
    async def kill(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        await runs.kill(visitor.identity, fields.get("reason", "").strip()[:500])
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
    accounts = pages.services.accounts

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
            credentials=await accounts.credentials(),
            fields=_kept(fields),
            refusal=refusal,
        )

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
            await accounts.put_credential(
                visitor.identity, fields.get("name", "").strip(), given, replace=replace
            )
        except DomainError as error:
            return await shown(request, visitor, fields, error)
        return go("/credentials", "changed" if replace else "added")

    @post("/credentials/delete", status_code=303)
    async def delete(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        await accounts.delete_credential(visitor.identity, fields.get("name", ""))
        return go("/credentials", "removed")

    return [credentials, put, delete]


# -- API keys ------------------------------------------------------------------------------------------------


def _keys(pages: Pages) -> list[Any]:
    accounts = pages.services.accounts

    async def shown(request: WebRequest, visitor: Visitor, **more: Any) -> Response[bytes]:
        everybody = visitor.can(Right.ADMINISTER)
        context = {
            "keys": await accounts.list_keys(visitor.identity, of_everybody=everybody),
            "everybody": everybody,
            "made": None,
            "refusal": None,
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
        try:
            made = await accounts.create_key(fields.get("name", ""), user, identity=visitor.identity)
        except Invalid as error:
            return await shown(request, visitor, refusal=error)
        return await shown(request, visitor, made=made)

    @post("/keys/{key_id:int}/revoke", status_code=303)
    async def revoke(request: WebRequest, key_id: int) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        await accounts.revoke_key(visitor.identity, key_id)
        return go("/keys", "revoked")

    return [keys, create, revoke]


# -- members and the audit log -------------------------------------------------------------------------------


def _members(pages: Pages) -> list[Any]:
    accounts = pages.services.accounts

    async def shown(
        request: WebRequest, visitor: Visitor, fields: dict[str, str] | None = None, refusal: Any = None
    ) -> Response[bytes]:
        visitor.need(Right.ADMINISTER)
        return await pages.page(
            request,
            visitor,
            "members.html",
            "Members",
            status=422 if refusal else 200,
            members=[user for user in await accounts.users() if user.deleted_at is None],
            roles=[(role.value, role.value.capitalize()) for role in Role],
            fields=_kept(fields),
            refusal=refusal,
        )

    @get("/members")
    async def members(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/members", status_code=303)
    async def create(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        email = fields.get("email", "").strip()
        try:
            await accounts.create_user(
                visitor.identity,
                username=fields.get("username", "").strip() or email,
                email=email,
                name=fields.get("name", "").strip(),
                password=fields.get("password", ""),
                role=fields.get("role", Role.MEMBER),
            )
        except DomainError as error:
            return await shown(request, visitor, fields, error)
        return go("/members", "added")

    @post("/members/{user_id:int}/{change:str}", status_code=303)
    async def change(request: WebRequest, user_id: int, change: str) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            match change:
                case "role":
                    await accounts.change_user(visitor.identity, user_id, role=fields.get("role", ""))
                case "password":
                    await accounts.set_password(visitor.identity, user_id, fields.get("password", ""))
                case "delete":
                    await accounts.delete_user(visitor.identity, user_id)
                case _:
                    raise Invalid(f"{change[:40]!r} is nothing that can be done to a member.")
        except DomainError as error:
            return await shown(request, visitor, None, error)
        return go("/members", "removed" if change == "delete" else "changed")

    @get("/audit")
    async def audit(request: WebRequest) -> Response[bytes]:
        visitor = await pages.visitor(request)
        visitor.need(Right.ADMINISTER)
        q, after = request.query_params.get("q", "").strip()[:200], request.query_params.get("after", "")
        before = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else None
        found = await accounts.audit_log(
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
            entries=rows,
            newer=f"/audit?{urlencode(used)}" if before is not None else None,
            older=f"/audit?{more}" if more else None,
        )

    return [members, create, change, audit]
