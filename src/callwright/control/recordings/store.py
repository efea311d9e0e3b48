"""What recordings need of a database."""

from __future__ import annotations

from typing import Protocol

from callwright.control.collections.model import Query, Rows
from callwright.control.recordings.model import Recording

__all__ = ["RecordingStore"]


class RecordingStore(Protocol):
    async def recordings(self, query: Query, *, only: str | None = None) -> Rows:
        """Of MONITORS. ``only``: those with that user, by the id of the chapter, on either side."""
        ...

    async def recording(self, recording_id: int) -> Recording | None: ...
    async def add_recording(self, recording: Recording) -> None:
        """Once for each part of a call; its ``id`` does not count."""
        ...

    async def delete_recording(self, recording_id: int) -> bool: ...
    async def recordings_before(self, calldate: float, most: int) -> list[Recording]:
        """The oldest first."""
        ...
