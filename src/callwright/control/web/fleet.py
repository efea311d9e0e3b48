"""The page of the fleet: pools, servers, what the planner decided and why, and what people do about it."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from callwright.control.accounts.model import Right
from callwright.control.agents.telling import agents_changed
from callwright.control.errors import Conflict, Invalid
from callwright.control.fleet_counts import waiting_calls
from callwright.control.web import fleet_figures as figures
from callwright.control.web.visitor import Pages, Visitor, WebRequest, go
from callwright.fleet.pool import SETTINGS, Pool, dormant
from callwright.fleet.server import State

#: What a form has; labels and prices are lines of `name=value`.
_FIELDS = tuple(name for name in SETTINGS if name not in ("labels", "prices"))
_REASONS = 8


def routes(pages: Pages) -> list[Any]:
    servers = pages.services.servers

    async def shown(
        request: WebRequest,
        visitor: Visitor,
        *,
        refusal: Any = None,
        fields: dict[str, str] | None = None,
        editing: str | None = None,
    ) -> Response[bytes]:
        """``editing``: the pool whose form was refused; "" that of a new one."""
        board = await _board(pages, visitor)
        return await pages.page(
            request,
            visitor,
            "fleet.html",
            "Fleet",
            status=(409 if isinstance(refusal, Conflict) else 422) if refusal else 200,
            board=board,
            paused=await servers.paused(),
            refusal=refusal,
            wrong_field=getattr(refusal, "field", ""),
            fields=fields or {},
            editing=editing,
            usual=_texts(Pool("new")),
            texts={one.pool.name: _texts(one.pool) for one in board.pools},
        )

    @get("/fleet")
    async def fleet(request: WebRequest) -> Response[bytes]:
        return await shown(request, await pages.visitor(request))

    @post("/fleet/pools", status_code=303)
    async def add(request: WebRequest) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        name = fields.pop("name", "").strip()
        try:
            visitor.need(Right.ADMINISTER)
            if any(one.name == name and one != dormant(name) for one in await servers.pools()):
                raise Conflict(f"There is a pool {name} already.", "Edit its limits below.")
            await servers.set_pool(visitor.identity, name, _settings(fields), whole=True)
        except (Invalid, Conflict) as error:
            kept = fields | {"name": name}
            return await shown(request, visitor, refusal=error, fields=kept, editing="")
        return go("/fleet", "added")

    @post("/fleet/pools/{name:str}", status_code=303)
    async def change(request: WebRequest, name: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            await servers.set_pool(visitor.identity, name, _settings(fields))
        except (Invalid, Conflict) as error:
            return await shown(request, visitor, refusal=error, fields=fields, editing=name)
        return go("/fleet", "changed")

    @post("/fleet/pools/{name:str}/remove", status_code=303)
    async def remove(request: WebRequest, name: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        try:
            await servers.remove_pool(visitor.identity, name, drain=True)
        except Conflict as error:
            return await shown(request, visitor, refusal=error)
        return go("/fleet", "removed")

    @post("/fleet/pools/{name:str}/start", status_code=303)
    async def start(request: WebRequest, name: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        try:
            await servers.order(visitor.identity, name)
        except Conflict as error:
            return await shown(request, visitor, refusal=error)
        return go("/fleet", "ordered")

    @post("/fleet/servers/{name:str}/drain", status_code=303)
    async def drain(request: WebRequest, name: FromPath[str]) -> Response[Any]:
        """It finishes its calls and goes."""
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        ended = await servers.end(visitor.identity, name)
        await _tell_agent(pages, ended.agent_id if ended is not None else None)
        return go("/fleet", "finishing")

    @post("/fleet/servers/{name:str}/destroy", status_code=303)
    async def destroy(request: WebRequest, name: FromPath[str]) -> Response[Any]:
        """One in error is listed no more; its name is typed, since nothing brings it back."""
        visitor = await pages.visitor(request)
        fields = await pages.form(request, visitor)
        try:
            if fields.get("name", "").strip() != name:
                raise Invalid(f"Type {name} to confirm.", "Nothing was destroyed.", field="name")
            if (await servers.get(name)).state is not State.ERROR:
                raise Conflict(
                    f"The server {name} is not in error.", "Drain it: it goes after its last call."
                )
            await servers.end(visitor.identity, name, force=True)
        except (Invalid, Conflict) as error:
            return await shown(request, visitor, refusal=error)
        return go("/fleet", "destroyed")

    @post("/fleet/{verb:str}", status_code=303)
    async def switch(request: WebRequest, verb: FromPath[str]) -> Response[Any]:
        visitor = await pages.visitor(request)
        await pages.form(request, visitor)
        if verb not in ("pause", "resume"):
            raise Invalid(f"{verb[:40]!r} is nothing that can be done to the fleet.")
        await servers.pause(visitor.identity, verb == "pause")
        return go("/fleet", "paused" if verb == "pause" else "resumed")

    return [fleet, add, change, remove, start, drain, destroy, switch]


async def _tell_agent(pages: Pages, agent_id: str | None) -> None:
    """So that it takes nothing more from now on; the keeper does the same within a second."""
    if agent_id is not None:
        agents = {one.id: one for one in await pages.services.agents.list()}
        if agent_id in agents:
            await agents_changed(pages.services.broker, agents[agent_id])


def _settings(fields: dict[str, str]) -> dict[str, Any]:
    """Of a form: an empty text is the provider's own choice, an empty number is left as it is."""
    found: dict[str, Any] = {}
    for name in _FIELDS:
        value = fields.get(name)
        if value is not None and (
            value.strip() or name in ("region", "image", "sizes", "max_created_per_hour")
        ):
            found[name] = value.strip()
    for name in ("labels", "prices"):
        if name in fields:
            lines = [line.strip() for line in fields[name].splitlines() if line.strip()]
            pairs = [line.partition("=") for line in lines]
            wrong = next(
                (line for line, (_, equals, _) in zip(lines, pairs, strict=True) if not equals), None
            )
            if wrong is not None:
                raise Invalid(f"{wrong[:80]!r} has no '='.", "Write a line for each: name=value.", field=name)
            found[name] = {key.strip(): value.strip() for key, _, value in pairs}
    return found


