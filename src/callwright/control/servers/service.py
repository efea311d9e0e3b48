"""Agents: enrolled once with a single-use token, heard by heartbeats, drained, revoked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import msgspec

from callwright.control.accounts.model import Identity, Right
from callwright.control.errors import Conflict, Forbidden, Invalid, NotFound
from callwright.control.servers.model import Agent, AgentInfo, AgentState, Enrolment, Pool
from callwright.control.servers.store import ServerStore
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy

__all__ = ["DEFAULT_POOL", "TOKEN_PREFIX", "Servers"]

DEFAULT_POOL = "default"
TOKEN_PREFIX = "cwe_"
_ENROLMENT_LASTS = 3600.0  # seconds
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Servers:
    def __init__(self, store: ServerStore, *, clock: Clock, entropy: Entropy) -> None:
        self._store, self._clock, self._entropy = store, clock, entropy

    # -- pools

    async def pools(self) -> Sequence[Pool]:
        return await self._store.pools()

    async def create_pool(self, identity: Identity, name: str) -> Pool:
        _require_administrator(identity)
        return await self._store.add_pool(_checked(name, "pool"), self._clock.wall())

    async def delete_pool(self, identity: Identity, name: str) -> None:
        """Raises Conflict while agents are in it, NotFound."""
        _require_administrator(identity)
        if any(agent.pool == name for agent in await self._store.agents()):
            raise Conflict(f"The pool {name} has agents.", "Revoke them first.")
        if not await self._store.delete_pool(name):
            raise NotFound("pool", name)

    # -- enrolment

    async def create_enrolment(
        self, identity: Identity, pool: str = DEFAULT_POOL, lasts: float = _ENROLMENT_LASTS
    ) -> tuple[str, Enrolment]:
        """(token, its record); the token enrols one agent within ``lasts`` seconds, and is told only now."""
        _require_administrator(identity)
        await self._store.add_pool(_checked(pool, "pool"), self._clock.wall())
        token, now = TOKEN_PREFIX + self._entropy(20).hex(), self._clock.wall()
        return token, await self._store.add_enrolment(pool, _hash(token), now, now + lasts)

    async def enrolments(self, identity: Identity) -> Sequence[Enrolment]:
        _require_administrator(identity)
        return await self._store.enrolments()

    async def enrol(self, token: str, name: str, info: AgentInfo) -> tuple[Agent, str]:
        """(agent, its secret). Raises Forbidden for a token that is wrong, used or expired, Conflict for a
        name that is taken (the token is spent then), Invalid."""
        _checked(name, "agent")
        # Who was revoked and is enrolled anew is the same agent, with other credentials.
        revoked = [
            a.id for a in await self._store.agents() if (a.name, a.state) == (name, AgentState.REVOKED)
        ]
        agent_id, now = (revoked or [self._entropy(8).hex()])[0], self._clock.wall()
        used = None
        if len(token) <= 200 and token.isascii() and "\0" not in token:
            used = await self._store.use_enrolment(_hash(token), agent_id, now)
        if used is None:
            raise Forbidden(
                "The enrolment token is wrong, used or expired.", "Ask an administrator for another one."
            )
        return await self._add(agent_id, name, used.pool, info, now)

    async def ensure_embedded(
        self, name: str, info: AgentInfo, pool: str = DEFAULT_POOL
    ) -> tuple[Agent, str]:
        """The agent that `serve` starts itself: the same record at each start, with a new secret."""
        now = self._clock.wall()
        await self._store.add_pool(pool, now)
        known = [agent for agent in await self._store.agents() if agent.name == name]
        agent_id = known[0].id if known else self._entropy(8).hex()
        return await self._add(agent_id, name, pool, info, now)

    async def _add(
        self, agent_id: str, name: str, pool: str, info: AgentInfo, now: float
    ) -> tuple[Agent, str]:
        secret = self._entropy(24).hex()
        agent = _described(
            Agent(agent_id, name, pool, "{}", "", 1, 0, "[]", info.nkey, AgentState.ACTIVE, now, None), info
        )
        try:
            return await self._store.put_agent(agent, _hash(secret)), secret
        except Conflict:
            raise Conflict(f"There is an agent {name} already.", "Choose another name.") from None

    async def authenticate(self, agent_id: str, secret: str) -> Agent | None:
        """An agent over HTTPS; None when it is unknown or revoked, or the secret is wrong."""
        if not (agent_id.isascii() and secret.isascii()) or "\0" in agent_id + secret:
            return None
        return await self._store.agent_by_secret(agent_id[:64], _hash(secret))

    # -- life

    async def heartbeat(self, agent_id: str, info: AgentInfo) -> Agent | None:
        """The record as it is now (look at ``state``); None: it is unknown or revoked, and must stop."""
        known = await self._store.agent(agent_id)
        if known is None:
            return None
        seen = msgspec.structs.replace(_described(known, info), last_seen_at=self._clock.wall())
        return await self._store.heartbeat(seen)

    async def list(self) -> list[Agent]:
        return await self._store.agents()

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

    async def _set_state(self, identity: Identity, agent_id: str, state: AgentState) -> Agent:
        _require_administrator(identity)
        changed = await self._store.set_state(agent_id, state)
        if changed is None:
            raise NotFound("agent", agent_id)
        return changed


def _described(agent: Agent, info: AgentInfo) -> Agent:
    return msgspec.structs.replace(
        agent,
        version=info.version[:100],
        capacity=max(0, min(info.capacity, 1_000_000)),
        busy=max(0, min(info.busy, 1_000_000)),
        codecs=msgspec.json.encode(info.codecs[:50]).decode(),
        labels=msgspec.json.encode(dict(list(info.labels.items())[:50])).decode(),
    )


def _checked(name: str, what: str) -> str:
    """Names of pools and agents stand in subjects of the broker."""
    if not _NAME.fullmatch(name) or (what == "pool" and "." in name):
        raise Invalid(
            f"{name[:80]!r} is no name for a {what}: letters, digits, - and _, at most 63.", field="name"
        )
    return name


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _require_administrator(identity: Identity) -> None:
    if not identity.can(Right.ADMINISTER):
        raise Forbidden(f"The role {identity.role} of {identity.username} does not permit this.")
