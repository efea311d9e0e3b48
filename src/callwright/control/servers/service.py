"""Agents: enrolled once with a single-use token, heard by heartbeats, drained, revoked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from callwright.control.accounts.model import Identity, Right
from callwright.control.errors import Conflict, Forbidden, Invalid, NotFound
from callwright.control.servers.model import Agent, AgentInfo, AgentState, Enrolment, Pool
from callwright.control.servers.store import ServerStore
from callwright.dispatch.messages import SpoolState
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

    async def enrol(
        self,
        token: str,
        name: str,
        info: AgentInfo,
        prepare: Callable[[Agent], Awaitable[None]] | None = None,
    ) -> tuple[Agent, str]:
        """(agent, its secret). ``prepare`` gets ready what the agent needs elsewhere. A refusal, of ours or
        raised by it, leaves the token good: it is spent with the agent's record, in one step.

        Raises Forbidden for a token that is wrong, used or expired, Conflict for a name that is taken,
        Invalid.
        """
        _checked(name, "agent")
        now = self._clock.wall()
        known = len(token) <= 200 and token.isascii() and "\0" not in token
        enrolment = await self._store.open_enrolment(_hash(token), now) if known else None
        if enrolment is None:
            raise _no_token()
        namesakes = [agent for agent in await self._store.agents(revoked=True) if agent.name == name]
        if any(agent.state != AgentState.REVOKED for agent in namesakes):
            raise _name_taken(name)
        # Who was revoked and is enrolled anew is the same agent, with other credentials.
        last = max(namesakes, key=lambda agent: agent.enrolled_at, default=None)
        agent_id = last.id if last is not None else self._entropy(8).hex()
        agent, secret = self._new(agent_id, name, enrolment.pool, info, now), self._entropy(24).hex()
        if prepare is not None:
            await prepare(agent)
        try:
            spent = await self._store.enrol(_hash(token), agent, _hash(secret), now)
        except Conflict:
            raise _name_taken(name) from None
        if not spent:
            raise _no_token()
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
        try:
            return await self._store.put_agent(agent, _hash(secret)), secret
        except Conflict:
            raise _name_taken(name) from None

    @staticmethod
    def _new(agent_id: str, name: str, pool: str, info: AgentInfo, now: float) -> Agent:
        return _described(
            Agent(agent_id, name, pool, "{}", "", 1, 0, "[]", info.nkey, AgentState.ACTIVE, now, None), info
        )

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

    async def seen(self, agent_id: str) -> Agent | None:
        """It was heard by another way than its heartbeat; the rest of its record stays."""
        known = await self._store.agent(agent_id)
        if known is None:
            return None
        return await self._store.heartbeat(msgspec.structs.replace(known, last_seen_at=self._clock.wall()))

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
        codecs=msgspec.json.encode(info.codecs[:50]).decode(),
        labels=msgspec.json.encode(dict(list(info.labels.items())[:50])).decode(),
        spool=msgspec.json.encode(info.spool or SpoolState()).decode(),
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
