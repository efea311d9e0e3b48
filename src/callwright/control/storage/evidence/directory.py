"""Evidence in a folder: ``<root>/<session id>/<attempt>/<name>``. A file is complete or has no name yet."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path

from callwright.control.errors import Invalid, NotFound
from callwright.control.storage.evidence.incoming import (
    Completions,
    EvidencePlace,
    Incoming,
    check_path,
    check_session,
    off_loop,
)

__all__ = ["DirectoryEvidence"]

_PIECE = 256 * 1024


class DirectoryEvidence:
    """EvidenceStore on a file system. ``largest``: octets that one file may have."""

    def __init__(self, root: Path, *, largest: int = 512 * 1024 * 1024) -> None:
        self.root = root
        self._incoming = Incoming(root / ".incoming", largest=largest)
        self._completions = Completions()

    async def check(self) -> None:
        await off_loop(self._check)

    async def close(self) -> None:
        await self._completions.close()

    async def write(self, session_id: str, attempt: int, name: str, offset: int, data: bytes) -> int:
        return await off_loop(self._write, EvidencePlace(session_id, attempt, name), offset, data)

    async def complete(
        self, session_id: str, attempt: int, name: str, size: int, sha256: str, media_type: str
    ) -> str:
        place = EvidencePlace(session_id, attempt, name)
        return await self._completions.join(place, lambda: off_loop(self._complete, place, size, sha256))

    async def remove(self, session_id: str) -> None:
        await off_loop(self._remove, session_id)

    async def read(self, path: str, first: int = 0, last: int | None = None) -> AsyncGenerator[bytes, None]:
        found = self._locate(path)
        try:
            file = await asyncio.to_thread(open, found, "rb")
        except FileNotFoundError:
            raise NotFound("file", path) from None
        try:
            await asyncio.to_thread(file.seek, first)
            left = None if last is None else last - first + 1
            while left is None or left > 0:
                piece = await asyncio.to_thread(file.read, _PIECE if left is None else min(_PIECE, left))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            await asyncio.to_thread(file.close)

    @contextlib.asynccontextmanager
    async def folder(self, session_id: str, attempt: int, names: Sequence[str]) -> AsyncIterator[Path]:
        yield self.root / check_session(session_id) / str(attempt)

    def free(self) -> int:
        """Octets left on the disk."""
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free

    def _check(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(self.root))

    def _locate(self, path: str) -> Path:
        found = self.root / check_path(path)
        # Nothing below is a link unless somebody else put it there; that is not followed out of the folder.
        if not found.is_file() or not found.resolve().is_relative_to(self.root.resolve()):
            raise NotFound("file", path)
        return found

    def _write(self, place: EvidencePlace, offset: int, data: bytes) -> int:
        target = self.root / place.path
        if target.is_file():
            return target.stat().st_size
        return self._incoming.append(place, offset, data)

    def _complete(self, place: EvidencePlace, size: int, sha256: str) -> str:
        path = place.path
        target = self.root / path
        if target.is_file():
            if target.stat().st_size != size:
                raise Invalid(f"{place.name} is there already, with another size.", field="size")
            return path
        part = self._incoming.whole(place, size, sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, target)
        _sync_folder(target.parent)
        return path

    def _remove(self, session_id: str) -> None:
        folder = self.root / check_session(session_id)
        if folder.exists():
            shutil.rmtree(folder)
        self._incoming.forget_session(session_id)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
