"""Children of `serve`: started in order, started again when they fall, ended together.

A child that ends by itself is started again, after a pause that grows while it keeps falling. Nothing here
outlives the parent: every child is bound to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from callwright.net.process import bound_to_parent

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_STEADY = 30.0  # seconds after which a child that fell is forgiven its earlier falls
_NO_ROOM = 65_536  # octets
_LOG_TAIL = 2_000  # octets of a child's log that are shown when it falls


@dataclass
class Child:
    """One process. `command` is asked for at every start, so that it may name what has changed."""

    name: str
    command: Callable[[], Sequence[str]]
    environment: Mapping[str, str]
    log: Path
    final: frozenset[int] = frozenset()  # exit codes after which it is not started again
    patience: float = 3.0  # seconds from SIGTERM to SIGKILL
    process: asyncio.subprocess.Process | None = None
    falls: int = 0
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.returncode is None else None


class Supervisor:
    """`on_fall(child, what)` hears of each end that nobody asked for."""

    def __init__(self, on_fall: Callable[[Child, str], None]) -> None:
        self._on_fall = on_fall
        self._children: list[Child] = []
        self._ending = False

    async def start(self, child: Child) -> None:
        """Starts it and keeps it running. Raises OSError when it cannot be started the first time."""
        await self._spawn(child)
        self._children.append(child)
        child._task = asyncio.ensure_future(self._keep(child))

    async def _spawn(self, child: Child) -> None:
        child.log.parent.mkdir(parents=True, exist_ok=True)
        with open(child.log, "ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *bound_to_parent(child.command()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(child.environment),
                start_new_session=True,  # Ctrl-C is the parent's business
            )

    async def _keep(self, child: Child) -> None:
        while True:
            started = time.monotonic()
            assert child.process is not None
            code = await child.process.wait()
            if self._is_ending():
                return
            lasted = time.monotonic() - started
            if code in child.final:
                self._on_fall(child, f"{_ending_in_words(code, child.log)}; it is not started again")
                return
            child.falls = 1 if lasted > _STEADY else child.falls + 1
            words = f"{_ending_in_words(code, child.log)}; it is started again"
            self._on_fall(child, words)
            await asyncio.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (child.falls - 1)))
            if self._is_ending():
                return
            with contextlib.suppress(OSError):
                await self._spawn(child)

    def _is_ending(self) -> bool:
        return self._ending

    async def stop(self) -> None:
        """Ends the children, the last started first; what does not end in its patience is killed."""
        self._ending = True
        for child in reversed(self._children):
            if child.process is None or child.process.returncode is not None:
                continue
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.process.wait(), child.patience)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    child.process.kill()
                await child.process.wait()
        for child in self._children:
            if child._task is not None:
                child._task.cancel()
        self._children.clear()


def _ending_in_words(code: int, log: Path) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    with contextlib.suppress(OSError):
        if shutil.disk_usage(log.parent).free < _NO_ROOM:
            return f"{how}: the disk of {log.parent} is full, make room"  # its own words found none
    return f"{how}{': ' + lines[-1] if lines and code > 0 else ''}"
