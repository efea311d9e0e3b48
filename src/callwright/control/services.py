"""The services of the platform, put together once: `await Services.open(data, …)`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from callwright.control.accounts.service import Accounts
from callwright.control.accounts.vault import Vault
from callwright.control.runs.evidence import EvidenceLimits, RunEvidence
from callwright.control.runs.service import Runs, RunSettings
from callwright.control.scenarios.service import Tests
from callwright.control.servers.service import Servers
from callwright.control.storage.evidence.directory import DirectoryEvidence
from callwright.control.storage.schema import Location
from callwright.control.storage.stores import Stores, open_stores
from callwright.net.clock import Clock
from callwright.net.entropy import Entropy

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """What the API, the pages and the keeper are given."""

    stores: Stores
    accounts: Accounts
    tests: Tests
    runs: Runs
    evidence: RunEvidence
    servers: Servers
    clock: Clock
    entropy: Entropy

    @classmethod
    async def open(
        cls,
        data: Path,
        *,
        clock: Clock,
        entropy: Entropy,
        database: str | None = None,
        settings: RunSettings | None = None,
        limits: EvidenceLimits | None = None,
        migrate: bool = False,
        connections: int = 10,
    ) -> Self:
        """``data``: the folder of everything; made when it is not there. ``database``: postgresql://…, else
        ``<data>/callwright.db``. Raises NewerSchema, Unmigrated, StorageUnavailable."""
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        stores = await open_stores(Location.of(data, database), migrate=migrate, connections=connections)
        vault = Vault.open_file(data / "secret.key", entropy)
        accounts = Accounts(stores.accounts, vault, clock=clock, entropy=entropy)
        tests = Tests(stores.tests, clock=clock)
        runs = Runs(stores.runs, tests, accounts, vault, clock=clock, entropy=entropy, settings=settings)
        files = DirectoryEvidence(data / "evidence")
        evidence = RunEvidence(stores.runs, files, clock=clock, limits=limits)
        servers = Servers(stores.servers, clock=clock, entropy=entropy)
        return cls(stores, accounts, tests, runs, evidence, servers, clock, entropy)

    async def close(self) -> None:
        await self.stores.close()
