"""Evidence in a folder: ``<root>/<session id>/<attempt>/<name>``. A file is complete or has no name yet."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from callwright.control.errors import Invalid, NotFound, StorageUnavailable

__all__ = ["DirectoryEvidence"]

P = ParamSpec("P")
Result = TypeVar("Result")

_SESSION = re.compile(r"[0-9a-fA-F-]{1,64}")
_PART = re.compile(r"[A-Za-z0-9_@+=][A-Za-z0-9 ._@+=-]{0,120}")
_MOST_PARTS = 4
_INCOMING = ".incoming"


class DirectoryEvidence:
    """EvidenceStore on a file system. ``largest``: octets that one file may have."""

    def __init__(self, root: Path, *, largest: int = 512 * 1024 * 1024) -> None:
        self.root, self.largest = root, largest

    async def write(self, session_id: str, attempt: int, name: str, offset: int, data: bytes) -> int:
        return await self._off_loop(self._write, session_id, attempt, name, offset, data)

    async def complete(self, session_id: str, attempt: int, name: str, size: int, sha256: str) -> str:
        return await self._off_loop(self._complete, session_id, attempt, name, size, sha256)

    async def remove(self, session_id: str) -> None:
        await self._off_loop(self._remove, session_id)

    def locate(self, path: str) -> Path:
        parts = path.split("/")
        if len(parts) < 3 or any(part in ("", ".", "..") or part == _INCOMING for part in parts):
            raise NotFound("file", path)
        found = self.root.joinpath(*parts)
        # Nothing below is a link unless somebody else put it there; that is not followed out of the folder.
        if not found.is_file() or not found.resolve().is_relative_to(self.root.resolve()):
            raise NotFound("file", path)
        return found

    def free(self) -> int:
        """Octets left on the disk."""
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free

    @staticmethod
    async def _off_loop(work: Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
        try:
            return await asyncio.to_thread(work, *arguments, **named)
        except OSError as error:
            raise StorageUnavailable(
                f"Evidence cannot be kept: {error.strerror or error}.", "Make room on the disk."
            ) from error

    def _write(self, session_id: str, attempt: int, name: str, offset: int, data: bytes) -> int:
        target = self._path(session_id, attempt, name)
        if target.is_file():
            return target.stat().st_size
        if offset < 0 or offset + len(data) > self.largest:
            raise Invalid(f"{name} is larger than {self.largest:,} octets.", field="size")
        part = self._incoming(session_id, attempt, name)
        part.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "ab") as file:
            there = file.tell()
            if offset > there:
                raise Invalid(f"{name}: a gap; {there} octets are there, not {offset}.", field="offset")
            fresh = data[there - offset :]
            file.write(fresh)
        return max(there, offset + len(data))

    def _complete(self, session_id: str, attempt: int, name: str, size: int, sha256: str) -> str:
        target = self._path(session_id, attempt, name)
        relative = target.relative_to(self.root).as_posix()
        part = self._incoming(session_id, attempt, name)
        if target.is_file():
            if target.stat().st_size != size:
                raise Invalid(f"{name} is there already, with another size.", field="size")
            return relative
        if not part.exists() and size == 0:
            part.parent.mkdir(parents=True, exist_ok=True)
            part.touch()
        if not part.is_file():
            raise Invalid(f"Nothing of {name} has come.", field="offset")
        with open(part, "rb+") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if file.tell() != size or found != sha256.lower():
                part.unlink()
                raise Invalid(f"{name} came damaged; send it again from the beginning.", field="sha256")
            os.fsync(file.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, target)
        _sync_folder(target.parent)
        return relative

    def _remove(self, session_id: str) -> None:
        if not _SESSION.fullmatch(session_id):
            raise Invalid(f"{session_id[:80]!r} is no session id.")
        for folder in (self.root / session_id, self.root / _INCOMING / session_id):
            if folder.exists():
                shutil.rmtree(folder)

    def _path(self, session_id: str, attempt: int, name: str) -> Path:
        parts = name.split("/")
        fits = len(parts) <= _MOST_PARTS and all(_PART.fullmatch(part) for part in parts)
        if not fits or not _SESSION.fullmatch(session_id) or attempt < 0:
            raise Invalid(f"{name[:80]!r} is no name for a file of evidence.", field="name")
        return self.root.joinpath(session_id, str(attempt), *parts)

    def _incoming(self, session_id: str, attempt: int, name: str) -> Path:
        folded = name.replace("/", "%")
        return self.root / _INCOMING / session_id / f"{attempt}%{folded}"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
