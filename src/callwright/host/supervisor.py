"""Children of `serve`: started in order, started again when they fall, ended together.

A child that ends by itself is started again, after a pause that grows while it keeps falling. One that lives
and hears nothing any more is killed, and started again like any other. Nothing here outlives the parent:
every child is bound to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from callwright.host.logging import message_of
from callwright.host.supervised import ProcessLine
from callwright.net.process import bound_to_parent

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_STEADY = 30.0  # seconds after which a child that fell is forgiven its earlier falls
_NO_ROOM = 65_536  # octets
ASK_EVERY, ANSWER_SECONDS = 1.0, 4.0
DEAF_AFTER = 5  # questions in a row without an answer; each has its own time, so that a pause of ours is one
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
    hears: Callable[[], Awaitable[bool]] | None = None  # asks it something; False or no answer: it is deaf
    line: ProcessLine | None = None  # for its standard input
    process: asyncio.subprocess.Process | None = None
    falls: int = 0
    _task: asyncio.Task[None] | None = field(default=None, repr=False)
    _asking: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.returncode is None else None


class Supervisor:
    """`on_fall(child, what)` hears of each end that nobody asked for. A child is asked every `ask_every`
    seconds whether it hears, has `answer_seconds` for it, and is replaced after `deaf_after` in a row."""

    def __init__(
        self,
        on_fall: Callable[[Child, str], None],
        *,
        ask_every: float = ASK_EVERY,
        answer_seconds: float = ANSWER_SECONDS,
        deaf_after: int = DEAF_AFTER,
    ) -> None:
        self._asks = (ask_every, answer_seconds, deaf_after)
        self._on_fall = on_fall
        self._children: list[Child] = []
        self._ending = False

    async def start(self, child: Child) -> None:
        """Starts it and keeps it running. Raises OSError when it cannot be started the first time."""
        await self._spawn(child)
        self._children.append(child)
        child._task = asyncio.ensure_future(self._keep(child))
        if child.hears is not None:
            child._asking = asyncio.ensure_future(self._keep_asking(child, child.hears))

    async def _spawn(self, child: Child) -> None:
        child.log.parent.mkdir(parents=True, exist_ok=True)
        theirs = child.line.open() if child.line is not None else None
        try:
            with open(child.log, "ab") as log:
                child.process = await asyncio.create_subprocess_exec(
                    *bound_to_parent(child.command()),
                    stdin=theirs.fileno() if theirs is not None else asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=dict(child.environment),
                    start_new_session=True,  # Ctrl-C is the parent's business
                )
        finally:
            if theirs is not None:
                theirs.close()

    async def _keep_asking(self, child: Child, hears: Callable[[], Awaitable[bool]]) -> None:
        """Counted from its first answer: what starts is slow to hear."""
        every, seconds, most = self._asks
        asked, unheard, heard_once = child.process, 0, False
        while not self._is_ending():
            await asyncio.sleep(every)
            if child.process is not asked:
                asked, unheard, heard_once = child.process, 0, False
            if child.pid is None:
                continue
            try:
                async with asyncio.timeout(seconds):
                    heard = await hears()
            except (TimeoutError, OSError):
                heard = False
            if heard:
                unheard, heard_once = 0, True
                continue
            if asked is None or child.process is not asked or child.pid is None or not heard_once:
                continue
            unheard += 1
            if unheard >= most and not self._is_ending():
                self._on_fall(child, "is alive and does not answer; it is killed and restarted")
                with contextlib.suppress(ProcessLookupError):
                    asked.kill()

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
            for task in (child._task, child._asking):
                if task is not None:
                    task.cancel()
            if child.line is not None:
                child.line.close()
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
    return f"{how}{': ' + message_of(lines[-1]) if lines and code > 0 else ''}"
