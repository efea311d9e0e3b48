"""What the audit log needs of a database."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from callwright.control.audit.model import AuditEntry

__all__ = ["AuditStore"]


class AuditStore(Protocol):
    """What the log needs of a database."""

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """What this task asks of any store of the same database meanwhile is all kept, or nothing of it."""
        ...

    async def add_audit(self, entry: AuditEntry) -> None: ...
    async def audit(self, before: int | None, limit: int, search: str | None) -> list[AuditEntry]:
        """Newest first."""
        ...
