"""Agents: enrolled once with a single-use token, heard by heartbeats, drained, revoked."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import PLATFORM, Identity, Right
from callwright.control.accounts.secrets import digest
from callwright.control.agents.model import Agent, AgentInfo, AgentState, Enrolment, Pool
from callwright.control.agents.store import AgentStore
from callwright.control.audit.service import Audit
from callwright.control.errors import Conflict, Forbidden, Invalid, NotFound
from callwright.control.projects.model import Project
from callwright.dispatch.messages.agents import SpoolState
from callwright.fleet.record import EMBEDDED
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy

__all__ = ["DEFAULT_POOL", "TOKEN_PREFIX", "Agents"]

DEFAULT_POOL = "default"
TOKEN_PREFIX = "cwe_"
_ENROLMENT_LASTS = 3600.0  # seconds
_CHANGES = {
    AgentState.ACTIVE: "agent.resume",
    AgentState.DRAINING: "agent.drain",
    AgentState.REVOKED: "agent.revoke",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Agents:
    def __init__(self, store: AgentStore, *, audit: Audit, clock: Clock, entropy: Entropy) -> None:
        self._store, self._audit, self._clock, self._entropy = store, audit, clock, entropy

    # -- pools

    async def pools(self) -> Sequence[Pool]:
        return await self._store.pools()

    async def pools_seen(self, identity: Identity) -> Sequence[Pool]:
        """Those of projects that the identity sees, and those of all."""
        return [pool for pool in await self._store.pools() if _sees(identity, pool)]

    async def agents_seen(self, identity: Identity) -> list[Agent]:
        """Of the pools that the identity sees."""
        hidden = {pool.name for pool in await self._store.pools() if not _sees(identity, pool)}
        return [agent for agent in await self._store.agents() if agent.pool not in hidden]

    async def agent_seen(self, identity: Identity, agent_id: str) -> Agent:
        """Raises NotFound, for an agent of another project's pool too."""
        agent = await self.get(agent_id)
        if not await self.may_use(agent.pool, identity.project_ids):
            raise NotFound("agent", agent_id)
        return agent

    async def may_use(self, pool: str, project_ids: Sequence[int] | None) -> bool:
        """Whether runs of one of these projects may go to the pool; None: of all. A pool without a record
        belongs to nobody."""
        if project_ids is None:
            return True
        return all(
            one.project_id is None or one.project_id in project_ids
            for one in await self._store.pools()
            if one.name == pool
        )

    async def create_pool(self, identity: Identity, name: str, project: Project | None = None) -> Pool:
        """``project``: runs of this one alone may use it. A pool that is there stays as it is."""
        authorize(identity, Right.ADMINISTER)
        _checked(name, "pool")
        async with self._audit.change():
            there = [pool for pool in await self._store.pools() if pool.name == name]
            if there and (project is None or there[0].project_id == project.id):
                return there[0]
            if there:
                raise Conflict(f"There is a pool {name} already.", "Change that one.")
            pool = await self._store.add_pool(name, self._clock.wall(), project.id if project else None)
            await self._audit.note(identity, "pool.created", f"pool {name}", _of(project))
        return pool

    async def ensure_pool(self, name: str) -> None:
        """Raises Invalid for a name that no pool may have."""
        await self._store.add_pool(_checked(name, "pool"), self._clock.wall())

    async def give_pool(self, identity: Identity, name: str, project: Project | None) -> Pool:
        """To a project, or with None to all. Waiting runs of others find no agent then. Raises NotFound."""
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            pool = await self._store.give_pool(name, project.id if project else None)
            if pool is None:
                raise NotFound("pool", name)
            await self._audit.note(
                identity, "pool.changed", f"pool {name}", _of(project) or "of all projects"
            )
        return pool

    async def delete_pool(self, identity: Identity, name: str) -> None:
        """Raises Conflict while agents are in it, NotFound."""
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            if any(agent.pool == name for agent in await self._store.agents()):
                raise Conflict(f"The pool {name} has agents.", "Revoke them first.")
            if not await self._store.delete_pool(name):
                raise NotFound("pool", name)
            await self._audit.note(identity, "pool.deleted", f"pool {name}")

    # -- enrolment

    async def create_enrolment(
        self,
        identity: Identity,
        pool: str = DEFAULT_POOL,
        lasts: float = _ENROLMENT_LASTS,
        *,
        server: str | None = None,
    ) -> tuple[str, Enrolment]:
        """(token, its record); the token enrols one agent within ``lasts`` seconds, and is told only now.
        ``server``: the name of the fleet's server whose agent it enrols, whatever that calls itself."""
        authorize(identity, Right.ADMINISTER)
        _checked(pool, "pool")
        token, now = TOKEN_PREFIX + self._entropy(20).hex(), self._clock.wall()
        async with self._audit.change():
            await self._store.add_pool(pool, now)
            made = await self._store.add_enrolment(
                pool, digest(token), now, now + lasts, made_by_key=identity.key_id, server=server
            )
            await self._audit.note(identity, "agent.enrolment", f"pool {pool}")
        return token, made

    async def enrolments(self, identity: Identity) -> Sequence[Enrolment]:
        authorize(identity, Right.ADMINISTER)
        return await self._store.enrolments()

    async def enrol(
        self,
        token: str,
        name: str,
        info: AgentInfo,
        prepare: Callable[[Agent], Awaitable[None]] | None = None,
        *,
        address: str = "",
    ) -> tuple[Agent, str]:
        """(agent, its secret). ``prepare`` gets ready what the agent needs elsewhere.
        ``address``: from which it asks. A refusal, of ours or
        raised by it, leaves the token good: it is spent with the agent's record, in one step.

        Raises Forbidden for a token that is wrong, used or expired, Conflict for a name that is taken,
        Invalid.
        """
        _checked(name, "agent")
        now = self._clock.wall()
        known = len(token) <= 200 and token.isascii() and "\0" not in token
        enrolment = await self._store.open_enrolment(digest(token), now) if known else None
        if enrolment is None:
            raise _no_token()
        name = enrolment.server or name
        namesakes = [agent for agent in await self._store.agents(revoked=True) if agent.name == name]
        for agent in namesakes:
            # Only the fleet itself makes a token for a server that has an agent: it installs it once more.
            if agent.state != AgentState.REVOKED and (
                agent.server is None or agent.server != enrolment.server
            ):
                raise _name_taken(name)
        # Who was revoked and is enrolled anew is the same agent, with other credentials.
        last = max(namesakes, key=lambda agent: agent.enrolled_at, default=None)
        agent_id = last.id if last is not None else self._entropy(8).hex()
        agent, secret = self._new(agent_id, name, enrolment.pool, info, now), self._entropy(24).hex()
        agent = msgspec.structs.replace(agent, server=enrolment.server, address=address[:64])
        if prepare is not None:
            await prepare(agent)
        try:
            async with self._audit.change():
                if not await self._store.enrol(digest(token), agent, digest(secret), now):
                    raise _no_token()
                what = f"into the pool {agent.pool} with the token {enrolment.id}"
                await self._audit.note(PLATFORM, "agent.enrolled", f"agent {agent.name}", what)
        except Conflict:
            raise _name_taken(name) from None
        return agent, secret

    async def ensure_embedded(
        self, name: str, info: AgentInfo, pool: str = DEFAULT_POOL
    ) -> tuple[Agent, str]:
        """The agent that `serve` starts itself: the same record at each start, with a new secret."""
        now = self._clock.wall()
        await self._store.add_pool(pool, now)
        known = [agent for agent in await self._store.agents() if agent.name == name]
        agent_id = known[0].id if known else self._entropy(8).hex()
        agent, secret = self._new(agent_id, name, pool, info, now), self._entropy(24).hex()
        agent = msgspec.structs.replace(agent, server=EMBEDDED, address="127.0.0.1")
        try:
            return await self._store.put_agent(agent, digest(secret)), secret
        except Conflict:
            raise _name_taken(name) from None

    @staticmethod
    def _new(agent_id: str, name: str, pool: str, info: AgentInfo, now: float) -> Agent:
        return _described(
            Agent(agent_id, name, pool, {}, "", 1, 0, (), info.nkey, AgentState.ACTIVE, now, None), info
        )

    async def authenticate(self, agent_id: str, secret: str) -> Agent | None:
        """An agent over HTTPS; None when it is unknown or revoked, or the secret is wrong."""
        if not (agent_id.isascii() and secret.isascii()) or "\0" in agent_id + secret:
            return None
        return await self._store.agent_by_secret(agent_id[:64], digest(secret))

    # -- life

    async def heartbeat(self, agent_id: str, info: AgentInfo) -> Agent | None:
        """The record as it is now (look at ``state``); None: it is unknown or revoked, and must stop."""
        known = await self._store.agent(agent_id)
        if known is None:
            return None
        seen = msgspec.structs.replace(_described(known, info), last_seen_at=self._clock.wall())
        return await self._store.heartbeat(seen)

    async def seen(self, agent_id: str) -> Agent | None:
        """It was heard by another way than its heartbeat; the rest of its record stays."""
        known = await self._store.agent(agent_id)
        if known is None:
            return None
        return await self._store.heartbeat(msgspec.structs.replace(known, last_seen_at=self._clock.wall()))

    async def note_protocol(self, agent_id: str, protocol: int) -> Agent | None:
        """An agent speaks, and in a way that is not understood here: it does not count as heard. None when
        that was known."""
        known = await self._store.agent(agent_id)
        if known is None or known.protocol == protocol:
            return None
        return await self._store.heartbeat(msgspec.structs.replace(known, protocol=protocol))

    async def note_address(self, agent_id: str, address: str) -> None:
        """From which it came last over HTTP."""
        await self._store.note_address(agent_id, address[:64])

    async def list(self, *, revoked: bool = False) -> list[Agent]:
        """``revoked``: those too that may do nothing any more."""
        return await self._store.agents(revoked=revoked)

    async def get(self, agent_id: str) -> Agent:
        found = await self._store.agent(agent_id)
        if found is None:
            raise NotFound("agent", agent_id)
        return found

    async def drain(self, identity: Identity, agent_id: str) -> Agent:
        """It finishes what it has, and takes nothing new."""
        return await self._set_state(identity, agent_id, AgentState.DRAINING)

    async def resume(self, identity: Identity, agent_id: str) -> Agent:
        return await self._set_state(identity, agent_id, AgentState.ACTIVE)

    async def revoke(self, identity: Identity, agent_id: str) -> Agent:
        """It may do nothing any more until it is enrolled anew; its runs are as those of a lost agent."""
        return await self._set_state(identity, agent_id, AgentState.REVOKED)

    async def restore(self, identity: Identity, agent_id: str) -> Agent:
        """A revoked or drained one works again, with the credentials that it had. Raises Conflict when
        another agent has its name."""
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            try:
                changed = await self._store.restore(agent_id)
            except Conflict:
                raise Conflict("Another agent has its name.", "Revoke that one first.") from None
            if changed is None:
                raise NotFound("agent", agent_id)
            await self._audit.note(identity, "agent.restore", f"agent {changed.name}")
        return changed

    async def _set_state(self, identity: Identity, agent_id: str, state: AgentState) -> Agent:
        authorize(identity, Right.ADMINISTER)
        async with self._audit.change():
            changed = await self._store.set_state(agent_id, state)
            if changed is None:
                raise NotFound("agent", agent_id)
            await self._audit.note(identity, _CHANGES[state], f"agent {changed.name}")
        return changed