def _texts(pool: Pool) -> dict[str, str]:
    """As its form has them."""
    found = {}
    for name in SETTINGS:
        value = getattr(pool, name)
        if name in ("labels", "prices"):
            found[name] = "\n".join(f"{key}={one}" for key, one in value.items())
        elif name == "sizes":
            found[name] = ", ".join(value)
        elif isinstance(value, float):
            found[name] = f"{value:g}"
        else:
            found[name] = "" if value is None else str(value)
    return found


async def _board(pages: Pages, visitor: Visitor) -> figures.Board:
    services, now = pages.services, pages.now
    seen = {pool.name for pool in await services.agents.pools_seen(visitor.identity)}
    records = await services.servers.listed_for(visitor.identity)
    agents = {one.id: one for one in await services.agents.agents_seen(visitor.identity)}
    samples = [one for one in await services.history.samples(now - figures.DAY) if one.pool in seen]
    waits, paused = await waiting_calls(services), await services.servers.paused()
    made = {one.pool for one in records if one.ours and one.state is not State.STOPPED}
    pools = {one.name: one for one in await services.servers.pools() if one.name in seen}
    views = [
        figures.pool_view(
            pool,
            [one for one in records if one.pool == pool.name],
            agents,
            [one for one in samples if one.pool == pool.name],
            await services.history.decided(pool.name, _REASONS),
            waiting=waits[pool.name].calls if pool.name in waits else 0,
            waits_since=waits[pool.name].since if pool.name in waits else None,
            paused=paused,
            now=now,
        )
        for pool in pools.values()
        if pool != dormant(pool.name) or pool.name in made
    ]
    enrolled = [
        figures.row(one, agents.get(one.agent_id or ""), pools.get(one.pool), now)
        for one in records
        if not one.ours and one.state is not State.STOPPED
    ]
    return figures.board(views, enrolled, samples, paused=paused, now=now)
