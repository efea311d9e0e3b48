"""What servers, their pools and their history need of a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from callwright.control.servers.model import Decided, Sample, ServerRecord
from callwright.fleet.pool import Pool
from callwright.fleet.server import State

__all__ = ["HistoryStore", "ServerStore"]


class ServerStore(Protocol):
    def transaction(self) -> AbstractAsyncContextManager[object]: ...

    async def servers(self, states: Sequence[State] = ()) -> list[ServerRecord]:
        """Oldest first, those that stopped included; ``states``: only those in one of them."""
        ...

    async def server(self, name: str) -> ServerRecord | None: ...
    async def server_numbered(self, number: int) -> ServerRecord | None: ...
    async def server_of_agent(self, agent_id: str) -> ServerRecord | None:
        """The newest."""
        ...

    async def add_server(self, server: ServerRecord) -> ServerRecord:
        """With its number. Raises Conflict when the name is taken."""
        ...

    async def write_move(self, seen: ServerRecord, after: ServerRecord) -> ServerRecord | None:
        """What differs, where the server is still in the state and revision that were seen; None: it is not.
        What others learned of it meanwhile stays."""
        ...

    async def learn(self, name: str, facts: Mapping[str, object], now: float) -> ServerRecord | None:
        """Fields beside its state; None: no such server."""
        ...

    async def remove_server(self, seen: ServerRecord) -> bool:
        """The row goes, where its revision is the one that was seen."""
        ...

    async def created_since(self, pool: str, time: float) -> list[float]:
        """When servers of a pool were created, those that are gone included; what the bound on spending
        counts."""
        ...

    async def count(self, more: Mapping[str, float]) -> None:
        """Adds to the counters of these names."""
        ...

    async def counts(self) -> dict[str, float]: ...

    async def fleet_pools(self) -> list[Pool]:
        """Those of agents too: one that nobody set up makes no servers."""
        ...

    async def fleet_pool(self, name: str, *, lock: bool = False) -> Pool | None:
        """``lock``: nobody else changes it, or makes servers in it, before the transaction ends."""
        ...

    async def put_fleet_pool(self, pool: Pool) -> None:
        """The settings of a pool that is there."""
        ...

    async def installation(self) -> str | None: ...
    async def set_installation(self, word: str) -> None: ...
    async def paused(self) -> bool: ...
    async def set_paused(self, paused: bool) -> None: ...


class HistoryStore(Protocol):
    async def add_decided(self, decided: Decided) -> None: ...

    async def decided(self, pool: str, limit: int) -> list[Decided]:
        """The newest first."""
        ...

    async def add_samples(self, samples: Sequence[Sample]) -> None:
        """Those of a pool and a time that are there stay as they are."""
        ...

    async def samples(self, since: float, pool: str | None = None) -> list[Sample]:
        """From then on, by time."""
        ...

    async def forget_history(self, decided_before: float, sampled_before: float) -> None: ...