def _sees(identity: Identity, pool: Pool) -> bool:
    return pool.project_id is None or may(identity, Right.READ, pool.project_id)


def _of(project: Project | None) -> str:
    return f"of the project {project.name}" if project is not None else ""


def _no_token() -> Forbidden:
    return Forbidden(
        "The enrolment token is wrong, used or expired.", "Ask an administrator for another one."
    )


def _name_taken(name: str) -> Conflict:
    return Conflict(
        f"There is an agent {name} already.", "Choose another name, or revoke that one; the token is good."
    )


def _described(agent: Agent, info: AgentInfo) -> Agent:
    return msgspec.structs.replace(
        agent,
        version=info.version[:100],
        capacity=max(0, min(info.capacity, 1_000_000)),
        busy=max(0, min(info.busy, 1_000_000)),
        codecs=tuple(info.codecs[:50]),
        labels=dict(list(info.labels.items())[:50]),
        spool=info.spool or SpoolState(),
        protocol=info.protocol,
    )


def _checked(name: str, what: str) -> str:
    """Names of pools and agents stand in subjects of the broker."""
    if not _NAME.fullmatch(name) or (what == "pool" and "." in name):
        raise Invalid(
            f"{name[:80]!r} is not a name for a {what}: letters, digits, - and _, at most 63.", field="name"
        )
    return name
