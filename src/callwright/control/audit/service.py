"""The audit log: an entry is written in the transaction of its change, by the service that makes it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from callwright.control.accounts.authorize import authorize
from callwright.control.accounts.model import Identity, Right
from callwright.control.audit.actions import ACTIONS
from callwright.control.audit.model import AuditEntry
from callwright.control.audit.store import AuditStore
from callwright.net.clock import Clock

__all__ = ["Audit"]

_LONGEST = 1_000  # characters of a detail
_FAILURES_AT_ONCE = 20
_FAILURES_A_SECOND = 1.0


class Audit:
    """`async with audit.change():` the change and its `note()`, together or not at all."""

    def __init__(self, store: AuditStore, *, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._room, self._filled_at = float(_FAILURES_AT_ONCE), clock.now()
        self._untold = 0

    def change(self) -> AbstractAsyncContextManager[object]:
        """A transaction. No other task is started in it, and nothing slow is awaited: it holds the writer."""
        return self._store.transaction()

    async def note(self, identity: Identity, action: str, object_: str, detail: str = "") -> None:
        """Secrets never stand in ``detail``."""
        assert action in ACTIONS, action
        await self._store.add_audit(
            AuditEntry(
                0,
                self._clock.wall(),
                identity.user_id,
                identity.username,
                action,
                object_,
                detail[:_LONGEST],
                identity.key_id,
            )
        )

    async def note_failed_login(self, user_id: int, name: str, source: str) -> None:
        """``user_id``: 0 for a name that nobody has. Guesses by the thousand are counted, not each told: the
        log must not be a way to fill the disk."""
        now = self._clock.now()
        self._room = min(_FAILURES_AT_ONCE, self._room + (now - self._filled_at) * _FAILURES_A_SECOND)
        self._filled_at = now
        if self._room < 1:
            self._untold += 1
            return
        self._room -= 1
        untold, self._untold = self._untold, 0
        detail = f"from {source}" if source else ""
        if untold:
            detail += f"{', ' if detail else ''}{untold} more before it were not listed"
        entry = AuditEntry(
            0, self._clock.wall(), user_id, name[:128], "login.failed", f"user {name[:128]}", detail
        )
        await self._store.add_audit(entry)

    async def log(
        self, identity: Identity, *, after: int | None = None, limit: int = 100, search: str | None = None
    ) -> list[AuditEntry]:
        """Newest first; ``after``: the id of the last row of the page before. Raises Forbidden."""
        authorize(identity, Right.ADMINISTER)
        return await self._store.audit(after, max(1, min(limit, 1000)), search)
