"""Recordings of calls: taken in from the PBX, listed, read, deleted, and removed when they are old."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from callwright.audio.mp3 import MEDIA_TYPE, seconds_of
from callwright.control.accounts.authorize import authorize, may
from callwright.control.accounts.model import TELEPHONY_IDS, Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.cdrs.store import CdrStore
from callwright.control.collections.model import Compare, Operator, Query, Rows
from callwright.control.errors import Invalid, NotFound
from callwright.control.recordings.model import Recording
from callwright.control.recordings.store import RecordingStore
from callwright.control.runs.model import Evidence
from callwright.control.runs.store import EvidenceStore
from callwright.net.clock import Clock
from callwright.pbx.record import read_recording_name

__all__ = ["Recordings"]

_NAME = "recording.mp3"
_CHUNK = 1024 * 1024
_AT_ONCE, _MOST = 100, 1_000


class Recordings:
    """``retention``: seconds that they are kept; None: for ever."""

    def __init__(
        self,
        store: RecordingStore,
        cdrs: CdrStore,
        files: EvidenceStore,
        *,
        audit: Audit,
        clock: Clock,
        retention: float | None,
    ) -> None:
        self._store, self._cdrs, self._files = store, cdrs, files
        self._audit, self._clock, self._retention = audit, clock, retention

    # -- taken in

    async def take(self, name: str, file: Path) -> bool:
        """A whole MP3 of the PBX, durable when this returns; twice is once. ``name``: the call, and from the
        second recording on its number (`recording_name`). False: the call has no record yet.
        Raises DomainError, OSError."""
        live_id, part = read_recording_name(name)
        kept_as = _kept_as(live_id, part)
        query = Query(Compare("live_id", Operator.EQ, live_id), limit=100)
        legs = (await self._cdrs.cdrs(query)).rows
        first = next((leg for leg in legs if leg["type"] == "O"), None)
        if first is None:
            return False
        digest, size = hashlib.sha256(), 0
        with await asyncio.to_thread(file.open, "rb") as source:
            while chunk := await asyncio.to_thread(source.read, _CHUNK):
                digest.update(chunk)
                await self._files.write(kept_as, 1, _NAME, size, chunk)
                size += len(chunk)
        seconds = await asyncio.to_thread(seconds_of, file)
        path = await self._files.complete(kept_as, 1, _NAME, size, digest.hexdigest(), MEDIA_TYPE)
        known: dict[str, Any] = {
            name: first[name]
            for name in ("calldate", "src", "src_id", "src_name", "dst", "dst_id", "dst_name")
        }
        await self._store.add_recording(
            Recording(
                id=0,
                live_id=live_id,
                part=part,
                duration=round(seconds),
                size=size,
                sha256=digest.hexdigest(),
                path=path,
                **known,
            )
        )
        return True

    # -- read

    async def rows(self, identity: Identity, query: Query) -> Rows:
        """Administrators see all, others those of calls that they were in."""
        own = None if may(identity, Right.ADMINISTER) else str(TELEPHONY_IDS + identity.person)
        return await self._store.recordings(query, only=own)

    async def get(self, identity: Identity, recording_id: int) -> dict[str, object]:
        """Raises NotFound."""
        found = await self.rows(identity, Query(Compare("id", Operator.EQ, recording_id)))
        if not found.rows:
            raise NotFound("recording", recording_id)
        return found.rows[0]

    async def file(self, identity: Identity, recording_id: int) -> Evidence:
        """Of one that one sees. Raises NotFound."""
        await self.get(identity, recording_id)
        one = await self._store.recording(recording_id)
        if one is None:
            raise NotFound("recording", recording_id)
        name = f"{recording_id}.mp3"
        return Evidence(0, 1, name, one.size, one.sha256, MEDIA_TYPE, one.path, one.calldate)

    # -- removed

    async def delete(self, identity: Identity, recording_ids: Sequence[int]) -> None:
        """All of them or none, with their audio. Raises NotFound, Forbidden, Invalid, StorageUnavailable."""
        authorize(identity, Right.ADMINISTER)
        if not 1 <= len(recording_ids) <= _MOST:
            raise Invalid(f"1 to {_MOST:,} recordings at once are permitted.", field="id")
        gone = []
        async with self._audit.change():
            for recording_id in recording_ids:
                one = await self._store.recording(recording_id)
                if one is None:
                    raise NotFound("recording", recording_id)
                await self._store.delete_recording(recording_id)
                gone.append(_kept_as(one.live_id, one.part))
            what = f"recording {','.join(map(str, recording_ids))}"[:200]
            await self._audit.note(identity, "recording.deleted", what)
        for kept_as in gone:
            await self._files.remove(kept_as)

    async def forget_old(self) -> int:
        """Removes some of those that are older than they are kept; how many, 0 when none is left."""
        if self._retention is None:
            return 0
        old = await self._store.recordings_before(self._clock.wall() - self._retention, _AT_ONCE)
        for one in old:
            await self._files.remove(_kept_as(one.live_id, one.part))
            await self._store.delete_recording(one.id)
        return len(old)


def _kept_as(live_id: str, part: int) -> str:
    """Of a recording in the evidence store, where each is removed alone."""
    return live_id if part == 1 else f"{live_id}-{part}"
