"""Evidence in a bucket of an S3-compatible store: ``<prefix><session id>/<attempt>/<name>``.

Pieces are put together on this machine's disk; the file goes to the store when it is whole, and only then is
it acknowledged. While the store is away each method raises EvidenceAway, and agents keep what they have.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from callwright.control.errors import EvidenceAway, Invalid, NotFound
from callwright.control.storage.evidence.incoming import (
    Completions,
    EvidencePlace,
    Incoming,
    check_path,
    check_session,
    off_loop,
)
from callwright.control.storage.evidence.location import EvidenceLocation
from callwright.control.storage.evidence.s3_client import AtOnce, S3Client
from callwright.net.clock import Clock

__all__ = ["S3Evidence"]

P = ParamSpec("P")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)
_PIECE = 256 * 1024
_READ_TRIES = 3
_REST = 1.0  # seconds after a failure in which the store is not asked again
_PROBE = ".callwright"


class S3Evidence:
    """EvidenceStore on S3. ``incoming``: the folder of what is not whole; ``largest``: octets of a file."""

    def __init__(
        self,
        location: EvidenceLocation,
        incoming: Path,
        *,
        clock: Clock,
        largest: int = 512 * 1024 * 1024,
    ) -> None:
        self._location, self._clock = location, clock
        self._incoming = Incoming(incoming, largest=largest)
        self._client: S3Client | None = None
        self._opening = asyncio.Lock()
        self._threads = ThreadPoolExecutor(AtOnce, "s3")
        self._completions = Completions()
        self._away: EvidenceAway | None = None
        self._rests_until = 0.0
        self._trying = False

    async def check(self) -> None:
        client = await self._opened()
        await self._ask(client.check, self._location.prefix + _PROBE)

    async def close(self) -> None:
        await self._completions.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    async def write(self, session_id: str, attempt: int, name: str, offset: int, data: bytes) -> int:
        place = EvidencePlace(session_id, attempt, name)
        key = self._location.prefix + place.path
        if not await off_loop(self._incoming.has, place):
            client = await self._opened()
            there = await self._ask(client.size, key)
            if there is not None:
                return there
        return await off_loop(self._incoming.append, place, offset, data)

    async def complete(
        self, session_id: str, attempt: int, name: str, size: int, sha256: str, media_type: str
    ) -> str:
        place = EvidencePlace(session_id, attempt, name)
        return await self._completions.join(place, lambda: self._complete(place, size, sha256, media_type))

    async def _complete(self, place: EvidencePlace, size: int, sha256: str, media_type: str) -> str:
        path = place.path
        key = self._location.prefix + path
        client = await self._opened()
        if not await off_loop(self._incoming.has, place):
            there = await self._ask(client.size, key)
            if there is not None and there != size:
                raise Invalid(f"{place.name} is there already, with another size.", field="size")
            if there is not None:
                return path
        file = await off_loop(self._incoming.whole, place, size, sha256)
        await self._ask(client.put, key, file, size, sha256.lower(), media_type)
        await off_loop(self._incoming.forget, place)
        return path

    async def read(self, path: str, first: int = 0, last: int | None = None) -> AsyncGenerator[bytes, None]:
        """A connection that breaks is made again from where it broke, a few times."""
        key = self._location.prefix + check_path(path)
        client = await self._opened()
        at, tries = first, 0
        while last is None or at <= last:
            body: Any = None
            try:
                body = await self._ask(client.open, key, at, last)
                while piece := await self._ask(client.read, body, _PIECE):
                    at += len(piece)
                    yield piece
                return
            except EvidenceAway:
                tries += 1
                if tries >= _READ_TRIES or body is None:
                    raise
                self._rests_until = 0.0
            finally:
                if body is not None:
                    body.close()

    @contextlib.asynccontextmanager
    async def folder(self, session_id: str, attempt: int, names: Sequence[str]) -> AsyncIterator[Path]:
        """Fetched into a folder that goes away afterwards, so that nothing outlives the retention."""
        root = Path(await off_loop(tempfile.mkdtemp, prefix="callwright-evidence-"))
        try:
            await asyncio.gather(
                *(self._fetch(root, EvidencePlace(session_id, attempt, name)) for name in names)
            )
            yield root
        finally:
            await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)

    async def _fetch(self, root: Path, place: EvidencePlace) -> None:
        target = root / place.name
        with contextlib.suppress(NotFound):
            async with contextlib.aclosing(self.read(place.path)) as pieces:
                begun = await anext(pieces, b"")
                await off_loop(target.parent.mkdir, parents=True, exist_ok=True)
                with open(target, "wb") as file:
                    await off_loop(file.write, begun)
                    async for piece in pieces:
                        await off_loop(file.write, piece)

    async def remove(self, session_id: str) -> None:
        prefix = f"{self._location.prefix}{check_session(session_id)}/"
        client = await self._opened()
        await self._ask(client.remove_all, prefix)
        await off_loop(self._incoming.forget_session, session_id)

    # -- asking the store

    async def _opened(self) -> S3Client:
        async with self._opening:
            if self._client is None:
                self._client = await self._ask(S3Client, self._location)
            return self._client

    async def _ask(self, work: Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
        """In a thread of ours, so that a store that hangs holds up nobody else. One that is away is let alone
        for a moment; that it went and came back is told once."""
        alone = self._away is not None
        if self._away is not None:
            if self._trying or self._clock.now() < self._rests_until:
                raise EvidenceAway(self._away.message, self._away.remedy)
            self._trying = True  # one finds out for all

        def ask() -> Result:
            away = self._away
            if away is not None and not alone:  # it went while this waited for a thread
                raise EvidenceAway(away.message, away.remedy)
            return work(*arguments, **named)

        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except EvidenceAway as error:
            self._lose(error)
            raise
        except NotFound:
            self._regain()
            raise
        finally:
            if alone:
                self._trying = False
        self._regain()
        return found

    def _lose(self, error: EvidenceAway) -> None:
        if self._away is None or self._away.message != error.message:
            _log.error("%s %s", error.message, error.remedy)
        self._away, self._rests_until = error, self._clock.now() + _REST

    def _regain(self) -> None:
        if self._away is not None:
            _log.warning("the evidence store is back: %s", self._location.url)
        self._away = None
