"""The files of a run as one .zip, written while they are read: it takes no more memory than a piece."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import UTC, datetime

from callwright.control.runs.model import Evidence

__all__ = ["zipped"]

_PACKED = {".zip", ".mp3", ".gz"}


class _Outlet(io.RawIOBase):
    """What was written and not yet taken; it cannot be sought in, so the sizes follow each file."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._held += piece
        return len(piece)

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken


async def zipped(
    files: Sequence[Evidence], read: Callable[[Evidence], AsyncGenerator[bytes, None]]
) -> AsyncIterator[bytes]:
    """Pieces of the archive. A file that goes meanwhile cuts the archive short, which its reader sees."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        for entry in files:
            when = datetime.fromtimestamp(entry.created_at, UTC)
            info = zipfile.ZipInfo(entry.name, max(when, datetime(1980, 1, 1, tzinfo=UTC)).timetuple()[:6])
            ending = "." + entry.name.rpartition(".")[2].lower()
            info.compress_type = zipfile.ZIP_STORED if ending in _PACKED else zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            with archive.open(info, "w", force_zip64=entry.size >= 2**31) as member:
                async for piece in read(entry):
                    await asyncio.to_thread(member.write, piece)
                    yield outlet.take()
            yield outlet.take()
    yield outlet.take()
