"""The files of runs: taken in from agents, listed, and removed when they are old or too many."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from callwright.control.errors import Invalid, NotFound, QuotaExceeded
from callwright.control.runs.model import Evidence, Run
from callwright.control.runs.store import EvidenceStore, RunStore
from callwright.net.clock import Clock

__all__ = ["ARRIVAL", "EvidenceLimits", "RunEvidence", "media_type"]

_TYPES = {
    ".pcap": "application/vnd.tcpdump.pcap",
    ".pcapng": "application/x-pcapng",
    ".json": "application/json",
    ".xml": "application/xml",
    ".wav": "audio/wav",
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
}
_SWEPT_AT_ONCE = 200
_LOOK_AGAIN = 0.1  # seconds
ARRIVAL = 30.0
"""Seconds after the end of a run in which files that were announced are waited for."""
_MOST_IN_FOLDER = 128 * 1024 * 1024  # octets


@dataclasses.dataclass(frozen=True, slots=True)
class EvidenceLimits:
    """``retention``: seconds; ``quota``: octets of all files; ``per_run``: octets. None: no limit."""

    retention: float | None = 30 * 86_400.0
    quota: int | None = 20 * 1024**3
    per_run: int | None = 2 * 1024**3


class RunEvidence:
    def __init__(
        self,
        store: RunStore,
        files: EvidenceStore,
        *,
        clock: Clock,
        limits: EvidenceLimits | None = None,
    ) -> None:
        self._store, self._files, self._clock = store, files, clock
        self.limits = limits or EvidenceLimits()
        self.on_sweep: list[Callable[[], Awaitable[int]]] = []

    async def write(self, session_id: str, attempt: int, name: str, offset: int, data: bytes) -> int:
        """A chunk of a file, in order; the octets that are there now. The same chunk again is harmless.

        Raises Invalid, NotFound, QuotaExceeded, StorageUnavailable.
        """
        if self.limits.per_run is not None and offset + len(data) > self.limits.per_run:
            raise QuotaExceeded(f"{name} is more than one run may leave: {self.limits.per_run:,} octets.")
        return await self._files.write(session_id, attempt, name, offset, data)

    async def complete(
        self, session_id: str, attempt: int, name: str, size: int, sha256: str, type_: str | None = None
    ) -> Evidence:
        """The file is whole: ``size`` octets with this SHA-256 (hex). Durable when this returns; asking again
        is harmless.

        Raises Invalid (send it again), NotFound for the run, QuotaExceeded, StorageUnavailable.
        """
        run = await self._store.by_session(session_id)
        if run is None:
            raise NotFound("run", session_id)
        if not 1 <= attempt <= run.attempt:
            raise Invalid(f"The run {session_id} has no attempt {attempt}.", field="attempt")
        if self.limits.per_run is not None:
            others = [e for e in await self._store.evidence(run.id, attempt) if e.name != name]
            if sum(entry.size for entry in others) + size > self.limits.per_run:
                raise QuotaExceeded(f"One run may leave {self.limits.per_run:,} octets of evidence.")
        kind = type_ or media_type(name)
        path = await self._files.complete(session_id, attempt, name, size, sha256, kind)
        entry = Evidence(run.id, attempt, name, size, sha256.lower(), kind, path, self._clock.wall())
        await self._store.add_evidence(entry)
        return entry

    async def list(self, run: Run, attempt: int | None = None) -> list[Evidence]:
        """By name; of the last attempt unless said otherwise."""
        return await self._store.evidence(run.id, run.attempt if attempt is None else attempt)

    async def arrived(
        self, run: Run, *, patience: float = ARRIVAL, name: str | None = None
    ) -> Sequence[Evidence]:
        """As `list`, once all files that the agent announced with its result are here, or the one with this
        `name`. The verdict comes before the files, so a run that has just ended is waited for, `patience`
        seconds at most; one that ended longer ago is not."""
        began = self._clock.now()
        while True:
            files = await self.list(run)
            ended_ago = self._clock.wall() - (run.stopped_at or 0.0)
            here = any(entry.name == name for entry in files) or len(files) >= (run.files_due or 0)
            if here or ended_ago >= ARRIVAL or self._clock.now() - began >= patience:
                return files
            await asyncio.sleep(_LOOK_AGAIN)

    async def find(self, run: Run, name: str) -> Evidence:
        """Waits as `arrived`. Raises NotFound."""
        for entry in await self.arrived(run, name=name):
            if entry.name == name:
                return entry
        raise NotFound("file", name)

    def read(self, entry: Evidence, first: int = 0, last: int | None = None) -> AsyncGenerator[bytes, None]:
        """The octets from `first` to `last` (counted in) in pieces. The first piece raises NotFound when the
        file was removed meanwhile, and each StorageUnavailable."""
        return self._files.read(entry.path, first, last)

    async def content(self, entry: Evidence) -> bytes:
        """All of it: for small files. Raises as `read`."""
        return b"".join([piece async for piece in self.read(entry)])

    @contextlib.asynccontextmanager
    async def folder(self, files: Sequence[Evidence]) -> AsyncIterator[Path | None]:
        """Files of one attempt as files on this machine, under their names; together at most 128 MiB of them.
        None when there are none. Raises StorageUnavailable."""
        chosen, room = [], _MOST_IN_FOLDER
        for entry in sorted(files, key=lambda entry: entry.size):
            room -= entry.size
            if room >= 0:
                chosen.append(entry)
        if not chosen:
            yield None
            return
        session_id = chosen[0].path.partition("/")[0]
        names = [entry.name for entry in chosen]
        async with self._files.folder(session_id, chosen[0].attempt, names) as found:
            yield found

    async def check(self) -> None:
        """Raises StorageUnavailable, with a sentence that says what is wrong with the place of the files."""
        await self._files.check()

    async def close(self) -> None:
        await self._files.close()

    async def age(self) -> int:
        """Removes the runs that their projects keep no longer, files first; how many. To be called now and
        then by the keeper."""
        removed = 0
        while batch := await self._store.aged_runs(self._clock.wall(), _SWEPT_AT_ONCE):
            for _, session_id in batch:
                await self._files.remove(session_id)
            await self._store.forget_runs([run_id for run_id, _ in batch])
            removed += len(batch)
        return removed

    async def sweep(self) -> int:
        """Removes the evidence of runs that are older than the retention, then of the oldest until the quota
        holds; the octets that were freed. To be called now and then by the keeper."""
        for forget in self.on_sweep:
            while await forget():
                pass
        freed, total = 0, await self._store.evidence_size()
        now = self._clock.wall()
        while True:
            batch = await self._store.oldest_evidence(_SWEPT_AT_ONCE)
            gone = []
            for run_id, session_id, created_at, size in batch:
                old = self.limits.retention is not None and created_at < now - self.limits.retention
                too_much = self.limits.quota is not None and total - freed > self.limits.quota
                if not (old or too_much):
                    break
                await self._files.remove(session_id)
                gone.append(run_id)
                freed += size
            await self._store.forget_evidence(gone)
            if len(gone) < _SWEPT_AT_ONCE:
                return freed


def media_type(name: str) -> str:
    """By the ending of the name."""
    ending = "." + name.rpartition(".")[2].lower()
    return _TYPES.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"
