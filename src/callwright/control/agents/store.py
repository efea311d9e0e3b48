"""What agents and pools need of a database."""

from __future__ import annotations

from typing import Protocol

from callwright.control.agents.model import Agent, Enrolment, Pool

__all__ = ["AgentStore"]


class AgentStore(Protocol):
    async def pools(self) -> list[Pool]: ...
    async def add_pool(self, name: str, now: float, project_id: int | None = None) -> Pool:
        """The one that is there, when there is one."""
        ...

    async def give_pool(self, name: str, project_id: int | None) -> Pool | None: ...

    async def delete_pool(self, name: str) -> bool: ...

    async def agents(self, *, revoked: bool = False) -> list[Agent]: ...
    async def agent(self, agent_id: str) -> Agent | None: ...
    async def agent_by_secret(self, agent_id: str, secret_hash: str) -> Agent | None: ...
    async def put_agent(self, agent: Agent, secret_hash: str) -> Agent:
        """New, or the same id again with another secret. Raises Conflict when the name is taken."""
        ...

    async def heartbeat(self, agent: Agent) -> Agent | None:
        """Version, capacity, busy, codecs, labels and last_seen_at; None when it is unknown or revoked."""
        ...

    async def set_state(self, agent_id: str, state: str) -> Agent | None: ...
    async def restore(self, agent_id: str) -> Agent | None:
        """A revoked one is active again with the credentials that it had; None: no such agent. Raises
        Conflict when its name is taken."""
        ...

    async def note_address(self, agent_id: str, address: str) -> None: ...

    async def add_enrolment(
        self,
        pool: str,
        token_hash: str,
        now: float,
        expires_at: float,
        *,
        made_by_key: int | None = None,
        server: str | None = None,
    ) -> Enrolment: ...
    async def enrolments(self) -> list[Enrolment]: ...
    async def open_enrolment(self, token_hash: str, now: float) -> Enrolment | None:
        """The one that can be used now; looking does not spend it."""
        ...

    async def enrol(self, token_hash: str, agent: Agent, secret_hash: str, now: float) -> bool:
        """Spends the enrolment and puts the agent in, both or none. False: it is used or expired. Raises
        Conflict when the name is taken."""
        ...
