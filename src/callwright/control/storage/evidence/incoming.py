"""Files on their way in: pieces are put together on this machine's disk until the last one has come.

`<root>/<session id>/<attempt>%<name>`, with % for each slash of the name.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from callwright.control.errors import Invalid, NotFound, StorageUnavailable

__all__ = ["Completions", "EvidencePlace", "Incoming", "check_path", "check_session", "off_loop"]

P = ParamSpec("P")
Result = TypeVar("Result")

_SESSION = re.compile(r"[0-9a-fA-F-]{1,64}")
_PART = re.compile(r"[A-Za-z0-9_@+=][A-Za-z0-9 ._@+=-]{0,120}")
_MOST_PARTS = 4


class EvidencePlace(NamedTuple):
    """Where a file of evidence belongs."""

    session_id: str
    attempt: int
    name: str

    @property
    def path(self) -> str:
        """`<session id>/<attempt>/<name>`. Raises Invalid when that would lead elsewhere."""
        parts = self.name.split("/")
        fits = len(parts) <= _MOST_PARTS and all(_PART.fullmatch(part) for part in parts)
        if not fits or not _SESSION.fullmatch(self.session_id) or self.attempt < 0:
            raise Invalid(f"{self.name[:80]!r} is not a name for a file of evidence.", field="name")
        return f"{self.session_id}/{self.attempt}/{self.name}"


def check_session(session_id: str) -> str:
    """Raises Invalid for what is none."""
    if not _SESSION.fullmatch(session_id):
        raise Invalid(f"{session_id[:80]!r} is not a session id.")
    return session_id


def check_path(path: str) -> str:
    """Of a file that is there, as `complete` gave it. Raises NotFound for what never was one."""
    session_id, _, rest = path.partition("/")
    attempt, _, name = rest.partition("/")
    if not attempt.isdigit() or len(attempt) > 9:
        raise NotFound("file", path)
    try:
        return EvidencePlace(session_id, int(attempt), name).path
    except Invalid:
        raise NotFound("file", path) from None


class Incoming:
    """``largest``: octets that one file may have. Blocks: to be called off the loop. Raises OSError."""

    def __init__(self, root: Path, *, largest: int) -> None:
        self.root, self.largest = root, largest

    def has(self, place: EvidencePlace) -> bool:
        return self._part(place).is_file()

    def append(self, place: EvidencePlace, offset: int, data: bytes) -> int:
        """Octets that are there now; the same piece again is harmless. Raises Invalid for a gap."""
        if offset < 0 or offset + len(data) > self.largest:
            raise Invalid(f"{place.name} is larger than {self.largest:,} octets.", field="size")
        part = self._part(place)
        part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(part, "ab") as file:
            there = file.tell()
            if offset > there:
                message = f"{place.name}: a gap; {there} octets are there, not {offset}."
                raise Invalid(message, field="offset")
            file.write(data[there - offset :])
        return max(there, offset + len(data))

    def whole(self, place: EvidencePlace, size: int, sha256: str) -> Path:
        """The file, complete, checked and on the disk. Raises Invalid; what is damaged is removed."""
        part = self._part(place)
        if not part.exists() and size == 0:
            part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.touch()
        if not part.is_file():
            raise Invalid(f"Nothing of {place.name} has come.", field="offset")
        with open(part, "rb+") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if file.tell() != size or found != sha256.lower():
                part.unlink()
                raise Invalid(f"{place.name} came damaged; send it again from the beginning.", field="sha256")
            os.fsync(file.fileno())
        return part

    def forget(self, place: EvidencePlace) -> None:
        """Its folder stays until the run's evidence is removed: another file may be about to begin in it."""
        self._part(place).unlink(missing_ok=True)

    def forget_session(self, session_id: str) -> None:
        folder = self.root / check_session(session_id)
        if folder.exists():
            shutil.rmtree(folder)

    def _part(self, place: EvidencePlace) -> Path:
        folded = place.name.replace("/", "%")
        return self.root / place.session_id / f"{place.attempt}%{folded}"


class Completions:
    """An agent that hears nothing for a while asks again: then it waits for what was begun, which goes on."""

    def __init__(self) -> None:
        self._tasks: dict[EvidencePlace, asyncio.Task[str]] = {}

    async def join(self, place: EvidencePlace, begin: Callable[[], Coroutine[Any, Any, str]]) -> str:
        task = self._tasks.get(place)
        if task is None:
            task = asyncio.ensure_future(begin())
            self._tasks[place] = task
            task.add_done_callback(lambda done: self._done(place, done))
        return await asyncio.shield(task)

    def _done(self, place: EvidencePlace, task: asyncio.Task[str]) -> None:
        del self._tasks[place]
        if not task.cancelled():
            task.exception()  # nobody may be there any more to hear of it

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def off_loop(work: Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
    """In a thread; raises StorageUnavailable when the disk refuses."""
    try:
        return await asyncio.to_thread(work, *arguments, **named)
    except OSError as error:
        raise StorageUnavailable(
            f"Evidence cannot be kept: {error.strerror or error}.", "Make room on the disk."
        ) from error
