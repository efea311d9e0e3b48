"""Who uses a database: a platform for as long as it runs, or a restore that replaces everything in it.

The folder of data has a lock of its own; this one is where the records are, since a restore may name them
from another folder or another machine. In PostgreSQL it is an advisory lock of a session, shared by
platforms, and the server lets go of it when the session ends, however it ends; beside a file of SQLite it is
the kernel's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Any

from callwright.control.errors import Conflict, StorageUnavailable
from callwright.control.storage.schema import Location

__all__ = ["BeingRestored", "InUse", "Occupancy", "Reservation"]

_KEY = 0x63616C6C_73657276  # "callserv"
_SHARED = "SELECT pg_try_advisory_lock_shared($1)"
_ALONE = "SELECT pg_try_advisory_lock($1)"
_LOOK = 5.0  # seconds between looks whether the session is still there
_PATIENCE = 10.0  # seconds for an answer


class InUse(Conflict):
    """A platform works with this database."""

    def __init__(self) -> None:
        super().__init__(
            "A platform is running on this database.", "End every `callwright serve` that uses it first."
        )


class BeingRestored(Conflict):
    """A restore replaces what is in this database."""

    def __init__(self) -> None:
        super().__init__(
            "A backup is being restored into this database.",
            "Start again when `callwright restore` has ended.",
        )


class Occupancy:
    """`await Occupancy.take(location)` for a platform; `await close()`. When the server of the database goes,
    the lock is taken anew as soon as it is back; `on_loss` is told when a restore was there first."""

    def __init__(self, hold: _Hold, on_loss: Callable[[], None], look: float) -> None:
        self._hold, self._on_loss, self._look = hold, on_loss, look
        self._watch = asyncio.create_task(self._stay()) if isinstance(hold, _Session) else None

    @classmethod
    async def take(
        cls, location: Location, *, on_loss: Callable[[], None] = lambda: None, look: float = _LOOK
    ) -> Occupancy:
        """``look``: seconds between looks. Raises BeingRestored, StorageUnavailable."""
        hold = _hold(location)
        if not await hold.take(shared=True):
            await hold.close()
            raise BeingRestored
        return cls(hold, on_loss, look)

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._hold.close()

    async def _stay(self) -> None:
        told = False
        while True:
            await asyncio.sleep(self._look)
            try:
                held = await self._hold.holds() or await self._hold.take(shared=True)
            except StorageUnavailable:
                continue  # whoever works with the records says it
            if not held and not told:
                self._on_loss()
            told = not held


class Reservation:
    """`await Reservation.take(location)` for who replaces everything; `await close()`."""

    def __init__(self, hold: _Hold) -> None:
        self._hold = hold

    @classmethod
    async def take(cls, location: Location) -> Reservation:
        """Raises InUse, StorageUnavailable."""
        hold = _hold(location)
        if not await hold.take(shared=False):
            await hold.close()
            raise InUse
        return cls(hold)

    async def close(self) -> None:
        await self._hold.close()


class _Session:
    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None

    async def take(self, *, shared: bool) -> bool:
        import asyncpg

        from callwright.control.storage.sql.postgres import refusals

        await self.close()
        with refusals():
            # A session that only waits: the server notices within a minute when this machine is gone.
            settings = {
                "application_name": "callwright-lock",
                "tcp_keepalives_idle": "20",
                "tcp_keepalives_interval": "10",
                "tcp_keepalives_count": "4",
            }
            connection = await asyncpg.connect(self._url, timeout=_PATIENCE, server_settings=settings)
            self._connection = connection
            held: bool = await connection.fetchval(_SHARED if shared else _ALONE, _KEY, timeout=_PATIENCE)
        return held

    async def holds(self) -> bool:
        from callwright.control.storage.sql.postgres import refusals

        if self._connection is None or self._connection.is_closed():
            return False
        try:
            with refusals():
                mine = (
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid()"
                    " AND locktype = 'advisory' AND granted)"
                )
                held: bool = await self._connection.fetchval(mine, timeout=_PATIENCE)
        except StorageUnavailable:
            return False
        return held

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it may be broken in any way
                await connection.close(timeout=2)


class _File:
    """Of SQLite: the kernel lets go of it when the process dies."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    async def take(self, *, shared: bool) -> bool:
        try:
            os.makedirs(os.path.dirname(self._path) or ".", mode=0o700, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageUnavailable(f"{self._path} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    async def holds(self) -> bool:
        return self._descriptor is not None

    async def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_Hold = _Session | _File


def _hold(location: Location) -> _Hold:
    if location.path is None:
        return _Session(str(location.url))
    return _File(f"{location.path}.in-use")
