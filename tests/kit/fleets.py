"""The fleet of a platform that runs: its records, and the processes of its servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from callwright.control.accounts.model import PLATFORM
from callwright.control.services import Services
from callwright.fleet.record import ServerRecord
from callwright.fleet.server import State
from callwright.net.clock import SystemClock
from callwright.net.entropy import system_entropy
from callwright.net.held import holder

Answer = TypeVar("Answer")


class FleetOf:
    """Of the platform with this data folder, whether it runs or not."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def ask(self, question: Callable[[Services], Awaitable[Answer]]) -> Answer:
        async def answered() -> Answer:
            services = await Services.open(self.data, clock=SystemClock(), entropy=system_entropy)
            try:
                return await question(services)
            finally:
                await services.close()

        return asyncio.run(answered())

    def set_pool(self, name: str, **settings: Any) -> None:
        self.ask(lambda services: services.servers.set_pool(PLATFORM, name, settings, whole=True))

    def servers(self, *states: State) -> list[ServerRecord]:
        """Those that a provider made."""
        found = self.ask(lambda services: services.servers.all(*states))
        return [server for server in found if server.ours]

    def processes(self) -> dict[str, int]:
        """Server to pid, of the agents that live, as the kernel knows them."""
        found = {}
        for folder in sorted((self.data / "fleet").glob("*")):
            pid = holder(folder / "held")
            if pid is not None:
                found[folder.name] = pid
        return found

    def states(self) -> dict[str, str]:
        """Server to state, of those that a provider made; fast, so that a test can wait for a moment."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data}/callwright.db?mode=ro", uri=True)) as rows:
            return dict(rows.execute("SELECT name, state FROM servers WHERE provider = 'process'"))

    def agents(self) -> list[str]:
        """The server of each process that was started as an agent below the data folder, twice where there
        are two of them."""
        found, below = [], f"--data\0{self.data}/fleet/"
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_text() if entry.name.isdigit() else ""
                if below in line and alive(int(entry.name)):
                    found.append(line.partition(below)[2].partition("\0")[0])
        return sorted(found)

    def folders(self) -> set[str]:
        return {folder.name for folder in (self.data / "fleet").glob("*")}

    def settled(self, count: int) -> bool:
        """So many servers run, each as one process, and nothing else is anywhere."""
        running = {server.name for server in self.servers(State.RUNNING)}
        alive = {server.name for server in self.servers() if server.state is not State.STOPPED}
        return len(running) == count and running == alive == self.folders() == set(self.processes())

    def until(self, fits: Callable[[], bool], seconds: float = 30.0) -> float:
        """The seconds that it took."""
        began = time.monotonic()
        while not fits():
            told = [(one.name, one.state, one.error) for one in self.servers()]
            assert time.monotonic() - began < seconds, f"{told}; processes {self.processes()}"
            time.sleep(0.05)
        return time.monotonic() - began


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z" and os.path.exists(f"/proc/{pid}")
