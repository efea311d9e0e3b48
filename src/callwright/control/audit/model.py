"""What the audit log holds. Times are unix seconds (float)."""

from __future__ import annotations

import msgspec


class AuditEntry(msgspec.Struct, frozen=True):
    id: int
    at: float
    user_id: int
    username: str
    action: str  # "key.created", "kill.engaged"
    object: str  # "key 3", "test basic_call"
    detail: str
    key_id: int | None = None  # the API key that was used
