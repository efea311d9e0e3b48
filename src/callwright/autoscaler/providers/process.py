"""Agents as processes of this machine, each in a folder below the platform's data.

`<root>/<name>/` is the machine, and its name the tag: it is there before the process is. The process holds
`<root>/<name>/held` while it lives (`net.held`), so the next `serve` finds it after any end of this one, and
only a process that holds it is ever signalled. Agents end with the platform; without one they end themselves
after `ALONE_SECONDS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from callwright.autoscaler.installation import agent_flags
from callwright.autoscaler.provider import Machine, Order, ProviderError, checked_tag
from callwright.net.held import holder, holding

__all__ = ["AGENT", "ALONE_SECONDS", "Processes"]

ALONE_SECONDS = 600
AGENT = (sys.executable, "-m", "callwright", "agent")
_BEGIN_SECONDS = 20.0  # until the process holds its file, on a busy machine
_STEP = 0.02
_LOG_TAIL = 2_000  # octets


class Processes:
    """``root``: the folder of all. ``environment``: for the agents, without the platform's secrets.
    ``command``: the program that the flags of `callwright agent` are given to. ``patience``: seconds from
    SIGTERM to SIGKILL; an agent has five for its last words. ``readable``: of the last line of a log, what
    it says."""

    def __init__(
        self,
        root: Path,
        *,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = AGENT,
        patience: float = 8.0,
        readable: Callable[[str], str] = str.strip,
    ) -> None:
        self._root = root
        self._environment = dict(os.environ if environment is None else environment)
        self._command, self._patience, self._readable = tuple(command), patience, readable
        self._ours: dict[str, subprocess.Popen[bytes]] = {}
        self._codes: dict[str, int] = {}

    # -- the three verbs

    async def create(self, order: Order) -> Machine:
        name = checked_tag(order.name)
        try:
            there = self._look(name)
            if there is not None and not there.ended:
                return there
            await asyncio.to_thread(self._start, order)
            return await self._begun(name)
        except OSError as error:
            raise ProviderError(f"the agent could not be started: {_words(error)}") from None

    async def destroy(self, machine: Machine) -> None:
        name = checked_tag(machine.tag)
        try:
            if not await self._ended(name, self._patience):
                raise ProviderError(f"process {machine.id} does not end, not even by SIGKILL")
            await asyncio.to_thread(self._remove, name)
        except OSError as error:
            raise ProviderError(f"the agent's process could not be ended: {_words(error)}") from None

    async def list(self) -> Sequence[Machine]:
        try:
            names = sorted(entry.name for entry in os.scandir(self._root) if entry.is_dir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ProviderError(f"the folder of agents cannot be read: {_words(error)}") from None
        try:
            found = [self._look(name) for name in names if not name.startswith(".")]
        except OSError as error:
            raise ProviderError(f"an agent's process cannot be looked at: {_words(error)}") from None
        return [machine for machine in found if machine is not None]

    async def close(self, patience: float) -> None:
        """All agents end as the platform's own does: told first, and killed when their patience is over."""
        with contextlib.suppress(OSError, ProviderError):
            machines = [machine for machine in await self.list() if not machine.ended]
            ending = (self._ended(machine.tag, patience) for machine in machines)
            await asyncio.gather(*ending, return_exceptions=True)

    # -- one process

    def _program(self, order: Order) -> Sequence[str]:
        """The command line of the agent. Its folder is there. Raises OSError, ProviderError."""
        folder = self._folder(order.name)
        flags = ["--data", str(folder), "--exit-after", str(ALONE_SECONDS)]
        return [*self._command, *flags, *agent_flags(order, ca=str(folder / "ca.pem"))]

    def _address(self, name: str) -> str:
        return "127.0.0.1"

    def _folder(self, name: str) -> Path:
        return self._root / name

    def _holder(self, name: str) -> int | None:
        return holder(self._folder(name) / "held")

    def _look(self, name: str) -> Machine | None:
        """Raises OSError."""
        child = self._ours.get(name)
        if child is not None and child.poll() is not None:
            self._codes[name] = child.returncode
            del self._ours[name]
            child = None
        pid = self._holder(name)
        if pid is None and child is not None:
            pid = child.pid  # on its way to hold it
        if pid is None:
            if not self._folder(name).is_dir():
                return None
            return Machine(name, "", self._address(name), ended=self._why(name))
        return Machine(name, str(pid), self._address(name))

    def _start(self, order: Order) -> None:
        folder = self._folder(order.name)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if order.ca:
            (folder / "ca.pem").write_text(order.ca)
        try:
            program = self._program(order)
        except ProviderError:
            self._remove(order.name)
            raise
        self._codes.pop(order.name, None)
        with open(folder / "agent.log", "ab") as log:
            self._ours[order.name] = subprocess.Popen(
                holding(folder / "held", program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment | {"CALLWRIGHT_ENROL": order.token},  # others can read a command line
                start_new_session=True,
            )

    async def _begun(self, name: str) -> Machine:
        """Until the process holds its file, for then it is found again. Raises ProviderError."""
        child = self._ours[name]
        for _ in range(int(_BEGIN_SECONDS / _STEP)):
            if self._holder(name) is not None:
                return Machine(name, str(child.pid), self._address(name))
            if child.poll() is not None:
                self._look(name)
                raise ProviderError(self._why(name))
            await asyncio.sleep(_STEP)
        raise ProviderError(f"process {child.pid} did not begin within {_BEGIN_SECONDS:g} s")

    async def _ended(self, name: str, patience: float) -> bool:
        """Told, given time, killed. Whether it is gone."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            there = self._look(name)
            if there is None or there.ended:
                return True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(there.id), number)
            for _ in range(int(seconds / _STEP)):
                await asyncio.sleep(_STEP)
                there = self._look(name)
                if there is None or there.ended:
                    return True
        return False

    def _remove(self, name: str) -> None:
        """The tag goes last: what is left of a removal that was cut off is found again."""
        folder = self._folder(name)
        if folder.is_dir():
            for entry in folder.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink(missing_ok=True)
            folder.rmdir()
        self._codes.pop(name, None)

    def _why(self, name: str) -> str:
        code = self._codes.get(name)
        if code is None:
            how = "its process has ended"
        elif code < 0:
            how = f"its process was killed by {_signal(-code)}"
        else:
            how = f"its process ended with exit code {code}"
        said = self._readable(self._last_line(name))
        if not said or (code is not None and code <= 0):
            return how
        return f"{how}: {said}" if code else f"{how}; its last words: {said}"

    def _last_line(self, name: str) -> str:
        try:
            with open(self._folder(name) / "agent.log", "rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _LOG_TAIL))
                lines = file.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _words(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
